"""x[c, i, j] * sigmoid(W relu(rows[i] + columns[j]) + b)[c], one pixel at a time."""

import numpy as np
from formulas.arrays import Array, Options, Weights, batch_norm, relu, sigmoid

VARIANTS: list[Options] = [{}]
CLAIMS = {"linear_memory"}


def strip(means: Array, taps: Array) -> Array:
    """Convolve (batch, channels, length) with (out, in, 3); beyond its ends it is zero."""
    length = means.shape[2]
    out = np.zeros((means.shape[0], taps.shape[0], length))
    for place in range(length):
        for tap in range(3):
            if 0 <= place + tap - 1 < length:
                out[:, :, place] += means[:, :, place + tap - 1] @ taps[:, :, tap].T
    return out


def formula(weights: Weights, x: Array, options: Options) -> Array:
    rows = batch_norm(weights, "norm_rows", strip(x.mean(axis=3), weights["conv_rows.weight"][:, :, :, 0]))
    columns = batch_norm(weights, "norm_columns", strip(x.mean(axis=2), weights["conv_columns.weight"][:, :, 0, :]))
    out = np.zeros_like(x)
    for row, column in np.ndindex(*x.shape[2:]):
        both = relu(rows[:, :, row] + columns[:, :, column])
        score = both @ weights["fuse.weight"][:, :, 0, 0].T + weights["fuse.bias"]
        out[:, :, row, column] = x[:, :, row, column] * sigmoid(score)
    return out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 2 * 3 * channels**2 + 2 * 2 * channels + channels**2 + channels
