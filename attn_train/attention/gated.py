"""The gated convolution of the article that this project began with: each element of the map is scaled by its own
gate."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention


class GatedConv(Attention):
    """Compute `x * sigmoid(conv1(x) * conv2(x))` with two 1x1 convolutions; 2 (c^2 + c) parameters."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=1)

    def gate(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv1(x) * self.conv2(x))  # (batch, channels, height, width), in (0, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)

    def attention_map(self, x: Tensor) -> Tensor:
        """Average the gate over the channels: (batch, height, width)."""
        return self.gate(x).mean(dim=1)
