"""Self-attention between the pixels of a feature map (Vaswani et al., 2017, arXiv 1706.03762, section 3.2)."""

import math
from typing import Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention


class SelfAttention(Attention):
    """Compute `softmax(Q K^T / scale) V` with the pixels of the map as tokens.

    `scale="none"` is the article's formula, `"sqrt"` divides by the square root of the channels of a head.
    `residual=True` adds the input to the result. `heads` must divide the channels. 3 (c^2 + c) parameters.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        heads: int = 1,
        scale: Literal["sqrt", "none"] = "sqrt",
        residual: bool = True,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            fitting = ", ".join(str(n) for n in range(1, channels + 1) if channels % n == 0)
            raise ValueError(f"heads={heads} does not divide the {channels} channels of the map; choose from {fitting}")
        self.heads = heads
        self.scale = 1 / math.sqrt(channels // heads) if scale == "sqrt" else 1.0
        self.residual = residual
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
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

        Only then is the n x n matrix built: the plain call runs fused and in memory linear in n.
        """
        query, key, value = self.project(x)
        if return_weights:
            weights = torch.softmax(query @ key.transpose(-2, -1) * self.scale, dim=-1)
            attended = weights @ value  # (batch, heads, n, d)
            return self.restore(attended, x), weights
        return self.restore(F.scaled_dot_product_attention(query, key, value, scale=self.scale), x)

    def restore(self, attended: Tensor, x: Tensor) -> Tensor:
        # (batch, heads, n, d) -> (batch, n, channels) -> (batch, channels, height, width), in channels_last
        out = attended.transpose(1, 2).flatten(2).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and queries the weight that each pixel receives: (batch, height, width)."""
        _, weights = self.forward(x, return_weights=True)
        return weights.mean(dim=(1, 2)).unflatten(1, (x.shape[2], x.shape[3]))
