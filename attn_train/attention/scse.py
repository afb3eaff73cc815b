"""Concurrent spatial and channel squeeze-and-excitation (Roy et al., 2018, arXiv 1803.02579)."""

from typing import Literal

import torch
from torch import Tensor

from attn_train.attention.attention import Gate, reduced_channels
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import mean


class ConcurrentSqueezeExcitation(Gate):
    """Combine `x * sigmoid(expand(relu(reduce(mean(x)))))` and `x * sigmoid(spatial(x))`, a gate for each channel and
    one for each pixel.

    `combine="add"` adds the two, as in the paper; `"max"` takes the larger of each two elements (the authors' later
    article, arXiv 1808.08127). The 1x1 convolutions have m = max(1, c // `reduction`) channels between, and biases.
    2 c m + m + 2 c + 1 parameters.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], *, reduction: int = 2, combine: Literal["max", "add"] = "add"
    ) -> None:
        super().__init__()
        self.combine = combine
        middle = reduced_channels(channels, reduction)
        self.reduce = Conv1x1(channels, middle)
        self.expand = Conv1x1(middle, channels)
        self.spatial = Conv1x1(channels, 1)

    def gate(self, x: Tensor) -> Tensor:
        squeezed = mean(x, 2, 3)
        channel = torch.sigmoid(self.expand(torch.relu(self.reduce(squeezed))))  # (batch, channels, 1, 1)
        spatial = torch.sigmoid(self.spatial(x))  # (batch, 1, height, width)
        if self.combine == "add":
            return channel + spatial
        # The larger product has the smaller gate where x is negative.
        return torch.where(x > 0, torch.maximum(channel, spatial), torch.minimum(channel, spatial))
