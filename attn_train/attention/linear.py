"""Efficient attention: two softmaxes apart, so that keys and values are summed before the queries see them, in time and
memory linear in the pixels (Shen et al., 2018, arXiv 1812.01243)."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.attention.self_attention import head_channels


class LinearAttention(Attention):
    """Compute `project(softmax_channels(Q) (softmax_positions(K)^T V))` with the pixels of the map as tokens.

    Each of the `heads` has its share of the channels, which they must divide. `residual=True` adds the input to the
    result. 4 c^2 + 3 c parameters. `key` has no bias: it would cancel in the softmax.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, heads: int = 1, residual: bool = True) -> None:
        super().__init__()
        head_channels(channels, heads)
        self.heads = heads
        self.residual = residual
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.project = nn.Linear(channels, channels)

    def shares(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the normalised queries and keys, each (batch, heads, n, d)."""
        query = self.query(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
        key = self.key(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
        return torch.softmax(query, dim=3), torch.softmax(key, dim=2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (batch, n, channels), n = height * width
        query, key = self.shares(tokens)
        value = self.value(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (batch, heads, n, d)
        attended = query @ (key.transpose(2, 3) @ value)  # (batch, heads, n, d)
        projected = self.project(attended.transpose(1, 2).flatten(2))  # (batch, n, channels)
        out = projected.transpose(1, 2).unflatten(2, x.shape[2:])
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and queries the weight that each position receives: (batch, height, width)."""
        query, key = self.shares(x.flatten(2).transpose(1, 2))
        received = key @ query.mean(dim=2).unsqueeze(3)  # (batch, heads, n, 1)
        return received.mean(dim=(1, 3)).unflatten(1, x.shape[2:])
