"""From a configuration to the objects it names: data set, model, optimizer, device."""

import json
import logging
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import nn

from attn_train.attention import ATTENTION
from attn_train.attention.attention import Attention
from attn_train.attention.identity import Identity
from attn_train.backbones import BACKBONES
from attn_train.backbones.backbone import Backbone
from attn_train.data.augment import Augmentation
from attn_train.data.batches import Normalization, TrainBatches
from attn_train.data.dataset import Dataset, ImageDataset, Split, hold_out, limit_per_class
from attn_train.data.labels.noise import NOISES, LabelNoise
from attn_train.data.overview import suspicions
from attn_train.data.prune import ImageLosses
from attn_train.data.sources import DATASETS
from attn_train.errors import ConfigError
from attn_train.machine import compiled, device as devices
from attn_train.machine.recorded import RecordedStep, Step
from attn_train.optim.average import WeightAverage
from attn_train.optim.optimizers import OPTIMIZERS, make_optimizer
from attn_train.optim.schedule import SCHEDULES, WARMUP, lr_factor
from attn_train.settings import options, widths
from attn_train.settings.bench import BenchSettings
from attn_train.settings.resolution import fit_resolution
from attn_train.settings.schema import DatasetSettings, Decided, DecidedDevice, DecidedTrain, Settings
from attn_train.training.loop import Schedule
from attn_train.training.memorisation import WrongLabels, wrong_labels
from attn_train.training.step import TrainingStep
from attn_train.training.trainer import Trainer

INITIALIZED_FROM = 5000  # training images that a backbone may look at before the first step

log = logging.getLogger(__name__)


def choose(section: str, table: dict[str, Any], values: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return what the section's `name` stands for in `table`, and its other settings."""
    name = values.get("name")
    if name not in table:
        raise ConfigError(f"unknown {section} '{name}'; choose from {', '.join(sorted(table))}")
    return table[name], {key: value for key, value in values.items() if key != "name"}


def make_source(config: DatasetSettings) -> ImageDataset:
    """Make the data set's description, without reading an image."""
    kind, _ = choose("dataset", DATASETS, {"name": config.name})
    source: ImageDataset = kind(
        root=Path(config.root),
        download=config.download,
        url=config.url,
        digest=config.digest,
        image_size=config.image_size,
        time_limit=config.time_limit,
    )
    for key in ("mean", "deviation"):
        values = getattr(config, key)
        if len(values) not in (1, source.channels):
            raise ConfigError(f"dataset.{key}={values} must hold one number, or {source.channels}: one a channel")
    if config.val_size and "val" in source.parts:
        raise ConfigError(
            f"dataset.val_size={config.val_size}: {config.root} brings validation images of its own; "
            "say dataset.val_size=0, or move their folder away"
        )
    return source


def has_validation(config: DatasetSettings) -> bool:
    """Say whether a run has validation images: some held out, or those that its data bring."""
    return bool(config.val_size) or "val" in make_source(config).parts


def make_noise(config: Settings) -> LabelNoise:
    kind, values = choose("noise", NOISES, config.noise)
    noise: LabelNoise = kind(**options.bind("noise", kind, values))
    return noise


@lru_cache(maxsize=1)
def _load(
    name: str, root: str, download: bool, url: str | None, digest: str | None, size: int, limit: float
) -> Dataset:
    kind = DATASETS[name]
    return kind(root=Path(root), download=download, url=url, digest=digest, image_size=size, time_limit=limit).load()


def forget_data() -> None:
    """Forget the data set kept: its files may be others by the next command."""
    _load.cache_clear()


def load_splits(config: DatasetSettings) -> tuple[dict[str, Split], Dataset]:
    """Load the splits train, test and, where the data bring one or `val_size` > 0, val, as configured, and the whole
    data set; warn of what cannot be right in pictures of a person's own.

    The last data set loaded is kept: the jobs of a sweep in one process share it.
    """
    c = config
    dataset = _load(c.name, c.root, c.download, c.url, c.digest, c.image_size, c.time_limit)
    splits = dataset.splits
    if config.limit is not None:
        splits = {name: limit_per_class(split, config.limit) for name, split in splits.items()}
    if config.val_size:
        splits["train"], splits["val"] = hold_out(splits["train"], config.val_size)
    if all(split.files for split in splits.values()):
        for suspicion in suspicions(splits):
            log.warning("%s: %s", config.root, suspicion)
    return splits, dataset


def make_normalization(config: DatasetSettings, channels: int) -> Normalization:
    return per_channel_normalization(config.mean, config.deviation, channels)


def per_channel_normalization(mean: list[float], deviation: list[float], channels: int) -> Normalization:
    """Return the normalisation by one number for all channels, or by one for each."""
    tensors = [torch.tensor(numbers * channels if len(numbers) == 1 else numbers) for numbers in (mean, deviation)]
    return Normalization(*tensors)


def make_batches(config: Settings, split: Split, normalization: Normalization, classes: int) -> TrainBatches:
    """Make the training batches of a run on the images of `split`."""
    augmentation = options.convert("dataset.augment", asdict(config.dataset.augment), Augmentation)
    batches = TrainBatches(
        split,
        config.train.batch_size,
        config.train.drop_last,
        augmentation,
        normalization,
        classes,
        sides(config),
        config.train.prune,
        config.train.prune_from,
        config.train.prune_until,
        order_seed=config.seed_for("order"),
        augment_seed=config.seed_for("augment"),
    )
    if not batches.steps(0):
        raise ConfigError(
            f"train.batch_size={config.train.batch_size} is more than the {len(split.labels)} training images; "
            "choose a smaller one, or say train.drop_last=false"
        )
    if not all(map(batches.steps, range(config.train.epochs))):
        raise ConfigError(
            f"train.prune={config.train.prune} leaves less than a batch ({config.train.batch_size}) of the "
            f"{len(split.labels)} training images; choose a smaller one"
        )
    return batches


def plain_network(config: Settings) -> Settings:
    """Return the configuration whose network a run trains: of a control, whose width is decided, the plain one."""
    if config.control == "none":
        return config
    backbone, backbone_options = choose("backbone", BACKBONES, config.backbone)
    base = backbone.stage_widths(options.bind("backbone", backbone, backbone_options))
    section = config.backbone | {backbone.widths_option: widths.resolve(base, config.control_width)}
    return replace(config, model={"name": "none"}, backbone=section, control="none", control_width=None)


def make_model(config: Settings, channels: int, classes: int) -> Backbone:
    """Make the network with its attention, or the plain one of a control, for images of so many channels, its weights
    drawn from torch's global generator."""
    config = plain_network(config)
    return make_network(config.model, config.backbone, config.dataset.image_size, channels, classes)


def make_network(
    model: dict[str, Any], section: dict[str, Any], image_size: int, channels: int, classes: int
) -> Backbone:
    """Make the network that the sections `model` and backbone (`section`) say."""
    mechanism, model_options = choose("model", ATTENTION, model)
    backbone, backbone_options = choose("backbone", BACKBONES, section)
    model_options = options.bind("model", mechanism, model_options)
    backbone_options = options.bind("backbone", backbone, backbone_options)

    places: list[tuple[int, int, int]] = []

    def attention(width: int, size: tuple[int, int]) -> nn.Module:
        if mechanism is not Identity:
            places.append((width, *size))
        try:
            return mechanism(width, size=size, **model_options)
        except ValueError as error:
            raise ConfigError(f"model={model['name']}: {error}") from error

    shape = (channels, image_size, image_size)
    try:
        network: Backbone = backbone(shape, classes, attention, **backbone_options)
    except ValueError as error:
        raise ConfigError(f"backbone={section['name']}: {error}") from error
    network.attention_places = places
    return network


def architecture(config: Settings, dataset: Dataset) -> str:
    """Name what decides the function that a run's network computes, but for its parameters."""
    config = plain_network(config)
    channels, classes = dataset.train.images.shape[1], len(dataset.classes)
    return json.dumps([config.model, config.backbone, config.dataset.image_size, channels, classes])


def resolution(config: Settings) -> list[float]:
    """Return the share of the images' side that each epoch trains at; raise ConfigError for one that the backbone
    cannot take."""
    backbone, _ = choose("backbone", BACKBONES, config.backbone)
    shares = config.train.resolution
    if shares == "auto":
        shares = config.dataset.resolution if backbone.any_size else [1.0]
    if not backbone.any_size and min(shares) < 1:
        raise ConfigError(
            f"train.resolution={shares}: backbone={config.backbone['name']} takes images of its own size only; "
            "say train.resolution=auto, or [1]"
        )
    return fit_resolution(shares, config.train.epochs)


def sides(config: Settings) -> tuple[int, ...]:
    """Return the side of the training images in each epoch, in pixels."""
    return tuple(max(1, round(share * config.dataset.image_size)) for share in resolution(config))


def check_resolution(config: Settings, model: Backbone, channels: int) -> None:
    """Raise ConfigError where the network, given on the meta device, cannot take the smallest training images."""
    side = min(sides(config))
    if side == config.dataset.image_size:
        return
    try:
        model(torch.zeros(2, channels, side, side, device="meta"))
    except NotImplementedError:
        return  # a mechanism with an operator that has no meta kernel: only a real batch can tell
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"model={config.model['name']} in backbone={config.backbone['name']} fails on images of {side}x{side}, "
            f"where training begins ({str(error).splitlines()[0]}); give train.resolution larger shares, or [1]"
        ) from error


def make_optimizer_for(config: Settings, model: Backbone) -> torch.optim.Optimizer:
    kind, values = choose("optimizer", OPTIMIZERS, config.optimizer)
    values = options.bind("optimizer", kind, values)
    try:
        return make_optimizer(kind(**values), model.roles())
    except ValueError as error:
        raise ConfigError(f"optimizer={config.optimizer['name']}: {error}") from error


def make_trainer(config: Settings, model: Backbone, device: devices.Device, images: int) -> Trainer:
    """Make what trains `model`, which is on its device, on so many images."""
    train = config.train
    average = WeightAverage(model, train.ema_decay) if train.ema_decay else None
    image_losses = ImageLosses(*torch.zeros(2, images, device=device.place)) if train.prune else None
    optimizer = make_optimizer_for(config, model)
    return Trainer(model, optimizer, device, average=average, image_losses=image_losses)


def make_step(config: Settings, trainer: Trainer, dataset: Dataset) -> Step:
    """Return the training step, compiled and recorded as the trainer's device says."""
    model, optimizer, device, train = trainer.model, trainer.optimizer, trainer.device, config.train
    forward = compiled.compile_model(model, architecture(config, dataset)) if device.compile else model
    step = TrainingStep(
        model=model,
        forward=forward,
        optimizer=optimizer,
        device=device,
        batch_size=train.batch_size,
        accumulate=train.accumulate,
        clip_norm=train.clip_norm,
        label_smoothing=train.label_smoothing,
    )
    return RecordedStep(step, model, optimizer) if device.cuda_graphs else step


def make_schedule(config: Settings, total_steps: int) -> Schedule:
    """Make the schedule of a run of so many optimizer steps."""
    name, warmup, values = schedule_options(config)
    train = config.train
    return Schedule(
        total_steps=total_steps,
        lr_factor=lambda step: lr_factor(name, step, total_steps, warmup, values),
        log_every=train.log_every,
        checkpoint_every=train.checkpoint_every,
        eval_every=train.eval_every,
    )


def schedule_options(config: Settings) -> tuple[str, float, dict[str, Any]]:
    """Return the schedule's name, its warm-up (a share of the run) and its other settings, checked."""
    function, values = choose("schedule", SCHEDULES, config.schedule)
    warmup = options.convert("schedule.warmup", values.pop("warmup", 0.0), Annotated[float, WARMUP])
    return config.schedule["name"], warmup, options.bind("schedule", function, values)


@dataclass(frozen=True)
class Training:
    """What a run trains, on what, and with what."""

    decided: Decided
    dataset: Dataset
    splits: dict[str, Split]  # on the device, with the true labels
    batches: TrainBatches
    wrong: WrongLabels | None  # where training is given some
    trainer: Trainer
    step: Step

    @property
    def evaluated(self) -> dict[str, Split]:
        """What the network is evaluated on: the splits, and a sample of the training images where labels are wrong."""
        return self.splits if self.wrong is None else self.splits | {"sample": self.wrong.sample}

    @property
    def labels_digest(self) -> str | None:
        """The SHA-256 of the labels that training is given; None where they are the data set's own."""
        return None if self.wrong is None else self.wrong.digest


def make_training(config: Settings) -> Training:
    """Make all that a run of `config`, the width of its control solved, needs before its first step."""
    source = make_source(config.dataset)
    channels, classes = source.channels, len(source.classes)
    torch.manual_seed(config.seed_for("init"))
    # Before the data, which may take long to come: a wrong option shows at once.
    model = make_model(config, channels, classes)
    splits, dataset = load_splits(config.dataset)
    given = make_noise(config).labels(splits["train"], source, config.seed_for("noise"))
    normalization = make_normalization(config.dataset, channels)
    batches = make_batches(config, Split(splits["train"].images, given), normalization, classes)
    steps = batches.steps_at(config.train.epochs, config.train.max_steps)
    device = decide_device(config, sum(steps.values()) // len(steps))
    devices.configure(device)
    devices.reset_peak_memory(device)  # of an earlier run in this process
    # On the CPU: a run begins with the same weights on every device.
    model.initialize_from(normalization(splits["train"].images[:INITIALIZED_FROM]))
    place = device.place
    model = model.to(place, memory_format=device.memory_format)  # type: ignore[call-overload]
    splits = {name: Split(split.images.to(place), split.labels.to(place)) for name, split in splits.items()}
    taught = Split(splits["train"].images, given.to(place))
    batches = replace(batches, split=taught, normalization=normalization.to(place))
    wrong = None if config.noise["name"] == "none" else wrong_labels(splits["train"], taught.labels)
    trainer = make_trainer(config, model, device, images=len(batches.split.labels))
    step = make_step(config, trainer, dataset)
    return Training(decide(config, device), dataset, splits, batches, wrong, trainer, step)


def decide(config: Settings, device: devices.Device) -> Decided:
    """Return what a run of `config`, the width of its control solved, does on `device`."""
    train = DecidedTrain(**vars(config.train) | {"resolution": resolution(config)})
    section = DecidedDevice(**asdict(device) | {"cuda_graphs": config.device.cuda_graphs})
    return Decided(**vars(config) | {"train": train, "device": section})


def decide_device(config: Settings | BenchSettings, steps_a_shape: int) -> devices.Device:
    """Decide the device settings left on auto for a run of so many optimizer steps at each resolution."""
    section = config.device

    def switch(value: Any) -> bool | None:
        return None if value == "auto" else bool(value)

    device = devices.decide(
        section.kind,
        section.precision,
        switch(section.channels_last),
        switch(section.compile),
        switch(section.cuda_graphs),
        section.threads,
        steps_a_shape,
    )
    return compiled.checked(device, by_itself=section.compile == "auto")


def check(config: Settings) -> None:
    """Raise for anything wrong that can be seen before data is downloaded or decoded and anything is written."""
    source = make_source(config.dataset)
    make_noise(config).check(source)
    schedule_options(config)
    config = replace(config, control="none", control_width=None)  # what a control is to match must work
    with torch.device("meta"):
        model = make_model(config, source.channels, len(source.classes))
    check_resolution(config, model, source.channels)
    make_optimizer_for(config, model)
    check_precision(config, model, decide_device(config, steps_a_shape=0))


def check_precision(config: Settings, model: Backbone, device: devices.Device) -> None:
    """Raise ConfigError where the mechanism cannot be computed in the precision that the device decided."""
    faults = [part.bfloat16_fault for part in model.modules() if isinstance(part, Attention) and part.bfloat16_fault]
    if faults and device.precision == "bfloat16":
        raise ConfigError(f"model={config.model['name']} fails in bfloat16 ({faults[0]}); say device.precision=float32")
