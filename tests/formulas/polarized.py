"""A_ch = sigmoid(LN(W_z (V softmax(q)))), A_sp = sigmoid(softmax(mean(Q)) V); added or in turn."""

import numpy as np
from formulas.arrays import Array, Options, Weights, conv1x1, sigmoid, softmax

VARIANTS = [{"order": order} for order in ("parallel", "sequential")]
CLAIMS = {"permutation", "shift", "linear_memory"}


def channel_gated(weights: Weights, x: Array) -> Array:
    value, query = conv1x1(weights, "channel_value", x), conv1x1(weights, "channel_query", x)
    out = np.zeros_like(x)
    for image in range(len(x)):
        shares = softmax(query[image, 0].ravel(), axis=0).reshape(x.shape[2:])
        gathered = np.array([(each * shares).sum() for each in value[image]])
        score = weights["channel_expand.weight"][:, :, 0, 0] @ gathered
        normed = (score - score.mean()) / np.sqrt(((score - score.mean()) ** 2).mean() + 1e-5)
        gates = sigmoid(weights["channel_norm.weight"] * normed + weights["channel_norm.bias"])
        out[image] = x[image] * gates[:, None, None]
    return out


def spatial_gated(weights: Weights, x: Array) -> Array:
    value, query = conv1x1(weights, "spatial_value", x), conv1x1(weights, "spatial_query", x)
    out = np.zeros_like(x)
    for image in range(len(x)):
        shares = softmax(query[image].mean(axis=(1, 2)), axis=0)
        for row, column in np.ndindex(*x.shape[2:]):
            out[image, :, row, column] = x[image, :, row, column] * sigmoid(shares @ value[image, :, row, column])
    return out


def formula(weights: Weights, x: Array, options: Options) -> Array:
    if options["order"] == "parallel":
        return channel_gated(weights, x) + spatial_gated(weights, x)
    return spatial_gated(weights, channel_gated(weights, x))


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    middle = max(1, channels // 2)
    return channels + 2 * channels * middle + 2 * channels + 2 * channels * middle
