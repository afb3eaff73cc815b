"""Explicit sparse attention: each query keeps only its largest scores (Zhao et al., 2019, arXiv 1912.11637)."""

import math

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.attention.self_attention import head_channels
from attn_train.ops.dot_product import dot_product_attention


class TopK(Attention):
    """Compute `softmax(M(Q K^T / sqrt(d))) V`, M making minus infinity of what is below the `k` largest of a row.

    Scores equal to the smallest of the k stay too, and all where the map has no more than k pixels. `heads` must divide
    the channels. `residual=True` adds the input to the result. Memory is quadratic in n. 3 (c^2 + c) parameters.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], *, k: int = 16, heads: int = 1, residual: bool = True
    ) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"k={k} must be at least 1")
        self.scale = 1 / math.sqrt(head_channels(channels, heads))
        self.k = k
        self.heads = heads
        self.residual = residual
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (batch, heads, n, d)."""
        tokens = x.flatten(2).transpose(1, 2)  # (batch, n, channels), n = height * width

        def split(projected: Tensor) -> Tensor:
            return projected.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (batch, heads, n, d)

        # Full precision also under autocast: where two scores are close, rounding would change which of them is kept.
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            exact = tokens.to(self.query.weight.dtype)
            query, key = split(self.query(exact)), split(self.key(exact))
        return query, key, split(self.value(tokens))

    def mask(self, query: Tensor, key: Tensor) -> Tensor:
        """Return which keys each query keeps: bool (batch, heads, n, n)."""
        with torch.autocast("cpu" if query.is_meta else query.device.type, enabled=False):
            scores = query.detach() @ key.detach().transpose(-2, -1)
        largest = scores.topk(min(self.k, scores.shape[-1]), dim=-1).values
        return scores >= largest[..., -1:]

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.project(x)
        attended = dot_product_attention(query, key, value, attn_mask=self.mask(query, key), scale=self.scale)
        out = attended.transpose(1, 2).flatten(2).transpose(1, 2).unflatten(2, x.shape[2:])  # in channels_last
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and queries the weight that each pixel receives: (batch, height, width)."""
        query, key, _ = self.project(x)
        scores = (query @ key.transpose(-2, -1) * self.scale).masked_fill(~self.mask(query, key), -math.inf)
        return scores.softmax(dim=-1).mean(dim=(1, 2)).unflatten(1, (x.shape[2], x.shape[3]))
