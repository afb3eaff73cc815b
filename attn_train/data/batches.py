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
from attn_train.data.pixel_noise import add_noise, draw_noise
from attn_train.data.prune import Order, prune, pruned_count
from attn_train.data.resized_crop import crop_and_resize, draw_boxes
from attn_train.seeds import generator


@dataclass(frozen=True)
class Normalization:
    """Normalise images by the mean and standard deviation of each channel, as fractions of the full range."""

    mean: Tensor  # float32 (channels,)
    std: Tensor  # float32 (channels,)

    def to(self, device: torch.device) -> "Normalization":
        return Normalization(self.mean.to(device), self.std.to(device))

    def __call__(self, images: Tensor) -> Tensor:
        """Map (batch, channels, height, width), of 0 to 255, to float32 of the same shape."""
        images = images.float() / 255
        return (images - self.mean[:, None, None]) / self.std[:, None, None]

    def undo(self, images: Tensor) -> Tensor:
        """Map normalised images back to uint8."""
        images = images * self.std[:, None, None] + self.mean[:, None, None]
        return (images * 255).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class TrainBatches:
    """The batches of each epoch, in an order that follows from (order_seed, epoch), and where images are left out also
    from their losses."""

    split: Split
    batch_size: int
    drop_last: bool  # leave out a last batch that is not full, so that every step has the same shape
    augmentation: Augmentation
    normalization: Normalization
    classes: int
    sides: tuple[int, ...]  # the side of the images in each epoch, in pixels
    prune: float  # the share of the images that an epoch leaves out
    prune_from: int  # the first epoch (from 0) that does
    prune_until: int | None  # the epoch after the last that does; negative: counted from the end; None: none
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
        """Say whether `epoch` (from 0) leaves images out."""
        until = len(self.sides) if self.prune_until is None else self.prune_until
        if until < 0:
            until += len(self.sides)
        return self.prune > 0 and self.prune_from <= epoch < until

    def order(self, epoch: int, losses: Tensor | None = None) -> Order:
        """Return the order of `epoch` (from 0).

        Args:
            losses: of all n images, float32 (n,); needed where the epoch leaves images out, else ValueError.
        """
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
        """Yield the augmented batches of `epoch` (from 0), from batch `start` on.

        Each is (images, targets): float32 (batch, channels, side, side) and int64 (batch,), or where images are mixed
        float32 (batch, classes).

        Args:
            order: of the images; None: that of `self.order`.
        """
        images, labels = self.split.images, self.split.labels
        augmentation, device, seed = self.augmentation, labels.device, self.augment_seed
        count, size = len(labels), (images.shape[-2], images.shape[-1])
        order = self.order(epoch) if order is None else order
        draws = draw(augmentation, count, size, seed, epoch).to(device)
        operations = policy.draw_policy(augmentation, count, size, seed, epoch)
        plan = policy.plan(operations, order.shown, self.batch_size, device) if operations else None
        mixing = draw_mixing(augmentation, count, size, seed, epoch)
        mixing = mixing.to(device) if mixing else None
        boxes = draw_boxes(augmentation, count, size, seed, epoch)
        boxes = None if boxes is None else boxes.to(device)
        noise = draw_noise(augmentation, count, (images.shape[1], *size), seed, epoch)
        noise = noise.to(device) if noise else None
        fill = (self.normalization.mean * 255).round().to(torch.uint8)
        for number in range(start, self.steps(epoch)):
            index = order.index[number * self.batch_size : (number + 1) * self.batch_size]
            batch = gather(images, index, draws, augmentation)
            if boxes is not None:
                batch = crop_and_resize(batch, boxes[index])
            if plan:
                batch = policy.apply(batch, plan, number, fill)
            if augmentation.cutout:
                batch = cut_out(batch, draws.hole[index], augmentation.cutout, fill)
            if noise:
                batch = add_noise(batch, index, noise)
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
    """Return `count` views of images, each with its weight; the weights sum to one.

    1: the image. 2: the image and its mirror image, half each. 6: these two, a quarter each, and both shifted by one
    pixel along the diagonal, either way, an eighth each (test-time augmentation of arXiv 2404.00498, section 3.5).
    """
    if count == 1:
        return [(1.0, images)]
    pair = [images, images.flip(-1)]
    if count == 2:
        return [(0.5, view) for view in pair]
    moved = [view for by in (-1, 1) for original in [shifted(images, by)] for view in (original, original.flip(-1))]
    return [(0.25, view) for view in pair] + [(0.125, view) for view in moved]
