"""softmax(Q K^T / scale) V over the pixels: one query at a time, one head at a time."""

import itertools
import math

import numpy as np
from formulas.arrays import Array, Options, Weights, softmax, tokens

VARIANTS = [
    {"heads": heads, "scale": scale, "residual": residual}
    for heads, scale, residual in itertools.product((1, 2), ("sqrt", "none"), (True, False))
]
CLAIMS = {"permutation", "linear_memory"}
REFUSED = [({"heads": heads}, rf"heads={heads} .*6 channels.*choose from 1, 2, 3, 6$") for heads in (0, -1, 4, 5, 12)]


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
                scores = np.array([one @ other for other in key[:, own]])
                if options["scale"] == "sqrt":
                    scores = scores / math.sqrt(depth)
                shares = softmax(scores, axis=0)
                summed = sum(share * row for share, row in zip(shares, value[:, own], strict=True))
                out[image, own, number // width, number % width] = summed
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 3 * (channels**2 + channels)
