"""Weighted sums of the pixels around each pixel, by weights that differ from pixel to pixel."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

Places = tuple[slice, slice]


def local_sum(value: Tensor, weights: Tensor) -> Tensor:
    """Return, for each pixel, the sum of weight times value over the k x k pixels around it: of the shape of `value`.

    Outside of the map the values are zero. Neither the k^2 copies of `F.unfold` nor products of that size are made.

    Args:
        value: (batch, heads, d, height, width).
        weights: (batch, heads, k^2, height, width), k odd; the window is read row by row.
    """
    summed: Tensor = LocalSum.apply(value, weights)
    return summed


class LocalSum(torch.autograd.Function):
    """`local_sum`, one place of the window at a time, the sums in float32 at least."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(value, weights)
        out = torch.zeros_like(value, dtype=torch.promote_types(value.dtype, torch.float32))
        for number, (here, there) in places(weights):
            out[(..., *here)] += weights[(slice(None), slice(None), number, None, *here)] * value[(..., *there)]
        return out.to(value.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (gradient,) = gradients
        value, weights = ctx.saved_tensors
        of_value = torch.zeros_like(value, dtype=torch.promote_types(value.dtype, torch.float32))
        of_weights = torch.zeros_like(weights)
        for number, (here, there) in places(weights):
            part = gradient[(..., *here)]
            of_value[(..., *there)] += weights[(slice(None), slice(None), number, None, *here)] * part
            of_weights[(slice(None), slice(None), number, *here)] = (part * value[(..., *there)]).sum(dim=2)
        return of_value.to(value.dtype), of_weights


def places(weights: Tensor) -> Iterator[tuple[int, tuple[Places, Places]]]:
    """Yield for each place of the window its number, the pixels that see one of the map there, and those that they see.

    Each is two slices, of the rows and of the columns.
    """
    height, width = weights.shape[3:]
    reach = math.isqrt(weights.shape[2]) // 2
    offsets = itertools.product(range(-reach, reach + 1), repeat=2)
    for number, (down, right) in enumerate(offsets):
        rows, columns = overlap(height, down), overlap(width, right)
        yield number, ((rows[0], columns[0]), (rows[1], columns[1]))


def overlap(extent: int, offset: int) -> Places:
    """Return the positions along one side that have a position `offset` further, and these."""
    length = max(0, extent - abs(offset))
    here, there = max(0, -offset), max(0, offset)
    return slice(here, here + length), slice(there, there + length)
