"""Agents, the averages of queries over a coarse grid, attend to the pixels, and each pixel to the agents; beside that a
depthwise convolution of the values."""

import math

import numpy as np
from formulas.arrays import Array, Options, Weights, conv, softmax, tokens
from formulas.pooled import bounds

VARIANTS = [
    {"grid": 7, "heads": 1, "residual": True},
    {"grid": 3, "heads": 2, "residual": True},
    {"grid": 2, "heads": 4, "residual": False},
    {"grid": 1, "heads": 1, "residual": False},
]
CLAIMS = {"linear_memory"}
REFUSED = [
    *(({"heads": heads}, rf"heads={heads} .*6 channels.*choose from 1, 2, 3, 6$") for heads in (0, -1, 4, 12)),
    *(({"grid": grid}, f"grid={grid} must be at least 1") for grid in (0, -1)),
]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, height, width = x.shape
    depth = channels // options["heads"]
    query = tokens(x) @ weights["query.weight"].T + weights["query.bias"]
    value = tokens(x) @ weights["value.weight"].T + weights["value.bias"]
    placed = value.transpose(0, 2, 1).reshape(x.shape)
    local = conv(weights, "conv", placed, padding=(1, 1), groups=channels)
    out = np.zeros_like(x)
    for image in range(batch):
        keys = tokens(x)[image] @ weights["key.weight"].T
        queries = query[image].reshape(height, width, channels)
        agents = [
            queries[top:bottom, left:right].mean(axis=(0, 1))
            for top, bottom in bounds(height, options["grid"])
            for left, right in bounds(width, options["grid"])
        ]
        attended = np.zeros((height * width, channels))
        for head in range(options["heads"]):
            own = slice(head * depth, (head + 1) * depth)
            gathered = [
                softmax(keys[:, own] @ agent[own] / math.sqrt(depth), axis=0) @ value[image][:, own] for agent in agents
            ]
            for number, pixel in enumerate(query[image]):
                scores = np.array([pixel[own] @ agent[own] for agent in agents]) / math.sqrt(depth)
                attended[number, own] = softmax(scores, axis=0) @ np.array(gathered)
        summed = attended + tokens(local)[image]
        out[image] = (summed @ weights["project.weight"].T + weights["project.bias"]).T.reshape(x.shape[1:])
    return x + out if options["residual"] else out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    return 4 * channels**2 + 13 * channels
