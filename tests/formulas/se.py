"""x * sigmoid(W2 relu(W1 mean(x) + b1) + b2), one image at a time."""

import numpy as np
from formulas.arrays import Array, Options, Weights, relu, sigmoid

VARIANTS = [{"reduction": reduction} for reduction in (16, 2, 3, 1)]
CLAIMS = {"permutation", "shift", "linear_memory"}
REFUSED = [({"reduction": reduction}, rf"reduction={reduction} must be at least 1$") for reduction in (0, -2)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    first, second = weights["reduce.weight"][:, :, 0, 0], weights["expand.weight"][:, :, 0, 0]
    out = []
    for image in x:
        squeezed = np.array([channel.mean() for channel in image])
        hidden = relu(first @ squeezed + weights["reduce.bias"])
        gates = sigmoid(second @ hidden + weights["expand.bias"])
        out.append([channel * gate for channel, gate in zip(image, gates, strict=True)])
    return np.array(out)


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    middle = max(1, channels // options["reduction"])
    return int(2 * channels * middle + middle + channels)
