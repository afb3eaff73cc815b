"""softmax(Q K^T / scale + B) V over the pixels: one query at a time, one head at a time."""

import itertools
import math

import numpy as np
from formulas.arrays import Array, Options, Weights, softmax, tokens

VARIANTS = [
    {"heads": heads, "scale": scale, "residual": residual}
    for heads, scale, residual in itertools.product((1, 2), ("sqrt", "none"), (True, False))
] + [
    {"position": position, "heads": heads, "residual": heads == 1}
    for position, heads in itertools.product(("absolute", "relative"), (1, 2))
]
CLAIMS = {"permutation", "shift", "linear_memory"}
REFUSED = [({"heads": heads}, rf"heads={heads} .*6 channels.*choose from 1, 2, 3, 6$") for heads in (0, -1, 4, 5, 12)]


def claims(options: Options) -> set[str]:
    """Return which of CLAIMS hold with these options."""
    return {"none": CLAIMS, "absolute": {"linear_memory"}, "relative": set()}[options["position"]]


def resampled(table: Array, height: int, width: int) -> Array:
    """Read (channels, rows, columns) between its entries, whose centres and those of the pixels divide the same map."""
    out = np.zeros((len(table), height, width))
    for row in range(height):
        for column in range(width):
            y = min(max((row + 0.5) * table.shape[1] / height - 0.5, 0), table.shape[1] - 1)
            x = min(max((column + 0.5) * table.shape[2] / width - 0.5, 0), table.shape[2] - 1)
            for i, j in itertools.product({math.floor(y), math.ceil(y)}, {math.floor(x), math.ceil(x)}):
                out[:, row, column] += table[:, i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return out


def relative_bias(table: Array, rows: int, columns: int) -> float:
    """Look up the bias of an offset in one head's table, whose middle entry is that of the pixel itself."""
    high, wide = table.shape[0] // 2, table.shape[1] // 2
    return float(table[min(max(rows, -high), high) + high, min(max(columns, -wide), wide) + wide])


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, height, width = x.shape
    depth = channels // options["heads"]
    out = np.zeros_like(x)
    placed, position = x, options.get("position", "none")
    if position == "absolute":
        placed = x + resampled(weights["position_embedding"], height, width)
    for image in range(batch):
        query, key, value = (
            tokens(placed)[image] @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
            for name in ("query", "key", "value")
        )
        for head in range(options["heads"]):
            own = slice(head * depth, (head + 1) * depth)
            for number, one in enumerate(query[:, own]):
                scores = np.array([one @ other for other in key[:, own]])
                if options["scale"] == "sqrt":
                    scores = scores / math.sqrt(depth)
                if position == "relative":
                    table, row, column = weights["relative_bias"][head], number // width, number % width
                    for other in range(len(scores)):
                        scores[other] += relative_bias(table, other // width - row, other % width - column)
                shares = softmax(scores, axis=0)
                summed = sum(share * row for share, row in zip(shares, value[:, own], strict=True))
                out[image, own, number // width, number % width] = summed
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    positions = {
        "none": 0,
        "absolute": channels * size[0] * size[1],
        "relative": options["heads"] * (2 * size[0] - 1) * (2 * size[1] - 1),
    }
    return int(3 * (channels**2 + channels) + positions[options.get("position", "none")])
