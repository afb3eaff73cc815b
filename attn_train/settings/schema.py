"""The settings of a run: beside each its type, the values that it may have and its role. Every value stands in
conf/*.yaml.

`Settings` is what was asked, which may say `auto`; `Decided` is what a run does, with nothing left open.

The sections `model`, `backbone`, `optimizer`, `schedule` and `noise` differ by name; their keys are the arguments of
the class or function that the name stands for, and are checked against its signature (see options).
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from attn_train.settings.bounds import (
    PATH,
    PATHS,
    TEXT,
    Bound,
    above,
    at_least,
    each,
    from_to_below,
    number,
    one_of,
    within,
)
from attn_train.settings.roles import (
    BESIDES,
    CONTENT,
    DATA,
    DEFAULT,
    LENGTH,
    LOG,
    MACHINE,
    MECHANISM,
    NAME,
    OWN_SEED,
    PERMISSION,
    PLACE,
    PLACEMENT,
    PRECISION,
    RECIPE,
    SEED,
    SEEN,
    TRAINING_MACHINE,
    Former,
    FormerOf,
    Within,
)
from attn_train.settings.widths import CONTROLS, label

# torch takes no larger seed; the sign is not its own.
SEEDS = number(lambda value: 0 <= value < 2**63, "at least 0 and below 2^63")
COUNT = at_least(1)
# Each epoch has a number in config.yaml: its resolution.
EPOCHS = within(1, 1_000_000)
DIVIDED = "; divide by 255 what is of pixels from 0 to 255"


# What `self_attention` did before it could be chosen.
PLAIN_SOFTMAX = {"normalize": "softmax", "sinks": False, "gate": "none", "log_n": False, "qk_norm": False}

SHARES = each(number(lambda value: 0 < value <= 1, "a share of the images' side, above 0 and at most 1"))
SHARES_OR_AUTO = Bound(lambda value: value == "auto" or SHARES.allows(value), f"auto, or {SHARES.must}")
SIZE = Bound(
    lambda value: value >= 0 if type(value) is int else type(value) is float and 0 <= value < 1,
    "a number of images, 0 or more, or a share of them below 1, like 0.1",
)


@dataclass
class AugmentSettings:
    flip: Annotated[str, one_of("none", "random", "alternating"), RECIPE]
    crop: Annotated[int, at_least(0), RECIPE]
    cutout: Annotated[int, at_least(0), RECIPE]
    policy: Annotated[str, one_of("none", "randaugment", "trivialaugment"), RECIPE]
    policy_ops: Annotated[int, COUNT, RECIPE]
    policy_magnitude: Annotated[int, within(0, 30), RECIPE]
    mixup: Annotated[float, at_least(0, " (0: off), and finite"), RECIPE]
    cutmix: Annotated[float, at_least(0, " (0: off), and finite"), RECIPE]
    resized_crop: Annotated[float, within(0, 1, ", a share of the area (0: off)"), RECIPE, Former(0.0)]
    noise: Annotated[float, within(0, 1, ", of pixels from 0 to 1 (0: off)"), RECIPE, Former(0.0)]


@dataclass
class DatasetSettings:
    name: Annotated[str, DATA]
    root: Annotated[str, PATH, PLACE]
    download: Annotated[bool, PLACE]
    url: Annotated[str | None, TEXT, PLACE]
    digest: Annotated[str | None, TEXT, PLACE]
    time_limit: Annotated[float, above(0, " (seconds)"), PLACE]
    allow_change: Annotated[bool, PERMISSION]
    image_size: Annotated[int, at_least(4), SEEN]
    limit: Annotated[int | None, COUNT, DATA]
    val_size: Annotated[Any, SIZE, DATA]  # a number of images, or a share of them
    mean: Annotated[list[float], each(within(0, 1, f", as the pixels are{DIVIDED}")), SEEN]
    deviation: Annotated[list[float], each(number(lambda value: 0 < value <= 1, f"above 0, at most 1{DIVIDED}")), SEEN]
    augment: AugmentSettings
    epochs: Annotated[int, DEFAULT]
    batch_size: Annotated[int, DEFAULT]
    views: Annotated[int, DEFAULT]
    resolution: Annotated[list[float], SHARES, DEFAULT]
    prune: Annotated[float, DEFAULT]
    prune_from: Annotated[int, DEFAULT]
    prune_until: Annotated[int | None, DEFAULT]
    eval_every: Annotated[int, DEFAULT]


@dataclass
class DeviceSettings:
    kind: Annotated[str, one_of("auto", "cpu", "cuda", "mps"), MACHINE]
    precision: Annotated[str, one_of("auto", "float32", "bfloat16"), PRECISION]
    channels_last: Annotated[Any, one_of("auto", True, False), MACHINE]
    compile: Annotated[Any, one_of("auto", True, False), TRAINING_MACHINE]
    cuda_graphs: Annotated[Any, one_of("auto", False), TRAINING_MACHINE]
    threads: Annotated[int | None, COUNT, MACHINE]


@dataclass
class TrainSettings:
    epochs: Annotated[int, EPOCHS, LENGTH]
    max_steps: Annotated[int | None, COUNT, RECIPE]
    batch_size: Annotated[int, COUNT, RECIPE]
    accumulate: Annotated[int, COUNT, RECIPE]
    drop_last: Annotated[bool, RECIPE]
    clip_norm: Annotated[float | None, above(0, ", or null for no clipping"), RECIPE]
    label_smoothing: Annotated[float, from_to_below(0, 1), RECIPE]
    resolution: Annotated[Any, SHARES_OR_AUTO, RECIPE]
    prune: Annotated[float, from_to_below(0, 0.5, " (0: no image left out)"), RECIPE]
    prune_from: Annotated[int, COUNT, RECIPE]
    prune_until: Annotated[int | None, RECIPE]
    ema_decay: Annotated[float, from_to_below(0, 1, " (0: no average)"), RECIPE]
    checkpoint_every: Annotated[int, COUNT, LOG]
    eval_every: Annotated[int, COUNT, LOG]
    log_every: Annotated[int, COUNT, LOG]


@dataclass
class EvalSettings:
    views: Annotated[int, one_of(1, 2, 6), DATA]
    batch_size: Annotated[int, COUNT, DATA]
    corruptions: Annotated[str, one_of("none", "all"), BESIDES, Former("none")]


@dataclass
class SeedsSettings:
    init: Annotated[int | None, SEEDS, OWN_SEED]
    order: Annotated[int | None, SEEDS, OWN_SEED]
    augment: Annotated[int | None, SEEDS, OWN_SEED]
    noise: Annotated[int | None, SEEDS, OWN_SEED, Former(None)]


@dataclass
class Settings:
    model: Annotated[dict[str, Any], MECHANISM, FormerOf("self_attention", PLAIN_SOFTMAX)]
    backbone: Annotated[dict[str, Any], RECIPE, Within("placement", PLACEMENT), Within("after", PLACEMENT)]
    dataset: DatasetSettings
    device: DeviceSettings
    optimizer: Annotated[dict[str, Any], RECIPE]
    schedule: Annotated[dict[str, Any], RECIPE]
    noise: Annotated[dict[str, Any], RECIPE, Within("file", CONTENT, PATH), Former({"name": "none"})]
    train: TrainSettings
    eval: EvalSettings
    control: Annotated[str, one_of(*CONTROLS), MECHANISM]
    control_width: Annotated[Any, MECHANISM]  # null: to be solved; a factor; a list of integers
    seed: Annotated[int, SEEDS, SEED]
    seeds: SeedsSettings
    plugins: Annotated[list[str], PATHS, PLACE, Former([])]
    sweep: Annotated[str | None, TEXT, NAME]
    resume: Annotated[str | None, PATH, NAME]

    def seed_for(self, purpose: str) -> int:
        """Return the seed of `purpose` (init, order, augment, noise): its own where it has one, else `seed`."""
        own = getattr(self.seeds, purpose)
        return self.seed if own is None else int(own)

    @property
    def label(self) -> str:
        return label(self.model["name"], self.control)


@dataclass
class DecidedTrain(TrainSettings):
    resolution: list[float]  # one for each epoch


@dataclass
class DecidedDevice(DeviceSettings):
    channels_last: bool
    compile: bool
    cuda_graphs: Literal["auto", False]  # a permission: what is recorded, only the device can say
    threads: int


@dataclass
class Decided(Settings):
    """What a run does; build.decide makes it of what was asked."""

    train: DecidedTrain
    device: DecidedDevice
    control_width: float | list[int] | None  # null where there is no control
