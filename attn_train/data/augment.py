"""What is drawn for an image, and its random flip, crop and cutout: they follow from (seed, epoch, index) alone.

The draws of an epoch are made at once, for the whole training set, on the CPU: so neither the device, nor the order
of the images, nor a resume in the middle of an epoch changes what happens to an image.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from attn_train.seeds import generator


@dataclass(frozen=True)
class Augmentation:
    """How training images are augmented.

    `alternating` flips (Jordan, 2024, arXiv 2404.00498, section 3.6) draw each image's side once: even epochs show that
    side, odd epochs the other.
    """

    flip: Literal["none", "random", "alternating"]
    crop: int  # largest shift, in pixels
    cutout: int  # side of the hole, in pixels; 0: none
    policy: Literal["none", "randaugment", "trivialaugment"] = "none"  # see data.policy
    policy_ops: int = 2  # RandAugment's number of operations; TrivialAugment has no settings
    policy_magnitude: int = 9  # RandAugment's, 0 to 30
    mixup: float = 0.0  # the alpha of Beta(alpha, alpha), 0: none; see data.mixing
    cutmix: float = 0.0  # likewise
    resized_crop: float = 0.0  # the least share of the image's area, 0: none; see data.resized_crop
    noise: float = 0.0  # its standard deviation, of pixels from 0 to 1; 0: none; see data.pixel_noise


@dataclass(frozen=True)
class Draws:
    """One epoch's draws; each tensor holds one entry for each training image."""

    flip: Tensor  # bool (n,)
    shift: Tensor  # int64 (n, 2): rows down, columns right
    hole: Tensor  # int64 (n, 2): centre of the cutout

    def to(self, device: torch.device) -> "Draws":
        return Draws(self.flip.to(device), self.shift.to(device), self.hole.to(device))


def draw(augmentation: Augmentation, count: int, size: tuple[int, int], seed: int, epoch: int) -> Draws:
    """Draw flips, shifts and holes for `count` images of `size` (height, width) in `epoch` (from 0)."""
    random = generator("augment", seed, epoch)
    if augmentation.flip == "alternating":
        side = torch.rand(count, generator=generator("side", seed)) < 0.5
        flip = side ^ (epoch % 2 == 1)
    elif augmentation.flip == "random":
        flip = torch.rand(count, generator=random) < 0.5
    else:
        flip = torch.zeros(count, dtype=torch.bool)
    shift = torch.randint(-augmentation.crop, augmentation.crop + 1, (count, 2), generator=random)
    hole = torch.stack([torch.randint(0, side, (count,), generator=random) for side in size], dim=1)
    return Draws(flip, shift, hole)


def reflect(position: Tensor, size: int) -> Tensor:
    """Mirror positions outside 0 .. size - 1 back inside, the edge itself not repeated."""
    position = position.abs()
    return torch.where(position > size - 1, 2 * (size - 1) - position, position)


def gather(images: Tensor, index: Tensor, draws: Draws, augmentation: Augmentation) -> Tensor:
    """Return images[index], flipped and shifted as drawn: uint8 (batch, channels, height, width).

    Args:
        images: uint8 (n, channels, height, width).
        index: int64 (batch,), on the same device.
        draws: of all n images.
    """
    if augmentation.flip == "none" and augmentation.crop == 0:
        return images[index]
    height, width = images.shape[-2:]
    device = images.device
    flip, shift = draws.flip[index], draws.shift[index]
    rows = torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(len(index), width)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    source_rows = reflect(rows + shift[:, :1], height)  # (batch, height)
    source_columns = reflect(columns + shift[:, 1:], width)  # (batch, width)
    channels = torch.arange(images.shape[1], device=device)
    return images[
        index[:, None, None, None],
        channels[None, :, None, None],
        source_rows[:, None, :, None],
        source_columns[:, None, None, :],
    ]


def cut_out(images: Tensor, centre: Tensor, length: int, fill: Tensor) -> Tensor:
    """Cover a square of each image with a colour; return uint8 (batch, channels, height, width).

    Args:
        centre: of the squares, int64 (batch, 2).
        length: side of the squares, in pixels.
        fill: the colour, uint8 (channels,).
    """
    return torch.where(box(images, centre, length), fill[:, None, None], images)


def box(images: Tensor, centre: Tensor, length: int | Tensor) -> Tensor:
    """Return which pixels of images (batch, channels, height, width) lie in a box: bool (batch, 1, height, width).

    Args:
        centre: of the boxes, as (row, column): int64 (batch, 2).
        length: of the boxes' sides, in pixels; one number, or int64 (batch, 2).
    """
    height, width = images.shape[-2:]
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    start = centre - length // 2
    end = start + length
    inside_rows = (rows >= start[:, :1]) & (rows < end[:, :1])
    inside_columns = (columns >= start[:, 1:]) & (columns < end[:, 1:])
    return inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
