"""x[c, i, j] * sigmoid(rows[c, i]) * sigmoid(columns[c, j]), a row and a column at a time."""

import numpy as np
from formulas.arrays import Array, Options, Weights, batch_norm, sigmoid

VARIANTS = [{"reduction": reduction} for reduction in (32, 1, 2)]
CLAIMS = {"shift", "linear_memory"}
REFUSED = [({"reduction": reduction}, rf"reduction={reduction} must be at least 1$") for reduction in (0, -2)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    def gates(means: Array, name: str) -> Array:
        reduced = batch_norm(weights, "norm", means @ weights["reduce.weight"][:, :, 0, 0].T)
        active = reduced * np.clip(reduced + 3, 0, 6) / 6
        return sigmoid(active @ weights[f"{name}.weight"][:, :, 0, 0].T + weights[f"{name}.bias"])

    out = x.copy()
    for row in range(x.shape[2]):
        out[:, :, row, :] *= gates(x[:, :, row, :].mean(axis=2), "expand_rows")[:, :, None]
    for column in range(x.shape[3]):
        out[:, :, :, column] *= gates(x[:, :, :, column].mean(axis=2), "expand_columns")[:, :, None]
    return out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    middle = max(8, channels // options["reduction"])
    return int(3 * channels * middle + 2 * middle + 2 * channels)
