"""Blurs and interpolation as sums of shifted images in a fixed order.

The kernels of a library for convolutions add in an order that depends on the machine, the batch and the threads; a last
bit that differs can become another byte.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# A value that is a whole number but for rounding becomes that number, whichever side of it the rounding left it on.
ROUNDING = 2.0**-20


def unit(images: Tensor) -> Tensor:
    """Map uint8 to float64 from 0 to 1."""
    return images.double() / 255


def to_bytes(images: Tensor) -> Tensor:
    """Map float64 to uint8, values below 0 to 0 and above 1 to 255; fractions of a grey level are cut off."""
    return (images.clamp(0, 1) * 255 + ROUNDING).floor().to(torch.uint8)


def scale(images: Tensor) -> float:
    """Return by how much images (..., height, width) are larger than CIFAR's, whose sides have 32 pixels."""
    return min(images.shape[-2:]) / 32


def inside(position: Tensor, size: int, edge: str) -> Tensor:
    """Return the positions from 0 to size - 1 that stand for any whole ones.

    Args:
        edge: `nearest` repeats the last pixel; `mirror` reflects at its centre, `reflect` at its outer side.
    """
    if edge == "nearest":
        return position.clamp(0, size - 1)
    period = max(1, 2 * size - 2) if edge == "mirror" else 2 * size
    position = position.remainder(period)
    return torch.where(position < size, position, (period if edge == "mirror" else period - 1) - position)


def padded(images: Tensor, reach: int, dim: int, edge: str) -> Tensor:
    """Continue images by `reach` pixels on both sides of a dimension; see `inside` for `edge`."""
    size = images.shape[dim]
    return images.index_select(dim, inside(torch.arange(-reach, size + reach, device=images.device), size, edge))


def gaussian_weights(std: float, places: Sequence[int]) -> list[float]:
    """Return the weights of a Gaussian at `places`, in pixels from its centre; they sum to one."""
    weights = [math.exp(-((place / std) ** 2) / 2) if place else 1.0 for place in places]
    return [weight / sum(weights) for weight in weights]


def smooth(images: Tensor, std: float, edge: str = "nearest", truncate: float = 4) -> Tensor:
    """Blur images (..., height, width) by a Gaussian of `std` pixels, cut off at `truncate` deviations, as
    scipy.ndimage.gaussian_filter does."""
    reach = int(truncate * std + 0.5)
    if reach == 0:
        return images
    weights = gaussian_weights(std, range(-reach, reach + 1))
    for dim in (-2, -1):
        wide, size = padded(images, reach, dim, edge), images.shape[dim]
        images = wide.narrow(dim, reach, size) * weights[reach]
        for place in range(1, reach + 1):
            pair = wide.narrow(dim, reach - place, size) + wide.narrow(dim, reach + place, size)
            images = images + pair.mul_(weights[reach + place])
    return images


def correlate(images: Tensor, kernel: Sequence[Sequence[float]]) -> Tensor:
    """Weigh the neighbourhood of each pixel of images (..., height, width) by a square kernel of odd side, mirrored at
    the edges."""
    reach = len(kernel) // 2
    wide = padded(padded(images, reach, -2, "mirror"), reach, -1, "mirror")
    total = torch.zeros_like(images)
    for y, row in enumerate(kernel):
        for x, weight in enumerate(row):
            if weight:
                total += wide[..., y : y + images.shape[-2], x : x + images.shape[-1]] * weight
    return total


def streak(images: Tensor, angle: Tensor, radius: int, std: float) -> Tensor:
    """Blur each image float64 (n, channels, height, width) along a line to one side, the last pixel repeated.

    The weights are half a Gaussian of `std` pixels at 0 to 2 * radius pixels; each takes the nearest pixel.

    Args:
        angle: of the line, in degrees, float64 (n,).
    """
    height, width = images.shape[-2:]
    reach = 2 * radius
    wide = padded(padded(images, reach, -2, "nearest"), reach, -1, "nearest")
    across, size = wide.shape[-1], wide.shape[-2] * wide.shape[-1]
    rows = torch.arange(reach, reach + height, device=images.device) * across
    columns = torch.arange(reach, reach + width, device=images.device)
    planes = torch.arange(images.shape[1], device=images.device) * size
    places = (planes[:, None, None] + rows[:, None] + columns).flatten()
    down, right = torch.deg2rad(angle).sin(), torch.deg2rad(angle).cos()
    total = torch.zeros_like(images).flatten(1)
    for distance, weight in enumerate(gaussian_weights(std, range(reach + 1))):
        shift = (distance * down + 0.5).floor().long() * across + (distance * right + 0.5).floor().long()
        total += wide.flatten(1).gather(1, places + shift[:, None]) * weight
    return total.view_as(images)


def zoomed(images: Tensor, factor: float) -> Tensor:
    """Enlarge the middle of images (height, width, ...) to their size, by linear interpolation.

    The side of what is enlarged is that of the image divided by `factor`, rounded up; enlarged by `factor` it may be
    some pixels too large, and those at its edges are left out.
    """
    for dim in (0, 1):
        size = images.shape[dim]
        part = math.ceil(size / factor)
        larger = round(part * factor)
        places = torch.arange(size, device=images.device) + (larger - size) // 2
        position = places.double() * (part - 1) / max(larger - 1, 1)
        first = position.floor().clamp(max=max(part - 2, 0))
        share = (position - first).view(-1, *[1] * (images.ndim - 1 - dim))
        start = (size - part) // 2 + first.long()
        end = (start + 1).clamp(max=size - 1)
        images = images.index_select(dim, start).mul_(1 - share) + images.index_select(dim, end).mul_(share)
    return images


def sample(images: Tensor, y: Tensor, x: Tensor, edge: str) -> Tensor:
    """Return images float64 (n, channels, height, width) whose pixels are those of `images` at (y, x), by bilinear
    interpolation; see `inside` for `edge`.

    Args:
        y, x: in pixels from the centre of the first one, float64 (n, height, width).
    """
    height, width = images.shape[-2:]
    top, left = y.floor(), x.floor()
    below, beside = (y - top)[:, None], (x - left)[:, None]
    rows = [inside(top.long() + step, height, edge) * width for step in (0, 1)]
    columns = [inside(left.long() + step, width, edge) for step in (0, 1)]
    pixels = images.flatten(2)

    def at(row: Tensor, column: Tensor) -> Tensor:
        index = (row + column).flatten(1)[:, None].expand(-1, images.shape[1], -1)
        return pixels.gather(2, index).view_as(images)

    upper, lower = (at(row, columns[0]) * (1 - beside) + at(row, columns[1]) * beside for row in rows)
    return upper * (1 - below) + lower * below
