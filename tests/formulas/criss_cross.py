"""x + gamma softmax(Q K^T) V over the cross of each pixel, again and again: one pixel at a time."""

import numpy as np
from formulas.arrays import Array, Options, Weights, conv1x1, softmax

VARIANTS = [{}, {"recurrence": 1}, {"recurrence": 3, "reduction": 2}, {"reduction": 100}]
CLAIMS = {"shift", "starts_as_identity"}
REFUSED = [({name: 0}, rf"^{name}=0 must be at least 1$") for name in ("recurrence", "reduction")]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, _, height, width = x.shape
    for _ in range(options["recurrence"]):
        query, key, value = (conv1x1(weights, name, x) for name in ("query", "key", "value"))
        out = np.zeros_like(x)
        for image in range(batch):
            for row in range(height):
                for column in range(width):
                    cross = {(other, column) for other in range(height)} | {(row, other) for other in range(width)}
                    assert len(cross) == height + width - 1
                    places = sorted(cross)
                    scores = np.array([query[image, :, row, column] @ key[image, :, i, j] for i, j in places])
                    for share, (i, j) in zip(softmax(scores, axis=0), places, strict=True):
                        out[image, :, row, column] += share * value[image, :, i, j]
        x = x + weights["gamma"] * out
    return x


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    reduced = max(1, channels // options["reduction"])
    return int(channels**2 + channels + 2 * reduced * (channels + 1) + 1)
