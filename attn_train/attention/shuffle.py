"""Shuffle attention: in each group one half of the channels has a channel gate, the other a spatial gate, then the
channels are mixed (SA-Net, Zhang and Yang, 2021, arXiv 2102.00240)."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention, divisor
from attn_train.ops.pooling import mean


class ShuffleAttention(Attention):
    """Compute `shuffle(a * sigmoid(W_1 mean(a) + b_1), b * sigmoid(W_2 norm(b) + b_2))`, a and b the halves of a group.

    W and b are a number for each channel of a half, the same in all groups; W begins at 0, b at 1. `norm` takes each
    channel's mean over the pixels away and divides by its standard deviation: the published code's group norm, of one
    channel a group; its own scale and shift are left out, as W_2 and b_2 follow. `shuffle` puts the first and the
    second half of all channels in turn, one and one. `groups` must divide half the channels, of which there must be an
    even number; None: the greatest common divisor of 16 and that half, which makes groups as large as the paper's (64
    of 256 to 2,048 channels). 2 c / groups parameters.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, groups: int | None = None) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError(f"shuffle halves the channels of the map, and {channels} is odd")
        self.groups = divisor(channels // 2, "groups", groups, usual=16, of="half the map")
        half = channels // (2 * self.groups)
        self.channel_weight = nn.Parameter(torch.zeros(half, 1, 1))
        self.channel_bias = nn.Parameter(torch.ones(half, 1, 1))
        self.spatial_weight = nn.Parameter(torch.zeros(half, 1, 1))
        self.spatial_bias = nn.Parameter(torch.ones(half, 1, 1))

    def factors(self, x: Tensor) -> Tensor:
        """Return the gates, (batch, channels, height, width)."""
        means = mean(x, 2, 3).unflatten(1, (self.groups, 2, -1))[:, :, 0]  # (batch, groups, half, 1, 1)
        channel = torch.sigmoid(self.channel_weight * means + self.channel_bias)
        second = x.unflatten(1, (self.groups, 2, -1))[:, :, 1].flatten(1, 2)  # (batch, channels / 2, height, width)
        # torch's own: that of torch.nn refuses the one pixel of a batch of one.
        normed = torch.group_norm(second, second.shape[1]).unflatten(1, (self.groups, -1))
        spatial = torch.sigmoid(self.spatial_weight * normed + self.spatial_bias)
        return torch.stack([channel.expand_as(spatial), spatial], dim=2).flatten(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        gated = (x * self.factors(x).to(x.dtype)).permute(0, 2, 3, 1)  # (batch, height, width, channels)
        shuffled = gated.unflatten(3, (2, -1)).transpose(3, 4).flatten(3)
        return shuffled.permute(0, 3, 1, 2)  # in channels_last

    def attention_map(self, x: Tensor) -> Tensor:
        """Average the gates over the channels: (batch, height, width)."""
        return self.factors(x).mean(dim=1)
