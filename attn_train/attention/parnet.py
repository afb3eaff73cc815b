"""The block of ParNet: a 3x3 and a 1x1 convolution beside a skip connection with squeeze-and-excitation (Goyal et al.,
2021, arXiv 2110.07641)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.ops.convolution import Conv1x1, Conv3x3
from attn_train.ops.pooling import mean, scaled


class ParNet(Attention):
    """Compute `silu(norm(conv3x3(x)) + norm(conv1x1(x)) + s * sigmoid(excite(mean(s))))` with `s = norm(x)`.

    The last term is the skip-squeeze-excitation: one 1x1 convolution and no bottleneck. Norms are batch norms, and no
    convolution has a bias, as in the authors' code. (In External-Attention-pytorch the skip connection has no
    norm.) The result replaces the map, as a convolution's does. 11 c^2 + 6 c parameters.
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.wide = nn.Sequential(Conv3x3(channels, channels), nn.BatchNorm2d(channels))
        self.narrow = nn.Sequential(Conv1x1(channels, channels, bias=False), nn.BatchNorm2d(channels))
        self.norm = nn.BatchNorm2d(channels)
        self.excite = Conv1x1(channels, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        skipped = self.norm(x)
        skipped = scaled(skipped, torch.sigmoid(self.excite(mean(skipped, 2, 3))).to(skipped.dtype))
        return F.silu(self.wide(x) + self.narrow(x) + skipped)
