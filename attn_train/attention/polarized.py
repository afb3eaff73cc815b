"""Polarized self-attention: a channel gate from a sum over the positions, a spatial gate from a sum over the channels,
each with a softmax on its query (Liu et al., 2021, arXiv 2107.00782)."""

from typing import Literal

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Gate, reduced_channels
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import mean, scaled


class PolarizedAttention(Gate):
    """Compute `x * (channel(x) + spatial(x))`, or `x' * spatial(x')` with `x' = x * channel(x)` for `sequential` order.

    `channel = sigmoid(norm(W_z (V softmax(q))))`, one gate a channel: the softmax is over the positions of one query
    map q, the norm a layer norm over the c channels. `spatial = sigmoid(softmax(mean(Q)) . V)`, one gate a pixel: the
    softmax is over the channels of Q. V and Q have max(1, c // 2) = m channels; all but the norm are 1x1 convolutions
    without biases. 4 c m + 3 c parameters.

    As in the paper. In the authors' code the spatial gate's softmax is over the positions: in `parallel` those of its
    score, which makes all its gates about a half, in `sequential` those of V. The channel gate has no norm there in
    `parallel`, and a bottleneck, with the norm within, in `sequential`.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], *, order: Literal["parallel", "sequential"] = "parallel"
    ) -> None:
        super().__init__()
        self.order = order
        middle = reduced_channels(channels, 2)
        self.channel_query = Conv1x1(channels, 1, bias=False)
        self.channel_value = Conv1x1(channels, middle, bias=False)
        self.channel_expand = Conv1x1(middle, channels, bias=False)
        self.channel_norm = nn.LayerNorm(channels)
        self.spatial_query = Conv1x1(channels, middle, bias=False)
        self.spatial_value = Conv1x1(channels, middle, bias=False)

    def channel(self, x: Tensor) -> Tensor:
        """Return one gate a channel, (batch, channels, 1, 1)."""
        shares = torch.softmax(self.channel_query(x).flatten(2), dim=2)  # (batch, 1, n)
        # The shares of the values are the values of the shares: one sum over the map instead of m.
        gathered = x.flatten(2) @ shares.to(x.dtype).transpose(1, 2)  # (batch, channels, 1)
        score = self.channel_expand(self.channel_value(gathered.unsqueeze(3)))
        return torch.sigmoid(self.channel_norm(score.flatten(1)))[:, :, None, None]

    def spatial(self, x: Tensor) -> Tensor:
        """Return one gate a pixel, (batch, 1, height, width)."""
        query = torch.softmax(self.spatial_query(mean(x, 2, 3)).flatten(1), dim=1)  # the mean of Q, (batch, m)
        # Likewise: the query times the weights of V is one filter for each image.
        filters = query @ self.spatial_value.weight.flatten(1).to(query.dtype)  # (batch, channels)
        score = filters.unsqueeze(1).to(x.dtype) @ x.flatten(2)  # (batch, 1, n)
        return torch.sigmoid(score).unflatten(2, x.shape[2:])

    def gate(self, x: Tensor) -> Tensor:
        channel = self.channel(x)
        if self.order == "parallel":
            return channel + self.spatial(x)
        return channel * self.spatial(scaled(x, channel.to(x.dtype)))
