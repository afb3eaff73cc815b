"""softmax over the k largest scores only: one query at a time, sorting."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, softmax, tokens

VARIANTS = [{}, {"k": 3, "heads": 2}, {"k": 1}, {"k": 7, "residual": False}]
CLAIMS = {"permutation", "shift"}
REFUSED = [
    ({"k": 0}, r"^k=0 must be at least 1$"),
    ({"heads": 4}, r"heads=4 .*6 channels.*choose from 1, 2, 3, 6$"),
]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, _, width = x.shape
    depth = channels // options["heads"]
    out = np.zeros_like(x)
    for image in range(batch):
        query, key, value = (
            tokens(x)[image] @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
            for name in ("query", "key", "value")
        )
        for head in range(options["heads"]):
            own = slice(head * depth, (head + 1) * depth)
            for number, one in enumerate(query[:, own]):
                scores = key[:, own] @ one / math.sqrt(depth)
                best = np.argsort(scores)[::-1][: options["k"]]
                summed = softmax(scores[best], axis=0) @ value[best, own]
                out[image, own, number // width, number % width] = summed
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 3 * (channels**2 + channels)
