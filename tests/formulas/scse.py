"""x gated by channel and x gated by pixel, added or the larger."""

import itertools

import numpy as np
from formulas.arrays import Array, Options, Weights, relu, sigmoid

VARIANTS = [
    {"reduction": reduction, "combine": combine} for reduction, combine in itertools.product((2, 16, 1), ("add", "max"))
]
CLAIMS = {"permutation", "shift", "linear_memory"}
REFUSED = [({"reduction": reduction}, rf"reduction={reduction} must be at least 1$") for reduction in (0, -2)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    first, second = weights["reduce.weight"][:, :, 0, 0], weights["expand.weight"][:, :, 0, 0]
    by_channel, by_pixel = np.zeros_like(x), np.zeros_like(x)
    for number, image in enumerate(x):
        hidden = relu(first @ image.mean(axis=(1, 2)) + weights["reduce.bias"])
        for channel, gate in enumerate(sigmoid(second @ hidden + weights["expand.bias"])):
            by_channel[number, channel] = gate * image[channel]
        for row, column in np.ndindex(*image.shape[1:]):
            pixel = image[:, row, column]
            score = weights["spatial.weight"][0, :, 0, 0] @ pixel + weights["spatial.bias"][0]
            by_pixel[number, :, row, column] = pixel * sigmoid(score)
    return by_channel + by_pixel if options["combine"] == "add" else np.maximum(by_channel, by_pixel)


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    middle = max(1, channels // options["reduction"])
    return int(2 * channels * middle + middle + channels + channels + 1)
