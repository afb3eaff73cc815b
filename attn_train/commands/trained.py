"""A finished run's network, as a checkpoint has it, and its tests on images."""

import logging
import unicodedata
from dataclasses import replace
from pathlib import Path

from torch import nn

from attn_train import build
from attn_train.data.batches import Normalization
from attn_train.data.dataset import Split
from attn_train.data.record import difference
from attn_train.errors import CheckpointError, DataError
from attn_train.machine import device as devices
from attn_train.machine.device import Device
from attn_train.runs import checkpoint
from attn_train.settings.schema import Settings
from attn_train.training.inference import Evaluation, evaluate
from attn_train.training.trainer import load_weights

log = logging.getLogger(__name__)


class Trained:
    """A run's model as a checkpoint has it, with all that it takes to use it."""

    def __init__(self, folder: Path, name: str, config: Settings) -> None:
        names = ("last", "previous") if name == "last" else ("best",)
        state = checkpoint.load(folder / "checkpoints", names)
        if state is None:
            hint = "; only a run with dataset.val_size > 0 has a best one" if name == "best" else ""
            raise CheckpointError(f"{folder / 'checkpoints'} has no {name} checkpoint{hint}")
        self.folder, self.config, self.state = folder, config, state
        self.classes: tuple[str, ...] = tuple(state["classes"])
        self.channels: int = state["channels"]
        self.step: int = state["step"]
        # Only training is compiled and recorded.
        plain = replace(config.device, compile=False, cuda_graphs=False)
        self.device: Device = build.decide_device(replace(config, device=plain), steps_a_shape=0)
        devices.configure(self.device)
        self.model: nn.Module = build.make_model(config, self.channels, len(self.classes))
        load_weights(self.model, checkpoint.evaluated_weights(state), folder / "checkpoints")
        place = self.device.place
        self.model = self.model.to(place, memory_format=self.device.memory_format)  # type: ignore[call-overload]
        self.model.eval()
        self.normalization: Normalization = build.make_normalization(config.dataset, self.channels).to(place)


def own_splits(trained: Trained) -> dict[str, Split]:
    """Load the splits of the configured data; raise DataError where its classes are not the model's."""
    config = trained.config
    splits, dataset = build.load_splits(config.dataset)
    if differs := difference(trained.state, dataset):
        log.info("%s", differs)
    if dataset.classes != trained.classes:
        here, there = (
            sorted(unicodedata.normalize("NFC", name) for name in names) for names in (dataset.classes, trained.classes)
        )
        form = " (they differ in their form of Unicode: rename the folders)" if here == there else ""
        raise DataError(
            f"dataset={config.dataset.name} has the classes {', '.join(dataset.classes[:10])}; the model was trained "
            f"on {', '.join(trained.classes[:10])}; evaluate it on data with the same ones{form}"
        )
    return splits


def evaluate_on(trained: Trained, split: Split) -> Evaluation:
    """Evaluate on the images of `split`."""
    place = trained.device.place
    settings = trained.config.eval
    return evaluate(
        trained.model,
        Split(split.images.to(place), split.labels.to(place)),
        trained.normalization,
        trained.device,
        settings.views,
        settings.batch_size,
        side=split.images.shape[-1],
    )
