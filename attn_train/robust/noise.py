"""Noise: each value of an image becomes another by chance, apart from all others.

There are 256 values, and for each the probabilities of the 256 that it can become are known. A table of these replaces
arithmetic with random numbers, and leaves no rounding to differ between machines.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import poisson
from torch import Tensor

from attn_train.robust.draws import Draws

VALUES = np.arange(256)


def replace(images: Tensor, cumulative: NDArray[np.floating], draws: Draws) -> Tensor:
    """Replace each value by one that is drawn.

    Args:
        cumulative: in row v and column w the probability that v becomes at most w, float64 (256, 256).
    """
    cumulative[:, 255] = 1
    # One ascending list: row v lies between v and v + 1.
    table = torch.from_numpy(VALUES[:, None] + cumulative).flatten().to(images.device)
    drawn = torch.searchsorted(table, images + draws.uniform(0, *images.shape[1:]))
    return (drawn - 256 * images.long()).clamp_(0, 255).to(torch.uint8)


def gaussian_noise(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Add normal noise of a standard deviation given as a share of the full range."""
    std = 255 * (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return replace(images, ndtr((VALUES + 1 - VALUES[:, None]) / std), draws)


def shot_noise(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Count photons, of which full brightness sends so many on average (Poisson)."""
    photons = (500, 250, 100, 75, 50)[severity - 1]
    # A count is at most byte w where count / photons * 255 < w + 1.
    most = -((VALUES + 1) * photons // -255) - 1
    return replace(images, poisson.cdf(most, VALUES[:, None] * photons / 255), draws)


def impulse_noise(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Make a share of the values black or white, half of them each."""
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    return replace(images, share / 2 + (1 - share) * (VALUES[:, None] <= VALUES), draws)


def speckle_noise(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Add normal noise whose standard deviation is a share of the value itself."""
    share = (0.06, 0.1, 0.12, 0.16, 0.2)[severity - 1]
    with np.errstate(divide="ignore"):  # black stays black
        return replace(images, ndtr(((VALUES + 1) / VALUES[:, None] - 1) / share), draws)
