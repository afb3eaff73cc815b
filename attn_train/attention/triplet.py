"""Triplet attention: the map seen from each of its three sides (Misra et al., 2020, arXiv 2010.03045)."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Gate
from attn_train.ops.pooling import largest, mean


class TripletAttention(Gate):
    """Compute `x * (g1 + g2 + g3) / 3` with `g = sigmoid(norm(conv(max, mean)))`, pooled over the channels for g1, the
    rows for g2, the columns for g3.

    Each convolution sees the plane of the two dimensions that are left, is `kernel_size` = k wide, which must be odd,
    and has no bias, since batch normalisation follows. 3 (2 k^2 + 2) parameters.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} must be odd and at least 1")
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False), nn.BatchNorm2d(1))
            for _ in range(3)
        )

    def gate(self, x: Tensor) -> Tensor:
        gates = []
        for dim, branch in enumerate(self.branches, start=1):
            pooled = torch.cat([largest(x, dim), mean(x, dim)], dim=dim)
            # The rotation: what was pooled becomes the convolution's channels, and turns back after it.
            gates.append(torch.sigmoid(branch(pooled.transpose(1, dim))).transpose(1, dim))
        # (batch, 1, height, width) + (batch, channels, 1, width) + (batch, channels, height, 1)
        return (gates[0] + gates[1] + gates[2]) / 3
