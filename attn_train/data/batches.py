"""A split on its device: shuffled augmented batches for training, whole views for evaluation."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_train.data import policy
from attn_train.data.augment import Augmentation, cut_out, draw, gather, reflect
from attn_train.data.dataset import Split
from attn_train.data.mixing import draw_mixing, mix
from attn_train.data.prune import Order, prune, pruned_count
from attn_train.seeds import generator


@dataclass(frozen=True)
class Normalization:
    """The mean and deviation of each channel, as fractions of the full range, that images are brought to zero and one
    by."""

    mean: Tensor  # float32 (channels,)
    deviation: Tensor  # float32 (channels,)

    def to(self, device: torch.device) -> "Normalization":
        return Normalization(self.mean.to(device), self.deviation.to(device))

    def __call__(self, images: Tensor) -> Tensor:
        """Map uint8 (batch, channels, height, width) to float32 of the same shape."""
        images = images.float() / 255
        return (images - self.mean[:, None, None]) / self.deviation[:, None, None]

    def undo(self, images: Tensor) -> Tensor:
        """Map normalised images back to uint8."""
        images = images * self.deviation[:, None, None] + self.mean[:, None, None]
        return (images * 255).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class TrainBatches:
    """The batches of each epoch, in an order that follows from (order_seed, epoch) and, in epochs `prune_from` (from
    0) to `prune_until` (itself not; negative: counted from the end; None: to the end), the images' losses; `sides` has
    each epoch's resolution, `prune` the share of the images left out.

    With `drop_last` a last batch that is not full is left out, so that every step has the same shape.
    """

    split: Split
    batch_size: int
    drop_last: bool
    augmentation: Augmentation
    normalization: Normalization
    classes: int
    sides: tuple[int, ...]
    prune: float
    prune_from: int
    prune_until: int | None
    order_seed: int
    augment_seed: int

    def count(self, epoch: int) -> int:
        """Return the number of images shown in `epoch` (from 0), an unfilled last batch included."""
        count = len(self.split.labels)
        return count - pruned_count(count, self.prune) if self.prunes(epoch) else count

    def steps(self, epoch: int) -> int:
        """Return the number of batches of `epoch` (from 0)."""
        count = self.count(epoch)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def steps_at(self, epochs: int, max_steps: int | None) -> dict[int, int]:
        """Return the number of batches at each side of the images in a run of `epochs`, or of `max_steps` batches."""
        steps: dict[int, int] = {}
        left = sum(map(self.steps, range(epochs))) if max_steps is None else max_steps
        for epoch, side in zip(range(epochs), self.sides, strict=True):
            taken = min(left, self.steps(epoch))
            left -= taken
            if taken:
                steps[side] = steps.get(side, 0) + taken
        return steps

    def prunes(self, epoch: int) -> bool:
        until = len(self.sides) if self.prune_until is None else self.prune_until
        if until < 0:
            until += len(self.sides)
        return self.prune > 0 and self.prune_from <= epoch < until

    def order(self, epoch: int, losses: Tensor | None = None) -> Order:
        """Return the order of `epoch` (from 0); one that prunes needs the images' losses (n,)."""
        device, count = self.split.labels.device, len(self.split.labels)
        shown = torch.randperm(count, generator=generator("order", self.order_seed, epoch))
        if not self.prunes(epoch):
            return Order(shown, shown.to(device), None)
        if losses is None:
            raise ValueError(f"epoch {epoch} leaves images out; it needs their losses")
        kept, weights = prune(losses, self.prune, generator("prune", self.order_seed, epoch))
        shown = shown[kept[shown]]
        return Order(shown, shown.to(device), weights[shown].to(device))

    def epoch(self, epoch: int, start: int = 0, order: Order | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, targets) of `epoch` (from 0) in `order`, or its own, beginning with batch `start`: float32
        (batch, ...), int64 (batch,); where images are mixed the targets are float32 (batch, classes)."""
        images, labels = self.split.images, self.split.labels
        augmentation, device, seed = self.augmentation, labels.device, self.augment_seed
        count, size = len(labels), (images.shape[-2], images.shape[-1])
        order = self.order(epoch) if order is None else order
        draws = draw(augmentation, count, size, seed, epoch).to(device)
        operations = policy.draw_policy(augmentation, count, size, seed, epoch)
        plan = policy.plan(operations, order.shown, self.batch_size, device) if operations else None
        mixing = draw_mixing(augmentation, count, size, seed, epoch)
        mixing = mixing.to(device) if mixing else None
        fill = (self.normalization.mean * 255).round().to(torch.uint8)
        for number in range(start, self.steps(epoch)):
            index = order.index[number * self.batch_size : (number + 1) * self.batch_size]
            batch = gather(images, index, draws, augmentation)
            if plan:
                batch = policy.apply(batch, plan, number, fill)
            if augmentation.cutout:
                batch = cut_out(batch, draws.hole[index], augmentation.cutout, fill)
            batch, targets = self.normalization(batch), labels[index]
            if mixing:
                batch, targets = mix(batch, targets, index, mixing, self.classes)
            yield resize(batch, self.sides[epoch]), targets


def resize(images: Tensor, side: int) -> Tensor:
    """Shrink images (batch, channels, height, width) to side x side by antialiased bilinear interpolation."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


def shifted(images: Tensor, shift: int) -> Tensor:
    """Shift images by `shift` pixels down and right, mirroring at the edges."""
    rows = reflect(torch.arange(images.shape[-2], device=images.device) - shift, images.shape[-2])
    columns = reflect(torch.arange(images.shape[-1], device=images.device) - shift, images.shape[-1])
    return images[..., rows[:, None], columns]


def views(images: Tensor, count: int) -> list[tuple[float, Tensor]]:
    """Return `count` weighted views of images, the weights summing to one.

    1: the image; 2: with its mirror image; 6: both also shifted by one pixel along the diagonal, either way, the four
    shifted views sharing half of the weight (the test-time augmentation of arXiv 2404.00498, section 3.5).
    """
    if count == 1:
        return [(1.0, images)]
    pair = [images, images.flip(-1)]
    if count == 2:
        return [(0.5, view) for view in pair]
    moved = [view for by in (-1, 1) for original in [shifted(images, by)] for view in (original, original.flip(-1))]
    return [(0.25, view) for view in pair] + [(0.125, view) for view in moved]
