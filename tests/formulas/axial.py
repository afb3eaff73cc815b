"""softmax(Q K^T / sqrt(d)) V down each column, then along each row of what came out: one pixel at a time."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, softmax

VARIANTS = [{}, {"heads": 2}, {"heads": 4, "residual": False}]
CLAIMS = {"shift", "linear_memory"}
REFUSED = [({"heads": heads}, rf"heads={heads} .*6 channels.*choose from 1, 2, 3, 6$") for heads in (0, 4)]


def along(weights: Weights, name: str, line: Array, heads: int) -> Array:
    """Attend within one line, (length, channels)."""
    query, key, value = (
        line @ weights[f"{name}.{layer}.weight"].T + weights[f"{name}.{layer}.bias"]
        for layer in ("query", "key", "value")
    )
    depth = line.shape[1] // heads
    out = np.zeros_like(line)
    for head in range(heads):
        own = slice(head * depth, (head + 1) * depth)
        for place in range(len(line)):
            scores = np.array([query[place, own] @ other / math.sqrt(depth) for other in key[:, own]])
            out[place, own] = softmax(scores, axis=0) @ value[:, own]
    return out


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, _, height, width = x.shape
    down, out = np.zeros_like(x), np.zeros_like(x)
    for image in range(batch):
        for column in range(width):
            down[image, :, :, column] = along(weights, "column", x[image, :, :, column].T, options["heads"]).T
        for row in range(height):
            out[image, :, row] = along(weights, "row", down[image, :, row].T, options["heads"]).T
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 6 * (channels**2 + channels)
