"""Self-attention between the pixels of a feature map (Vaswani et al., 2017, arXiv 1706.03762, section 3.2)."""

import math
from typing import Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.ops.dot_product import dot_product_attention


def head_channels(channels: int, heads: int) -> int:
    """Return the channels of each head; raise ValueError where `heads` does not divide the channels."""
    if heads < 1 or channels % heads:
        fitting = ", ".join(str(n) for n in range(1, channels + 1) if channels % n == 0)
        raise ValueError(f"heads={heads} does not divide the {channels} channels of the map; choose from {fitting}")
    return channels // heads


class SelfAttention(Attention):
    """Compute `softmax(Q K^T / scale + B) V` with the pixels of the map as tokens.

    `scale="none"` is the article's formula, `"sqrt"` divides by the square root of the channels of a head.
    `residual=True` adds the input to the result. `heads` must divide the channels. 3 (c^2 + c) parameters.

    `position="none"` leaves B out: a pixel's place counts for nothing. `"absolute"` adds to each token a learned vector
    of its place, resampled bilinearly for a map of another size than `size`; c h w parameters more. `"relative"` makes
    B a learned number for each head and each offset from query to key (Liu et al., 2021, arXiv 2103.14030); an offset
    that no two pixels of `size` have gets that of the nearest one. heads (2h - 1) (2w - 1) parameters more, and memory
    quadratic in n.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        heads: int = 1,
        scale: Literal["sqrt", "none"] = "sqrt",
        residual: bool = True,
        position: Literal["none", "absolute", "relative"] = "none",
    ) -> None:
        super().__init__()
        depth = head_channels(channels, heads)
        self.heads = heads
        self.scale = 1 / math.sqrt(depth) if scale == "sqrt" else 1.0
        self.residual = residual
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.position_embedding: nn.Parameter | None = None
        self.relative_bias: nn.Parameter | None = None
        if position == "absolute":
            self.position_embedding = nn.Parameter(0.02 * torch.randn(channels, *size))
        elif position == "relative":
            self.relative_bias = nn.Parameter(0.02 * torch.randn(heads, 2 * size[0] - 1, 2 * size[1] - 1))

    def bias(self, height: int, width: int) -> Tensor | None:
        """Return the relative bias of each pair of pixels, (1, heads, n, n), or None where there is none."""
        table = self.relative_bias
        if table is None:
            return None

        def offsets(extent: int, entries: int) -> Tensor:
            reach = entries // 2  # the largest offset in the table
            possible = torch.arange(1 - extent, extent, device=table.device)
            return possible.clamp(-reach, reach) + reach

        rows, columns = offsets(height, table.shape[1]), offsets(width, table.shape[2])
        resized = table[:, rows[:, None], columns]  # (heads, 2h - 1, 2w - 1)
        # The key that is k rows down is, from the query i rows down, at entry k - i + h - 1.
        pairs = resized.unfold(1, height, 1).unfold(2, width, 1).flip(1, 2)  # (heads, h, w, h, w): query, then key
        return pairs.reshape(1, self.heads, height * width, height * width)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (batch, heads, n, d)."""
        if self.position_embedding is not None:
            embedding = self.position_embedding[None]  # (1, channels, height, width)
            if embedding.shape[2:] != x.shape[2:]:
                embedding = F.interpolate(embedding, x.shape[2:], mode="bilinear", antialias=False)
            x = x + embedding
        tokens = x.flatten(2).transpose(1, 2)  # (batch, n, channels), n = height * width

        def split(projected: Tensor) -> Tensor:
            return projected.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (batch, heads, n, d)

        return split(self.query(tokens)), split(self.key(tokens)), split(self.value(tokens))

    @overload
    def forward(self, x: Tensor, return_weights: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, return_weights: Literal[True]) -> tuple[Tensor, Tensor]: ...
    def forward(self, x: Tensor, return_weights: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Attend; with `return_weights` also return the weights, (batch, heads, n, n), whose rows sum to one.

        Only then is the n x n matrix built, but for the relative bias: the plain call runs fused and in memory linear
        in n.
        """
        query, key, value = self.project(x)
        bias = self.bias(x.shape[2], x.shape[3])
        if return_weights:
            scores = query @ key.transpose(-2, -1) * self.scale
            weights = torch.softmax(scores if bias is None else scores + bias, dim=-1)
            attended = weights @ value  # (batch, heads, n, d)
            return self.restore(attended, x), weights
        return self.restore(dot_product_attention(query, key, value, attn_mask=bias, scale=self.scale), x)

    def restore(self, attended: Tensor, x: Tensor) -> Tensor:
        # (batch, heads, n, d) -> (batch, n, channels) -> (batch, channels, height, width), in channels_last
        out = attended.transpose(1, 2).flatten(2).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and queries the weight that each pixel receives: (batch, height, width)."""
        _, weights = self.forward(x, return_weights=True)
        return weights.mean(dim=(1, 2)).unflatten(1, (x.shape[2], x.shape[3]))
