"""Pyramid squeeze attention: parts of the channels from filters of growing size, weighed against each other (EPSANet,
Zhang et al., 2021, arXiv 2105.14447). The other PSA is `polarized`."""

import math

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention, divisor, reduced_channels
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import mean, scaled


class PyramidSqueeze(Attention):
    """Compute `concat_i(F_i * softmax_i(Z_i))`, `F_i = conv_i(x)`, `Z_i = sigmoid(expand(relu(reduce(mean(F_i)))))`.

    The `branches` b, which must divide the channels, have each c / b output channels and see all c: of 3x3, 5x5, 7x7,
    ... filters in 1, 4, 8, ... groups, or the greatest common divisor of that number and c / b. The softmax is over the
    branches, for each channel of theirs. The squeeze-and-excitation that gives Z is the same for all branches, as in
    the authors' code, with m = max(1, c / b // `reduction`) channels between; only it has biases. The result replaces
    the map, as a convolution's does. With k_i and g_i the width and the groups of a branch,
    c^2 / b sum_i(k_i^2 / g_i) + 2 m c / b + m + c / b parameters. (In External-Attention-pytorch each branch sees only
    its own c / b channels.)
    """

    def __init__(self, channels: int, size: tuple[int, int], *, branches: int = 4, reduction: int = 16) -> None:
        super().__init__()
        part = channels // divisor(channels, "branches", branches)
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, part, 2 * reach + 1, padding=reach, groups=filter_groups(part, reach), bias=False)
            for reach in range(1, branches + 1)
        )
        middle = reduced_channels(part, reduction)
        self.reduce = Conv1x1(part, middle)
        self.expand = Conv1x1(middle, part)

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.cat([conv(x) for conv in self.convs], dim=1)
        # All branches' squeezed channels as so many images, since they share the layers.
        squeezed = mean(maps, 2, 3).unflatten(1, (len(self.convs), -1)).flatten(0, 1)  # (batch * branches, part, 1, 1)
        score = torch.sigmoid(self.expand(torch.relu(self.reduce(squeezed))))
        shares = torch.softmax(score.unflatten(0, (-1, len(self.convs))), dim=1)
        return scaled(maps, shares.flatten(1, 2).to(maps.dtype))


def filter_groups(part: int, reach: int) -> int:
    """Return in how many groups the filters that reach so many pixels are: the paper's 1, 4, 8, 16, where `part`
    channels have so many."""
    return 1 if reach == 1 else math.gcd(part, 2**reach)
