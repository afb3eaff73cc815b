"""The gated convolution of the article that this project began with: each element of the map is scaled by its own
gate."""

from typing import Literal

import torch
from torch import Tensor

from attn_train.attention.attention import Gate
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import mean


class GatedConv(Gate):
    """Compute `x * sigmoid(conv1(x) * conv2(x))` with two 1x1 convolutions; 2 (c^2 + c) parameters.

    `per` says what has a gate of its own: each `element` (the article's), each `pixel` (the convolutions have one
    output channel; 2 (c + 1) parameters), or each `channel` (they see the map's mean). `branches=1` leaves conv2 out:
    `x * sigmoid(conv1(x))`.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        per: Literal["element", "pixel", "channel"] = "element",
        branches: Literal[1, 2] = 2,
    ) -> None:
        super().__init__()
        self.per = per
        gates = 1 if per == "pixel" else channels
        self.conv1 = Conv1x1(channels, gates)
        self.conv2 = Conv1x1(channels, gates) if branches == 2 else None

    def gate(self, x: Tensor) -> Tensor:
        """Return (batch, channels, height, width) in (0, 1), or one for all channels, or for all positions."""
        if self.per == "channel":
            x = mean(x, 2, 3)
        score = self.conv1(x)
        return torch.sigmoid(score if self.conv2 is None else score * self.conv2(x))
