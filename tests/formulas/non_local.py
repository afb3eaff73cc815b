"""y_i = sum_j f(x_i, x_j) g(x_j) / C(x), pair by pair; z_i = BatchNorm(W_z y_i) + x_i."""

import itertools

import numpy as np
from formulas.arrays import Array, Options, Weights, batch_norm, tokens

PAIRINGS = ("gaussian", "embedded_gaussian", "dot_product", "concatenation")
VARIANTS = [
    {"pairing": pairing, "reduction": reduction} for pairing, reduction in itertools.product(PAIRINGS, (2, 16, 1))
]
CLAIMS = {"permutation", "linear_memory", "starts_as_identity"}
REFUSED = [({"reduction": reduction}, f"reduction={reduction} must be at least 1") for reduction in (0, -2)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    pairing = options["pairing"]

    def linear(name: str, one: Array) -> Array:
        return weights[f"{name}.weight"] @ one + weights[f"{name}.bias"]

    def pair(one: Array, other: Array) -> float:
        if pairing == "gaussian":
            return float(np.exp(one @ other))
        theta, phi = linear("query", one), linear("key", other)
        if pairing == "embedded_gaussian":
            return float(np.exp(theta @ phi))
        if pairing == "dot_product":
            return float(theta @ phi)
        both = np.concatenate([weights["query_score.weight"][0], weights["key_score.weight"][0]])
        return max(0.0, float(both @ np.concatenate([theta, phi])))

    expanded = np.zeros_like(x)
    for image, pixels in enumerate(tokens(x)):
        for number, one in enumerate(pixels):
            factors = [pair(one, other) for other in pixels]
            normaliser = sum(factors) if "gaussian" in pairing else len(factors)
            y = sum(f * linear("value", other) for f, other in zip(factors, pixels, strict=True)) / normaliser
            row, column = divmod(number, x.shape[3])
            expanded[image, :, row, column] = weights["project.weight"][:, :, 0, 0] @ y
    return batch_norm(weights, "norm", expanded) + x


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    inner = max(1, channels // options["reduction"])
    count = 4 * channels * inner + 3 * inner + 2 * channels
    extra = {"gaussian": -2 * (channels + 1) * inner, "concatenation": 2 * inner}
    return int(count + extra.get(options["pairing"], 0))
