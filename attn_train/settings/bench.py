"""The settings of attn-bench: their types, and the checks that need no torch. The values stand in conf/bench.yaml."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from attn_train.errors import ConfigError
from attn_train.settings.config import DeviceConfig, flatten
from attn_train.settings.options import convert
from attn_train.settings.ranges import DEVICE_CHOICES, check_choices


@dataclass
class ModeConfig:
    sizes: list[int]
    channels: list[int]
    batch: int


@dataclass
class ModesConfig:
    cost: ModeConfig
    scaling: ModeConfig


@dataclass
class BenchConfig:
    models: Any  # null, or a list of names and sections
    sizes: Any  # null, an integer or a list of integers
    channels: Any  # the same
    batch: int | None
    scaling: bool
    modes: ModesConfig
    points: int
    rounds: int
    repetitions: int
    sample_seconds: float
    time_limit: float
    memory_limit: int | None
    seed: int
    runs: list[str]
    output: str | None
    device: DeviceConfig


def usual_options(name: str, conf: Path) -> dict[str, Any]:
    """Return a mechanism's options as its file in `conf`/model has them; none where there is no such file."""
    files = {path.stem: path for path in (conf / "model").glob("*.yaml")}
    values = yaml.safe_load(files[name].read_text(encoding="utf-8")) if name in files else None
    return {key: value for key, value in (values or {}).items() if key != "name"}


def numbers(key: str, value: Any, otherwise: list[int]) -> list[int]:
    """Return a setting that is null, an integer or a list of integers as a list; raise ConfigError for anything
    else."""
    if value is None:
        value = otherwise
    found: list[int] = convert(key, value if isinstance(value, list) else [value], list[int])
    if not found:
        raise ConfigError(f"{key}=[] is empty; give at least one number")
    for one in found:
        if one < 1:
            raise ConfigError(f"{key}={one} is out of range; it must be at least 1")
    return found


def places(config: BenchConfig) -> list[tuple[int, int]]:
    """Return each side of a feature map with its channels; raise ConfigError where they cannot be paired."""
    mode = config.modes.scaling if config.scaling else config.modes.cost
    sizes = numbers("sizes", config.sizes, mode.sizes)
    channels = numbers("channels", config.channels, mode.channels)
    if len(channels) == 1:
        channels *= len(sizes)
    if len(sizes) != len(channels):
        raise ConfigError(
            f"sizes={sizes} and channels={channels} do not pair; give one number of channels for each size, or one for "
            "all, like channels=64"
        )
    found = list(zip(sizes, channels, strict=True))
    if len(set(found)) < len(found):
        raise ConfigError(f"sizes={sizes} with channels={channels} names the same map twice; leave one out")
    if config.scaling and len(set(channels)) > 1:
        raise ConfigError(f"scaling=true needs the same channels for all sizes, not {channels}; say channels=64")
    if config.scaling and len(sizes) < config.points:
        raise ConfigError(f"scaling=true with points={config.points} needs as many sizes, not {len(sizes)}")
    return found


def batch(config: BenchConfig) -> int:
    mode = config.modes.scaling if config.scaling else config.modes.cost
    return mode.batch if config.batch is None else config.batch


def check_ranges(config: BenchConfig) -> None:
    """Raise ConfigError for the first value outside its range, naming it and what is allowed."""
    at_least = {"batch": 1, "points": 2, "rounds": 1, "repetitions": 1, "memory_limit": 1, "seed": 0}
    for key, least in at_least.items():
        value = getattr(config, key)
        if value is not None and value < least:
            raise ConfigError(f"{key}={value} is out of range; it must be at least {least}")
    if not 0 < config.time_limit < 1e8:
        raise ConfigError(f"time_limit={config.time_limit} is out of range; it must be above 0 (seconds)")
    if not 0 <= config.sample_seconds < 1e8:
        raise ConfigError(f"sample_seconds={config.sample_seconds} is out of range; it must be at least 0")
    flat = flatten({"device": asdict(config.device)})
    check_choices(flat, DEVICE_CHOICES)
    if flat["device.threads"] is not None and flat["device.threads"] < 1:
        raise ConfigError(f"device.threads={flat['device.threads']} is out of range; it must be at least 1")
    places(config)
