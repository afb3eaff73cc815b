"""Which values the settings of a run may have: the checks that need no torch."""

import math
from dataclasses import asdict
from typing import Any

from attn_train.errors import ConfigError
from attn_train.settings.config import Config, DatasetConfig, flatten
from attn_train.settings.widths import CONTROLS, check as check_control

MOST_EPOCHS = 1_000_000  # each has a number in config.yaml: its resolution
AT_LEAST = {
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
    "dataset.image_size": 4,
    "dataset.augment.crop": 0,
    "dataset.augment.cutout": 0,
    "dataset.augment.policy_ops": 1,
    "device.threads": 1,
}
SEVERAL_TYPES = (
    "dataset.val_size",
    "device.channels_last",
    "device.compile",
    "device.cuda_graphs",
    "train.resolution",
    "control_width",
)
DEVICE_CHOICES: dict[str, tuple[Any, ...]] = {
    "device.kind": ("auto", "cpu", "cuda", "mps"),
    "device.precision": ("auto", "float32", "bfloat16"),
    "device.channels_last": ("auto", True, False),
    "device.compile": ("auto", True, False),
    "device.cuda_graphs": ("auto", False),
}
CHOICES: dict[str, tuple[Any, ...]] = {
    "dataset.augment.flip": ("none", "random", "alternating"),
    "dataset.augment.policy": ("none", "randaugment", "trivialaugment"),
    "eval.views": (1, 2, 6),
    "control": CONTROLS,
    **DEVICE_CHOICES,
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
    for section in ("model", "backbone", "optimizer", "schedule"):
        if not isinstance(flat.get(f"{section}.name"), str):
            raise ConfigError(f"{section} has no name; its file needs a line 'name: ...'")
    # Sections would pass for these, which take values of more than one type.
    for key in SEVERAL_TYPES:
        if key not in flat:
            raise ConfigError(f"{key} takes one value, and has no settings of its own")
    for key, least in AT_LEAST.items():
        if flat[key] is not None and flat[key] < least:
            raise ConfigError(f"{key}={flat[key]} is out of range; it must be at least {least}")
    if config.train.epochs > MOST_EPOCHS:
        raise ConfigError(f"train.epochs={config.train.epochs} is out of range; it must be at most {MOST_EPOCHS}")
    for key in ("seed", "seeds.init", "seeds.order", "seeds.augment"):
        if flat[key] is not None and flat[key] >= 2**63:
            raise ConfigError(f"{key}={flat[key]} is out of range; it must be below 2^63")
    check_choices(flat, CHOICES)
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
    if not is_size(dataset.val_size):
        raise ConfigError(
            f"dataset.val_size={dataset.val_size} is out of range; it must be a number of images, 0 or more, or a "
            "share of them below 1, like 0.1"
        )
    for name, numbers in (("mean", dataset.mean), ("deviation", dataset.deviation)):
        # The schema's list[float] lets lists of lists through.
        if not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers):
            raise ConfigError(f"dataset.{name}={numbers} must hold finite numbers")
        if any(number > 1 for number in numbers):
            raise ConfigError(
                f"dataset.{name}={numbers} must hold numbers up to 1, since pixels count from 0 to 1; if these are of "
                "pixels from 0 to 255, divide by 255"
            )
    if any(mean < 0 for mean in dataset.mean):
        raise ConfigError(f"dataset.mean={dataset.mean} must hold numbers from 0 to 1, as the pixels are")
    if any(not deviation > 0 for deviation in dataset.deviation):
        raise ConfigError(f"dataset.deviation={dataset.deviation} must hold numbers above 0")


def is_resolution(shares: Any) -> bool:
    numbers = isinstance(shares, list) and all(type(share) in (int, float) for share in shares)
    return numbers and len(shares) > 0 and all(0 < share <= 1 for share in shares)


def is_size(size: Any) -> bool:
    return size >= 0 if type(size) is int else type(size) is float and 0 <= size < 1
