"""Random resized crops (Szegedy et al., 2014, arXiv 1409.4842, section 6): a part of the image, of random area and
shape, brought to the image's own size. The boxes follow from (seed, epoch, index) alone.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_train.data.augment import Augmentation
from attn_train.seeds import generator

RATIOS = (3 / 4, 4 / 3)  # of width to height
ATTEMPTS = 10  # at a box that fits; then the whole image


def draw_boxes(augmentation: Augmentation, count: int, size: tuple[int, int], seed: int, epoch: int) -> Tensor | None:
    """Draw a box for each of `count` images of `size` (height, width) in `epoch` (from 0); None without crops.

    The area is uniform between `augmentation.resized_crop` and 1 of the image's, the ratio of the sides log-uniform
    between 3/4 and 4/3. Returns int64 (count, 4): top, left, height, width.
    """
    if augmentation.resized_crop == 0:
        return None
    random = generator("resized crop", seed, epoch)
    height, width = size

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, ATTEMPTS, generator=random, dtype=torch.float64)

    area = height * width * uniform(augmentation.resized_crop, 1)
    ratio = torch.exp(uniform(*map(math.log, RATIOS)))
    heights, widths = (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long()
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    first = fits.int().argmax(dim=1, keepdim=True)  # the first attempt that fits
    fitted = fits.any(dim=1)
    chosen = [
        torch.where(fitted, sides.gather(1, first).flatten(), whole)
        for sides, whole in ((heights, height), (widths, width))
    ]
    corners = [
        (torch.rand(count, generator=random, dtype=torch.float64) * (whole - side + 1)).long()
        for side, whole in zip(chosen, size, strict=True)
    ]
    return torch.stack([*corners, *chosen], dim=1)


def crop_and_resize(images: Tensor, boxes: Tensor) -> Tensor:
    """Bring the box of each image to the size of the image by bilinear interpolation: uint8, of the same shape.

    A box is no larger than its image, so that nothing is shrunk and needs no antialiasing.

    Args:
        images: uint8 (batch, channels, height, width).
        boxes: int64 (batch, 4): top, left, height, width.
    """
    top, left, height, width = boxes.unbind(1)
    rows = positions(top, height, images.shape[2])
    columns = positions(left, width, images.shape[3])
    grid = torch.stack(
        [
            columns[:, None, :].expand(-1, images.shape[2], -1),
            rows[:, :, None].expand(-1, -1, images.shape[3]),
        ],
        dim=-1,
    )
    resized = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def positions(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Return where in an axis of `size` pixels those of a box are read, (batch, size): -1 is the first pixel's centre,
    1 that of the last."""
    inside = (torch.arange(size, device=start.device) + 0.5) * length[:, None] / size - 0.5
    # Beyond the centres of its outermost pixels a box is not continued by its neighbours.
    inside = inside.clamp(min=0).minimum((length - 1)[:, None].to(inside.dtype)) + start[:, None]
    return inside * 2 / max(size - 1, 1) - 1
