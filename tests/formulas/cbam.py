"""x' = x * sigmoid(MLP(mean over the pixels) + MLP(max)), then x' * sigmoid(conv(mean over the channels, max))."""

import itertools

import numpy as np
from formulas.arrays import Array, Options, Weights, conv, relu, sigmoid

VARIANTS = [
    {"reduction": reduction, "kernel_size": kernel_size}
    for reduction, kernel_size in itertools.product((16, 2), (7, 3, 1))
]
CLAIMS = {"linear_memory"}
REFUSED = [
    *(({"reduction": reduction}, rf"reduction={reduction} must be at least 1$") for reduction in (0, -2)),
    *(({"kernel_size": size}, rf"kernel_size={size} must be odd and at least 1$") for size in (0, 4, -1)),
]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    first, second = weights["reduce.weight"][:, :, 0, 0], weights["expand.weight"][:, :, 0, 0]
    refined = np.zeros_like(x)
    for number, image in enumerate(x):
        score = sum(second @ relu(first @ pooled) for pooled in (image.mean(axis=(1, 2)), image.max(axis=(1, 2))))
        for channel, gate in enumerate(sigmoid(np.asarray(score))):
            refined[number, channel] = gate * image[channel]
    described = np.stack([refined.mean(axis=1), refined.max(axis=1)], axis=1)
    reach = options["kernel_size"] // 2
    return refined * sigmoid(conv(weights, "spatial", described, (reach, reach)))


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return int(2 * channels * max(1, channels // options["reduction"]) + 2 * options["kernel_size"] ** 2)
