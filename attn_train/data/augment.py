"""Random flips, crops and cutouts, drawn for each image from (seed, epoch, index) alone.

The draws of an epoch are made at once, for the whole training set, on the CPU: so neither the device, nor the order
of the images, nor a resume in the middle of an epoch changes what happens to an image.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for an image: a mirror flip, a shift by up to `crop` pixels, a `cutout` x `cutout` hole (0:
    none).

    `alternating` flips (Jordan, 2024, arXiv 2404.00498, section 3.6) draws each image's side once and then shows it
    from one side in even epochs and from the other in odd ones.
    """

    flip: Literal["none", "random", "alternating"]
    crop: int
    cutout: int


@dataclass(frozen=True)
class Draws:
    """One epoch's draws; each tensor holds one entry for each training image."""

    flip: Tensor  # bool (n,)
    shift: Tensor  # int64 (n, 2): rows down, columns right
    hole: Tensor  # int64 (n, 2): centre of the cutout

    def to(self, device: torch.device) -> "Draws":
        return Draws(self.flip.to(device), self.shift.to(device), self.hole.to(device))


def generator(purpose: str, *numbers: int) -> torch.Generator:
    """Make a generator that depends on `purpose` and `numbers`, unrelated to that of any other."""
    text = "/".join([purpose, *map(str, numbers)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)


def draw(augmentation: Augmentation, count: int, size: tuple[int, int], seed: int, epoch: int) -> Draws:
    """Draw for `count` images of `size` (height, width) in `epoch` (from 0)."""
    random = generator("augment", seed, epoch)
    if augmentation.flip == "alternating":
        side = torch.rand(count, generator=generator("side", seed)) < 0.5
        flip = side ^ (epoch % 2 == 1)
    elif augmentation.flip == "random":
        flip = torch.rand(count, generator=random) < 0.5
    else:
        flip = torch.zeros(count, dtype=torch.bool)
    reach = augmentation.crop
    shift = torch.randint(-reach, reach + 1, (count, 2), generator=random)
    hole = torch.stack([torch.randint(0, side, (count,), generator=random) for side in size], dim=1)
    return Draws(flip, shift, hole)


def reflect(position: Tensor, size: int) -> Tensor:
    """Mirror positions outside 0 .. size - 1 back inside, the edge itself not repeated."""
    position = position.abs()
    return torch.where(position > size - 1, 2 * (size - 1) - position, position)


def gather(images: Tensor, index: Tensor, draws: Draws, augmentation: Augmentation, fill: Tensor) -> Tensor:
    """Take images[index] with each one's flip, shift and cutout applied.

    images: uint8 (n, channels, height, width); index: int64 (batch,); fill: uint8 (channels,), the colour of a
    cutout; all on one device. Returns uint8 (batch, channels, height, width).
    """
    if augmentation.flip == "none" and augmentation.crop == 0 and augmentation.cutout == 0:
        return images[index]
    height, width = images.shape[-2:]
    device = images.device
    flip, shift, hole = (part[index] for part in (draws.flip, draws.shift, draws.hole))
    rows = torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(len(index), width)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    source_rows = reflect(rows + shift[:, :1], height)  # (batch, height)
    source_columns = reflect(columns + shift[:, 1:], width)  # (batch, width)
    channels = torch.arange(images.shape[1], device=device)
    batch = images[
        index[:, None, None, None],
        channels[None, :, None, None],
        source_rows[:, None, :, None],
        source_columns[:, None, None, :],
    ]
    if augmentation.cutout:
        inside_rows = within(rows, hole[:, :1], augmentation.cutout)
        inside_columns = within(torch.arange(width, device=device), hole[:, 1:], augmentation.cutout)
        inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
        batch = torch.where(inside, fill[None, :, None, None], batch)
    return batch


def within(position: Tensor, centre: Tensor, length: int) -> Tensor:
    """Say which of `position` (size,) lie in the `length` pixels around each `centre` (batch, 1): bool (batch,
    size)."""
    start = centre - length // 2
    return (position >= start) & (position < start + length)
