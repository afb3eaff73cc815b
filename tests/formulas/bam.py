"""x + x * sigmoid(BN(MLP(mean(x))) + BN(f3(f2(f1(f0(x)))))), f1 and f2 dilated."""

import itertools

from formulas.arrays import Array, Options, Weights, batch_norm, conv, conv1x1, relu, sigmoid

VARIANTS = [
    {"reduction": reduction, "dilation": dilation} for reduction, dilation in itertools.product((16, 2), (4, 1, 2))
]
CLAIMS = {"linear_memory"}
REFUSED = [
    ({name: value}, rf"{name}={value} must be at least 1$")
    for name, value in itertools.product(("reduction", "dilation"), (0, -2))
]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    d = options["dilation"]
    hidden = relu(conv1x1(weights, "channel.1", x.mean(axis=(2, 3), keepdims=True)))
    channel = batch_norm(weights, "channel.4", conv1x1(weights, "channel.3", hidden))
    f0 = relu(conv1x1(weights, "spatial.0", x))
    f1 = relu(conv(weights, "spatial.2", f0, (d, d), dilation=d))
    f2 = relu(conv(weights, "spatial.4", f1, (d, d), dilation=d))
    spatial = batch_norm(weights, "spatial.7", conv1x1(weights, "spatial.6", f2))
    return x + x * sigmoid(channel + spatial)


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    middle = max(1, channels // options["reduction"])
    channel = (channels * middle + middle) + middle * channels + 2 * channels
    spatial = (channels * middle + middle) + 2 * (9 * middle**2 + middle) + middle + 2
    return int(channel + spatial)
