"""x * sigmoid(the means, convolved along the channels), one channel at a time."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, sigmoid

VARIANTS = [{"kernel_size": kernel_size} for kernel_size in (None, 1, 3, 5, 19)]
CLAIMS = {"permutation", "shift", "linear_memory"}
REFUSED = [
    ({"kernel_size": kernel_size}, rf"kernel_size={kernel_size} must be odd and at least 1$")
    for kernel_size in (0, 2, 4, -1)
]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    taps = weights["conv.weight"].ravel()
    reach = len(taps) // 2
    out = np.zeros_like(x)
    for number, image in enumerate(x):
        means = image.mean(axis=(1, 2))
        for channel in range(len(means)):
            score = 0.0
            for offset in range(-reach, reach + 1):
                if 0 <= channel + offset < len(means):
                    score += taps[offset + reach] * means[channel + offset]
            out[number, channel] = image[channel] * sigmoid(np.array(score))
    return out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    if options["kernel_size"] is not None:
        return int(options["kernel_size"])
    wanted = (math.log2(channels) + 1) / 2
    return min(range(1, 99, 2), key=lambda taps: (abs(taps - wanted), -taps))
