"""The contextual transformer block: the static context of a convolution, a dynamic one of learned local weights, and a
choice between the two for each channel (CoTNet, Li et al., 2021, arXiv 2107.12292)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention, divisor
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.local import local_sum
from attn_train.ops.pooling import mean, scaled


class ContextualTransformer(Attention):
    """Compute `s * K1 + (1 - s) * K2` with `K1 = relu(norm(conv(x)))` and `K2 = silu(norm(A * V))`.

    The convolution is of `kernel_size` = k x k, k odd, in as many groups as the greatest common divisor of 4 and c.
    `A = group_norm(delta(relu(norm(theta(x, K1)))))`, two 1x1 convolutions by way of max(1, c // 2) = m channels, are
    k^2 weights for each pixel and each `share` channels of `V = norm(value(x))`, and `A * V` is the weighted sum over
    the pixels around. `share` must divide the channels; None: the greatest common divisor of the authors' 8 and c.
    A has no softmax: its group norm, as in the authors' code, is over the k^2 weights and the map. s and 1 - s are a
    softmax over the two contexts, for each channel, from the mean of their sum by two 1x1 convolutions by way of
    max(32, c // 2) = d channels, with a batch norm and a ReLU between. All other norms are batch norms. These two
    convolutions and delta have biases. The result replaces the map, as a convolution's does.
    c^2 (1 + k^2 / groups) + 6 c + 2 c m + 2 m + k^2 (m + 3) c / share + 3 c d + 3 d + 2 c parameters.

    (External-Attention-pytorch averages A over the window, and multiplies V by its softmax over the map: no neighbour's
    value is seen.)
    """

    def __init__(self, channels: int, size: tuple[int, int], *, kernel_size: int = 3, share: int | None = None) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} must be odd and at least 1")
        self.heads = channels // divisor(channels, "share", share, usual=8)
        groups = divisor(channels, "groups", None, usual=4)
        middle, between, area = max(1, channels // 2), max(32, channels // 2), kernel_size**2
        self.static = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.theta = nn.Sequential(Conv1x1(2 * channels, middle, bias=False), nn.BatchNorm2d(middle), nn.ReLU())
        self.delta = Conv1x1(middle, area * self.heads)
        self.weight_norm = nn.GroupNorm(self.heads, area * self.heads)
        self.value = nn.Sequential(Conv1x1(channels, channels, bias=False), nn.BatchNorm2d(channels))
        self.norm = nn.BatchNorm2d(channels)
        self.select = nn.Sequential(
            Conv1x1(channels, between), nn.BatchNorm2d(between), nn.ReLU(), Conv1x1(between, 2 * channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        static = self.static(x)
        scores = self.delta(self.theta(torch.cat([x, static], dim=1)))
        # torch's own: that of torch.nn refuses a window of one pixel in a batch of one.
        weights = torch.group_norm(scores, self.heads, self.weight_norm.weight, self.weight_norm.bias)
        value = self.value(x).unflatten(1, (self.heads, -1))  # (batch, heads, share, height, width)
        summed = local_sum(value, weights.unflatten(1, (self.heads, -1))).flatten(1, 2)
        dynamic = F.silu(self.norm(summed))
        scores = self.select(mean(static, 2, 3) + mean(dynamic, 2, 3)).unflatten(1, (2, -1))
        shares = torch.softmax(scores, dim=1).to(static.dtype)  # (batch, 2, channels, 1, 1)
        return scaled(static, shares[:, 0]) + scaled(dynamic, shares[:, 1])
