"""InLine attention: linear attention whose weights sum to one by subtraction instead of division, and that looks at the
neighbours of each pixel (Han et al., 2024, arXiv 2412.06590)."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.attention.self_attention import head_channels
from attn_train.ops.pooling import mean


class InLine(Attention):
    """Compute `project(sum_j a_ij v_j + sum_m r_m v_m)`, m being the nine pixels round i, with the weights
    `a_ij = 1 / n + q_i (k_j - mean(k)) / (n sqrt(d))`.

    The nine numbers r of each channel are the same at every pixel of an image, computed from the mean token by two
    layers with a GELU between them, in which each of the `heads` sees its own d channels. `heads` must divide the
    channels. `residual=True` adds the input to the result. 4 c^2 + 13 c + 10 c^2 / heads parameters. `key` has no bias:
    it would cancel. Weights may be negative: q and k pass through no function, as in the authors' DeiT, whose code also
    has the factor 1 / (n sqrt(d)) that the paper counts to q. In time and memory linear in n.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, heads: int = 1, residual: bool = True) -> None:
        super().__init__()
        self.scale = 1 / math.sqrt(head_channels(channels, heads))
        self.heads = heads
        self.residual = residual
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.local1 = nn.Conv2d(channels, channels, kernel_size=1, groups=heads)
        self.local2 = nn.Conv2d(channels, 9 * channels, kernel_size=1, groups=heads)
        self.project = nn.Linear(channels, channels)

    def split(self, tokens: Tensor) -> Tensor:
        """Return (batch, n, channels) as (batch, heads, n, d)."""
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def centred(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries / sqrt(d) and keys less their mean, each (batch, heads, n, d)."""
        key = self.split(self.key(tokens))
        return self.split(self.query(tokens)) * self.scale, key - key.mean(dim=2, keepdim=True)

    def neighbours(self, value: Tensor, x: Tensor) -> Tensor:
        """Return the sum over the nine pixels round each, zero beyond the edge: (batch, n, channels), as `value`."""
        batch, channels, height, width = x.shape
        filters = self.local2(F.gelu(self.local1(mean(x, 2, 3)))).view(batch * channels, 1, 3, 3)
        # One group for each channel of each image.
        placed = value.transpose(1, 2).reshape(1, batch * channels, height, width)
        summed = F.conv2d(placed, filters.to(placed.dtype), padding=1, groups=batch * channels)
        return summed.view(batch, channels, height * width).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (batch, n, channels), n = height * width
        query, key = self.centred(tokens)
        value = self.value(tokens)
        values = self.split(value)
        # The keys are divided before they are summed over the map: in half precision the sum would lose more.
        attended = query @ ((key / tokens.shape[1]).transpose(2, 3) @ values) + values.mean(dim=2, keepdim=True)
        summed = attended.transpose(1, 2).flatten(2) + self.neighbours(value, x)
        out = self.project(summed).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and queries the weight a that each position receives: (batch, height, width); less than 0
        where it is taken away."""
        query, key = self.centred(x.flatten(2).transpose(1, 2))
        received = (1 + key @ query.mean(dim=2).unsqueeze(3)) / key.shape[2]  # (batch, heads, n, 1)
        return received.mean(dim=(1, 3)).unflatten(1, x.shape[2:])
