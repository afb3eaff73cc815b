"""Each branch's convolution, squeezed and excited by the shared layers, and a softmax over the branches."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, conv, relu, sigmoid, softmax

VARIANTS = [
    {"branches": 4, "reduction": 16},
    {"branches": 2, "reduction": 1},
    {"branches": 1, "reduction": 2},
]
CLAIMS = {"linear_memory"}
REFUSED = [
    *(
        ({"branches": branches}, rf"branches={branches} .*6 channels.*choose from 1, 2, 3, 6$")
        for branches in (4, 0, -1, 12)
    ),
    ({"branches": 2, "reduction": 0}, r"reduction=0 must be at least 1$"),
]
PAPERS_GROUPS = (1, 4, 8, 16)


def formula(weights: Weights, x: Array, options: Options) -> Array:
    branches = options["branches"]
    part = x.shape[1] // branches
    maps = [
        conv(weights, f"convs.{i}", x, (i + 1, i + 1), groups=math.gcd(part, PAPERS_GROUPS[i])) for i in range(branches)
    ]
    out = np.zeros_like(x)
    for image in range(len(x)):
        excited = []
        for each in maps:
            hidden = relu(weights["reduce.weight"][:, :, 0, 0] @ each[image].mean(axis=(1, 2)) + weights["reduce.bias"])
            excited.append(sigmoid(weights["expand.weight"][:, :, 0, 0] @ hidden + weights["expand.bias"]))
        shares = softmax(np.array(excited), axis=0)  # (branches, part)
        for number, each in enumerate(maps):
            out[image, number * part : (number + 1) * part] = each[image] * shares[number][:, None, None]
    return out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    part = channels // options["branches"]
    middle = max(1, part // options["reduction"])
    filters = sum(
        (2 * i + 3) ** 2 * part * channels // math.gcd(part, PAPERS_GROUPS[i]) for i in range(options["branches"])
    )
    return int(filters + 2 * part * middle + middle + part)
