"""Evaluate a network on images: logits averaged over views, loss and accuracy."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.data.batches import Normalization, resize, views
from attn_train.data.dataset import Split
from attn_train.errors import NotFiniteError
from attn_train.machine.device import Device
from attn_train.statistics.calibration import Array, Calibration, Labels, assess
from attn_train.training.trainer import Trainer


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one pass over a split."""

    logits: Tensor  # float32 (n, classes), on the CPU, averaged over the views
    labels: Tensor  # int64 (n,), on the CPU
    loss: float

    @property
    def correct(self) -> int:
        return int((self.logits.argmax(dim=1) == self.labels).sum())

    @property
    def total(self) -> int:
        return len(self.labels)

    @property
    def accuracy(self) -> float:
        return self.correct / self.total

    @property
    def arrays(self) -> tuple[Array, Labels]:
        """The logits, as float64, and the labels."""
        return self.logits.double().numpy(), self.labels.numpy()

    @cached_property
    def calibration(self) -> Calibration:
        """How far its probabilities can be trusted."""
        return assess(*self.arrays)

    def scaled(self, temperature: float) -> Calibration:
        """Return that of the logits divided by a temperature."""
        logits, labels = self.arrays
        return assess(logits / temperature, labels)


@torch.no_grad()
def infer(
    forward: Callable[[Tensor], Tensor],
    images: Tensor,
    normalization: Normalization,
    device: Device,
    view_count: int,
    batch_size: int,
    side: int,
) -> Tensor:
    """Return logits, float32 (n, classes), on the CPU.

    Args:
        images: uint8 (n, channels, height, width).
        view_count: views of each image that the logits are averaged over; see data.batches.views.
        side: pixels to which the sides of the images are shrunk.
    """
    parts = []
    sizes = [batch_size] * (len(images) // batch_size)
    rest = len(images) % batch_size
    if rest == 1 and sizes:
        sizes[-1] += 1  # a single image could not be paired; see Attention.pairs
    elif rest:
        sizes.append(rest)
    for batch in images.split(sizes):
        batch = resize(normalization(batch), side).to(memory_format=device.memory_format)
        with device.autocast():
            parts.append(sum(weight * forward(view).float() for weight, view in views(batch, view_count)))
    return torch.cat(parts).cpu()  # type: ignore[arg-type]


def evaluate(
    model: nn.Module,
    split: Split,
    normalization: Normalization,
    device: Device,
    view_count: int,
    batch_size: int,
    side: int,
) -> Evaluation:
    """Evaluate `model` on a split; the outcome is in the order of the split. For the arguments see `infer`."""
    model.eval()
    images = split.images
    pairs = any(getattr(module, "pairs", False) for module in model.modules())
    # Where a mechanism works on pairs of neighbours, the split is shuffled, always the same way for so many images:
    # in its own order neighbours may be of the same class, and what one gets of the other would help to classify it.
    if pairs:
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        images, batch_size = images[order.to(images.device)], batch_size + batch_size % 2
    logits = infer(model, images, normalization, device, view_count, batch_size, side)
    if pairs:
        logits = torch.empty_like(logits).index_copy_(0, order, logits)
    labels = split.labels.cpu()
    return Evaluation(logits, labels, F.cross_entropy(logits, labels).item())


class Evaluator:
    """Evaluate the network of a trainer on the splits of its data, each once after the same step."""

    def __init__(
        self, trainer: Trainer, splits: Mapping[str, Split], normalization: Normalization, batch_size: int
    ) -> None:
        self.trainer, self.splits = trainer, splits
        self.normalization, self.batch_size = normalization, batch_size
        # By split, views and side: the step, and the outcome.
        self.outcomes: dict[tuple[str, int, int], tuple[int, Evaluation]] = {}

    def __call__(self, split: str, views: int, side: int) -> Evaluation:
        """Evaluate on a split shrunk to side x side; raise NotFiniteError for a loss that is NaN or infinite."""
        step, key = self.trainer.progress.step, (split, views, side)
        if key not in self.outcomes or self.outcomes[key][0] != step:
            model, device = self.trainer.tested, self.trainer.device
            outcome = evaluate(model, self.splits[split], self.normalization, device, views, self.batch_size, side)
            if not math.isfinite(outcome.loss):
                raise NotFiniteError(
                    f"the loss on the {split} images is {outcome.loss} after step {step}; "
                    "try a lower learning rate (optimizer.lr), or train.clip_norm=1"
                )
            self.outcomes[key] = (step, outcome)
        return self.outcomes[key][1]
