"""1x1 and 3x3 convolutions that compute the filters' gradient as one matrix product where that is faster.

PyTorch's kernel adds the images' parts to the filters' gradient one after the other. On a small map each part is a
short sum, and reading and writing the gradient costs more than the sum. Measured with 3x3 filters on 1,000 bfloat16
maps of 288 channels, on a processor that multiplies matrices by tiles (AMX): 110 ms at 7x7 and 60 ms at 2x2; as one
product over all images 95 and 6 ms (torch 2.14, two cores). Without tiles PyTorch's kernel is as fast, and is used.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# A constant, because torch.compile would trace a call.
HAS_TILES = bool(torch.cpu.get_capabilities().get("amx_bf16"))

# On a map of at most channels / 5 positions one product is faster; measured from 64 to 512 channels and 2x2 to 9x9.
CHANNELS_FOR_A_POSITION = 5


def multiplies_faster(x: Tensor) -> bool:
    """Say whether one matrix product gives the gradient of filters on `x` faster than PyTorch's kernel."""
    small = CHANNELS_FOR_A_POSITION * x.shape[2] * x.shape[3] <= x.shape[1]
    return small and x.device.type == "cpu" and x.dtype == torch.bfloat16 and HAS_TILES


class Conv1x1(nn.Conv2d):
    """Convolve (batch, channels, height, width) by 1x1 filters, at every `step`-th row and column."""

    def __init__(self, channels_in: int, channels: int, bias: bool = True, step: int = 1) -> None:
        super().__init__(channels_in, channels, 1, bias=bias)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        # A `stride` of nn.Conv2d would do the same, but with fewer than 8 channels, on a processor that has AVX2 and
        # no AVX-512, PyTorch's kernel for it writes past its memory (torch 2.14).
        x = x[:, :, :: self.step, :: self.step]
        if not multiplies_faster(x):
            return super().forward(x)
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class Conv3x3(nn.Conv2d):
    """Convolve (batch, channels, height, width) by 3x3 filters, with a padding of one and no bias."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__(channels_in, channels, 3, stride, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride != (1, 1) or not multiplies_faster(x):
            return super().forward(x)
        out: Tensor = Convolution.apply(x, self.weight.to(x.dtype))
        return out


class Convolution(torch.autograd.Function):
    """The convolution by 3x3 filters with stride 1 and a padding of one, with `filter_gradient`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            ones, none = [1, 1], [0, 0]
            of_x, _, _ = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, ones, ones, ones, False, none, 1, [True, False, False]
            )
        if ctx.needs_input_grad[1]:
            of_weight = filter_gradient(x, gradient)
        return of_x, of_weight


def filter_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient of 3x3 filters, (out, in, 3, 3): over all positions, the sum of patch times gradient.

    Args:
        x: the input, (batch, in, height, width).
        gradient: that of the output, (batch, out, height, width).
    """
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    patches = padded.unfold(1, 3, 1).unfold(2, 3, 1)  # (batch, height, width, in, 3, 3)
    patches = patches.permute(0, 1, 2, 4, 5, 3).reshape(-1, 9 * x.shape[1])
    rows = gradient.permute(0, 2, 3, 1).reshape(-1, gradient.shape[1])
    product = patches.T @ rows  # (9 * in, out), rounded once: the sums are in float32
    return product.view(3, 3, x.shape[1], -1).permute(3, 2, 0, 1)
