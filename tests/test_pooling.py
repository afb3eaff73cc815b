"""Means, maxima and products by pooling are those of the general reductions, and so are their gradients."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attn_train.ops import pooling

FORMATS = [torch.contiguous_format, torch.channels_last]
SIZES = [(2, 3, 5, 4), (1, 4, 1, 1), (3, 1, 2, 7)]
CASES = list(itertools.product(FORMATS, SIZES))


def drawn(size: tuple[int, ...], memory_format: torch.memory_format) -> Tensor:
    generator = torch.Generator().manual_seed(len(size) + sum(size))
    x = torch.randn(size, generator=generator, dtype=torch.float64)
    return x.contiguous(memory_format=memory_format).requires_grad_()


@pytest.mark.parametrize("dims", [(1,), (2,), (3,), (2, 3)])
@pytest.mark.parametrize(("memory_format", "size"), CASES)
def test_reductions(memory_format: torch.memory_format, size: tuple[int, ...], dims: tuple[int, ...]) -> None:
    x = drawn(size, memory_format)
    for found, expected in (
        (pooling.mean(x, *dims), x.mean(dim=dims, keepdim=True)),
        (pooling.largest(x, *dims), x.amax(dim=dims, keepdim=True)),
    ):
        torch.testing.assert_close(found, expected)
        weight = torch.arange(1.0, expected.numel() + 1).reshape(expected.shape)
        gradients = [torch.autograd.grad((one * weight).sum(), x)[0] for one in (found, expected)]
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("memory_format", "size"), CASES)
def test_scaled(memory_format: torch.memory_format, size: tuple[int, ...]) -> None:
    x = drawn(size, memory_format)
    factor = drawn((*size[:2], 1, 1), torch.contiguous_format)
    torch.testing.assert_close(pooling.scaled(x, factor), x * factor)
    assert torch.autograd.gradcheck(pooling.scaled, (x, factor))


def test_maps_in_bfloat16_are_summed_in_more() -> None:
    """4,096 pixels of one would stop at 256, were they summed in eight bits."""
    x = torch.ones(2, 8, 64, 64, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last).requires_grad_()
    factor = torch.ones(2, 8, 1, 1, dtype=torch.bfloat16, requires_grad=True)
    assert pooling.mean(x, 2, 3).unique().tolist() == [1]
    pooling.scaled(x, factor).sum().backward()
    assert factor.grad is not None
    assert factor.grad.unique().tolist() == [4096]


@pytest.mark.slow
@pytest.mark.parametrize("dims", [(1,), (2, 3)])
def test_compiled_in_bfloat16_the_maximum_keeps_its_gradient(dims: tuple[int, ...]) -> None:
    """A compiler computes the map before the maximum again, in float32: what was rounded equals it nowhere."""

    def function(x: Tensor) -> Tensor:
        return pooling.largest(1.7 * F.gelu(x), *dims)

    x = drawn((8, 16, 5, 5), torch.channels_last).detach()
    x += 4 * (x == x.amax(dim=dims, keepdim=True))  # by far the largest, whatever is rounded
    x = x.bfloat16().requires_grad_()
    expected, found = (
        torch.autograd.grad(one(x).float().square().sum(), x)[0] for one in (function, torch.compile(function))
    )
    assert (found != 0).sum() == x.sum(dim=dims).numel()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("size", "cells"), [((15, 9), (7, 7)), ((4, 7), (7, 3)), ((8, 1), (4, 1))])
def test_the_mean_over_a_grid_by_products_of_matrices(size: tuple[int, int], cells: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pooling.grid_mean_by_products(x, cells), F.adaptive_avg_pool2d(x, cells))
