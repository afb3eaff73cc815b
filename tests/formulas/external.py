"""A = Norm(F M_k^T), F_out = A M_v: a softmax over the positions, then the l1 norm over the memory."""

import numpy as np
from formulas.arrays import Array, Options, Weights, softmax, tokens

VARIANTS = [{"memory": memory} for memory in (64, 1, 5)]
CLAIMS = {"permutation", "linear_memory"}
REFUSED = [({"memory": memory}, f"memory={memory} must be at least 1") for memory in (0, -1)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    keys, values = weights["memory_key.weight"], weights["memory_value.weight"].T  # (memory, channels)
    out = np.zeros_like(x)
    for image, pixels in enumerate(tokens(x)):
        features = np.array([weights["query.weight"] @ pixel for pixel in pixels])
        shares = np.array([softmax(features @ unit, axis=0) for unit in keys])  # (memory, n)
        shares = shares / np.abs(shares).sum(axis=0)
        for number in range(len(pixels)):
            read = sum(share * unit for share, unit in zip(shares[:, number], values, strict=True))
            row, column = divmod(number, x.shape[3])
            out[image, :, row, column] = weights["project.weight"] @ read + weights["project.bias"]
    return x + out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return int(2 * channels**2 + 2 * channels * options["memory"] + channels)
