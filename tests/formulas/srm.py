"""x * sigmoid(norm(a mean(x) + b std(x))), one channel at a time."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, batch_norm, sigmoid

VARIANTS: list[Options] = [{}]
CLAIMS = {"permutation", "shift", "linear_memory"}


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, height, width = x.shape
    score = np.zeros((batch, channels))
    for image in range(batch):
        for channel in range(channels):
            values = x[image, channel].ravel()
            mean = sum(values) / (height * width)
            variance = sum((value - mean) ** 2 for value in values) / (height * width)
            of_mean, of_deviation = weights["style.weight"][channel, 0, 0]
            score[image, channel] = of_mean * mean + of_deviation * math.sqrt(variance + 1e-5)
    return x * sigmoid(batch_norm(weights, "norm", score))[:, :, None, None]


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 4 * channels
