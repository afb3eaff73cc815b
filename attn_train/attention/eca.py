"""Efficient channel attention: a gate for each channel from the means of its neighbours (Wang et al., 2019, arXiv
1910.03151)."""

import math

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Gate
from attn_train.ops.pooling import mean


class EfficientChannelAttention(Gate):
    """Compute `x * sigmoid(conv(mean(x)))` with a 1-D convolution over the channels; k parameters, k its taps.

    k is `kernel_size`, which must be odd; None is the odd number nearest to (log2(c) + 1) / 2, of two as near the
    larger (the paper's formula with gamma 2 and beta 1). The ends are padded with zeros.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, kernel_size: int | None = None) -> None:
        super().__init__()
        if kernel_size is None:
            kernel_size = 2 * math.floor((math.log2(channels) + 1) / 4) + 1
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} must be odd and at least 1")
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def gate(self, x: Tensor) -> Tensor:
        score = self.conv(mean(x, 2, 3).flatten(1).unsqueeze(1))  # (batch, 1, channels)
        return torch.sigmoid(score).transpose(1, 2).unsqueeze(3)  # (batch, channels, 1, 1)
