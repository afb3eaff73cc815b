"""Each pixel divided among the heads, and each channel shrunk by its power over its head's pixels."""

import itertools

import numpy as np
from formulas.arrays import Array, Options, Weights, softmax, tokens

VARIANTS = [{"heads": heads, "residual": residual} for heads, residual in itertools.product((1, 2, 4), (True, False))]
CLAIMS = {"permutation", "shift", "linear_memory"}
REFUSED = [({"heads": heads}, rf"heads={heads} .*6 channels.*choose from 1, 2, 3, 6$") for heads in (0, -1, 4, 12)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    heads = options["heads"]
    out = np.zeros_like(x)
    for image, pixels in enumerate(tokens(x)):
        inward = pixels @ weights["inward.weight"].T
        lengths = np.sqrt((inward**2).sum(axis=0))
        parts = np.split(inward / lengths, heads, axis=1)
        energies = np.array([(part**2).sum(axis=1) for part in parts])  # (heads, n)
        shares = softmax(energies * weights["sharpness"][:, None], axis=0)
        shrunk = []
        for share, part in zip(shares, np.split(inward, heads, axis=1), strict=True):
            power = np.average(part**2, axis=0, weights=share)
            shrunk.append(-part * share[:, None] / (1 + power))
        result = np.concatenate(shrunk, axis=1) @ weights["project.weight"].T + weights["project.bias"]
        out[image] = result.T.reshape(x.shape[1:])
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 2 * channels**2 + channels + int(options["heads"])
