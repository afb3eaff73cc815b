"""The weighted sums of the pixels around each are those of the unfolded map, and so are their gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attn_train.ops.local import local_sum

# (batch, heads, d, height, width); the last maps are smaller than the window.
SIZES = [(2, 3, 2, 5, 7), (1, 1, 4, 3, 2), (2, 2, 1, 1, 1), (1, 2, 2, 1, 6)]


def drawn(size: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def unfolded(value: Tensor, weights: Tensor, side: int) -> Tensor:
    """The sum over an explicit copy of each window."""
    batch, heads, depth, height, width = value.shape
    patches = F.unfold(value.flatten(1, 2), side, padding=side // 2)
    patches = patches.view(batch, heads, depth, side**2, height, width)
    return (patches * weights.unsqueeze(2)).sum(dim=3)


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize("size", SIZES)
def test_values_and_gradients(size: tuple[int, ...], side: int) -> None:
    value, weights = drawn(size, 1), drawn((*size[:2], side**2, *size[3:]), 2)
    found, expected = local_sum(value, weights), unfolded(value, weights, side)
    torch.testing.assert_close(found, expected)
    direction = drawn(size, 3).detach()
    gradients = [torch.autograd.grad((each * direction).sum(), (value, weights)) for each in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_the_order_in_memory_is_kept() -> None:
    """So that a map in channels_last goes on in channels_last."""
    value = drawn((2, 8, 5, 7), 1).contiguous(memory_format=torch.channels_last).unflatten(1, (2, 4))
    found = local_sum(value, drawn((2, 2, 9, 5, 7), 2))
    assert found.flatten(1, 2).is_contiguous(memory_format=torch.channels_last)


def test_sums_in_bfloat16_are_rounded_once() -> None:
    """256 and 24 ones: added up in bfloat16, whose next number after 256 is 258, they would stay 256."""
    weights = torch.ones(1, 1, 25, 5, 5)
    weights[:, :, 0] = 256
    found = local_sum(torch.ones(1, 1, 1, 5, 5).bfloat16(), weights.bfloat16())
    assert found.dtype == torch.bfloat16
    assert found[0, 0, 0, 2, 2] == 280
    assert found[0, 0, 0, 0, 0] == 9  # of the others nothing is in the map
