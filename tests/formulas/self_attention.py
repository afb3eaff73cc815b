"""softmax(Q K^T / scale + B) V over the pixels, and what may stand for softmax: a query at a time, a head at a time."""

import itertools
import math
from collections.abc import Callable

import numpy as np
from formulas.arrays import Array, Options, Weights, sigmoid, softmax, tokens

NORMALIZERS = ("softmax", "softmax1", "sigmoid", "softpick", "sparsemax", "entmax")

VARIANTS = [
    {"heads": heads, "scale": scale, "residual": residual}
    for heads, scale, residual in itertools.product((1, 2), ("sqrt", "none"), (True, False))
] + [
    {"position": position, "heads": heads, "residual": heads == 1}
    for position, heads in itertools.product(("absolute", "relative"), (1, 2))
]
VARIANTS += [
    *({"normalize": normalize, "heads": 2} for normalize in NORMALIZERS if normalize != "softmax"),
    {"sinks": True, "heads": 2},
    {"gate": "element", "heads": 2},
    {"gate": "head", "heads": 2},
    {"log_n": True, "heads": 2},
    {"qk_norm": True, "heads": 2},
    {"sinks": True, "position": "relative", "scale": "none", "log_n": True, "qk_norm": True, "heads": 2},
    {"normalize": "softmax1", "position": "relative", "log_n": True, "gate": "head", "residual": False, "heads": 4},
    {"normalize": "entmax", "position": "relative", "qk_norm": True, "gate": "element", "log_n": True, "heads": 4},
]
CLAIMS = {"permutation", "shift", "linear_memory"}
REFUSED: list[tuple[Options, str]] = [
    ({"heads": heads}, rf"heads={heads} .*6 channels.*choose from 1, 2, 3, 6$") for heads in (0, -1, 4, 5, 12)
]
REFUSED += [
    ({"sinks": True, "normalize": normalize}, "sinks=true takes normalize=softmax only")
    for normalize in ("softmax1", "sigmoid", "entmax")
]


def claims(options: Options) -> set[str]:
    """Return which of CLAIMS hold with these options."""
    of_position = {"none": CLAIMS, "absolute": {"linear_memory"}, "relative": set()}[options["position"]]
    return of_position - (set() if options["normalize"] in ("softmax", "softmax1") else {"linear_memory"})


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


def over_sink(scores: Array, sink: float) -> Array:
    return np.exp(scores) / (np.exp(sink) + np.exp(scores).sum())


def above(scores: Array, power: int) -> Array:
    """max(s - t, 0)^power, with the t for which they sum to one, found by bisection."""
    low, high = scores.min() - 1, scores.max()
    for _ in range(200):
        middle = (low + high) / 2
        if (np.maximum(scores - middle, 0) ** power).sum() > 1:
            low = middle
        else:
            high = middle
    return np.maximum(scores - high, 0) ** power


def softpick(scores: Array) -> Array:
    raised = np.exp(scores) - 1
    return np.maximum(raised, 0) / (np.abs(raised).sum() + 1e-8)


NORMALIZED: dict[str, Callable[[Array], Array]] = {
    "softmax": lambda scores: softmax(scores, axis=0),
    "softmax1": lambda scores: over_sink(scores, 0),
    "sigmoid": lambda scores: sigmoid(scores - np.log(len(scores))),
    "softpick": softpick,
    "sparsemax": lambda scores: above(scores, 1),
    "entmax": lambda scores: above(scores / 2, 2),
}


def brought_to_size(vectors: Array, weight: Array) -> Array:
    return vectors / np.sqrt((vectors**2).mean(axis=1, keepdims=True) + 1e-6) * weight


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
            queries, keys = query[:, own], key[:, own]
            if options.get("qk_norm"):
                queries, keys = (
                    brought_to_size(vectors, weights[f"{name}_norm"])
                    for name, vectors in (("query", queries), ("key", keys))
                )
            for number, one in enumerate(queries):
                scores = np.array([one @ other for other in keys])
                if options["scale"] == "sqrt":
                    scores = scores / math.sqrt(depth)
                if position == "relative":
                    table, row, column = weights["relative_bias"][head], number // width, number % width
                    for other in range(len(scores)):
                        scores[other] += relative_bias(table, other // width - row, other % width - column)
                if options.get("log_n"):
                    scores = scores * weights["log_scale"][head] * math.log(height * width)
                if options.get("sinks"):
                    shares = over_sink(scores, weights["sinks"][head])
                else:
                    shares = NORMALIZED[options.get("normalize", "softmax")](scores)
                summed = sum(share * row for share, row in zip(shares, value[:, own], strict=True))
                place = number // width, number % width
                gate = options.get("gate", "none")
                if gate != "none":
                    factors = sigmoid(weights["gate.weight"] @ placed[image][(slice(None), *place)])
                    summed = summed * (factors[own] if gate == "element" else factors[head])
                out[(image, own, *place)] = summed
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    positions = {
        "none": 0,
        "absolute": channels * size[0] * size[1],
        "relative": options["heads"] * (2 * size[0] - 1) * (2 * size[1] - 1),
    }
    heads = options["heads"]
    others = {
        "gate": {"none": 0, "element": channels**2, "head": channels * heads}[options.get("gate", "none")],
        "sinks": heads * options.get("sinks", False),
        "log_n": heads * options.get("log_n", False),
        "qk_norm": 2 * (channels // heads) * options.get("qk_norm", False),
    }
    return int(3 * (channels**2 + channels) + positions[options.get("position", "none")] + sum(others.values()))
