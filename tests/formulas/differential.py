"""The difference of two softmax maps over the pixels, one query at a time."""

import itertools

import numpy as np
from formulas.arrays import Array, Options, Weights, sigmoid, softmax, tokens

VARIANTS = [
    {"version": version, "heads": heads, "residual": residual}
    for version, heads, residual in itertools.product((1, 2), (1, 2), (True, False))
] + [{"version": 1, "lambda_init": 0.3}, {"version": 2, "heads": 4}]
CLAIMS = {"permutation", "shift", "linear_memory"}
REFUSED = [
    *(({"heads": heads}, rf"heads={heads}: twice .*6 channels.*choose from 1, 3$") for heads in (0, -1, 2, 6)),
    *(({"heads": heads, "version": 2}, rf"heads={heads} .*choose from 1, 2, 3, 6$") for heads in (0, 4)),
]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, height, width = x.shape
    heads, start = options["heads"], options.get("lambda_init", 0.8)
    wide = channels // heads
    depth = wide // 2 if options["version"] == 1 else wide
    out = np.zeros_like(x)
    for image in range(batch):
        pixels = tokens(x)[image]
        query, key, value = (pixels @ weights[f"{name}.weight"].T for name in ("query", "key", "value"))
        attended = np.zeros_like(pixels)
        for head, number in itertools.product(range(heads), range(len(pixels))):
            own = slice(head * wide, (head + 1) * wide)
            maps = []
            for which in (0, 1):
                at = (2 * head + which) * depth
                keys = key[:, at : at + depth] if options["version"] == 1 else key[:, own]
                maps.append(softmax(keys @ query[number, at : at + depth] / depth**0.5, axis=0))
            if options["version"] == 1:
                (a1, a2), (b1, b2) = weights["exponents"]
                share = np.exp(a1 @ b1) - np.exp(a2 @ b2) + start
                result = (maps[0] - share * maps[1]) @ value[:, own]
                result = result / np.sqrt((result**2).mean() + 1e-5) * weights["norm"] * (1 - start)
            else:
                share = sigmoid(weights["share.weight"][head] @ pixels[number])
                result = (maps[0] - share * maps[1]) @ value[:, own]
            attended[number, own] = result
        out[image] = (attended @ weights["project.weight"].T).T.reshape(channels, height, width)
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    heads = int(options["heads"])
    if options["version"] == 1:
        return 4 * channels**2 + 3 * channels // heads
    return 5 * channels**2 + channels * heads
