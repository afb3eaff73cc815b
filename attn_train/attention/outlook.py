"""Outlook attention: the weights of the pixels around each pixel come from that pixel alone, without keys (VOLO, Yuan
et al., 2021, arXiv 2106.13112)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_train.attention.attention import Attention
from attn_train.attention.self_attention import head_channels
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.local import local_sum


class OutlookAttention(Attention):
    """Compute `project(fold(softmax(A / sqrt(d)) V))` with windows of `kernel_size` = k x k pixels, k odd.

    From each pixel a 1x1 convolution makes A, k^2 x k^2 weights for each of the `heads`, which must divide the channels
    into d each: how much each pixel of its window receives of each. The softmax is over those that give. `fold` adds
    what a pixel receives from all windows that it lies in; outside of the map values are zero, and there are no
    windows. (The authors' code does so with its stride of 2. With stride 1, as here, it takes the pixel's own A for all
    windows, unlike the paper's formula.) `residual=True` adds the input to the result. `value` has no bias, as in the
    authors' code. 2 c^2 + c + k^4 heads (c + 1) parameters.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        kernel_size: int = 3,
        heads: int = 1,
        residual: bool = True,
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} must be odd and at least 1")
        self.scale = 1 / math.sqrt(head_channels(channels, heads))
        self.kernel_size = kernel_size
        self.heads = heads
        self.residual = residual
        self.value = Conv1x1(channels, channels, bias=False)
        self.outlook = Conv1x1(channels, heads * kernel_size**4)
        self.project = Conv1x1(channels, channels)

    def weights(self, x: Tensor) -> Tensor:
        """Return the weights of the pixels around each, of all windows: (batch, heads, (2 k - 1)^2, height, width)."""
        k, reach = self.kernel_size, self.kernel_size // 2
        height, width = x.shape[2:]
        score = self.outlook(x).unflatten(1, (self.heads, k, k, k * k)) * self.scale
        shares = F.pad(torch.softmax(score, dim=4), (reach, reach, reach, reach))
        total = shares.new_zeros(len(x), self.heads, 2 * k - 1, 2 * k - 1, height, width)
        for row in range(k):
            for column in range(k):
                # A pixel stands at (row, column) in the window of the pixel that is (reach - row, reach - column) away.
                top, left = 2 * reach - row, 2 * reach - column
                part = shares[:, :, row, column, :, top : top + height, left : left + width].unflatten(2, (k, k))
                total = total + F.pad(part, (0, 0, 0, 0, k - 1 - column, column, k - 1 - row, row))
        return total.flatten(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        value = self.value(x).unflatten(1, (self.heads, -1))  # (batch, heads, d, height, width)
        out = self.project(local_sum(value, self.weights(x)).flatten(1, 2))
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and pixels the weight that each pixel receives: (batch, height, width)."""
        weights = self.weights(x).mean(dim=1).flatten(2)  # (batch, (2 k - 1)^2, n)
        side = 2 * self.kernel_size - 1
        received = F.fold(weights, (x.shape[2], x.shape[3]), side, padding=side // 2)
        return received[:, 0] / (x.shape[2] * x.shape[3])
