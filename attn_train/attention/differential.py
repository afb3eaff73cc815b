"""Differential attention: the difference of two softmax maps, which takes away what both see (Ye et al., 2024, arXiv
2410.05258), in that form and in the second one of its authors (Microsoft, 2026-01-20)."""

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.attention.self_attention import head_channels, rms_normed
from attn_train.ops.dot_product import dot_product_attention
from attn_train.settings.bounds import from_to_below

RMS_EPS = 1e-5


class Differential(Attention):
    """Compute `project(softmax(Q1 K1^T / sqrt(d)) V - lambda softmax(Q2 K2^T / sqrt(d)) V)`; no layer has a bias.

    `version=1` has d = c / (2 heads), values of 2 d channels, and, the same for all heads, `lambda = exp(a1 b1) -
    exp(a2 b2) + lambda_init` with four learned vectors of d numbers, which begin small. Each head's difference is
    divided by the root of its mean square over its channels, times a learned number for each (which all heads share),
    times 1 - `lambda_init`. `2 heads` must divide the channels. 4 c^2 + 3 c / heads parameters. The paper lets
    lambda_init grow with the depth of the layer, 0.8 - 0.6 exp(-0.3 l); here it is one number, as in the paper's
    ablation.

    `version=2` has d = c / heads, twice as many queries, `lambda = sigmoid(L x)` for each query and head, and no norm.
    The two maps of a head share keys and values; to subtract maps of other keys is wrong, its authors warn. `heads`
    must divide the channels. 5 c^2 + c heads parameters. `lambda_init` is not used.

    `residual=True` adds the input to the result. In version 1 queries and keys are filled up with zeros to the length
    of the values, which torch's fused kernels need: counted multiply-adds are a third more than the formula's.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        version: Literal[1, 2] = 1,
        heads: int = 2,
        lambda_init: Annotated[float, from_to_below(0, 1)] = 0.8,
        residual: bool = True,
    ) -> None:
        super().__init__()
        if version == 1 and (heads < 1 or channels % (2 * heads)):
            fitting = ", ".join(str(n) for n in range(1, channels + 1) if channels % (2 * n) == 0) or "version=2 alone"
            raise ValueError(
                f"heads={heads}: twice that does not divide the {channels} channels of the map; choose from {fitting}"
            )
        width = head_channels(channels, heads)  # of a head's values
        depth = width // 2 if version == 1 else width  # of its queries and keys
        self.scale = 1 / math.sqrt(depth)
        self.version = version
        self.heads = heads
        self.lambda_init = lambda_init
        self.residual = residual
        self.query = nn.Linear(channels, version * channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.project = nn.Linear(channels, channels, bias=False)
        if version == 1:
            # (a or b, first or second map, d)
            self.exponents = nn.Parameter(0.1 * torch.randn(2, 2, depth))
            self.norm = nn.Parameter(torch.ones(width))
        else:
            self.share = nn.Linear(channels, heads, bias=False)

    def maps(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the queries and keys of both maps of each head, each (batch, heads, 2, n, d)."""
        query = self.query(tokens).unflatten(2, (self.heads, 2, -1)).permute(0, 2, 3, 1, 4)
        parts = 2 if self.version == 1 else 1
        key = self.key(tokens).unflatten(2, (self.heads, parts, -1)).permute(0, 2, 3, 1, 4)
        return query, key.expand(-1, -1, 2, -1, -1)

    def share_of_second(self, tokens: Tensor) -> Tensor:
        """Return lambda: one number, or (batch, heads, n, 1)."""
        if self.version == 2:
            return torch.sigmoid(self.share(tokens)).transpose(1, 2).unsqueeze(3)
        first, second = self.exponents.prod(dim=0).sum(dim=1).exp()
        return first - second + self.lambda_init

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (batch, n, channels), n = height * width
        query, key = self.maps(tokens)
        value = self.value(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (batch, heads, n, c / heads)
        values = value.unsqueeze(2).expand(-1, -1, 2, -1, -1)
        lacking = value.shape[3] - query.shape[4]
        query, key = F.pad(query, (0, lacking)), F.pad(key, (0, lacking))
        # Four dimensions, which the fused kernels need.
        both = dot_product_attention(query.flatten(1, 2), key.flatten(1, 2), values.flatten(1, 2), scale=self.scale)
        first, second = both.unflatten(1, (self.heads, 2)).unbind(2)
        attended = first - self.share_of_second(tokens).to(first.dtype) * second  # (batch, heads, n, c / heads)
        if self.version == 1:
            attended = rms_normed(attended, self.norm, eps=RMS_EPS) * (1 - self.lambda_init)
        projected = self.project(attended.transpose(1, 2).flatten(2))  # (batch, n, channels)
        out = projected.transpose(1, 2).unflatten(2, x.shape[2:])
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and queries the difference of the two weights that each pixel receives, before the norm:
        (batch, height, width); less than 0 where the second map looks."""
        tokens = x.flatten(2).transpose(1, 2)
        query, key = self.maps(tokens)
        first, second = torch.softmax(query @ key.transpose(-2, -1) * self.scale, dim=-1).unbind(2)
        received = first - self.share_of_second(tokens).to(first.dtype) * second
        return received.mean(dim=(1, 2)).unflatten(1, x.shape[2:])
