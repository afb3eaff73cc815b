"""The schema of a run's configuration: types here, every value in conf/*.yaml.

The sections `model`, `backbone`, `optimizer` and `schedule` differ by name; their keys are the arguments of the class
or function that the name stands for, and are checked against its signature (see options).
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from attn_train.control.widths import CONTROLS, check as check_control, label
from attn_train.durable import write_durably
from attn_train.errors import ConfigError


@dataclass
class AugmentConfig:
    flip: str
    crop: int
    cutout: int
    policy: str
    policy_ops: int
    policy_magnitude: int
    mixup: float
    cutmix: float


@dataclass
class DatasetConfig:
    name: str
    root: str
    download: bool
    url: str | None
    digest: str | None
    time_limit: float
    image_size: int
    limit: int | None
    val_size: int
    mean: list[float]
    deviation: list[float]
    augment: AugmentConfig
    epochs: int
    batch_size: int
    views: int
    resolution: list[float]
    prune: float
    prune_from: int


@dataclass
class DeviceConfig:
    kind: str
    precision: str
    channels_last: Any  # auto, true, false
    compile: Any  # auto, true, false
    threads: int | None


@dataclass
class TrainConfig:
    epochs: int
    max_steps: int | None
    batch_size: int
    accumulate: int
    drop_last: bool
    clip_norm: float | None
    label_smoothing: float
    resolution: Any  # auto, or a list of numbers; once decided, one for each epoch
    prune: float
    prune_from: int
    ema_decay: float
    checkpoint_every: int
    eval_every: int
    log_every: int


@dataclass
class EvalConfig:
    views: int
    batch_size: int


@dataclass
class SeedsConfig:
    init: int | None
    order: int | None
    augment: int | None


@dataclass
class Config:
    model: dict[str, Any]
    backbone: dict[str, Any]
    dataset: DatasetConfig
    device: DeviceConfig
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    train: TrainConfig
    eval: EvalConfig
    control: str
    control_width: Any  # null; a factor; once decided, a list of integers
    seed: int
    seeds: SeedsConfig
    sweep: str | None
    resume: str | None

    def seed_for(self, purpose: str) -> int:
        """Return the seed of `purpose` (init, order, augment): its own where it has one, else `seed`."""
        own = getattr(self.seeds, purpose)
        return self.seed if own is None else int(own)

    @property
    def label(self) -> str:
        return label(self.model["name"], self.control)


MOST_EPOCHS = 1_000_000  # each has a number in config.yaml: its resolution

# What says where a run's data and folder lie, not what the run is.
NOT_IDENTITY = (
    "sweep",
    "resume",
    "dataset.root",
    "dataset.download",
    "dataset.url",
    "dataset.digest",
    "dataset.time_limit",
)


def flatten(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one dict with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def identity(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that make a run what it is, flat, without those that only say where things lie."""
    return {key: value for key, value in flatten(values).items() if key not in NOT_IDENTITY}


def digest(values: dict[str, Any]) -> str:
    """Return the SHA-256 of the identity of a configuration, given as nested dicts."""
    return hashlib.sha256(json.dumps(identity(values), sort_keys=True).encode()).hexdigest()


def write(folder: Path, config: Config, references: dict[str, str] | None = None) -> None:
    """Write a configuration to config.yaml in `folder`.

    `references` are the settings that came from the environment, dotted, as they were given: they are written so, and
    not by their value, which may be a secret. An address is left out: it would be fetched from whoever reads the file.
    """
    values = asdict(config)
    for key, given in (references or {}).items():
        *sections, last = key.split(".")
        section = values
        for name in sections:
            section = section[name]
        section[last] = None if key == "dataset.url" else given
    text = yaml.safe_dump(values, sort_keys=False)
    write_durably(folder / "config.yaml", lambda file: file.write(text.encode()))


def fit_resolution(shares: list[float], epochs: int) -> list[float]:
    """Return a share of the images' side for each epoch: each of `shares` for an equal part of them, the last one for
    the last epoch in any case."""
    return [float(shares[-1 - (epochs - 1 - epoch) * len(shares) // epochs]) for epoch in range(epochs)]


def is_resolution(shares: Any) -> bool:
    numbers = isinstance(shares, list) and all(type(share) in (int, float) for share in shares)
    return numbers and len(shares) > 0 and all(0 < share <= 1 for share in shares)


DEVICE_CHOICES: dict[str, tuple[Any, ...]] = {
    "device.kind": ("auto", "cpu", "cuda", "mps"),
    "device.precision": ("auto", "float32", "bfloat16"),
    "device.channels_last": ("auto", True, False),
    "device.compile": ("auto", True, False),
}


def check_choices(flat: dict[str, Any], choices: dict[str, tuple[Any, ...]]) -> None:
    """Raise ConfigError for the first of the settings in `choices` whose value is none of its choices."""
    for key, allowed in choices.items():
        if not any(flat[key] is one or flat[key] == one for one in allowed):
            listed = ", ".join(str(one).lower() for one in allowed)
            raise ConfigError(f"{key}={flat[key]} is not a choice; choose from {listed}")


def check_ranges(config: Config) -> None:
    """Raise ConfigError for the first value outside its range, naming it and what is allowed."""
    flat = flatten(asdict(config))
    # Sections would pass for these, which take values of more than one type.
    for key in ("device.channels_last", "device.compile", "train.resolution", "control_width"):
        if key not in flat:
            raise ConfigError(f"{key} takes one value, and has no settings of its own")
    at_least = {
        "seed": 0,
        "seeds.init": 0,
        "seeds.order": 0,
        "seeds.augment": 0,
        "train.epochs": 1,
        "train.max_steps": 1,
        "train.batch_size": 1,
        "train.accumulate": 1,
        "train.prune_from": 1,
        "train.checkpoint_every": 1,
        "train.eval_every": 1,
        "train.log_every": 1,
        "eval.batch_size": 1,
        "dataset.limit": 1,
        "dataset.val_size": 0,
        "dataset.image_size": 4,
        "dataset.augment.crop": 0,
        "dataset.augment.cutout": 0,
        "dataset.augment.policy_ops": 1,
        "device.threads": 1,
    }
    for key, least in at_least.items():
        if flat[key] is not None and flat[key] < least:
            raise ConfigError(f"{key}={flat[key]} is out of range; it must be at least {least}")
    if config.train.epochs > MOST_EPOCHS:
        raise ConfigError(f"train.epochs={config.train.epochs} is out of range; it must be at most {MOST_EPOCHS}")
    for key in ("seed", "seeds.init", "seeds.order", "seeds.augment"):
        if flat[key] is not None and flat[key] >= 2**63:
            raise ConfigError(f"{key}={flat[key]} is out of range; it must be below 2^63")
    choices: dict[str, tuple[Any, ...]] = {
        "dataset.augment.flip": ("none", "random", "alternating"),
        "dataset.augment.policy": ("none", "randaugment", "trivialaugment"),
        "eval.views": (1, 2, 6),
        "control": CONTROLS,
        **DEVICE_CHOICES,
    }
    check_choices(flat, choices)
    check_control(config.control, config.control_width, config.model["name"])
    if not 0 <= config.train.label_smoothing < 1:
        raise ConfigError(f"train.label_smoothing={config.train.label_smoothing} must be at least 0 and below 1")
    if not 0 <= config.train.prune < 0.5:
        raise ConfigError(f"train.prune={config.train.prune} must be at least 0 (no image left out) and below 0.5")
    if not 0 <= config.train.ema_decay < 1:
        raise ConfigError(f"train.ema_decay={config.train.ema_decay} must be at least 0 (no average) and below 1")
    if config.train.clip_norm is not None and not config.train.clip_norm > 0:
        raise ConfigError(f"train.clip_norm={config.train.clip_norm} must be above 0, or null for no clipping")
    if config.train.batch_size % config.train.accumulate:
        raise ConfigError(
            f"train.accumulate={config.train.accumulate} does not divide train.batch_size={config.train.batch_size}"
        )
    check_dataset(config.dataset, flat)


def check_dataset(dataset: DatasetConfig, flat: dict[str, Any]) -> None:
    """Raise ConfigError for the first of the data set's values, and of the resolutions, that is out of range."""
    for key, shares in (
        ("dataset.resolution", dataset.resolution),
        ("train.resolution", flat["train.resolution"]),
    ):
        if not is_resolution(shares) and (key, shares) != ("train.resolution", "auto"):
            raise ConfigError(f"{key}={shares} must list shares of the images' side, each above 0 and at most 1")
    if not dataset.time_limit > 0:
        raise ConfigError(f"dataset.time_limit={dataset.time_limit} must be above 0 (seconds)")
    if dataset.augment.crop >= dataset.image_size:
        raise ConfigError(
            f"dataset.augment.crop={dataset.augment.crop} must be below dataset.image_size={dataset.image_size}"
        )
    if not 0 <= dataset.augment.policy_magnitude <= 30:
        raise ConfigError(
            f"dataset.augment.policy_magnitude={dataset.augment.policy_magnitude} is out of range; it must be 0 to 30"
        )
    for key in ("dataset.augment.mixup", "dataset.augment.cutmix"):
        if not 0 <= flat[key] < math.inf:
            raise ConfigError(f"{key}={flat[key]} must be a finite number of at least 0 (0: off)")
    for name, numbers in (("mean", dataset.mean), ("deviation", dataset.deviation)):
        # The schema's list[float] lets lists of lists through.
        if not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers):
            raise ConfigError(f"dataset.{name}={numbers} must hold finite numbers")
    if any(not deviation > 0 for deviation in dataset.deviation):
        raise ConfigError(f"dataset.deviation={dataset.deviation} must hold numbers above 0")
