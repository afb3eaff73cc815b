"""x * sigmoid(conv1(x) * conv2(x)), of the article."""

import itertools

from formulas.arrays import Array, Options, Weights, conv1x1, sigmoid

VARIANTS = [
    {"per": per, "branches": branches} for per, branches in itertools.product(("element", "pixel", "channel"), (2, 1))
]
CLAIMS = {"permutation", "linear_memory"}


def formula(weights: Weights, x: Array, options: Options) -> Array:
    seen = x.mean(axis=(2, 3), keepdims=True) if options["per"] == "channel" else x
    score = conv1x1(weights, "conv1", seen)
    if options["branches"] == 2:
        score = score * conv1x1(weights, "conv2", seen)
    return x * sigmoid(score)


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    gates = 1 if options["per"] == "pixel" else channels
    return int(options["branches"] * (channels + 1) * gates)
