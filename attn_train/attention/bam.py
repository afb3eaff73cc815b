"""The bottleneck attention module: a channel and a spatial branch, added (Park et al., 2018, arXiv 1807.06514)."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Gate, reduced_channels
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import MapMean


class BAM(Gate):
    """Compute `x * (1 + sigmoid(channel(x) + spatial(x)))`, each branch ending in batch normalisation.

    Both branches have max(1, c // `reduction`) = m channels between: the channel branch is an MLP on the map's means;
    the spatial one is a 1x1 convolution, two 3x3 ones with `dilation`, and a 1x1 one to a single channel. A ReLU
    follows each layer but the last, which the paper's formulas leave out. The batch normalisations are the paper's (its
    published code has them between the layers instead); what they follow needs no bias.
    3 c m + 18 m^2 + 5 m + 2 c + 2 parameters.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, reduction: int = 16, dilation: int = 4) -> None:
        super().__init__()
        middle = reduced_channels(channels, reduction)
        if dilation < 1:
            raise ValueError(f"dilation={dilation} must be at least 1")
        self.channel = nn.Sequential(
            MapMean(),
            Conv1x1(channels, middle),
            nn.ReLU(),
            Conv1x1(middle, channels, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.spatial = nn.Sequential(
            Conv1x1(channels, middle),
            nn.ReLU(),
            nn.Conv2d(middle, middle, kernel_size=3, padding=dilation, dilation=dilation),
            nn.ReLU(),
            nn.Conv2d(middle, middle, kernel_size=3, padding=dilation, dilation=dilation),
            nn.ReLU(),
            Conv1x1(middle, 1, bias=False),
            nn.BatchNorm2d(1),
        )

    def gate(self, x: Tensor) -> Tensor:
        # (batch, channels, 1, 1) + (batch, 1, height, width)
        return 1 + torch.sigmoid(self.channel(x) + self.spatial(x))
