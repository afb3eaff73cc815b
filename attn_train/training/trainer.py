"""The state of training: network, optimizer and progress, which is what a checkpoint keeps."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attn_train.backbones.backbone import Backbone
from attn_train.data.prune import ImageLosses
from attn_train.errors import CheckpointError, NotFiniteError
from attn_train.machine.device import Device
from attn_train.optim.average import WeightAverage
from attn_train.optim.optimizers import load_state


@dataclass
class Progress:
    """How far training has come."""

    step: int = 0  # optimizer steps done
    epoch: int = 0  # epochs done
    batch: int = 0  # batches of the current epoch done
    losses: list[float] = field(default_factory=list)  # of the current epoch's batches
    correct: list[float] = field(default_factory=list)  # estimates where images count for others too
    sizes: list[int] = field(default_factory=list)
    train_seconds: float = 0.0  # compilation included, evaluation and checkpoints not

    def begin_epoch(self, epoch: int) -> None:
        """Begin to count `epoch` (from 0)."""
        self.epoch, self.batch = epoch, 0
        for counted in (self.losses, self.correct, self.sizes):
            counted.clear()

    def collect(self, pending: list[tuple[Tensor, Tensor, int]]) -> None:
        """Append the losses, numbers correct and sizes of the steps `pending`, and empty it; wait for the device.

        Raises NotFiniteError naming the first step whose loss is NaN or infinite.
        """
        if not pending:
            return
        losses = torch.stack([loss for loss, _, _ in pending]).tolist()
        correct = torch.stack([count for _, count, _ in pending]).tolist()
        first = self.step - len(pending) + 1
        for number, loss in enumerate(losses):
            if not -float("inf") < loss < float("inf"):
                raise NotFiniteError(
                    f"the loss became {loss} at step {first + number} (epoch {self.epoch + 1}); "
                    "try a lower learning rate (optimizer.lr), or train.clip_norm=1"
                )
        self.losses += losses
        self.correct += correct
        self.sizes += [size for _, _, size in pending]
        pending.clear()

    def mean(self, last: int = 0) -> tuple[float, float]:
        """Return the mean loss and the accuracy over the images of the epoch's `last` batches; 0: of all."""
        sizes = self.sizes[-last:]
        loss = sum(loss * size for loss, size in zip(self.losses[-last:], sizes, strict=True)) / sum(sizes)
        return loss, sum(self.correct[-last:]) / sum(sizes)


class Trainer:
    """A network, its optimizer and its progress.

    Args:
        average: the moving average of the weights, which is evaluated instead of them; None: there is none.
        image_losses: the losses of the training images, where epochs leave some out by them; None: no epoch does.
    """

    def __init__(
        self,
        model: Backbone,
        optimizer: torch.optim.Optimizer,
        device: Device,
        *,
        average: WeightAverage | None = None,
        image_losses: ImageLosses | None = None,
    ) -> None:
        self.model, self.optimizer, self.device = model, optimizer, device
        self.average, self.image_losses = average, image_losses
        self.progress = Progress()
        self.best_accuracy = -1.0  # on validation images of full size

    @property
    def tested(self) -> nn.Module:
        """The network that is evaluated: with the moving average of the weights where there is one."""
        return self.model if self.average is None else self.average.model

    def state(self) -> dict[str, Any]:
        """Return everything that a checkpoint keeps of training: tensors and plain values only."""
        kind = self.device.kind
        rng = {"cpu": torch.get_rng_state()}
        if kind != "cpu":
            rng[kind] = torch.get_device_module(kind).get_rng_state()
        return {
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": rng,
            "step": self.progress.step,
            "epoch": self.progress.epoch,
            "progress": asdict(self.progress),
            "image_losses": None if self.image_losses is None else asdict(self.image_losses),
            "best_accuracy": self.best_accuracy,
        }

    def restore(self, state: dict[str, Any], source: Path, same_data: bool) -> None:
        """Restore the `state` of a checkpoint in `source`; raise CheckpointError for weights of another network.

        On other data (not `same_data`) the current epoch starts again, and the images' losses and the best accuracy,
        which are of other images, are not restored.
        """
        load_weights(self.model, state["model"], source)
        if self.average is not None:
            load_weights(self.average.model, state["average"], source)
        load_state(self.optimizer, state["optimizer"])
        torch.set_rng_state(state["rng"]["cpu"])
        kind = self.device.kind
        if kind != "cpu" and kind in state["rng"]:
            torch.get_device_module(kind).set_rng_state(state["rng"][kind])
        self.progress = Progress(**state["progress"])
        if not same_data:
            self.progress.begin_epoch(self.progress.epoch)
            return
        self.best_accuracy = state["best_accuracy"]
        losses, saved = self.image_losses, state["image_losses"]
        if losses is not None and saved is not None and len(saved["latest"]) == len(losses.latest):
            place = losses.latest.device
            self.image_losses = ImageLosses(**{name: values.to(place) for name, values in saved.items()})


def load_weights(model: nn.Module, saved: dict[str, Any], source: Path) -> None:
    """Load the weights `saved`, of the checkpoint in `source`; raise CheckpointError naming the keys that differ."""
    weights = model.state_dict()
    wrong = sorted(weights.keys() ^ saved.keys()) + sorted(
        key for key in weights.keys() & saved.keys() if weights[key].shape != saved[key].shape
    )
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointError(f"the checkpoint in {source} is of another model: {', '.join(wrong[:5])}{more} differ")
    model.load_state_dict(saved)
