"""l_ij = q_i . (k_j + r_width[jx - ix] + r_height[jy - iy]) / sqrt(d), pair by pair, beside a convolution."""

import itertools
import math

import numpy as np
from formulas.arrays import Array, Options, Weights, conv, softmax

VARIANTS = [
    {"heads": heads, "key_share": key_share, "value_share": value_share}
    for heads, key_share, value_share in [(4, 0.25, 0.25), (2, 0.25, 0.5), (1, 0.5, 0.25), (2, 1.0, 1.0)]
]
CLAIMS: set[str] = set()
REFUSED = [
    *(({"heads": heads}, f"heads={heads} must be from 1 to 6") for heads in (0, -1, 7)),
    *(({"key_share": share}, f"key_share={share} must be above 0 and at most 1") for share in (0.0, -0.5, 1.5)),
    *(({"value_share": share}, f"value_share={share} must be above 0 and at most 1") for share in (0.0, 1.5)),
]


def widths(channels: int, options: Options) -> tuple[int, int]:
    """The channels of a head's keys and of a head's values."""
    found = [math.floor(options[name] * channels / options["heads"]) for name in ("key_share", "value_share")]
    return max(1, found[0]), max(1, found[1])


def linear(weights: Weights, name: str, x: Array) -> Array:
    return np.einsum("oc,bchw->bohw", weights[f"{name}.weight"], x) + weights[f"{name}.bias"][:, None, None]


def formula(weights: Weights, x: Array, options: Options) -> Array:
    batch, channels, height, width = x.shape
    heads = options["heads"]
    key_depth, value_depth = widths(channels, options)
    mixed = linear(weights, "qkv", x)
    positions = list(itertools.product(range(height), range(width)))
    attended = np.zeros((batch, heads * value_depth, height, width))
    for image, head in itertools.product(range(batch), range(heads)):
        queries = mixed[image, head * key_depth :][:key_depth]
        keys = mixed[image, (heads + head) * key_depth :][:key_depth]
        values = mixed[image, 2 * heads * key_depth + head * value_depth :][:value_depth]
        for iy, ix in positions:
            logits = []
            for jy, jx in positions:
                # Row height - 1 is the offset zero: the embeddings were made for this size.
                near = weights["relative_height"][height - 1 + jy - iy] + weights["relative_width"][width - 1 + jx - ix]
                logits.append(queries[:, iy, ix] @ (keys[:, jy, jx] + near) / math.sqrt(key_depth))
            shares = softmax(np.array(logits), axis=0)
            attended[image, head * value_depth : (head + 1) * value_depth, iy, ix] = sum(
                share * values[:, jy, jx] for share, (jy, jx) in zip(shares, positions, strict=True)
            )
    out = linear(weights, "project", attended)
    if heads * value_depth == channels:
        return out
    return np.concatenate([conv(weights, "conv", x, padding=(1, 1)), out], axis=1)


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    key_depth, value_depth = widths(channels, options)
    keys, values = options["heads"] * key_depth, options["heads"] * value_depth
    left = channels - values
    mixing = (channels + 1) * (2 * keys + values) + values**2 + values
    return int(9 * channels * left + left + mixing + 2 * (size[0] + size[1] - 1) * key_depth)
