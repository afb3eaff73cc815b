"""Criss-cross attention of CCNet (Huang et al., 2018, arXiv 1811.11721)."""

import math

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention, reduced_channels
from attn_train.ops.convolution import Conv1x1


class CrissCross(Attention):
    """Compute `x + gamma * softmax(Q K^T) V` where each pixel sees its row and column, itself once; `recurrence` times.

    One softmax is over all height + width - 1 scores, and the paper divides them by nothing. From the second time on a
    pixel has seen the whole map; the parameters are the same each time. Q and K have c // `reduction` channels, at
    least one. The learned gamma, zero at first, is in the published code and not in the paper, which has one in its
    place. Memory is n (height + width). With r channels in Q and K, c^2 + c + 2 r (c + 1) + 1 parameters.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, recurrence: int = 2, reduction: int = 8) -> None:
        super().__init__()
        if recurrence < 1:
            raise ValueError(f"recurrence={recurrence} must be at least 1")
        self.recurrence = recurrence
        reduced = reduced_channels(channels, reduction)
        self.query = Conv1x1(channels, reduced)
        self.key = Conv1x1(channels, reduced)
        self.value = Conv1x1(channels, channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def weights(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights of each pixel's column, (batch, height, width, height), and of its row, (batch, height,
        width, width), which together sum to one."""
        query, key = self.query(x), self.key(x)
        down = torch.einsum("bcij,bckj->bijk", query, key)
        across = torch.einsum("bcij,bcik->bijk", query, key)
        # The pixel itself is in both its row and its column: it counts in its row only.
        itself = torch.eye(x.shape[2], dtype=torch.bool, device=x.device)[:, None]  # (height, 1, height)
        scores = torch.cat((down.masked_fill(itself, -math.inf), across), dim=3)
        column, row = scores.softmax(dim=3).split((x.shape[2], x.shape[3]), dim=3)
        return column, row

    def step(self, x: Tensor) -> Tensor:
        column, row = self.weights(x)
        value = self.value(x)
        seen = torch.einsum("bijk,bckj->bcij", column, value) + torch.einsum("bijk,bcik->bcij", row, value)
        return x + self.gamma.to(x.dtype) * seen

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.recurrence):
            x = self.step(x)
        return x

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over the queries the weight that each pixel receives the last time: (batch, height, width)."""
        for _ in range(self.recurrence - 1):
            x = self.step(x)
        column, row = self.weights(x)
        return (column.sum(dim=1).transpose(1, 2) + row.sum(dim=2)) / (x.shape[2] * x.shape[3])
