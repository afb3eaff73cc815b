"""The settings of attn-bench: their types, and the checks that need no torch. The values stand in conf/bench.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml

from attn_train.errors import ConfigError
from attn_train.settings.bounds import PATH, PATHS, at_least, between, check_values, from_to_below
from attn_train.settings.options import convert
from attn_train.settings.schema import COUNT, DeviceSettings


@dataclass
class ModeSettings:
    sizes: list[int]
    channels: list[int]
    batch: int


@dataclass
class ModesSettings:
    cost: ModeSettings
    scaling: ModeSettings


@dataclass
class BenchSettings:
    models: Any  # null, or a list of names and sections
    sizes: Any  # null, an integer or a list of integers
    channels: Any  # the same
    batch: Annotated[int | None, COUNT]
    scaling: bool
    modes: ModesSettings
    points: Annotated[int, at_least(2)]
    rounds: Annotated[int, COUNT]
    repetitions: Annotated[int, COUNT]
    sample_seconds: Annotated[float, from_to_below(0, 1e8)]
    time_limit: Annotated[float, between(0, 1e8, " (seconds)")]
    memory_limit: Annotated[int | None, COUNT]
    seed: Annotated[int, at_least(0)]
    runs: Annotated[list[str], PATHS]
    plugins: Annotated[list[str], PATHS]
    output: Annotated[str | None, PATH]
    device: DeviceSettings


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
    numbers: list[int] = convert(key, value if isinstance(value, list) else [value], list[int])
    if not numbers:
        raise ConfigError(f"{key}=[] is empty; give at least one number")
    for number in numbers:
        if number < 1:
            raise ConfigError(f"{key}={number} is out of range; it must be at least 1")
    return numbers


def places(config: BenchSettings) -> list[tuple[int, int]]:
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
    pairs = list(zip(sizes, channels, strict=True))
    if len(set(pairs)) < len(pairs):
        raise ConfigError(f"sizes={sizes} with channels={channels} names the same map twice; leave one out")
    if config.scaling and len(set(channels)) > 1:
        raise ConfigError(f"scaling=true needs the same channels for all sizes, not {channels}; say channels=64")
    if config.scaling and len(sizes) < config.points:
        raise ConfigError(f"scaling=true with points={config.points} needs as many sizes, not {len(sizes)}")
    return pairs


def batch(config: BenchSettings) -> int:
    mode = config.modes.scaling if config.scaling else config.modes.cost
    return mode.batch if config.batch is None else config.batch


def check_ranges(config: BenchSettings) -> None:
    """Raise ConfigError for the first value outside its range, naming it and what is allowed."""
    check_values(config)
    places(config)
