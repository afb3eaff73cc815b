"""x * relu6(W mean(x) + b + 3) / 6, one image at a time."""

import numpy as np
from formulas.arrays import Array, Options, Weights

VARIANTS: list[Options] = [{}]
CLAIMS = {"permutation", "shift", "linear_memory"}


def formula(weights: Weights, x: Array, options: Options) -> Array:
    out = []
    for image in x:
        score = weights["conv.weight"][:, :, 0, 0] @ image.mean(axis=(1, 2)) + weights["conv.bias"]
        gates = np.clip(score + 3, 0, 6) / 6
        out.append([channel * gate for channel, gate in zip(image, gates, strict=True)])
    return np.array(out)


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return channels**2 + channels
