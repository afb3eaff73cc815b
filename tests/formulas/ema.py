"""The two branches of a group, one image at a time, and the softmax of each branch's means times the other."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, conv, sigmoid, softmax

VARIANTS = [{"groups": groups} for groups in (None, 1, 2, 4)]
CLAIMS = {"linear_memory"}
REFUSED = [({"groups": groups}, rf"groups={groups} .*6 channels.*choose from 1, 2, 3, 6$") for groups in (0, -1, 4, 12)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, height, width = x.shape
    groups = options["groups"] or math.gcd(channels, 8)
    depth = channels // groups
    filters, bias = weights["strips.weight"][:, :, 0, 0], weights["strips.bias"]
    out = np.zeros_like(x)
    for image, group in np.ndindex(batch, groups):
        own = x[image, group * depth : (group + 1) * depth]
        u = own.copy()
        for row in range(height):
            u[:, row, :] *= sigmoid(filters @ own[:, row, :].mean(axis=1) + bias)[:, None]
        for column in range(width):
            u[:, :, column] *= sigmoid(filters @ own[:, :, column].mean(axis=1) + bias)[:, None]
        for channel in range(depth):
            centred = u[channel] - u[channel].mean()
            normed = centred / math.sqrt((centred**2).mean() + 1e-5)
            u[channel] = weights["norm.weight"][channel] * normed + weights["norm.bias"][channel]
        v = conv(weights, "local", own[None], (1, 1))[0]
        score = np.zeros((height, width))
        for first, second in ((u, v), (v, u)):
            shares = softmax(first.mean(axis=(1, 2)), axis=0)
            score += sum(share * channel for share, channel in zip(shares, second, strict=True))
        out[image, group * depth : (group + 1) * depth] = own * sigmoid(score)
    return out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    depth = channels // (options["groups"] or math.gcd(channels, 8))
    return (depth**2 + depth) + 2 * depth + (9 * depth**2 + depth)
