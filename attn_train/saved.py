"""The configuration that a run left in its folder, and what may differ from it when the run goes on."""

import re
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from attn_train import compose, config as configuration, guard
from attn_train.config import Config
from attn_train.errors import ConfigError
from attn_train.explain import explain

# What resume=RUN may change of a run.
RESUMABLE = ("train.epochs", "train.log_every", "device")


# What the runs of before a setting existed did.
ADDED = {"control": "none", "control_width": None, "device": {"cuda_graphs": "auto"}}


def read(folder: Path) -> DictConfig:
    """Read the configuration that a run left in `folder`; raise ConfigError where there is none."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError(
            f"{folder} is no run folder: it has no config.yaml; name one like outputs/DATE/TIME_MODEL_DATASET_ID"
        )
    try:
        saved = OmegaConf.load(path)
        config = OmegaConf.merge(OmegaConf.structured(Config), ADDED, saved)
        lacking = sorted(OmegaConf.missing_keys(config))
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, OSError) as error:
        raise ConfigError(f"{path} is not a configuration of this program: {' '.join(str(error).split())}") from error
    assert isinstance(config, DictConfig)
    guard.check_saved(config, path)
    if lacking:
        raise ConfigError(
            f"{path} lacks {', '.join(lacking)}: another version of this program wrote it; use that one, or train again"
        )
    return config


def override(config: DictConfig, overrides: list[str], options: Namespace) -> Config:
    """Lay `overrides` (of the command line) over a run's own configuration; a group's choice replaces its whole
    section."""
    try:
        for one in OverridesParser.create().parse_overrides(overrides):
            key = one.get_key_element()
            if key in compose.GROUPS:
                fresh = compose.compose([f"{key}={one.get_value_element_as_str()}"], options)
                config[key] = fresh[key]
            else:
                OmegaConf.update(config, key, one.value(), merge=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, compose.GROUPS, compose.settings)) from error
    return compose.to_config(config)


def resumed(folder: Path, overrides: list[str], options: Namespace) -> Config:
    """Return the configuration with which the run in `folder` goes on; only what cannot change its past may differ."""
    saved = read(folder)
    overrides = [one for one in overrides if not re.match(r"(resume=|hydra[./])", one)]
    for one in overrides:
        if not re.match(rf"({'|'.join(map(re.escape, RESUMABLE))})(=|\.)", one):
            raise ConfigError(
                f"{one} cannot be changed on resume; only train.epochs, train.log_every and device can: leave it out, "
                "or start a new run"
            )
    return keep_resolution(override(saved, overrides, options), saved.train.resolution)


def keep_resolution(config: Config, shares: list[float]) -> Config:
    """Return `config` with the resolution that a run had in each of its epochs, and the last one in what it adds."""
    epochs = config.train.epochs
    kept = [float(share) for share in [*shares, *[shares[-1]] * (epochs - len(shares))]][:epochs]
    return replace(config, train=replace(config.train, resolution=kept))


def continued(folder: Path, config: Config) -> Config:
    """Return the configuration for a run in `folder`: `config`, with what a run that began there decided for itself.

    The resolution in `config` is decided. Raises ConfigError where `folder` holds a run of another configuration.
    """
    if not (folder / "config.yaml").exists():
        return config
    saved = compose.to_config(read(folder))
    if config.control_width is None:
        config = replace(config, control_width=saved.control_width)
    before, now = (configuration.identity(asdict(one)) for one in (saved, config))
    free = RESUMABLE if saved.train.epochs == config.train.epochs else (*RESUMABLE, "train.resolution")
    differ = [key for key in now if before.get(key) != now[key] and not key.startswith(free)]
    if differ:
        shown = ", ".join(f"{key} ({before.get(key)} there, {now[key]} here)" for key in differ[:3])
        raise ConfigError(f"{folder} holds a run of another configuration: {shown}; name another folder")
    if config.resume is not None:
        return config
    return replace(keep_resolution(config, saved.train.resolution), device=saved.device)
