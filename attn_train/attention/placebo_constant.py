"""A control: a learned gate that does not depend on the image. What it gains is not due to attention to the image."""

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
