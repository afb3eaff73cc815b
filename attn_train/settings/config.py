"""The schema of a run's configuration: types here, every value in conf/*.yaml.

The sections `model`, `backbone`, `optimizer` and `schedule` differ by name; their keys are the arguments of the class
or function that the name stands for, and are checked against its signature (see options).
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from attn_train.settings.widths import label
from attn_train.writing.durable import write_durably


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
    allow_change: bool
    image_size: int
    limit: int | None
    val_size: Any  # a number of images, or a share of them
    mean: list[float]
    deviation: list[float]
    augment: AugmentConfig
    epochs: int
    batch_size: int
    views: int
    resolution: list[float]
    prune: float
    prune_from: int
    prune_until: int | None
    eval_every: int


@dataclass
class DeviceConfig:
    kind: str
    precision: str
    channels_last: Any  # auto, true, false
    compile: Any  # auto, true, false
    cuda_graphs: Any  # auto, false
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
    prune_until: int | None
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


# What says where a run's data lies and how it gets there.
PLACES = ("dataset.root", "dataset.download", "dataset.url", "dataset.digest", "dataset.time_limit")
# What says where a run's data and folder lie, and how it goes on, not what the run is.
NOT_IDENTITY = ("sweep", "resume", "dataset.allow_change", *PLACES)


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
    _write(folder, _referring(asdict(config), references or {}))


def write_places(folder: Path, config: Config, references: dict[str, str]) -> None:
    """Write where the data of the run in `folder` lies into its config.yaml, and nothing else; see write."""
    path = folder / "config.yaml"
    if not path.exists():
        return
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    names = [key.removeprefix("dataset.") for key in PLACES]
    dataset = values["dataset"] | {name: getattr(config.dataset, name) for name in names}
    now = _referring(values | {"dataset": dataset}, references)
    if now != values:
        _write(folder, now)


def _referring(values: dict[str, Any], references: dict[str, str]) -> dict[str, Any]:
    for key, given in references.items():
        *sections, last = key.split(".")
        section = values
        for name in sections:
            section = section[name]
        section[last] = None if key == "dataset.url" else given
    return values


def _write(folder: Path, values: dict[str, Any]) -> None:
    text = yaml.safe_dump(values, sort_keys=False)
    write_durably(folder / "config.yaml", lambda file: file.write(text.encode()))


def fit_resolution(shares: list[float], epochs: int) -> list[float]:
    """Return a share of the images' side for each epoch: each of `shares` for an equal part of them, the last one for
    the last epoch in any case."""
    return [float(shares[-1 - (epochs - 1 - epoch) * len(shares) // epochs]) for epoch in range(epochs)]
