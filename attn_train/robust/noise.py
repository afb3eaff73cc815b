"""Noise: each value of an image becomes another by chance, apart from all others.

There are 256 values, and for each the probabilities of the 256 that it can become are known. A table of these replaces
arithmetic with random numbers, and leaves no rounding to differ between machines.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import poisson
from torch import Tensor

from attn_train.robust.draws import Draws

VALUES = np.arange(256)

# Of a severity: in row v and column w the probability that the value v becomes at most w, (256, 256).
Cumulative = Callable[[int], NDArray[np.floating]]


@cache
def table(cumulative: Cumulative, severity: int) -> Tensor:
    """Return the probabilities as one ascending list, in which row v lies between v and v + 1: float64 (65536,)."""
    probabilities = cumulative(severity)
    probabilities[:, 255] = 1
    return torch.from_numpy(VALUES[:, None] + probabilities).flatten()


def replace(images: Tensor, cumulative: Cumulative, severity: int, draws: Draws) -> Tensor:
    """Replace each value by one that is drawn."""
    rows = table(cumulative, severity).to(images.device)
    drawn = torch.searchsorted(rows, images + draws.uniform(0, *images.shape[1:]))
    return (drawn - 256 * images.long()).clamp_(0, 255).to(torch.uint8)


def gaussian(severity: int) -> NDArray[np.floating]:
    std = 255 * (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return ndtr((VALUES + 1 - VALUES[:, None]) / std)


def gaussian_noise(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Add normal noise of a standard deviation given as a share of the full range."""
    return replace(images, gaussian, severity, draws)


def shot(severity: int) -> NDArray[np.floating]:
    photons = (500, 250, 100, 75, 50)[severity - 1]
    # A count is at most value w where count / photons * 255 < w + 1.
    most = -((VALUES + 1) * photons // -255) - 1
    return poisson.cdf(most, VALUES[:, None] * photons / 255)


def shot_noise(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Count photons, of which full brightness sends so many on average (Poisson)."""
    return replace(images, shot, severity, draws)


def impulse(severity: int) -> NDArray[np.floating]:
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    return share / 2 + (1 - share) * (VALUES[:, None] <= VALUES)


def impulse_noise(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Make a share of the values black or white, half of them each."""
    return replace(images, impulse, severity, draws)


def speckle(severity: int) -> NDArray[np.floating]:
    share = (0.06, 0.1, 0.12, 0.16, 0.2)[severity - 1]
    with np.errstate(divide="ignore"):  # black stays black
        return ndtr(((VALUES + 1) / VALUES[:, None] - 1) / share)


def speckle_noise(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Add normal noise whose standard deviation is a share of the value itself."""
    return replace(images, speckle, severity, draws)
