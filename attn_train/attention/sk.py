"""The selective kernel convolution: each channel chooses between branches of several receptive fields (SKNet, Li et
al., 2019, arXiv 1903.06586)."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention, divisor, reduced_channels
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import mean, scaled


class SelectiveKernel(Attention):
    """Compute `sum_m a_m * U_m` with `a = softmax_m(A_m z)` and `z = relu(norm(W mean(sum_m U_m)))`.

    The `branches` U_m are `relu(norm(conv(x)))` with 3x3 filters of dilation 1, 2, and so on, as wide as 3, 5, ...
    pixels, in `groups`, which must divide the channels; None: the greatest common divisor of the paper's 32 and
    the channels. The softmax is over the branches, for each channel. z has max(32, c // `reduction`) = d channels. The
    norms are batch norms, and no convolution has a bias. The result replaces the map, as a convolution's does.
    branches (9 c^2 / groups + 2 c + c d) + c d + 2 d parameters. (In External-Attention-pytorch z has neither norm nor
    ReLU.)
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        branches: int = 2,
        groups: int | None = None,
        reduction: int = 16,
    ) -> None:
        super().__init__()
        if branches < 2:
            raise ValueError(f"branches={branches} must be at least 2")
        groups = divisor(channels, "groups", groups, usual=32)
        middle = reduced_channels(channels, reduction, least=32)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=groups, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            )
            for dilation in range(1, branches + 1)
        )
        self.reduce = Conv1x1(channels, middle, bias=False)
        self.norm = nn.BatchNorm2d(middle)
        self.select = Conv1x1(middle, branches * channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        maps = [branch(x) for branch in self.branches]
        squeezed = torch.stack([mean(each, 2, 3) for each in maps]).sum(dim=0)  # (batch, channels, 1, 1)
        scores = self.select(torch.relu(self.norm(self.reduce(squeezed))))
        shares = torch.softmax(scores.unflatten(1, (len(maps), -1)), dim=1).to(maps[0].dtype).unbind(1)
        out = scaled(maps[0], shares[0])
        for each, share in zip(maps[1:], shares[1:], strict=True):
            out = out + scaled(each, share)
        return out
