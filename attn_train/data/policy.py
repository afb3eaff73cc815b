"""RandAugment (Cubuk et al., 2019, arXiv 1909.13719) and TrivialAugment (Müller and Hutter, 2021, arXiv 2103.10158).

Each image has its own operations, drawn on the CPU for a whole epoch. The images of each batch are grouped by operation
there too: so the device works through a few groups, and the CPU never waits for it to learn which image is in which.
torchvision's operations take one magnitude for all images of a call: image by image they take up to 20 times as long.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_train.data.augment import Augmentation
from attn_train.seeds import generator

LEVELS = 30  # steps from no change to the largest

# An operation takes uint8 images (batch, channels, height, width), their magnitudes float32 (batch, 1, 1, 1) and a
# fill colour uint8 (channels,), and returns new images. The colour operations give Pillow's grey levels.
Operation = Callable[[Tensor, Tensor, Tensor], Tensor]


def identity(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    return images


def auto_contrast(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Stretch each channel to the full range."""
    low, high = (bound.int() for bound in (images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)))
    stretched = (images - low) * 255 // (high - low).clamp(min=1)
    return torch.where(high > low, stretched, images).to(torch.uint8)


def equalize(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Flatten each channel's histogram."""
    pixels = images.flatten(2).long()
    counts = torch.zeros(*images.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, pixels, torch.ones_like(pixels))
    brightest = counts.gather(2, pixels.amax(2, keepdim=True))
    step = (pixels.shape[2] - brightest) // 255
    below = counts.cumsum(2) - counts
    table = ((step // 2 + below) // step.clamp(min=1)).clamp(max=255)
    return torch.where(step > 0, table.gather(2, pixels), pixels).to(torch.uint8).view_as(images)


def solarize(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Invert the brightest `magnitude` grey levels."""
    return torch.where(images >= 256 - magnitude.abs(), 255 - images, images)


def posterize(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Clear the lowest `magnitude` bits."""
    bits = magnitude.abs().round().to(torch.uint8)
    return images >> bits << bits


def grey(images: Tensor) -> Tensor:
    """Return each pixel's brightness by ITU-R 601, of other than three channels the mean: int32 (batch, 1, height,
    width)."""
    if images.shape[1] != 3:
        return images.sum(1, keepdim=True, dtype=torch.int32) // images.shape[1]
    red, green, blue = images.int().split(1, dim=1)
    return (19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16


def blend(images: Tensor, magnitude: Tensor, other: Tensor | int) -> Tensor:
    """Move images away from `other`, or towards it where `magnitude` is below 0; at -1 they would reach it."""
    return (other + (1 + magnitude) * (images.float() - other)).clamp(0, 255).to(torch.uint8)


def color(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Blend with the grey image."""
    return blend(images, magnitude, grey(images))


def brightness(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Blend with black."""
    return blend(images, magnitude, 0)


def contrast(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Blend with the mean grey level of the image."""
    # A sum of whole numbers is the same in whichever order a device adds them.
    total = grey(images).sum((1, 2, 3), keepdim=True)
    return blend(images, magnitude, (total / images[0, 0].numel() + 0.5).floor())


def sharpness(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Blend with the mean of each pixel's neighbourhood, in which the pixel itself has weight 5; the border stays."""
    around = F.avg_pool2d(images.float(), 3, stride=1, divisor_override=1)
    smooth = images.float()
    smooth[..., 1:-1, 1:-1] = ((around + 4 * smooth[..., 1:-1, 1:-1]) / 13).round()
    return blend(images, magnitude, smooth)


def centres(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixels' centres, in pixels from the top left corner: x (width,) and y (height, 1)."""
    height, width = images.shape[-2:]
    return torch.arange(width, device=images.device) + 0.5, torch.arange(height, device=images.device)[:, None] + 0.5


def resample(images: Tensor, x: Tensor, y: Tensor, fill: Tensor) -> Tensor:
    """Return images whose pixels are those of `images` at (x, y), the nearest to each.

    Args:
        x, y: places in pixels from the top left corner, of a shape that broadcasts to (batch, 1, height, width).
        fill: the colour of what lies outside, uint8 (channels,).
    """
    height, width = images.shape[-2:]
    # A point on the line between two pixels belongs to the right or lower one, and no device's rounding decides.
    column, row = torch.broadcast_tensors((x + 2**-13).floor().long(), (y + 2**-13).floor().long())
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(2)
    nearest = images.flatten(2).gather(2, index.expand(-1, images.shape[1], -1)).view_as(images)
    return torch.where(inside, nearest, fill[:, None, None])


def rotate(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Turn counterclockwise, in degrees, about the centre."""
    middle_x, middle_y = images.shape[-1] / 2, images.shape[-2] / 2
    x, y = centres(images)
    x, y = x - middle_x, y - middle_y
    cos, sin = torch.deg2rad(magnitude).cos(), torch.deg2rad(magnitude).sin()
    return resample(images, cos * x - sin * y + middle_x, sin * x + cos * y + middle_y, fill)


def shear_x(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Shear horizontally, by `magnitude` pixels for each row below the top."""
    x, y = centres(images)
    return resample(images, x + magnitude * y, y, fill)


def shear_y(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Shear vertically, by `magnitude` pixels for each column from the left."""
    x, y = centres(images)
    return resample(images, x, y + magnitude * x, fill)


def translate_x(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Shift to the right by whole pixels."""
    x, y = centres(images)
    return resample(images, x - magnitude.trunc(), y, fill)


def translate_y(images: Tensor, magnitude: Tensor, fill: Tensor) -> Tensor:
    """Shift down by whole pixels."""
    x, y = centres(images)
    return resample(images, x, y - magnitude.trunc(), fill)


OPERATIONS: dict[str, Operation] = {
    "identity": identity,
    "auto_contrast": auto_contrast,
    "equalize": equalize,
    "rotate": rotate,
    "solarize": solarize,
    "posterize": posterize,
    "color": color,
    "brightness": brightness,
    "contrast": contrast,
    "sharpness": sharpness,
    "shear_x": shear_x,
    "shear_y": shear_y,
    "translate_x": translate_x,
    "translate_y": translate_y,
}


def max_magnitudes(policy: str, size: tuple[int, int]) -> dict[str, float]:
    """Return the largest magnitude of each operation that has one, for images of `size` (height, width).

    `trivialaugment`: its wide space; `randaugment`: AutoAugment's ranges (arXiv 1805.09501, table 6), whose shifts of
    150 pixels in 331 are taken as a share of the side.
    """
    wide = policy == "trivialaugment"
    return {
        "rotate": 135 if wide else 30,  # degrees
        "solarize": 256,  # grey levels
        "posterize": 6 if wide else 4,  # bits
        **dict.fromkeys(("color", "brightness", "contrast", "sharpness"), 0.99 if wide else 0.9),
        **dict.fromkeys(("shear_x", "shear_y"), 0.99 if wide else 0.3),  # pixels a pixel
        "translate_x": 32 if wide else 150 / 331 * size[1],  # pixels
        "translate_y": 32 if wide else 150 / 331 * size[0],
    }


@dataclass(frozen=True)
class PolicyDraws:
    """One epoch's operations, by image, on the CPU; the rounds are applied one after the other."""

    operation: Tensor  # int64 (rounds, n): places in OPERATIONS
    magnitude: Tensor  # float32 (rounds, n): in the operation's own unit


def draw_policy(
    augmentation: Augmentation, count: int, size: tuple[int, int], seed: int, epoch: int
) -> PolicyDraws | None:
    """Draw operations for `count` images of `size` (height, width) in `epoch` (from 0); None without a policy."""
    if augmentation.policy == "none":
        return None
    random = generator("policy", seed, epoch)
    shape = (1 if augmentation.policy == "trivialaugment" else augmentation.policy_ops, count)
    operation = torch.randint(len(OPERATIONS), shape, generator=random)
    sign = torch.randint(2, shape, generator=random) * 2 - 1
    if augmentation.policy == "trivialaugment":
        level = torch.randint(LEVELS + 1, shape, generator=random)
    else:
        level = torch.full(shape, augmentation.policy_magnitude)
    limits = max_magnitudes(augmentation.policy, size)
    limit = torch.tensor([limits.get(name, 0.0) for name in OPERATIONS])
    return PolicyDraws(operation, sign * level / LEVELS * limit[operation])


@dataclass(frozen=True)
class Plan:
    """An epoch's operations in the order of its batches, the images of each batch grouped by operation."""

    batch_size: int
    position: Tensor  # int64 (rounds, n): places in the batch, those of one operation together; on the device
    magnitude: Tensor  # float32 (rounds, n): of the images at these places; on the device
    counts: list[list[list[int]]]  # images of each round, batch and operation

    def rounds(self, number: int) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
        """Yield the places, magnitudes and counts of each round in batch `number`."""
        part = slice(number * self.batch_size, (number + 1) * self.batch_size)
        for position, magnitude, counts in zip(self.position, self.magnitude, self.counts, strict=True):
            yield position[part], magnitude[part], counts[number]


def plan(draws: PolicyDraws, order: Tensor, batch_size: int, device: torch.device) -> Plan:
    """Group the draws for images shown in `order` (n,), which is on the CPU, by batch and operation."""
    batch = torch.arange(len(order)) // batch_size
    group = batch * len(OPERATIONS) + draws.operation[:, order]  # (rounds, n)
    place = group.argsort(dim=1)
    size = (-(-len(order) // batch_size), len(OPERATIONS))
    counts = [torch.bincount(row, minlength=size[0] * size[1]).view(size).tolist() for row in group]
    magnitude = draws.magnitude[:, order].gather(1, place)
    return Plan(batch_size, (place % batch_size).to(device), magnitude.to(device), counts)


def apply(images: Tensor, plan: Plan, number: int, fill: Tensor) -> Tensor:
    """Apply the operations of batch `number` to its images; return images of the same shape.

    Args:
        images: uint8 (batch, channels, height, width).
        fill: the colour of what comes from outside an image, uint8 (channels,).
    """
    images = images.clone()
    for position, magnitude, counts in plan.rounds(number):
        groups = zip(OPERATIONS.values(), position.split(counts), magnitude.split(counts), strict=True)
        for operation, where, strength in groups:
            if len(where):
                images[where] = operation(images[where], strength[:, None, None, None], fill)
    return images
