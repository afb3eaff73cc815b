"""One window at a time: what each of its pixels receives of all is added to that pixel."""

import itertools
import math

import numpy as np
from formulas.arrays import Array, Options, Weights, conv1x1, softmax

VARIANTS = [
    {"kernel_size": 3, "heads": 1, "residual": True},
    {"kernel_size": 3, "heads": 4, "residual": False},
    {"kernel_size": 5, "heads": 2, "residual": True},
    {"kernel_size": 1, "heads": 1, "residual": False},
]
CLAIMS = {"linear_memory"}
REFUSED = [
    *(({"heads": heads}, rf"heads={heads} .*6 channels.*choose from 1, 2, 3, 6$") for heads in (0, -1, 4, 12)),
    *(({"kernel_size": size}, rf"kernel_size={size} must be odd and at least 1$") for size in (0, 4, -1)),
]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, height, width = x.shape
    side, heads = options["kernel_size"], options["heads"]
    depth, reach = channels // heads, side // 2
    value, scores = conv1x1(weights, "value", x), conv1x1(weights, "outlook", x)
    offsets = list(itertools.product(range(-reach, reach + 1), repeat=2))

    def inside(row: int, column: int) -> bool:
        return 0 <= row < height and 0 <= column < width

    folded = np.zeros_like(x)
    for image, head, row, column in np.ndindex(batch, heads, height, width):
        own = slice(head * depth, (head + 1) * depth)
        score = scores[image, head * side**4 : (head + 1) * side**4, row, column].reshape(side**2, side**2)
        shares = softmax(score / math.sqrt(depth), axis=1)
        places = [(row + down, column + right) for down, right in offsets]
        seen = np.array([value[image, own, r, c] if inside(r, c) else np.zeros(depth) for r, c in places])
        for number, (r, c) in enumerate(places):
            if inside(r, c):
                folded[image, own, r, c] += shares[number] @ seen
    out = conv1x1(weights, "project", folded)
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    scores = options["heads"] * options["kernel_size"] ** 4
    return int(channels**2 + (channels + 1) * scores + channels**2 + channels)
