"""Squeeze-and-excitation: a gate for each channel, from the means of all (Hu et al., 2017, arXiv 1709.01507)."""

import torch
from torch import Tensor

from attn_train.attention.attention import Gate, reduced_channels
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import mean


class SqueezeExcitation(Gate):
    """Compute `x * sigmoid(expand(relu(reduce(mean(x)))))` with 1x1 convolutions to m channels and back.

    m = max(1, c // `reduction`). The convolutions have biases, as in the published code; the paper's formula has none.
    2 c m + m + c parameters.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, reduction: int = 16) -> None:
        super().__init__()
        middle = reduced_channels(channels, reduction)
        self.reduce = Conv1x1(channels, middle)
        self.expand = Conv1x1(middle, channels)

    def gate(self, x: Tensor) -> Tensor:
        squeezed = mean(x, 2, 3)  # (batch, channels, 1, 1)
        return torch.sigmoid(self.expand(torch.relu(self.reduce(squeezed))))
