"""Gated channel transformation: channels compete by their lengths, with three numbers for each (Yang et al., 2019,
arXiv 1909.11519)."""

import math

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Gate

EPS = 1e-5


class GatedChannelTransformation(Gate):
    """Compute `x * (1 + tanh(gamma * s / rms(s) + beta))` with `s = alpha * |x|`; 3 c parameters.

    |x| is the length of a channel over all pixels, sqrt(sum x^2 + eps), and rms(s) the root of the mean of s^2 over the
    channels (equations 1 to 3 of the paper, whose factor sqrt(c) is in the mean). alpha is 1 at first, gamma and beta
    0: the gate begins at 1. A positive gamma lets channels compete, a negative one cooperate.
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def gate(self, x: Tensor) -> Tensor:
        # Sums over a map and over the channels, in float32 at least.
        squares = x.to(torch.promote_types(x.dtype, torch.float32)).square().sum(dim=(2, 3))  # (batch, channels)
        s = self.alpha * torch.sqrt(squares + EPS)
        channels = math.sqrt(s.shape[1])
        relative = s * channels / torch.sqrt(s.square().sum(dim=1, keepdim=True) + EPS)
        return (1 + torch.tanh(self.gamma * relative + self.beta))[:, :, None, None]
