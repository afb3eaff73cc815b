"""softmax_channels(Q) softmax_positions(K)^T V, here as weights of pairs, that is in the other order of the product."""

import itertools

import numpy as np
from formulas.arrays import Array, Options, Weights, softmax, tokens

VARIANTS = [{"heads": heads, "residual": residual} for heads, residual in itertools.product((1, 2, 4), (True, False))]
CLAIMS = {"permutation", "linear_memory"}
REFUSED = [({"heads": heads}, rf"heads={heads} .*6 channels.*choose from 1, 2, 3, 6$") for heads in (0, -1, 4, 12)]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    depth = x.shape[1] // options["heads"]
    out = np.zeros_like(x)
    for image, pixels in enumerate(tokens(x)):
        query = pixels @ weights["query.weight"].T + weights["query.bias"]
        key = pixels @ weights["key.weight"].T
        value = pixels @ weights["value.weight"].T + weights["value.bias"]
        attended = np.zeros_like(pixels)
        for head in range(options["heads"]):
            own = slice(head * depth, (head + 1) * depth)
            towards = np.stack([softmax(key[:, channel], axis=0) for channel in range(own.start, own.stop)])
            for number in range(len(pixels)):
                pair = softmax(query[number, own], axis=0) @ towards  # the weight of each position, total one
                attended[number, own] = np.einsum("j,jd->d", pair, value[:, own])
        result = attended @ weights["project.weight"].T + weights["project.bias"]
        out[image] = result.T.reshape(x.shape[1:])
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 4 * channels**2 + 3 * channels
