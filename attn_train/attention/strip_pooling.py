"""The strip pooling module: a gate from the means of each row and each column (Hou et al., 2020, arXiv 2003.13328)."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Gate
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import mean


class StripPooling(Gate):
    """Compute `x * sigmoid(fuse(relu(rows + columns)))` from the rows' and the columns' means.

    Along its strip each goes through a convolution of 3 taps, which keeps the c channels, and batch normalisation;
    `fuse` is a 1x1 convolution with a bias. The normalisations and the ReLU are the published code's; the paper's
    section 3.1 names only the convolutions. 7 c^2 + 5 c parameters.
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.conv_rows = nn.Conv2d(channels, channels, kernel_size=(3, 1), padding=(1, 0), bias=False)
        self.norm_rows = nn.BatchNorm2d(channels)
        self.conv_columns = nn.Conv2d(channels, channels, kernel_size=(1, 3), padding=(0, 1), bias=False)
        self.norm_columns = nn.BatchNorm2d(channels)
        self.fuse = Conv1x1(channels, channels)

    def gate(self, x: Tensor) -> Tensor:
        rows = self.norm_rows(self.conv_rows(mean(x, 3)))  # (batch, channels, height, 1)
        columns = self.norm_columns(self.conv_columns(mean(x, 2)))  # (batch, channels, 1, width)
        return torch.sigmoid(self.fuse(torch.relu(rows + columns)))  # (batch, channels, height, width)
