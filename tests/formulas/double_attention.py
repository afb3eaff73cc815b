"""The outer products of the gathering, summed position by position, then the distribution position by position."""

import itertools

import numpy as np
from formulas.arrays import Array, Options, Weights, conv1x1, softmax

VARIANTS = [{"reduction": reduction} for reduction in (4, 2, 1, 16)]
CLAIMS = {"permutation", "linear_memory"}
REFUSED = [({"reduction": reduction}, f"reduction={reduction} must be at least 1") for reduction in (0, -2)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, _, height, width = x.shape
    positions = list(itertools.product(range(height), range(width)))
    a, b, v = (conv1x1(weights, name, x) for name in ("feature", "gather", "distribute"))
    b = np.exp(b) / np.exp(b).sum(axis=(2, 3), keepdims=True)
    z = np.zeros_like(a)
    for image in range(batch):
        gathered = sum(np.outer(a[image, :, r, c], b[image, :, r, c]) for r, c in positions)
        for r, c in positions:
            z[image, :, r, c] = gathered @ softmax(v[image, :, r, c], axis=0)
    return x + conv1x1(weights, "project", z)


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    inner = max(1, channels // options["reduction"])
    return int(4 * channels * inner + 2 * inner + channels)
