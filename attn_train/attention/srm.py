"""Style-based recalibration: a gate for each channel from its own mean and standard deviation (Lee et al., 2019, arXiv
1903.10829)."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Gate
from attn_train.ops.pooling import mean


class StyleRecalibration(Gate):
    """Compute `x * sigmoid(norm(style(mean(x), std(x))))`, each channel by itself, with two weights in `style` and
    two in the batch normalisation; 4 c parameters.

    The standard deviation divides by the number of pixels, as in the paper (the published code: by one less), and
    10^-5 is added to the variance, as in the published code: so a constant channel has a finite gradient.
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        # The channel-wise fully connected layer: each channel weighs its mean and its standard deviation.
        self.style = nn.Conv2d(channels, channels, kernel_size=(1, 2), groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def gate(self, x: Tensor) -> Tensor:
        centre = mean(x, 2, 3)
        # The variance has no gradient by way of the mean: it is least there.
        std = torch.sqrt(mean((x - centre.detach()).square(), 2, 3) + 1e-5)
        return torch.sigmoid(self.norm(self.style(torch.cat([centre, std], dim=3))))  # (batch, channels, 1, 1)
