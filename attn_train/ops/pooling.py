"""Means and maxima of a map over whole dimensions, and products of a map with such numbers.

PyTorch's general reductions are slow on a CPU where its pooling kernels are not: for 128 bfloat16 maps of 64x32x32 in
channels_last, forward and backward, the mean over the rows takes four times as long, the maximum over the map forty
times (torch 2.14). Compiled, or on another device, the general ones are as good, and stay where they compile.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mean(x: Tensor, *dims: int) -> Tensor:
    """Average (batch, channels, height, width) over `dims`, of 2 and 3, or 1 alone; each becomes one."""
    if 1 in dims or not pools_faster(x) or not is_channels_last(x):
        return x.mean(dim=dims, keepdim=True)
    averaged: Tensor = Mean.apply(x, window(x, dims))
    return averaged


class Mean(torch.autograd.Function):
    """The mean over whole dimensions; its gradient is a view, one number expanded over all that it averages."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, window: list[int]) -> Tensor:
        ctx.shape, ctx.count = x.shape, window[0] * window[1]
        return F.avg_pool2d(x, window)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return (gradient / ctx.count).expand(ctx.shape), None


def largest(x: Tensor, *dims: int) -> Tensor:
    """Return the maximum of (batch, channels, height, width) over `dims`, of 2 and 3, or 1 alone; each becomes one.

    Of several equal maxima only one gets the gradient.
    """
    # Pooling, not amax or max. Compiled, amax's gradient is NaN: the map is computed again without its rounding to
    # bfloat16, so that no element equals the maximum. The gradient of max fails to compile (torch 2.11, on a CPU).
    if dims != (1,):
        return F.max_pool2d(x, window(x, dims))
    if not pools_faster(x):
        return x.max(dim=1, keepdim=True).values
    return F.max_pool2d(x.permute(0, 2, 3, 1), (1, x.shape[1])).permute(0, 3, 1, 2)


def grid_mean(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Average (batch, channels, height, width) over the cells of a grid of `size` (rows, columns), as
    `F.adaptive_avg_pool2d` does."""
    # On MPS adaptive_avg_pool2d refuses a size that does not divide the map's
    # (https://github.com/pytorch/pytorch/issues/96056).
    return grid_mean_by_products(x, size) if x.device.type == "mps" else F.adaptive_avg_pool2d(x, size)


def grid_mean_by_products(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Compute `grid_mean` by two matrix products."""
    rows, columns = (cell_shares(x, dim, cells, x.dtype) for dim, cells in zip((2, 3), size, strict=True))
    return rows.T @ x @ columns


def cell_shares(x: Tensor, dim: int, cells: int, dtype: torch.dtype) -> Tensor:
    """Return the weight of each position of `x` along `dim` in the mean of each cell: (positions, cells)."""
    shares = F.adaptive_avg_pool1d(torch.eye(x.shape[dim], dtype=torch.float64), cells)  # on the CPU
    return shares.to(dtype).to(x.device)


def scaled(x: Tensor, factor: Tensor) -> Tensor:
    """Return `x * factor`, with one factor for each image and channel: (batch, channels, 1, 1)."""
    product: Tensor = Scaled.apply(x, factor) if pools_faster(x) and is_channels_last(x) else x * factor
    return product


class Scaled(torch.autograd.Function):
    """`x * factor`; the gradient of the factor is a sum over the map, computed by pooling."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(x, factor)
        return x * factor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (gradient,) = gradients
        x, factor = ctx.saved_tensors
        return gradient * factor, mean(gradient * x, 2, 3) * (x.shape[2] * x.shape[3])


def is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def pools_faster(x: Tensor) -> bool:
    """Say whether pooling kernels are faster than general reductions: on a CPU, uncompiled."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def window(x: Tensor, dims: tuple[int, ...]) -> list[int]:
    """Return the pooling window (rows, columns) that covers `dims` of x."""
    return [x.shape[dim] if dim in dims else 1 for dim in (2, 3)]


class MapMean(nn.Module):
    """Average over the map: (batch, channels, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return mean(x, 2, 3)


class GridMean(nn.Module):
    """Average over the cells of a grid of one size, whatever the map's: (batch, channels, rows, columns)."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return grid_mean(x, self.size)
