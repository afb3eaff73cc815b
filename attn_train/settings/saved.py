"""The configuration that a run left in its folder, and what may differ from it when the run goes on or is tested
again."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from attn_train.errors import ConfigError
from attn_train.settings import compose, guard, identity
from attn_train.settings.explain import explain
from attn_train.settings.resolution import lengthen
from attn_train.settings.roles import NAME, PLACE, Role, flatten, nested
from attn_train.settings.schema import DeviceSettings, Settings


@dataclass(frozen=True)
class Freedom:
    """What a command may change of a run: the settings whose roles `allow` it."""

    allow: Callable[[Role], bool]

    def allows(self, key: str) -> bool:
        return self.allow(identity.role(key))

    def allows_group(self, name: str) -> bool:
        """Say whether another choice of a group may replace its section."""
        return self.allows(f"{name}.name") or self.allows(f"{name}.kind")

    def keeps(self, key: str) -> bool:
        """Say whether the choice of a group leaves a setting of it as it is."""
        return not self.allows(key) or identity.role(key).kept


# What resume=RUN may change of a run, and what attn-eval.
RESUME = Freedom(lambda role: role.resume)
TEST = Freedom(lambda role: role.test)

# What the runs of before a setting existed did.
ADDED = {
    "control": "none",
    "control_width": None,
    "device.cuda_graphs": "auto",
    "dataset.allow_change": False,
    **identity.FORMER,
}


def read(folder: Path) -> DictConfig:
    """Read the configuration that a run left in `folder`, its data where it lies for who reads; raise ConfigError where
    there is none."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError(
            f"{folder} is no run folder: it has no config.yaml; name one like outputs/DATE/TIME_MODEL_DATASET_ID"
        )
    try:
        saved = OmegaConf.load(path)
        config = OmegaConf.merge(OmegaConf.structured(Settings), nested(ADDED), saved)
        assert isinstance(config, DictConfig)
        present = raw(config)
        for key, value in identity.former_of_choices(present).items():
            if key not in present:
                OmegaConf.update(config, key, value)
        # Unresolved: where the environment says no longer where the data lies, the command line may.
        lacking = sorted(key for key, value in raw(config).items() if value == "???")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; mend that, or name another run") from error
    except (OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not a configuration of this program: {' '.join(str(error).split())}") from error
    guard.check_saved(config, path)
    if lacking:
        raise ConfigError(
            f"{path} lacks {', '.join(lacking)}: another version of this program wrote it; use that one, or train again"
        )
    locate_data(folder, config)
    return config


def locate_data(folder: Path, config: DictConfig) -> None:
    """Where a relative dataset.root or noise.file is nothing from here, but is there from where the run began, set it
    to that."""
    for key in ("dataset.root", "noise.file"):
        place = raw(config).get(key)
        if place is None or "${" in place or Path(place).exists():
            continue
        try:
            began = yaml.safe_load((folder / ".hydra" / "hydra.yaml").read_text(encoding="utf-8"))
            there = Path(began["hydra"]["runtime"]["cwd"], place)
        except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
            return
        if there.exists():
            OmegaConf.update(config, key, os.path.normpath(there))


def raw(config: DictConfig) -> dict[str, Any]:
    """Return the settings flat, references to the environment as they were given."""
    return flatten(OmegaConf.to_container(config, resolve=False))  # type: ignore[arg-type]


def key_of(override: Override) -> str:
    """Return the dotted name of what an override sets, without `+` or `++`."""
    return override.key_or_group if override.package is None else f"{override.key_or_group}@{override.package}"


def lay_over(saved: DictConfig, overrides: list[Override], composed: DictConfig, freedom: Freedom) -> DictConfig:
    """Return a run's configuration with `overrides` laid over it.

    A group's choice replaces its section by that of `composed`, the command line's own configuration, where that is
    allowed. Raises ConfigError for the first of the overrides that changes what `freedom` does not allow.
    """
    config, before = deepcopy(saved), raw(saved)
    groups = [override for override in overrides if key_of(override) in compose.GROUPS]
    replacing = [override for override in groups if freedom.allows_group(key_of(override))]
    for override in overrides:
        another = override in groups and override.value() != before.get(f"{key_of(override)}.name")
        if override.is_delete() or (another and override not in replacing):
            raise refused(override, freedom, before)
    # The others name what is there already, so that settings of it can be named.
    overrides = [override for override in overrides if override in replacing or override not in groups]
    try:
        for override in replacing:
            config[key_of(override)] = composed[key_of(override)]
        for key in before:
            if freedom.keeps(key):
                OmegaConf.update(config, key, before[key])
        for override in overrides:
            if override not in replacing:
                OmegaConf.update(config, key_of(override), override.value())
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error, compose.GROUPS, compose.settings)) from error
    now = raw(config)
    changed = [key for key in {**now, **before} if before.get(key) != now.get(key) and not freedom.allows(key)]
    for override in overrides:
        for key in changed:
            if key == key_of(override) or key.startswith(f"{key_of(override)}."):
                raise refused(override, freedom, before, f", where {key} is {before.get(key)}")
    return config


def refused(override: Override, freedom: Freedom, settings: Iterable[str], there: str = "") -> ConfigError:
    """Return what to say of an override that a run cannot take, in which the setting is as `there` says; `settings` are
    all that a run has."""
    return ConfigError(
        f"{override.input_line} cannot be changed in this run{there}; only {', '.join(free(freedom, settings))} can: "
        "leave it out, or start a new run"
    )


def free(freedom: Freedom, settings: Iterable[str]) -> list[str]:
    """Return the names of what may change: sections whose settings all may, and single settings."""
    by_section: dict[str, list[str]] = defaultdict(list)
    for key in settings:
        by_section[key.partition(".")[0]].append(key)
    names = []
    for section, keys in by_section.items():
        allowed = [key for key in keys if freedom.allows(key)]
        names += [section] if len(keys) > 1 and allowed == keys else allowed
    return names


def resumed(folder: Path, words: list[str], composed: DictConfig) -> DictConfig:
    """Return the configuration with which the run in `folder` goes on; only what cannot change its past may differ.

    Raises ConfigError for the first of the command line's `words` that asks for more.
    """
    saved = read(folder)
    saved.dataset.allow_change = False  # said for one change of the data, not for all that follow
    overrides = [override for override in parsed(words) if key_of(override) != "resume"]
    for override in overrides:
        if re.match(r"hydra[./](sweep|launcher)", key_of(override)):
            raise ConfigError(f"{override.input_line} is about a sweep, and resume goes on with one run; leave it out")
    overrides = [override for override in overrides if not override.is_hydra_override()]
    config = lay_over(saved, overrides, composed, RESUME)
    compose.check_plugins(config, f"{folder}")
    config.train.resolution = lengthen(saved.train.resolution, compose.to_config(config).train.epochs)
    return config


def evaluated(folder: Path, words: list[str]) -> Settings:
    """Return the configuration with which the run in `folder` is tested again.

    Other data is seen as the model has learnt to see, unless its size or figures are named themselves. Raises
    ConfigError for the first of the command line's `words` that has no effect on a test.
    """
    compose.check_form(words)
    overrides = parsed(words)
    for override in overrides:
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line} does not fit one run; write NAME=VALUE with one value")
    saved = read(folder)
    composed = compose.compose(words, compose.parse([])) if words else saved
    config = lay_over(saved, overrides, composed, TEST)
    compose.check_plugins(config, f"{folder}")
    return compose.to_config(config)


def parsed(words: list[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(words)


def continued(folder: Path, config: Settings, resolution: list[float]) -> Settings:
    """Return the configuration for a run in `folder`: `config`, with what a run that began there decided for itself.

    `resolution` is the one that `config` means, epoch by epoch. Raises ConfigError where `folder` holds a run of
    another configuration.
    """
    if not (folder / "config.yaml").exists():
        return config
    saved = compose.to_config(read(folder))
    if config.control_width is None:
        config = replace(config, control_width=saved.control_width)
    config = replace(config, train=replace(config.train, resolution=resolution))
    before, now = (identity.identity(asdict(config)) for config in (saved, config))
    follows = () if saved.train.epochs == config.train.epochs else ("train.resolution",)
    differ = [key for key in now if before.get(key) != now[key] and not RESUME.allows(key) and key not in follows]
    if differ:
        shown = ", ".join(f"{key} ({before.get(key)} there, {now[key]} here)" for key in differ[:3])
        raise ConfigError(f"{folder} holds a run of another configuration: {shown}; name another folder")
    train = replace(config.train, resolution=lengthen(saved.train.resolution, config.train.epochs))
    return replace(config, train=train, device=continued_device(saved.device, config.device))


def continued_device(before: DeviceSettings, given: DeviceSettings) -> DeviceSettings:
    """Return `given`, with what it leaves open as the run decided it; on another kind of device nothing is decided."""
    if given.kind not in ("auto", before.kind):
        return given
    pairs = zip(astuple(before), astuple(given), strict=True)
    return DeviceSettings(*(was if now in ("auto", None) else now for was, now in pairs))


def refuse_idle(folder: Path, config: Settings, epochs: int) -> bool:
    """Say whether `config` gives other places to the data of the run in `folder`, which is finished after `epochs` and
    trains no longer; raise ConfigError for anything else that `config` has otherwise, and that would have no effect."""
    before, now = raw(read(folder)), flatten(asdict(config))
    left_open = {key for key in now if key.startswith("device.") and now[key] in ("auto", None)}
    changed = [
        key for key in now if before.get(key) != now[key] and key not in left_open and identity.role(key) is not NAME
    ]
    for key in changed:
        if identity.role(key) is not PLACE:
            raise ConfigError(
                f"{key}={now[key]} would change nothing: {folder} is finished, after {epochs} epochs with "
                f"{key}={before.get(key)}; leave it out, or train longer with train.epochs={epochs + 1} or more"
            )
    return bool(changed)
