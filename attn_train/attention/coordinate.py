"""Coordinate attention: a gate for each row and one for each column (Hou et al., 2021, arXiv 2103.02907)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Gate, reduced_channels
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import mean


class CoordinateAttention(Gate):
    """Compute `x * sigmoid(expand_rows(r)) * sigmoid(expand_columns(q))` with r and q = hardswish(norm(reduce(means))).

    The means are those of each row and of each column, and share the 1x1 convolution `reduce` to
    m = max(8, c // `reduction`) channels and its batch normalisation (before which a bias would do nothing); `expand_*`
    are 1x1 convolutions with biases. The hard-swish and the 8 are the published code's. 3 c m + 2 m + 2 c parameters.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, reduction: int = 32) -> None:
        super().__init__()
        middle = reduced_channels(channels, reduction, least=8)
        self.reduce = Conv1x1(channels, middle, bias=False)
        self.norm = nn.BatchNorm2d(middle)
        self.expand_rows = Conv1x1(middle, channels)
        self.expand_columns = Conv1x1(middle, channels)

    def gate(self, x: Tensor) -> Tensor:
        rows = mean(x, 3)  # (batch, channels, height, 1)
        columns = mean(x, 2).transpose(2, 3)  # (batch, channels, width, 1)
        reduced = F.hardswish(self.norm(self.reduce(torch.cat([rows, columns], dim=2))))
        rows, columns = reduced.split([x.shape[2], x.shape[3]], dim=2)  # (batch, middle, height or width, 1)
        return torch.sigmoid(self.expand_rows(rows)) * torch.sigmoid(self.expand_columns(columns.transpose(2, 3)))
