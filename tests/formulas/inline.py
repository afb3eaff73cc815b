"""Weights of pairs of pixels that sum to one by subtraction, and nine numbers for neighbours from the mean token."""

import itertools
import math

import numpy as np
from formulas.arrays import Array, Options, Weights, tokens

VARIANTS = [{"heads": heads, "residual": residual} for heads, residual in itertools.product((1, 2, 4), (True, False))]
CLAIMS = {"linear_memory"}
REFUSED = [({"heads": heads}, rf"heads={heads} .*6 channels.*choose from 1, 2, 3, 6$") for heads in (0, -1, 4, 12)]


def grouped(weights: Weights, name: str, token: Array, heads: int) -> Array:
    """A linear layer in which each head's share of the outputs sees that head's share of the inputs alone."""
    matrix = weights[f"{name}.weight"][:, :, 0, 0]
    parts = zip(np.split(matrix, heads), np.split(token, heads), strict=True)
    return np.concatenate([part @ share for part, share in parts]) + weights[f"{name}.bias"]


def gelu(x: Array) -> Array:
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, height, width = x.shape
    heads, count = options["heads"], height * width
    depth = channels // heads
    out = np.zeros_like(x)
    for image in range(batch):
        pixels = tokens(x)[image]
        query = pixels @ weights["query.weight"].T + weights["query.bias"]
        key = pixels @ weights["key.weight"].T
        value = pixels @ weights["value.weight"].T + weights["value.bias"]
        attended = np.zeros_like(pixels)
        for head in range(heads):
            own = slice(head * depth, (head + 1) * depth)
            products = query[:, own] @ key[:, own].T / (math.sqrt(depth) * count)
            pairs = products - products.mean(axis=1, keepdims=True) + 1 / count
            np.testing.assert_allclose(pairs.sum(axis=1), 1)
            attended[:, own] = pairs @ value[:, own]
        hidden = gelu(grouped(weights, "local1", pixels.mean(axis=0), heads))
        filters = grouped(weights, "local2", hidden, heads).reshape(channels, 3, 3)
        padded = np.pad(value.T.reshape(channels, height, width), ((0, 0), (1, 1), (1, 1)))
        for number in range(count):
            row, column = divmod(number, width)
            attended[number] += (filters * padded[:, row : row + 3, column : column + 3]).sum(axis=(1, 2))
        out[image] = (attended @ weights["project.weight"].T + weights["project.bias"]).T.reshape(x.shape[1:])
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 4 * channels**2 + 13 * channels + 10 * channels**2 // int(options["heads"])
