"""Efficient multi-scale attention: groups of channels share two branches, of 1x1 and of 3x3 filters, and each branch's
means weigh the other's channels (EMA, Ouyang et al., 2023, arXiv 2305.13563). No moving average of weights: that is the
setting `train.ema_decay`."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Gate, divisor
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import mean


class EfficientMultiScale(Gate):
    """Compute `x * sigmoid(softmax(mean(u)) . v + softmax(mean(v)) . u)` in each group of channels, one gate a pixel.

    `u = norm(x * sigmoid(r) * sigmoid(q))`, r and q a 1x1 convolution of the means of each row and of each column, is
    the branch of 1x1 filters; `v` is a 3x3 convolution of x. The softmax is over the d channels of a group, and the dot
    is the sum over them. All groups have the same weights. `norm` takes each channel's mean over the pixels away and
    divides by its standard deviation, then scales and shifts; so mean(u) is the shift, and that softmax, here as in the
    published code, the same for every image. `groups` must divide the channels; None: the greatest common divisor
    of 8 and the channels, which makes groups as large as the published 32 do of 256 to 2,048 channels.
    10 d^2 + 4 d parameters.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, groups: int | None = None) -> None:
        super().__init__()
        self.groups = divisor(channels, "groups", groups, usual=8)
        depth = channels // self.groups
        self.strips = Conv1x1(depth, depth)
        self.norm = nn.GroupNorm(depth, depth)
        self.local = nn.Conv2d(depth, depth, kernel_size=3, padding=1)

    def gate(self, x: Tensor) -> Tensor:
        grouped = x.unflatten(1, (self.groups, -1)).flatten(0, 1)  # (batch * groups, depth, height, width)
        means = torch.cat([mean(grouped, 3), mean(grouped, 2).transpose(2, 3)], dim=2)
        rows, columns = torch.sigmoid(self.strips(means)).split([x.shape[2], x.shape[3]], dim=2)
        narrow = grouped * rows * columns.transpose(2, 3)
        # torch's own: that of torch.nn refuses the one pixel of a group of one.
        narrow = torch.group_norm(narrow, self.norm.num_groups, self.norm.weight, self.norm.bias)
        wide = self.local(grouped)
        by_narrow = torch.softmax(self.norm.bias, dim=0)[:, None, None]  # the bias is the mean of `narrow`
        by_wide = torch.softmax(mean(wide, 2, 3), dim=1)
        score = (by_narrow * wide + by_wide * narrow).sum(dim=1)  # (batch * groups, height, width)
        gate = torch.sigmoid(score).unflatten(0, (-1, self.groups)).unsqueeze(2)
        return gate.expand(-1, -1, x.shape[1] // self.groups, -1, -1).flatten(1, 2)
