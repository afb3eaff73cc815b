"""The identity."""

from formulas.arrays import Array, Options, Weights

VARIANTS: list[Options] = [{}]
CLAIMS = {"permutation", "channels", "shift", "starts_as_identity", "linear_memory"}


def formula(weights: Weights, x: Array, options: Options) -> Array:
    return x


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 0
