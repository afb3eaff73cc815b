"""What a configuration may not do: name code that would run.

Hydra makes whatever `_target_` names, of its callbacks, launcher and sweeper, and Python's logging whatever `class` and
`()` name. A configuration file may come from a stranger, so these keys are held against lists before anything is made:
the plugins that are installed, and the handlers that Hydra itself uses.
"""

import logging
import re
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from attn_train.errors import ConfigError
from attn_train.settings.identity import role
from attn_train.settings.words import FOLDERS

HANDLERS = ("logging.StreamHandler", "logging.FileHandler", "logging.NullHandler")
FACTORIES = ("colorlog.ColoredFormatter",)  # of Hydra's own colorlog plugin
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
LOG_FILE = "${hydra.runtime.output_dir}/${hydra.job.name}.log"
# What may stand alone as a value of Hydra's section: it gives a text, or a part of the section, which is looked at too.
PLAIN_RESOLVERS = r"\$\{(hydra[.:]|oc\.env:|now:|run_folder:|job_name:)"


def check_options(options: Namespace) -> None:
    """Raise ConfigError for an option of the command line that would run what a file contains."""
    if getattr(options, "experimental_rerun", None):
        raise ConfigError(
            "--experimental-rerun reads a pickle, which can run anything; go on with a run with resume=RUN, or give "
            "the words in its .hydra/overrides.yaml again"
        )


def check_search_path(overrides: list[str], primary: Path) -> None:
    """Raise ConfigError where the command line or the file `primary` has Hydra import a package to search it."""
    texts = [word for word in overrides if word.lstrip("+~").startswith("hydra.searchpath=")]
    try:
        with primary.open(encoding="utf-8") as file:
            loaded = yaml.safe_load(file)
        texts.append(str((loaded.get("hydra") or {}).get("searchpath", "")))
    except (OSError, yaml.YAMLError, AttributeError):
        pass  # Hydra says what is wrong with it
    for text in texts:
        if re.search(r"pkg:|\$\{", text.replace("\\", "")):  # a sweep's words come quoted
            raise ConfigError(f"hydra.searchpath: {text} would import code; name a folder, as file://FOLDER")


def check(composed: DictConfig) -> None:
    """Raise ConfigError for the first setting of a composed configuration, Hydra's own included, that names code."""
    plugins = set(_targets(ConfigStore.instance().repo.get("hydra", {})))
    admitted = {"_target_": plugins, "class": HANDLERS, "()": FACTORIES}
    raw = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(raw, dict)
    for path, key, value in _leaves(raw, ""):
        if key in admitted and value not in admitted[key]:
            raise ConfigError(f"{path}={value} names code, which a configuration may not; leave it out")
        if path.startswith("hydra."):
            check_hydra(path, key, value)


def check_saved(config: DictConfig, path: Path) -> None:
    """Raise ConfigError for a run's own configuration that takes more from the environment than where things lie.

    A run writes values, and for such a setting what it was given; an address made of a secret would give it away.
    """
    for name, _, value in _leaves(OmegaConf.to_container(config, resolve=False), ""):
        if isinstance(value, str) and "${" in value:
            place = not role(name).identity and name != "dataset.url"
            if not place or not re.fullmatch(r"[^$]*(\$\{oc\.env:[^${}]*\}[^$]*)+", value):
                raise ConfigError(f"{path}: {name}={value} is not what a run writes; write the value itself")


def check_hydra(path: str, key: str, value: Any) -> None:
    """Raise ConfigError for a setting of Hydra's own section that leads to code by a detour."""
    if not isinstance(value, str):
        return
    if path.startswith("hydra.job.env_set."):
        raise ConfigError(f"{path}: a configuration may not set the environment; set it before the command")
    if path.startswith("hydra.sweeper.params.") and re.search(r"hydra|_target_", path.removeprefix("hydra.sweeper.")):
        raise ConfigError(f"{path}={value}: a sweep may not vary Hydra's own settings")
    logs = path.startswith(("hydra.job_logging.", "hydra.hydra_logging."))
    if logs and (("://" in value and value not in STREAMS) or (key == "filename" and value != LOG_FILE)):
        raise ConfigError(f"{path}={value} is no place for the log; leave it out")
    if logs and key == "level" and value not in logging.getLevelNamesMapping():
        raise ConfigError(f"{path}={value} is no level; choose from {', '.join(logging.getLevelNamesMapping())}")
    if value.startswith("${") and path not in FOLDERS and not re.match(PLAIN_RESOLVERS, value):
        raise ConfigError(f"{path}={value} could name code, which a configuration may not; write the value itself")


def _leaves(node: Any, path: str, key: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield the dotted path, the last key and the value of all that is no container."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield from _leaves(child, f"{path}.{name}" if path else str(name), str(name))
    elif isinstance(node, list):
        for number, child in enumerate(node):
            yield from _leaves(child, f"{path}[{number}]", key)
    else:
        yield path, key, node


def _targets(node: Any) -> Iterator[str]:
    """Yield what the installed plugins of Hydra registered as theirs to be made."""
    if isinstance(node, dict):
        for child in node.values():
            yield from _targets(child)
    elif (config := getattr(node, "node", None)) is not None:
        for _, key, value in _leaves(OmegaConf.to_container(config, resolve=False), ""):
            if key == "_target_" and isinstance(value, str):
                yield value
