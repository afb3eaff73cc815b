"""A control: a gate that is learned but never looks at the image. What it gains, gating by the image did not."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Gate


class PlaceboConstant(Gate):
    """Compute `x * sigmoid(score)` with one learned score a channel; c parameters, all zero at the start."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(channels))

    def gate(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.score)[None, :, None, None].expand(len(x), -1, 1, 1)  # (batch, channels, 1, 1)
