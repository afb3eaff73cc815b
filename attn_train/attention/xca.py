"""Cross-covariance attention: channels attend to channels, in time and memory linear in the pixels (El-Nouby et al.,
2021, arXiv 2106.09681)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.attention.self_attention import head_channels


class CrossCovariance(Attention):
    """Compute `project(softmax(t Q K^T) V)` with the d channels of a head as tokens: Q, K and V are (d, n).

    Each row of Q and of K is divided by its length over the n pixels; t is a learned number for each head, 1 at first
    (the paper's temperature is its inverse). `heads` must divide the channels. `residual=True` adds the input to the
    result. 4 (c^2 + c) + heads parameters. The local patch interaction that follows in the paper's blocks is left out.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, heads: int = 4, residual: bool = True) -> None:
        super().__init__()
        head_channels(channels, heads)
        self.heads = heads
        self.residual = residual
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.project = nn.Linear(channels, channels)
        self.sharpness = nn.Parameter(torch.ones(heads))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (batch, n, channels), n = height * width

        def split(projected: Tensor) -> Tensor:
            return projected.unflatten(2, (self.heads, -1)).permute(0, 2, 3, 1)  # (batch, heads, d, n)

        query, key = (F.normalize(split(layer(tokens)), dim=3) for layer in (self.query, self.key))
        scores = query @ key.transpose(2, 3) * self.sharpness[:, None, None].to(query.dtype)  # (batch, heads, d, d)
        attended = torch.softmax(scores, dim=3).to(query.dtype) @ split(self.value(tokens))
        out = self.project(attended.flatten(1, 2).transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + out if self.residual else out
