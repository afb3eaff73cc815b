"""softmax(t Q K^T) V between the channels of each head, one image and one head after the other, then a projection."""

import numpy as np
from formulas.arrays import Array, Options, Weights, softmax, tokens

VARIANTS = [{"heads": heads, "residual": residual} for heads in (1, 4) for residual in (True, False)]
CLAIMS = {"permutation", "shift", "linear_memory"}
REFUSED = [({"heads": 4}, "heads=4 does not divide the 6 channels")]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    def layer(name: str, pixels: Array) -> Array:
        return pixels @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    out = np.zeros_like(x)
    depth = x.shape[1] // options["heads"]
    for image, pixels in enumerate(tokens(x)):
        attended = np.zeros_like(pixels)
        for head in range(options["heads"]):
            own = slice(head * depth, (head + 1) * depth)
            query, key, value = (layer(name, pixels)[:, own].T for name in ("query", "key", "value"))  # (d, n)
            query, key = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (query, key))
            attended[:, own] = (softmax(weights["sharpness"][head] * query @ key.T, axis=1) @ value).T
        out[image] = layer("project", attended).T.reshape(x.shape[1:])
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 4 * (channels**2 + channels) + int(options["heads"])
