"""The convolutions that multiply matrices give what PyTorch's own convolution gives, and do so where they should."""

import copy
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.ops import convolution
from attn_train.ops.convolution import Conv1x1, Conv3x3, Convolution

FORMATS = [torch.contiguous_format, torch.channels_last]


def drawn(*shape: int, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).contiguous(memory_format=memory_format)


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processor be one with tiles, whatever it is."""
    monkeypatch.setattr(convolution, "HAS_TILES", True)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("size", [(5, 4), (1, 1), (2, 7), (3, 3)])
def test_gradients_are_those_of_the_convolution(size: tuple[int, int], memory_format: torch.memory_format) -> None:
    x = drawn(3, 4, *size, memory_format=memory_format).requires_grad_()
    weight = drawn(5, 4, 3, 3, memory_format=memory_format).requires_grad_()
    expected, found = F.conv2d(x, weight, padding=1), Convolution.apply(x, weight)
    torch.testing.assert_close(found, expected)
    gradient = drawn(*expected.shape, memory_format=memory_format)
    for mine, theirs in zip(
        torch.autograd.grad(found, (x, weight), gradient),
        torch.autograd.grad(expected, (x, weight), gradient),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_no_gradient_is_computed_that_nobody_needs() -> None:
    x, weight = drawn(2, 3, 4, 4), drawn(3, 3, 3, 3)
    for needed in (x, weight):
        Convolution.apply(x.requires_grad_(needed is x), weight.requires_grad_(needed is weight)).sum().backward()
        assert [one.grad is not None for one in (x, weight)] == [needed is x, needed is weight]
        needed.grad = None


def trained(module: nn.Module, x: Tensor) -> list[Tensor]:
    """Return the output in bfloat16 and every gradient, of the input first."""
    x = x.to(torch.bfloat16).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = module(x)
    weight = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
    return [out, *torch.autograd.grad((out.float() * weight).sum(), (x, *module.parameters()))]


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("kind", [Conv1x1, Conv3x3])
def test_modules_under_autocast(kind: type[Conv1x1 | Conv3x3], memory_format: torch.memory_format) -> None:
    """Within the rounding of bfloat16, that of the sums' parts included: 8 bits."""
    torch.manual_seed(0)
    module = kind(48, 32).to(memory_format=memory_format)
    x = drawn(16, 48, 3, 3, memory_format=memory_format).float()
    assert convolution.multiplies_faster(x.to(torch.bfloat16))
    exact = copy.deepcopy(module).double()
    exact_x = x.to(torch.bfloat16).double().requires_grad_()
    out = F.conv2d(exact_x, exact.weight, exact.bias, padding=exact.padding)
    weight = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
    expected = [out, *torch.autograd.grad((out * weight).sum(), (exact_x, *exact.parameters()))]
    for found, one in zip(trained(module, x), expected, strict=True):
        assert found.shape == one.shape
        assert (found - one).norm() < 2**-7 * one.norm()


@pytest.mark.usefixtures("tiles")
def test_a_product_of_matrices_is_for_small_maps_in_bfloat16_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    small = torch.zeros(2, 45, 3, 3, dtype=torch.bfloat16)
    assert convolution.multiplies_faster(small)
    assert not convolution.multiplies_faster(small[:, :44])
    assert not convolution.multiplies_faster(small.float())
    assert not convolution.multiplies_faster(small.to("meta"))
    monkeypatch.setattr(convolution, "HAS_TILES", False)
    assert not convolution.multiplies_faster(small)


@pytest.mark.usefixtures("tiles")
def test_a_stride_is_kept() -> None:
    module, x = Conv3x3(64, 8, stride=2), drawn(2, 64, 3, 3).to(torch.bfloat16)
    expected = F.conv2d(x, module.weight.to(torch.bfloat16), stride=2, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("size", [(5, 4), (1, 1), (6, 6)])
def test_a_step_takes_every_nth_position(size: tuple[int, int]) -> None:
    module, x = Conv1x1(3, 4, step=2).double(), drawn(2, 3, *size).requires_grad_()
    expected, found = F.conv2d(x, module.weight, module.bias, stride=2), module(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), x), torch.autograd.grad(expected.sum(), x))


@pytest.mark.slow
def test_few_channels_survive_a_processor_with_avx2_alone() -> None:
    """In a process of its own, since there PyTorch's kernel for a stride of 2 ends it (heap corruption, torch 2.14)."""
    code = """
import torch
from attn_train.ops.convolution import Conv1x1
module = Conv1x1(4, 8, step=2).to(memory_format=torch.channels_last)
for _ in range(60):
    x = torch.randn(8, 4, 16, 16).to(memory_format=torch.channels_last).requires_grad_()
    module(x).square().mean().backward()
    junk = [torch.randn(7 * i + 1) for i in range(50)]
"""
    settings = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MALLOC_CHECK_": "3"}
    subprocess.run([sys.executable, "-c", code], env=os.environ | settings, check=True)


@pytest.mark.slow
@pytest.mark.usefixtures("tiles")
def test_compiled_they_give_the_same() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Conv3x3(48, 48), nn.GELU(), Conv1x1(48, 48))
    x = drawn(16, 48, 3, 3, memory_format=torch.channels_last).float()
    compiled = torch.compile(model, dynamic=False, fullgraph=True)
    assert isinstance(compiled, nn.Module)
    for found, expected in zip(trained(compiled, x), trained(model, x), strict=True):
        assert (found - expected).norm() < 2**-7 * expected.norm()
