"""One channel at a time: in the first half of its group gated by its mean, in the second by its own standardised map;
then channel j of the first half of all goes to place 2 j, channel j of the second to 2 j + 1."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, sigmoid

VARIANTS = [{"groups": groups} for groups in (None, 1, 2)]
CLAIMS = {"permutation", "shift", "linear_memory"}
REFUSED = [
    ({"groups": groups}, rf"groups={groups} .*3 channels of half the map; choose from 1, 3$")
    for groups in (0, -1, 2, 6)
]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    channels = x.shape[1]
    half = channels // 2 // (options["groups"] or math.gcd(channels // 2, 16))
    gated = np.zeros_like(x)
    for image, channel in np.ndindex(*x.shape[:2]):
        values = x[image, channel]
        place, in_second = channel % half, channel // half % 2 == 1
        if in_second:
            variance = ((values - values.mean()) ** 2).mean()
            normed = (values - values.mean()) / math.sqrt(variance + 1e-5)
            score = weights["spatial_weight"][place, 0, 0] * normed + weights["spatial_bias"][place, 0, 0]
        else:
            score = weights["channel_weight"][place, 0, 0] * values.mean() + weights["channel_bias"][place, 0, 0]
        gated[image, channel] = values * sigmoid(score)
    out = np.zeros_like(x)
    for channel in range(channels // 2):
        out[:, 2 * channel] = gated[:, channel]
        out[:, 2 * channel + 1] = gated[:, channels // 2 + channel]
    return out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return int(2 * channels // (options["groups"] or math.gcd(channels // 2, 16)))
