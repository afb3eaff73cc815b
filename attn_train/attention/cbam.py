"""The convolutional block attention module: a channel gate, then a spatial gate (Woo et al., 2018, arXiv
1807.06521)."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Gate, reduced_channels
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import largest, mean


class CBAM(Gate):
    """Compute `x' = x * sigmoid(mlp(mean(x)) + mlp(max(x)))` over the pixels, then `x' * sigmoid(conv(mean, max))` over
    the channels of x'.

    The MLP has max(1, c // `reduction`) = m channels between; the convolution is `kernel_size` = k wide, which must be
    odd. None has a bias and no batch normalisation follows the convolution, as in the paper's formulas (its published
    code has both biases in the MLP and that normalisation). 2 c m + 2 k^2 parameters.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, reduction: int = 16, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} must be odd and at least 1")
        middle = reduced_channels(channels, reduction)
        self.reduce = Conv1x1(channels, middle, bias=False)
        self.expand = Conv1x1(middle, channels, bias=False)
        self.spatial = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def mlp(self, pooled: Tensor) -> Tensor:
        return self.expand(torch.relu(self.reduce(pooled)))  # (batch, channels, 1, 1)

    def gate(self, x: Tensor) -> Tensor:
        channel = torch.sigmoid(self.mlp(mean(x, 2, 3)) + self.mlp(largest(x, 2, 3)))  # (batch, channels, 1, 1)
        gated = x * channel
        pooled = torch.cat([mean(gated, 1), largest(gated, 1)], dim=1)
        return channel * torch.sigmoid(self.spatial(pooled))  # (batch, channels, height, width)
