"""The mean of x gated in the planes (height, width), (channels, width) and (height, channels)."""

import numpy as np
from formulas.arrays import Array, Options, Weights, batch_norm, conv, sigmoid

VARIANTS = [{"kernel_size": kernel_size} for kernel_size in (7, 3, 1)]
CLAIMS = {"linear_memory"}
REFUSED = [({"kernel_size": size}, rf"kernel_size={size} must be odd and at least 1$") for size in (0, 4, -1)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    reach = options["kernel_size"] // 2
    # How the sides are turned: what is pooled stands second, and each of these turns back by itself.
    turns = [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 2, 1)]
    gated = []
    for number, turn in enumerate(turns):
        turned = x.transpose(turn)
        pooled = np.stack([turned.max(axis=1), turned.mean(axis=1)], axis=1)
        score = batch_norm(
            weights, f"branches.{number}.1", conv(weights, f"branches.{number}.0", pooled, (reach, reach))
        )
        gated.append((turned * sigmoid(score)).transpose(turn))
    return np.mean(gated, axis=0)


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return int(6 * options["kernel_size"] ** 2 + 6)
