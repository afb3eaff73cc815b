"""Attention of each pixel to the averages of a coarse grid's cells, one query at a time."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, softmax, tokens

VARIANTS = [
    {"pooled": 7, "heads": 1, "residual": True},
    {"pooled": 4, "heads": 2, "residual": True},
    {"pooled": 2, "heads": 4, "residual": False},
    {"pooled": 1, "heads": 1, "residual": False},
]
CLAIMS = {"linear_memory"}
REFUSED = [
    *(({"heads": heads}, rf"heads={heads} .*6 channels.*choose from 1, 2, 3, 6$") for heads in (0, -1, 4, 12)),
    *(({"pooled": pooled}, f"pooled={pooled} must be at least 1") for pooled in (0, -1)),
]


def bounds(length: int, pooled: int) -> list[tuple[int, int]]:
    """Where each of the `pooled` cells of a side begins and ends; neighbours overlap where they do not divide it."""
    count = min(length, pooled)
    return [(math.floor(cell * length / count), math.ceil((cell + 1) * length / count)) for cell in range(count)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    _, channels, height, width = x.shape
    depth = channels // options["heads"]
    out = np.zeros_like(x)
    for image, pixels in enumerate(tokens(x)):
        cells = [
            x[image, :, top:bottom, left:right].mean(axis=(1, 2))
            for top, bottom in bounds(height, options["pooled"])
            for left, right in bounds(width, options["pooled"])
        ]
        keys = [weights["key.weight"] @ cell for cell in cells]
        values = np.array([weights["value.weight"] @ cell + weights["value.bias"] for cell in cells])
        for number, pixel in enumerate(pixels):
            query = weights["query.weight"] @ pixel + weights["query.bias"]
            attended = np.zeros(channels)
            for head in range(options["heads"]):
                own = slice(head * depth, (head + 1) * depth)
                shares = softmax(np.array([query[own] @ key[own] for key in keys]) / math.sqrt(depth), axis=0)
                attended[own] = shares @ values[:, own]
            row, column = divmod(number, width)
            out[image, :, row, column] = weights["project.weight"] @ attended + weights["project.bias"]
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 4 * channels**2 + 3 * channels
