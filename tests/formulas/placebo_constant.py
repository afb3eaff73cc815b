"""x * sigmoid(score), a score for each channel."""

from formulas.arrays import Array, Options, Weights, sigmoid

VARIANTS: list[Options] = [{}]
CLAIMS = {"permutation", "shift", "linear_memory"}


def formula(weights: Weights, x: Array, options: Options) -> Array:
    return x * sigmoid(weights["score"])[None, :, None, None]


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return channels
