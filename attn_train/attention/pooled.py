"""Self-attention with pooled keys and values: the spatial reduction of PVT (Wang et al., 2021, arXiv 2102.12122), by
average pooling to a fixed size as in PVT v2 (Wang et al., 2021, arXiv 2106.13797)."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.attention.self_attention import head_channels
from attn_train.ops.dot_product import dot_product_attention
from attn_train.ops.pooling import cell_shares, grid_mean


class PooledAttention(Attention):
    """Compute `project(softmax(Q K^T / sqrt(d)) V)` with Q from the pixels, K and V from the averages of a coarse grid.

    The grid has at most `pooled` rows and columns. Each of the `heads` has its share d of the channels, which they must
    divide. `residual=True` adds the input to the result. 4 c^2 + 3 c parameters. `key` has no bias: it would cancel in
    the softmax. The convolution, norm and activation that the authors' code puts after the pooling are left out.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], *, pooled: int = 7, heads: int = 1, residual: bool = True
    ) -> None:
        super().__init__()
        if pooled < 1:
            raise ValueError(f"pooled={pooled} must be at least 1")
        head_channels(channels, heads)
        self.pooled = pooled
        self.heads = heads
        self.residual = residual
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.project = nn.Linear(channels, channels)

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries, (batch, heads, n, d), and the keys and values, (batch, heads, cells, d)."""
        grid = grid_mean(x, (min(x.shape[2], self.pooled), min(x.shape[3], self.pooled)))
        tokens, cells = x.flatten(2).transpose(1, 2), grid.flatten(2).transpose(1, 2)

        def split(projected: Tensor) -> Tensor:
            return projected.unflatten(2, (self.heads, -1)).transpose(1, 2)

        return split(self.query(tokens)), split(self.key(cells)), split(self.value(cells))

    def forward(self, x: Tensor) -> Tensor:
        attended = dot_product_attention(*self.attend(x))  # (batch, heads, n, d)
        projected = self.project(attended.transpose(1, 2).flatten(2))  # (batch, n, channels)
        out = projected.transpose(1, 2).unflatten(2, x.shape[2:])
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and queries the weight that each position receives: (batch, height, width).

        A cell's weight is divided between its pixels, as the average is.
        """
        query, key, _ = self.attend(x)
        weights = torch.softmax(query @ key.transpose(2, 3) / query.shape[3] ** 0.5, dim=3).mean(dim=(1, 2))
        rows, columns = (cell_shares(x, dim, min(x.shape[dim], self.pooled), weights.dtype) for dim in (2, 3))
        return rows @ weights.unflatten(1, (rows.shape[1], columns.shape[1])) @ columns.T
