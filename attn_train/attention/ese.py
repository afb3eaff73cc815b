"""Effective squeeze-and-excitation: squeeze-and-excitation without a bottleneck (Lee and Park, 2019, arXiv
1911.06667)."""

import torch.nn.functional as F
from torch import Tensor

from attn_train.attention.attention import Gate
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import mean


class EffectiveSqueezeExcitation(Gate):
    """Compute `x * hardsigmoid(conv(mean(x)))` with one 1x1 convolution; c^2 + c parameters.

    The sigmoid is the hard one of the published code, relu6(z + 3) / 6; the paper writes only a sigma.
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.conv = Conv1x1(channels, channels)

    def gate(self, x: Tensor) -> Tensor:
        return F.hardsigmoid(self.conv(mean(x, 2, 3)))  # (batch, channels, 1, 1)
