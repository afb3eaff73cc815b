"""The position shares, the context, the bottleneck: one image at a time, one position at a time."""

import itertools

import numpy as np
from formulas.arrays import Array, Options, Weights, relu, sigmoid, softmax

VARIANTS = [
    {"reduction": reduction, "fusion": fusion} for reduction, fusion in itertools.product((16, 1), ("add", "multiply"))
]
CLAIMS = {"permutation", "linear_memory"}
REFUSED = [({"reduction": reduction}, f"reduction={reduction} must be at least 1") for reduction in (0, -2)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    out = np.zeros_like(x)
    batch, channels, height, width = x.shape
    positions = list(itertools.product(range(height), range(width)))
    for image in range(batch):
        scores = [(weights["score.weight"][0, :, 0, 0] * x[image, :, r, c]).sum() for r, c in positions]
        shares = softmax(np.array(scores), axis=0)
        context = np.zeros(channels)
        for share, (r, c) in zip(shares, positions, strict=True):
            context += share * x[image, :, r, c]
        hidden = weights["reduce.weight"] @ context + weights["reduce.bias"]
        hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5)
        hidden = relu(hidden * weights["norm.weight"] + weights["norm.bias"])
        change = weights["expand.weight"] @ hidden + weights["expand.bias"]
        for r, c in positions:
            one = x[image, :, r, c]
            out[image, :, r, c] = one + change if options["fusion"] == "add" else one * sigmoid(change)
    return out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    inner = max(min(4, channels), channels // options["reduction"])
    return int(2 * channels * inner + 2 * channels + 3 * inner)
