"""softmax(Q K^T / sqrt(d) + B) V within a window: one query at a time, which asks of each pixel of the map whether it
is in the same window."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, softmax, tokens

VARIANTS = [
    {},
    {"window": 2},
    {"window": 2, "shift": 1, "heads": 2},
    {"window": 3, "shift": 1, "residual": False},
    {"window": 4, "shift": 2, "heads": 2},
    {"window": 1},
]
CLAIMS = {"linear_memory"}
REFUSED = [
    ({"window": 0}, r"^window=0 must be at least 1$"),
    ({"shift": 4}, r"^shift=4 must be at least 0 and below window=4$"),
    ({"shift": -1}, r"^shift=-1 must be at least 0"),
    ({"heads": 4}, r"heads=4 .*6 channels.*choose from 1, 2, 3, 6$"),
]


def window_of(place: int, extent: int, options: Options) -> int:
    """Number the window of a row (or column): moved by `shift`, windows begin at shift, shift + window, and so on, and
    what lies before the first is a window of its own."""
    shift = options["shift"] if extent > options["window"] else 0
    return (place - shift) // options["window"]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, height, width = x.shape
    places = [(row, column) for row in range(height) for column in range(width)]
    windows = [(window_of(row, height, options), window_of(column, width, options)) for row, column in places]
    depth, reach = channels // options["heads"], options["window"] - 1
    out = np.zeros_like(x)
    for image in range(batch):
        query, key, value = (
            tokens(x)[image] @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
            for name in ("query", "key", "value")
        )
        for head in range(options["heads"]):
            own = slice(head * depth, (head + 1) * depth)
            for i, (row, column) in enumerate(places):
                seen = [k for k in range(len(places)) if windows[k] == windows[i]]
                scores = np.array(
                    [
                        query[i, own] @ key[k, own] / math.sqrt(depth)
                        + weights["relative_bias"][head, places[k][0] - row + reach, places[k][1] - column + reach]
                        for k in seen
                    ]
                )
                out[image, own, row, column] = softmax(scores, axis=0) @ value[seen, own]
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return int(3 * (channels**2 + channels) + options["heads"] * (2 * options["window"] - 1) ** 2)
