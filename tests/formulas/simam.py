"""x * sigmoid(1 / e), e = 4 (s + l) / ((t - m)^2 + 2 s + 2 l) the energy of an element t: the paper's equations 5 and
6, one element at a time."""

import numpy as np
from formulas.arrays import Array, Options, Weights, sigmoid

VARIANTS = [{"energy_lambda": energy_lambda} for energy_lambda in (1e-4, 0.1, 3.0)]
CLAIMS = {"permutation", "channels", "shift", "linear_memory"}
REFUSED = [
    ({"energy_lambda": energy_lambda}, rf"energy_lambda={energy_lambda} must be above 0$")
    for energy_lambda in (0.0, -1.0, float("nan"))
]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    extra = options["energy_lambda"]
    out = np.zeros_like(x)
    for image, channel in np.ndindex(*x.shape[:2]):
        elements = x[image, channel]
        mean, variance = np.mean(elements), np.var(elements)
        for place in np.ndindex(*elements.shape):
            energy = 4 * (variance + extra) / ((elements[place] - mean) ** 2 + 2 * variance + 2 * extra)
            out[image, channel][place] = elements[place] * sigmoid(1 / energy)
    return out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 0
