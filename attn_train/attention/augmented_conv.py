"""The attention-augmented convolution: some of the output channels come from a 3x3 convolution, the others from
self-attention with relative positions (Bello et al., 2019, arXiv 1904.09925)."""

import math

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.ops.dot_product import dot_product_attention


class AugmentedConv(Attention):
    """Compute `concat(conv(x), project(softmax((Q K^T + S_height + S_width) / sqrt(d)) V))`.

    `S_height[i, j]` is the product of query i with the embedding of the rows' offset from i to j, `S_width` that of the
    columns'; the heads share the embeddings. They are made for `size`; a larger map's farther offsets use the last one.
    `key_share` and `value_share` are the paper's kappa and upsilon: the `heads` together have k = key_share c channels
    of keys and v = value_share c of values, rounded down to a multiple of `heads`, at least one each. Where v takes all
    channels there is no convolution. (9 c + 1) (c - v) + (c + 1) (2 k + v) + v^2 + v + 2 (height + width - 1) k / heads
    parameters. S is a matrix of n x n.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        heads: int = 4,
        key_share: float = 0.25,
        value_share: float = 0.25,
    ) -> None:
        super().__init__()
        if not 1 <= heads <= channels:
            raise ValueError(f"heads={heads} must be from 1 to {channels}, the channels of the map")
        for name, share in (("key_share", key_share), ("value_share", value_share)):
            if not 0 < share <= 1:
                raise ValueError(f"{name}={share} must be above 0 and at most 1")
        self.heads = heads
        depth = max(1, int(key_share * channels) // heads)  # of a head's keys
        self.keys, self.values = depth * heads, max(1, int(value_share * channels) // heads) * heads
        self.scale = 1 / math.sqrt(depth)
        left = channels - self.values
        self.conv = nn.Conv2d(channels, left, kernel_size=3, padding=1) if left else None
        self.qkv = nn.Linear(channels, 2 * self.keys + self.values)
        self.project = nn.Linear(self.values, self.values)
        self.relative_height = nn.Parameter(torch.empty(2 * size[0] - 1, depth))  # offsets 1 - height to height - 1
        self.relative_width = nn.Parameter(torch.empty(2 * size[1] - 1, depth))
        nn.init.normal_(self.relative_height, std=self.scale)
        nn.init.normal_(self.relative_width, std=self.scale)

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the queries, keys and values, each (batch, heads, n, d), and S / sqrt(d), (batch, heads, n, n)."""
        tokens = x.flatten(2).transpose(1, 2)  # (batch, n, channels), n = height * width
        parts = self.qkv(tokens).split([self.keys, self.keys, self.values], dim=2)
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        height, width = x.shape[2:]
        grid = (query * self.scale).unflatten(2, (height, width))  # (batch, heads, height, width, d)
        rows = torch.einsum("bhyxd,ykd->bhyxk", grid, by_offset(self.relative_height, height))
        columns = torch.einsum("bhyxd,xkd->bhyxk", grid, by_offset(self.relative_width, width))
        bias = (rows.unsqueeze(5) + columns.unsqueeze(4)).flatten(4).flatten(2, 3)
        return query, key, value, bias

    def forward(self, x: Tensor) -> Tensor:
        query, key, value, bias = self.attend(x)
        attended = dot_product_attention(query, key, value, attn_mask=bias, scale=self.scale)
        projected = self.project(attended.transpose(1, 2).flatten(2))  # (batch, n, values)
        out = projected.transpose(1, 2).unflatten(2, x.shape[2:])
        return out if self.conv is None else torch.cat([self.conv(x), out], dim=1)

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and queries the weight that each position receives: (batch, height, width)."""
        query, key, _, bias = self.attend(x)
        weights = torch.softmax(query @ key.transpose(2, 3) * self.scale + bias, dim=3)
        return weights.mean(dim=(1, 2)).unflatten(1, x.shape[2:])


def by_offset(embedding: Tensor, length: int) -> Tensor:
    """Return the embedding of the offset from each query to each key along one side: (length, length, d)."""
    farthest = embedding.shape[0] // 2
    place = torch.arange(length, device=embedding.device)
    offset = (place[None, :] - place[:, None]).clamp(-farthest, farthest)  # (query, key)
    return embedding[offset + farthest]
