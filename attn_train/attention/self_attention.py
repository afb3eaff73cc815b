"""Self-attention between the pixels of a feature map (Vaswani et al., 2017, arXiv 1706.03762, section 3.2)."""

import math
from typing import Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.ops.dot_product import dot_product_attention
from attn_train.ops.normalizers import NORMALIZERS


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

    `normalize` says what makes weights of a query's n scores s:
    - `"softmax"`; with `sinks=True` exp(s) / (exp(a) + sum exp(s)), with a learned number a for each head, 0 at first
      (as in gpt-oss, 2025); heads parameters more.
    - `"softmax1"`: the same with a = 0, `exp(s) / (1 + sum exp(s))` (Miller, "Attention is off by one", 2023).
    - `"sigmoid"`, `"softpick"`, `"sparsemax"`, `"entmax"`: see `attn_train.ops.normalizers`. Memory quadratic in n.

    `gate` multiplies the product, before the input is added, by `sigmoid(G x)` of the query's own token x: each
    `"element"` of it (c^2 parameters more) or each `"head"` (c heads); G has no bias (Qiu et al., 2025, arXiv
    2505.06708, after the product, where it helped most).

    `log_n=True` multiplies the scores, B among them, by c log n, n being the pixels of the actual map and c a learned
    number for each head (SSMax, Nakanishi, 2025, arXiv 2501.19399, without its bias); heads parameters more. c begins
    at 1 / log n for `size`, with which this is the usual softmax.

    `qk_norm=True` divides each query and each key by the root of its mean square over the d channels of the head, and
    multiplies them by d learned numbers, 1 at first, that all heads share, one set for queries and one for keys; then
    comes `scale` (as in Qwen3, 2025, arXiv 2505.09388; Henry et al., 2020, arXiv 2010.04245, have vectors of length
    one and one learned number for all). 2 d parameters more.
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
        normalize: Literal["softmax", "softmax1", "sigmoid", "softpick", "sparsemax", "entmax"] = "softmax",
        sinks: bool = False,
        gate: Literal["none", "element", "head"] = "none",
        log_n: bool = False,
        qk_norm: bool = False,
    ) -> None:
        super().__init__()
        depth = head_channels(channels, heads)
        if sinks and normalize != "softmax":
            raise ValueError(f"sinks=true takes normalize=softmax only, not {normalize}")
        self.heads = heads
        self.scale = 1 / math.sqrt(depth) if scale == "sqrt" else 1.0
        self.residual = residual
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.normalize = normalize
        self.position_embedding: nn.Parameter | None = None
        self.relative_bias: nn.Parameter | None = None
        if position == "absolute":
            self.position_embedding = nn.Parameter(0.02 * torch.randn(channels, *size))
        elif position == "relative":
            self.relative_bias = nn.Parameter(0.02 * torch.randn(heads, 2 * size[0] - 1, 2 * size[1] - 1))
        # Below all that is drawn without these options, so that what is drawn does not depend on them.
        gates = {"none": 0, "element": channels, "head": heads}[gate]
        self.gate = nn.Linear(channels, gates, bias=False) if gates else None
        self.sinks = nn.Parameter(torch.zeros(heads)) if sinks else None
        per_log_n = 1 / math.log(max(2, size[0] * size[1]))
        self.log_scale = nn.Parameter(torch.full((heads,), per_log_n)) if log_n else None
        self.query_norm = nn.Parameter(torch.ones(depth)) if qk_norm else None
        self.key_norm = nn.Parameter(torch.ones(depth)) if qk_norm else None

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
        pairs = pairs.reshape(1, self.heads, height * width, height * width)
        return pairs if self.log_scale is None else pairs * self.sharpness(height * width)

    def sharpness(self, pixels: int) -> Tensor:
        """Return c log n for a map of n `pixels`: (heads, 1, 1)."""
        assert self.log_scale is not None
        return self.log_scale[:, None, None] * math.log(pixels)

    def tokens(self, x: Tensor) -> Tensor:
        """Return the pixels with what is added for their places: (batch, n, channels), n = height * width."""
        if self.position_embedding is not None:
            embedding = self.position_embedding[None]  # (1, channels, height, width)
            if embedding.shape[2:] != x.shape[2:]:
                embedding = F.interpolate(embedding, x.shape[2:], mode="bilinear", antialias=False)
            x = x + embedding
        return x.flatten(2).transpose(1, 2)

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (batch, heads, n, d); with `log_n` the queries times c log n."""

        def split(projected: Tensor) -> Tensor:
            return projected.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (batch, heads, n, d)

        query, key, value = split(self.query(tokens)), split(self.key(tokens)), split(self.value(tokens))
        if self.query_norm is not None and self.key_norm is not None:
            query, key = rms_normed(query, self.query_norm), rms_normed(key, self.key_norm)
        if self.log_scale is not None:
            query = query * self.sharpness(tokens.shape[1]).to(query.dtype)
        return query, key, value

    @overload
    def forward(self, x: Tensor, return_weights: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, return_weights: Literal[True]) -> tuple[Tensor, Tensor]: ...
    def forward(self, x: Tensor, return_weights: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Attend; with `return_weights` also return the weights, (batch, heads, n, n), whose rows sum to one with
        softmax, sparsemax and entmax, and no sink.

        Only then is the n x n matrix built, but for the relative bias and what `normalize` needs: the plain call runs
        fused and in memory linear in n.
        """
        tokens = self.tokens(x)
        query, key, value = self.project(tokens)
        bias = self.bias(x.shape[2], x.shape[3])
        if return_weights:
            weights = self.weights(query, key, bias)
            return self.restore(self.gated(weights.to(value.dtype) @ value, tokens), x), weights
        return self.restore(self.gated(self.attend(query, key, value, bias), tokens), x)

    def weights(self, query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
        """Return the weights of all pairs of pixels: (batch, heads, n, n)."""
        scores = query @ key.transpose(-2, -1) * self.scale
        if bias is not None:
            scores = scores + bias
        if self.normalize in NORMALIZERS:
            return NORMALIZERS[self.normalize](scores)
        sink = self.sink(scores)
        if sink is None:
            return torch.softmax(scores, dim=-1)
        return torch.softmax(torch.cat([scores, sink.expand(*scores.shape[:3], 1)], dim=-1), dim=-1)[..., :-1]

    def sink(self, like: Tensor) -> Tensor | None:
        """Return the score of the sink of each head, (heads, 1, 1), in the type of `like`; None where there is none."""
        if self.normalize == "softmax1":
            return like.new_zeros(self.heads, 1, 1)
        return None if self.sinks is None else self.sinks[:, None, None].to(like.dtype)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        """Return the weighted sums of the values: (batch, heads, n, d)."""
        if self.normalize in NORMALIZERS:
            return self.weights(query, key, bias).to(value.dtype) @ value
        sink = self.sink(key)
        if sink is None:
            return dot_product_attention(query, key, value, attn_mask=bias, scale=self.scale)
        # The sink is one more key, whose value is zero: so the kernel stays fused. One more channel, 1 in every query
        # and 0 in the keys of pixels, brings its score.
        last = F.pad(sink / self.scale, (key.shape[3], 0)).expand(len(key), -1, -1, -1)  # (batch, heads, 1, d + 1)
        key = torch.cat([F.pad(key, (0, 1)), last], dim=2)
        query, value = F.pad(query, (0, 1), value=1.0), F.pad(value, (0, 1, 0, 1))
        bias = None if bias is None else F.pad(bias, (0, 1))
        return dot_product_attention(query, key, value, attn_mask=bias, scale=self.scale)[..., :-1]

    def gated(self, attended: Tensor, tokens: Tensor) -> Tensor:
        """Return what was attended to, (batch, heads, n, d), times the gate of the query's token."""
        if self.gate is None:
            return attended
        gate = torch.sigmoid(self.gate(tokens)).unflatten(2, (self.heads, -1))  # (batch, n, heads, d or 1)
        return attended * gate.transpose(1, 2)

    def restore(self, attended: Tensor, x: Tensor) -> Tensor:
        # (batch, heads, n, d) -> (batch, n, channels) -> (batch, channels, height, width), in channels_last
        out = attended.transpose(1, 2).flatten(2).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and queries the weight that each pixel receives: (batch, height, width)."""
        return self.pair_weights(x).mean(dim=(1, 2)).unflatten(1, (x.shape[2], x.shape[3]))

    def pair_weights(self, x: Tensor) -> Tensor:
        _, weights = self.forward(x, return_weights=True)
        return weights


def rms_normed(vectors: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    """Divide each vector of the last dimension by the root of its mean square, and multiply it by `weight`."""
    return F.rms_norm(vectors, weight.shape, weight.to(vectors.dtype), eps)
