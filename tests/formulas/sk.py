"""Split into dilated convolutions, fuse their means into z, select by a softmax over them, channel by channel."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, batch_norm, conv, relu, softmax

VARIANTS = [
    {"branches": 2, "groups": None, "reduction": 16},
    {"branches": 3, "groups": 2, "reduction": 1},
    {"branches": 2, "groups": 1, "reduction": 4},
]
CLAIMS = {"linear_memory"}
REFUSED = [
    *(({"groups": groups}, rf"groups={groups} .*6 channels.*choose from 1, 2, 3, 6$") for groups in (0, -1, 4, 12)),
    *(({"branches": branches}, rf"branches={branches} must be at least 2$") for branches in (1, 0)),
    ({"reduction": 0}, r"reduction=0 must be at least 1$"),
]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    channels = x.shape[1]
    groups = options["groups"] or math.gcd(channels, 32)
    maps = []
    for number in range(options["branches"]):
        reach = number + 1
        convolved = conv(weights, f"branches.{number}.0", x, (reach, reach), dilation=reach, groups=groups)
        maps.append(relu(batch_norm(weights, f"branches.{number}.1", convolved)))
    squeezed = np.sum(maps, axis=0).mean(axis=(2, 3))
    z = relu(batch_norm(weights, "norm", squeezed @ weights["reduce.weight"][:, :, 0, 0].T))
    out = np.zeros_like(x)
    for image, channel in np.ndindex(*x.shape[:2]):
        vectors = [weights["select.weight"][number * channels + channel, :, 0, 0] for number in range(len(maps))]
        shares = softmax(np.array([vector @ z[image] for vector in vectors]), axis=0)
        out[image, channel] = sum(share * each[image, channel] for share, each in zip(shares, maps, strict=True))
    return out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    between = max(32, channels // options["reduction"])
    branch = 9 * channels**2 // (options["groups"] or math.gcd(channels, 32)) + 2 * channels
    return int(
        options["branches"] * branch + channels * between + 2 * between + options["branches"] * between * channels
    )
