"""x * (1 + tanh(gamma s / rms(s) + beta)) with s = alpha |x|, one image after the other."""

import numpy as np
from formulas.arrays import Array, Options, Weights

VARIANTS: list[Options] = [{}]
CLAIMS = {"permutation", "shift", "starts_as_identity", "linear_memory"}


def formula(weights: Weights, x: Array, options: Options) -> Array:
    out = np.zeros_like(x)
    for number, image in enumerate(x):
        lengths = [weights["alpha"][c] * np.sqrt((channel**2).sum() + 1e-5) for c, channel in enumerate(image)]
        total = np.sqrt(sum(length**2 for length in lengths) + 1e-5)
        for c, channel in enumerate(image):
            relative = np.sqrt(len(lengths)) * lengths[c] / total
            out[number, c] = channel * (1 + np.tanh(weights["gamma"][c] * relative + weights["beta"][c]))
    return out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 3 * channels
