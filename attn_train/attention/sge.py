"""Spatial group-wise enhancement: each group of channels gates the positions by their likeness to its mean (Li et al.,
2019, arXiv 1905.09646)."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Gate, divisor
from attn_train.ops.pooling import mean


class SpatialGroupEnhance(Gate):
    """Compute `x_i * sigmoid(gamma norm(g . x_i) + beta)` in each group of channels, with g the group's mean over the
    pixels i.

    `norm` takes the mean over the pixels away and divides by the standard deviation, for each group by itself; the
    number of pixels divides the variance, as in the paper. (The published code divides by one less, and a map of one
    pixel becomes NaN.) 10^-5 is added to the variance, in the paper to the deviation. gamma and beta, one a group,
    begin at 0 and 1. `groups` must divide the channels; None: the greatest common divisor of 16 and the channels,
    which makes groups as large as the paper's (4 to 32 channels; 64 groups of 256 to 2,048). 2 groups parameters.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, groups: int | None = None) -> None:
        super().__init__()
        self.groups = divisor(channels, "groups", groups, usual=16)
        self.gamma = nn.Parameter(torch.zeros(self.groups))
        self.beta = nn.Parameter(torch.ones(self.groups))

    def gate(self, x: Tensor) -> Tensor:
        likeness = (x * mean(x, 2, 3)).unflatten(1, (self.groups, -1)).sum(dim=2)  # (batch, groups, height, width)
        # torch's own: that of torch.nn refuses the one pixel of a batch of one.
        normed = torch.group_norm(likeness, self.groups, self.gamma, self.beta)
        gate = torch.sigmoid(normed).unsqueeze(2)
        return gate.expand(-1, -1, x.shape[1] // self.groups, -1, -1).flatten(1, 2)
