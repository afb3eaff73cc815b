"""(sum softmax(x W_i) * (x W_k)) * relu(x W_v), one pixel after the other, then W_o."""

import numpy as np
from formulas.arrays import Array, Options, Weights, relu, softmax, tokens

VARIANTS = [{"residual": residual} for residual in (True, False)]
CLAIMS = {"permutation", "shift", "linear_memory"}


def formula(weights: Weights, x: Array, options: Options) -> Array:
    def layer(name: str, pixel: Array) -> Array:
        return weights[f"{name}.weight"][:, :, 0, 0] @ pixel + weights[f"{name}.bias"]

    out = np.zeros_like(x)
    for image, pixels in enumerate(tokens(x)):
        shares = softmax(pixels @ weights["score.weight"][0, :, 0, 0], axis=0)
        context = sum(share * layer("key", pixel) for share, pixel in zip(shares, pixels, strict=True))
        for number, pixel in enumerate(pixels):
            row, column = divmod(number, x.shape[3])
            out[image, :, row, column] = layer("project", relu(layer("value", pixel)) * context)
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return channels + 3 * (channels**2 + channels)
