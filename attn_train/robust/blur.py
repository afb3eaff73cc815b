"""Blurs. Lengths are given for sides of 32 pixels, and grow and shrink with the images."""

from itertools import product

import torch
from torch import Tensor

from attn_train.robust.draws import Draws
from attn_train.robust.filters import correlate, gaussian_weights, scale, smooth, streak, to_bytes, unit, zoomed

# As numpy.arange(1, ..., 0.01) steps in the original: its rounding decides to how many pixels 26 are enlarged by 1.25.
ZOOM_STEP = 1.01 - 1


def disk(radius: float, std: float, edge: int) -> list[list[float]]:
    """Return the kernel of a disk of `radius` pixels, its rim softened by a Gaussian of `std` pixels that is cut off
    after `edge` pixels."""
    reach = int(radius)
    across = range(-reach, reach + 1)
    filled = [(y, x) for y, x in product(across, across) if y * y + x * x <= radius**2]
    weights = gaussian_weights(std, range(-edge, edge + 1))
    side = 2 * (reach + edge) + 1
    kernel = [[0.0] * side for _ in range(side)]
    for (y, x), (down, above), (right, beside) in product(filled, enumerate(weights), enumerate(weights)):
        kernel[y + reach + down][x + reach + right] += above * beside / len(filled)
    return kernel


def defocus_blur(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Spread each pixel over a disk, softened at its rim; a radius below one pixel is one pixel."""
    radius, std = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))[severity - 1]
    larger = scale(images)
    return to_bytes(correlate(unit(images), disk(radius * larger, std * larger, max(1, round(larger)))))


def glass_blur(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Blur, let pixels take the value of a neighbour to the upper left, and blur again.

    The original means to swap neighbours. It copies instead, and its shifts are -1 or 0 pixels along each axis; since
    its loops go from the lower right to the upper left, what is copied was not itself copied in the same round.
    """
    std, most, rounds = ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))[severity - 1]
    std, most = std * scale(images), max(1, round(most * scale(images)))
    (count, channels, height, width), device = images.shape, images.device
    images = to_bytes(smooth(unit(images), std))
    rows, columns = torch.arange(height, device=device)[:, None], torch.arange(width, device=device)
    moves = (rows > most) & (columns > most)  # rows and columns 2 to 31 of 32
    for number in range(rounds):
        up, left = (draws.integers(2 * number + axis, most + 1, height, width) for axis in (0, 1))
        source = torch.where(moves, (rows - up) * width + columns - left, rows * width + columns)
        index = source.flatten(1)[:, None].expand(-1, channels, -1)
        images = images.flatten(2).gather(2, index).view(count, channels, height, width)
    return to_bytes(smooth(unit(images), std))


def motion_blur(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Blur along a line at an angle of -45 to 45 degrees."""
    radius, std = ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))[severity - 1]
    larger = scale(images)
    angle = draws.uniform(0) * 90 - 45
    return to_bytes(streak(unit(images), angle, max(1, round(radius * larger)), std * larger))


def zoom_blur(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Average the image with itself enlarged by 0, 1, 2, ... per cent."""
    zooms = (7, 12, 16, 21, 26)[severity - 1]
    # With the pixels first, whole rows are copied.
    values = unit(images).permute(2, 3, 0, 1).contiguous()
    total = values.clone()
    for number in range(zooms):
        total += zoomed(values, 1 + number * ZOOM_STEP)
    return to_bytes(total / (zooms + 1)).permute(2, 3, 0, 1).contiguous()


def gaussian_blur(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Blur by a Gaussian."""
    std = (0.4, 0.6, 0.7, 0.8, 1)[severity - 1]
    return to_bytes(smooth(unit(images), std * scale(images)))
