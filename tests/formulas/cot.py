"""K1 by a convolution, K2 by the weights of each pixel, one pixel at a time, and the softmax between the two."""

import itertools
import math

import numpy as np
from formulas.arrays import Array, Options, Weights, batch_norm, conv, conv1x1, relu, sigmoid, softmax

VARIANTS = [
    {"kernel_size": 3, "share": None},
    {"kernel_size": 3, "share": 2},
    {"kernel_size": 5, "share": 4},
    {"kernel_size": 1, "share": 1},
]
CLAIMS = {"linear_memory"}
REFUSED = [
    *(({"share": share}, rf"share={share} .*6 channels.*choose from 1, 2, 3, 6$") for share in (0, -1, 4, 12)),
    *(({"kernel_size": size}, rf"kernel_size={size} must be odd and at least 1$") for size in (0, 4, -1)),
]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, height, width = x.shape
    side, share = options["kernel_size"], options["share"] or math.gcd(channels, 8)
    heads, reach, area = channels // share, side // 2, side**2
    groups = math.gcd(channels, 4)
    static = relu(batch_norm(weights, "static.1", conv(weights, "static.0", x, (reach, reach), groups=groups)))
    both = np.concatenate([x, static], axis=1)
    hidden = relu(batch_norm(weights, "theta.1", conv1x1(weights, "theta.0", both)))
    local = conv1x1(weights, "delta", hidden).reshape(batch, heads, area, height, width)
    centred = local - local.mean(axis=(2, 3, 4), keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(axis=(2, 3, 4), keepdims=True) + 1e-5)
    scale, shift = (weights[f"weight_norm.{name}"].reshape(1, heads, area, 1, 1) for name in ("weight", "bias"))
    local = scale * normed + shift
    value = batch_norm(weights, "value.1", conv1x1(weights, "value.0", x))
    summed = np.zeros_like(x)
    for channel, row, column in np.ndindex(channels, height, width):
        for number, (down, right) in enumerate(itertools.product(range(-reach, reach + 1), repeat=2)):
            if 0 <= row + down < height and 0 <= column + right < width:
                weight = local[:, channel // share, number, row, column]
                summed[:, channel, row, column] += weight * value[:, channel, row + down, column + right]
    dynamic = batch_norm(weights, "norm", summed)
    dynamic = dynamic * sigmoid(dynamic)
    squeezed = (static + dynamic).mean(axis=(2, 3), keepdims=True)
    chosen = relu(batch_norm(weights, "select.1", conv1x1(weights, "select.0", squeezed)))
    shares = softmax(conv1x1(weights, "select.3", chosen).reshape(batch, 2, channels, 1, 1), axis=1)
    return shares[:, 0] * static + shares[:, 1] * dynamic


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    area, heads = options["kernel_size"] ** 2, channels // (options["share"] or math.gcd(channels, 8))
    middle, between = max(1, channels // 2), max(32, channels // 2)
    static = area * channels**2 // math.gcd(channels, 4) + 2 * channels
    weighing = 2 * channels * middle + 2 * middle + (middle + 1) * area * heads + 2 * area * heads
    value = channels**2 + 2 * channels
    select = (channels + 1) * between + 2 * between + (between + 1) * 2 * channels
    return int(static + weighing + value + 2 * channels + select)
