"""Axial attention: along the columns, then along the rows (Ho et al., 2019, arXiv 1912.12180; Wang et al., 2020, arXiv
2003.07853)."""

import math

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.attention.self_attention import head_channels
from attn_train.ops.dot_product import dot_product_attention


class LineAttention(nn.Module):
    """Compute `softmax(Q K^T / sqrt(d)) V` within each line of (batch, lines, length, channels)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1 / math.sqrt(head_channels(channels, heads))
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)

    def split(self, projected: Tensor) -> Tensor:
        # (batch, lines, length, channels) -> (batch, lines * heads, length, d). Not (batch * lines, heads, ...): CUDA's
        # fused attention takes at most 65535 in either dimension.
        return projected.unflatten(3, (self.heads, -1)).transpose(2, 3).flatten(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        attended = dot_product_attention(query, key, value, scale=self.scale)
        return attended.unflatten(1, (-1, self.heads)).transpose(2, 3).flatten(3)  # (batch, lines, length, channels)

    def weights(self, x: Tensor) -> Tensor:
        """Return the weights, averaged over the heads: (batch, lines, length, length)."""
        query, key = self.split(self.query(x)), self.split(self.key(x))
        weights = torch.softmax(query @ key.transpose(-2, -1) * self.scale, dim=-1)
        return weights.unflatten(1, (-1, self.heads)).mean(dim=2)


class Axial(Attention):
    """Compute `row(column(x))`, each `softmax(Q K^T / sqrt(d)) V` within the lines of one axis, without positions.

    So each pixel gets something of every other through the one in its row and the other's column. `heads` must divide
    the channels. `residual=True` adds the input to the result, once. 6 (c^2 + c) parameters.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, heads: int = 1, residual: bool = True) -> None:
        super().__init__()
        self.residual = residual
        self.column = LineAttention(channels, heads)
        self.row = LineAttention(channels, heads)

    def forward(self, x: Tensor) -> Tensor:
        columns = self.column(x.permute(0, 3, 2, 1))  # (batch, width, height, channels)
        out = self.row(columns.transpose(1, 2)).permute(0, 3, 1, 2)  # (batch, channels, height, width), channels_last
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over the queries the weight that each pixel receives through both axes, with each axis' average over
        the heads: (batch, height, width)."""
        columns = x.permute(0, 3, 2, 1)
        down = self.column.weights(columns)  # (batch, width, height, height)
        across = self.row.weights(self.column(columns).transpose(1, 2))  # (batch, height, width, width)
        return torch.einsum("bijw,bwih->bhw", across, down) / (x.shape[2] * x.shape[3])
