"""softmax((q k + q r) / sqrt(d)) v over the block of each query and the halo around it: one query at a time."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, softmax, tokens

VARIANTS = [
    {},
    {"halo": 2, "heads": 2},
    {"block": 2, "residual": False},
    {"block": 3, "halo": 0, "heads": 2},
    {"block": 1, "halo": 2},
]
CLAIMS = {"linear_memory"}
REFUSED = [
    ({"block": 0}, r"^block=0 must be at least 1$"),
    ({"halo": -1}, r"^halo=-1 must be at least 0$"),
    ({"heads": 4}, r"heads=4 .*6 channels.*choose from 1, 2, 3, 6$"),
]


def seen_from(place: int, extent: int, options: Options) -> range:
    """Return which rows (or columns) a query in row (or column) `place` sees."""
    first = place - place % options["block"]
    return range(max(0, first - options["halo"]), min(extent, first + options["block"] + options["halo"]))


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, height, width = x.shape
    depth, nearest = channels // options["heads"], options["block"] + options["halo"] - 1
    out = np.zeros_like(x)
    for image in range(batch):
        query, key, value = (
            (tokens(x)[image] @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]).reshape(height, width, channels)
            for name in ("query", "key", "value")
        )
        for head in range(options["heads"]):
            own = slice(head * depth, (head + 1) * depth)
            for row in range(height):
                for column in range(width):
                    seen = [(i, j) for i in seen_from(row, height, options) for j in seen_from(column, width, options)]
                    scores = []
                    for i, j in seen:
                        relative = weights["row_embedding"][i - row + nearest]
                        relative = relative + weights["column_embedding"][j - column + nearest]
                        scores.append(query[row, column, own] @ (key[i, j, own] + relative) / math.sqrt(depth))
                    for share, (i, j) in zip(softmax(np.array(scores), axis=0), seen, strict=True):
                        out[image, own, row, column] += share * value[i, j, own]
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    offsets = 2 * (options["block"] + options["halo"]) - 1
    return int(3 * (channels**2 + channels) + 2 * offsets * (channels // options["heads"]))
