"""What the formulas share: functions on numpy arrays, written as in the textbook."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Weights = dict[str, Array]
Options = dict[str, Any]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def softmax(x: Array, axis: int) -> Array:
    raised = np.exp(x - x.max(axis=axis, keepdims=True))
    return raised / raised.sum(axis=axis, keepdims=True)


def conv1x1(weights: Weights, name: str, x: Array) -> Array:
    """A 1x1 convolution called `name`, with its bias where it has one, on (batch, channels, height, width)."""
    out = np.einsum("oc,bchw->bohw", weights[f"{name}.weight"][:, :, 0, 0], x)
    return out + weights[f"{name}.bias"][None, :, None, None] if f"{name}.bias" in weights else out


def conv(weights: Weights, name: str, x: Array, padding: tuple[int, int], dilation: int = 1, groups: int = 1) -> Array:
    """A convolution of stride 1 with zero padding, one output element at a time."""
    filters = weights[f"{name}.weight"]  # (out, in / groups, rows, columns)
    batch, _, height, width = x.shape
    outs, ins, rows, columns = filters.shape
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    high = height + 2 * padding[0] - dilation * (rows - 1)
    wide = width + 2 * padding[1] - dilation * (columns - 1)
    out = np.zeros((batch, outs, high, wide))
    for o in range(outs):
        first = o // (outs // groups) * ins
        for r in range(high):
            for c in range(wide):
                patch = padded[
                    :,
                    first : first + ins,
                    r : r + dilation * (rows - 1) + 1 : dilation,
                    c : c + dilation * (columns - 1) + 1 : dilation,
                ]
                out[:, o, r, c] = (patch * filters[o]).sum(axis=(1, 2, 3))
    return out + weights[f"{name}.bias"][None, :, None, None] if f"{name}.bias" in weights else out


def batch_norm(weights: Weights, name: str, x: Array, eps: float = 1e-5) -> Array:
    """Batch normalisation in evaluation, of (batch, channels, ...)."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, variance = weights[f"{name}.running_mean"].reshape(shape), weights[f"{name}.running_var"].reshape(shape)
    scaled = (x - mean) / np.sqrt(variance + eps)
    return scaled * weights[f"{name}.weight"].reshape(shape) + weights[f"{name}.bias"].reshape(shape)


def tokens(x: Array) -> Array:
    """(batch, channels, height, width) to (batch, height * width, channels)."""
    return x.reshape(*x.shape[:2], -1).transpose(0, 2, 1)
