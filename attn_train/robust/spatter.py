"""Drops of water or mud on the lens."""

import torch
from torch import Tensor

from attn_train.robust.draws import Draws
from attn_train.robust.filters import correlate, inside, padded, scale, smooth, to_bytes, unit
from attn_train.robust.weather import painted

WATER, MUD = (175 / 255, 238 / 255, 238 / 255), (63 / 255, 42 / 255, 20 / 255)
MEAN = [[1 / 9] * 3] * 3
RELIEF = [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]  # light from the upper left
FAR = 20  # pixels of 32, from which on all is as far from the rim of a drop


def spatter(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Lay drops over the image, where smooth noise lies above a threshold: water at severity 1 to 3, then mud."""
    mean, std, length, threshold, amount, mud = (
        (0.62, 0.1, 0.7, 0.7, 0.5, False),
        (0.65, 0.1, 0.8, 0.7, 0.5, False),
        (0.65, 0.3, 1, 0.69, 0.5, False),
        (0.65, 0.1, 0.7, 0.69, 0.6, True),
        (0.65, 0.1, 0.5, 0.68, 0.6, True),
    )[severity - 1]
    # The layer of a smaller image is no rougher. That of a larger one is smoothed over more pixels, which takes as much
    # of the noise.
    larger, values = max(1, scale(images)), unit(images)
    layer = smooth(mean + std * larger * draws.normal(0, 1, *images.shape[-2:]), length * larger)
    if mud:
        cover = smooth((layer > threshold).double(), amount * larger)
        cover = torch.where(cover < 0.8, 0, cover)
        return to_bytes(values * (1 - cover) + cover * painted(MUD, images.shape[1], images.device))
    drops = torch.where(layer < threshold, 0, layer)
    shine = drops * relief(drops > 0, larger)
    brightest = shine.amax((1, 2, 3), keepdim=True)
    shine = torch.where(brightest > 0, shine / brightest, 0)  # without a drop the image stays
    return to_bytes(values + amount * shine * painted(WATER, images.shape[1], images.device))


def relief(drops: Tensor, larger: float) -> Tensor:
    """Return how bright the surface of drops is, whose height grows with the distance from the rims, float64.

    Args:
        drops: where they are, bool (n, 1, height, width).
        larger: the size of the images in units of CIFAR's.
    """
    far = max(1, round(FAR * larger))
    distance = distances(rims(drops), far) / larger
    height = equalized(correlate(distance.clamp(max=FAR), MEAN).floor().long())
    return correlate(correlate(height, RELIEF).clamp(0, 255), MEAN) / 255


def rims(drops: Tensor) -> Tensor:
    """Return the pixels of drops that have a neighbour outside, above, below or beside: bool like `drops`."""
    inner = drops
    for dim in (-2, -1):
        wide = padded(drops, 1, dim, "nearest")
        inner = inner & wide.narrow(dim, 0, drops.shape[dim]) & wide.narrow(dim, 2, drops.shape[dim])
    return drops & ~inner


def distances(points: Tensor, most: int) -> Tensor:
    """Return the distance of each pixel to the nearest of `points`, bool (..., height, width), `most` where it is
    larger: float64.

    First the squares of the distances within a row, then the smallest sum with those between rows: exact, since squares
    add along the axes.
    """
    squares = torch.where(points, 0, most**2).long()
    for dim in (-1, -2):
        size, nearest = points.shape[dim], squares
        place = torch.arange(size, device=points.device)
        for step in range(1, min(most, size - 1) + 1):
            for other in (place - step, place + step):
                # A place outside is that at the edge, which is nearer in truth than it counts here.
                nearest = torch.minimum(nearest, squares.index_select(dim, inside(other, size, "nearest")) + step**2)
        squares = nearest
    return squares.clamp(max=most**2).double().sqrt()


def equalized(heights: Tensor) -> Tensor:
    """Flatten the histogram of each image of whole numbers 0 to 255, int64 (n, 1, height, width): float64 likewise."""
    pixels = heights.flatten(1)
    counts = torch.zeros(len(pixels), 256, dtype=torch.int64, device=pixels.device)
    reached = counts.scatter_add_(1, pixels, torch.ones_like(pixels)).cumsum(1)
    least = reached.gather(1, pixels.amin(1, keepdim=True))
    share = (reached - least).double() / (pixels.shape[1] - least).clamp(min=1)
    return (share.clamp(min=0) * 255 + 0.5).floor().gather(1, pixels).view(heights.shape)
