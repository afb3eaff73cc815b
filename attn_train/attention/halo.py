"""Blocked local self-attention of HaloNet (Vaswani et al., 2021, arXiv 2103.12731)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.attention.self_attention import head_channels
from attn_train.ops.dot_product import dot_product_attention


class Halo(Attention):
    """Compute `softmax((Q K^T + Q R^T) / sqrt(d)) V`, the queries a `block` x `block` square, the keys that square and
    `halo` pixels around it.

    R is, for each offset from query to key, the sum of a learned vector for the rows and one for the columns, which the
    heads share. Outside of the map there is nothing to see, and what it lacks to whole blocks counts as outside.
    `heads` must divide the channels. `residual=True` adds the input to the result. The projections have biases, as in
    `self_attention`. With d channels in a head, 3 (c^2 + c) + 2 (2 (block + halo) - 1) d parameters.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        block: int = 4,
        halo: int = 1,
        heads: int = 1,
        residual: bool = True,
    ) -> None:
        super().__init__()
        if block < 1:
            raise ValueError(f"block={block} must be at least 1")
        if halo < 0:
            raise ValueError(f"halo={halo} must be at least 0")
        depth = head_channels(channels, heads)
        self.scale = 1 / math.sqrt(depth)
        self.block = block
        self.halo = halo
        self.heads = heads
        self.residual = residual
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.row_embedding = nn.Parameter(0.02 * torch.randn(2 * (block + halo) - 1, depth))
        self.column_embedding = nn.Parameter(0.02 * torch.randn(2 * (block + halo) - 1, depth))

    def squares(self, x: Tensor, halo: int) -> Tensor:
        """Cut (batch, height, width, c) into overlapping squares, one a block, zeros outside of the map:
        (batch, down, across, c, side, side), where side = block + 2 halo."""
        below, right = (halo + -extent % self.block for extent in x.shape[1:3])
        padded = F.pad(x, (0, 0, halo, right, halo, below))
        side = self.block + 2 * halo
        return padded.unfold(1, side, self.block).unfold(2, side, self.block)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, (batch, blocks * heads, block^2, d), and keys and values, with side^2 for block^2."""
        tokens = x.permute(0, 2, 3, 1)  # (batch, height, width, channels)

        def split(projected: Tensor, halo: int) -> Tensor:
            parts = self.squares(projected, halo).unflatten(3, (self.heads, -1))
            parts = parts.permute(0, 1, 2, 3, 5, 6, 4)  # (batch, down, across, heads, side, side, d)
            return parts.flatten(4, 5).flatten(1, 3)  # (batch, blocks * heads, side^2, d)

        return split(self.query(tokens), 0), split(self.key(tokens), self.halo), split(self.value(tokens), self.halo)

    def inside(self, x: Tensor, halo: int) -> Tensor:
        """Return which pixels of each square are in the map: (blocks, side^2)."""
        ones = torch.ones(1, *x.shape[2:], 1, device=x.device)
        return self.squares(ones, halo).flatten(3).flatten(0, 2) > 0

    def bias(self, query: Tensor, x: Tensor) -> Tensor:
        """Return `Q R^T / sqrt(d)`, and minus infinity outside of the map: (batch, blocks * heads, block^2, side^2)."""
        side = self.block + 2 * self.halo
        # The key that is k rows down in its square is, from the query i rows down, at entry k - i + block - 1.
        rows = self.row_embedding.unfold(0, side, 1).flip(0)  # (block, d, side)
        columns = self.column_embedding.unfold(0, side, 1).flip(0)
        query = query.unflatten(2, (self.block, self.block)) * self.scale  # (batch, blocks * heads, block, block, d)
        down = torch.einsum("nhijd,idk->nhijk", query, rows)
        across = torch.einsum("nhijd,jdk->nhijk", query, columns)
        bias = (down.unsqueeze(-1) + across.unsqueeze(-2)).flatten(4, 5).flatten(2, 3)
        outside = ~self.inside(x, self.halo)[:, None, None]  # (blocks, 1, 1, side^2)
        return bias.unflatten(1, (-1, self.heads)).masked_fill(outside, -math.inf).flatten(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.project(x)
        bias = self.bias(query, x)
        attended = dot_product_attention(query, key, value, attn_mask=bias, scale=self.scale)
        parts = attended.unflatten(2, (self.block, self.block))
        parts = parts.unflatten(1, (-(-x.shape[2] // self.block), -1, self.heads)).permute(0, 1, 4, 2, 5, 3, 6)
        joined = parts.flatten(5, 6).flatten(3, 4).flatten(1, 2)[:, : x.shape[2], : x.shape[3]]
        out = joined.contiguous().permute(0, 3, 1, 2)  # (batch, channels, height, width), in channels_last
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and queries the weight that each pixel receives: (batch, height, width)."""
        height, width = x.shape[2:]
        query, key, _ = self.project(x)
        scores = query @ key.transpose(-2, -1) * self.scale + self.bias(query, x)
        weights = torch.softmax(scores, dim=-1).unflatten(1, (-1, self.heads)).mean(dim=2)
        received = (weights * self.inside(x, 0)[..., None]).sum(dim=2)  # (batch, blocks, side^2)
        around = tuple(extent + -extent % self.block + 2 * self.halo for extent in (height, width))
        added = F.fold(received.transpose(1, 2), around, self.block + 2 * self.halo, stride=self.block)
        return added[:, 0, self.halo : self.halo + height, self.halo : self.halo + width] / (height * width)
