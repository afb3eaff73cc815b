"""x * sigmoid(nearest upsampling of what each position gathers), one position at a time."""

import itertools
import math

import numpy as np
from formulas.arrays import Array, Options, Weights, batch_norm, conv, relu, sigmoid

VARIANTS = [
    {"extent": extent, "gather": gather} for extent, gather in itertools.product((0, 2, 4, 8), ("pool", "conv"))
]
CLAIMS = {"linear_memory"}


def formula(weights: Weights, x: Array, options: Options) -> Array:
    _, channels, height, width = x.shape
    extent = options["extent"]
    rows, columns = (math.ceil(height / extent), math.ceil(width / extent)) if extent else (1, 1)
    if options["gather"] == "pool":
        gathered = np.zeros((*x.shape[:2], rows, columns))
        for r, c in itertools.product(range(rows), range(columns)):
            # The centre and extent - 1 to each side, as far as there is a map.
            across = slice(max(0, r * extent - extent + 1), r * extent + extent) if extent else slice(None)
            along = slice(max(0, c * extent - extent + 1), c * extent + extent) if extent else slice(None)
            gathered[:, :, r, c] = x[:, :, across, along].mean(axis=(2, 3))
    elif extent == 0:
        # The map has the size it was made for.
        gathered = np.einsum("bchw,chw->bc", x, weights["gather.1.weight"][:, 0])[:, :, None, None]
        gathered = batch_norm(weights, "gather.2", gathered)
    else:
        gathered = x
        for step in range({2: 1, 4: 2, 8: 3}[extent]):
            if step > 0:
                gathered = relu(gathered)
            # Stride 2: each second row and column of the convolution with stride 1.
            gathered = conv(weights, f"gather.{3 * step}", gathered, (1, 1), groups=channels)[:, :, ::2, ::2]
            gathered = batch_norm(weights, f"gather.{3 * step + 1}", gathered)
        assert gathered.shape[2:] == (rows, columns)
    out = np.zeros_like(x)
    for r, c in itertools.product(range(height), range(width)):
        out[:, :, r, c] = x[:, :, r, c] * sigmoid(gathered[:, :, r * rows // height, c * columns // width])
    return out


def parameters(channels: int, size: tuple[int, int], options: Options) -> int:
    if options["gather"] == "pool":
        return 0
    # The filter of 9 or as large as the map, and two of the batch normalisation.
    return int(channels * ({2: 1, 4: 2, 8: 3}[options["extent"]] * 11 if options["extent"] else size[0] * size[1] + 2))
