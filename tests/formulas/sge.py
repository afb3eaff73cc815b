"""Each pixel's product with its group's mean, standardised over the map, scaled, shifted and put through a sigmoid."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, sigmoid

VARIANTS = [{"groups": groups} for groups in (None, 1, 2, 4)]
CLAIMS = {"permutation", "shift", "linear_memory"}
REFUSED = [({"groups": groups}, rf"groups={groups} .*6 channels.*choose from 1, 2, 3, 6$") for groups in (0, -1, 4, 12)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, height, width = x.shape
    groups = options["groups"] or math.gcd(channels, 16)
    depth = channels // groups
    out = np.zeros_like(x)
    for image, group in np.ndindex(batch, groups):
        own = x[image, group * depth : (group + 1) * depth]
        mean = np.array([channel.mean() for channel in own])
        likeness = np.array([[mean @ own[:, row, column] for column in range(width)] for row in range(height)])
        variance = ((likeness - likeness.mean()) ** 2).sum() / (height * width)
        normed = (likeness - likeness.mean()) / math.sqrt(variance + 1e-5)
        gate = sigmoid(weights["gamma"][group] * normed + weights["beta"][group])
        out[image, group * depth : (group + 1) * depth] = own * gate
    return out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return int(2 * (options["groups"] or math.gcd(channels, 16)))
