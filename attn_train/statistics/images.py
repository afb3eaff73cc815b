"""What single predictions add to accuracies: an interval for other test images of the same kind, and whether runs
deviate by more than independent errors would.

Both take which test images were right: bool (seeds, images).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Right = NDArray[np.bool_]

# Runs that deviate that many times as much as by independent errors, surely, are unstable or not trained out.
ALARMING = 1.5
CERTAIN = 0.99


@dataclass(frozen=True)
class NewImages:
    """A difference in percentage points and its interval for other test images like these, and other seeds."""

    mean: float
    low: float
    high: float


def new_images(ours: Right, theirs: Right, level: float) -> NewImages | None:
    """Return the interval of a difference paired by seed, for test images drawn like these; None for one seed.

    The variance of the mean over n seeds and N images is s^2/n + V/N. s^2 is the variance over seeds of the difference
    on these images; V is the variance over images of the difference that is expected of an image, without what few
    seeds add to it. Degrees of freedom by Satterthwaite (1946), those over images taken as known.
    """
    differences = 100 * (ours.astype(float) - theirs)
    seeds, count = differences.shape
    if seeds < 2:
        return None
    over_seeds = differences.mean(axis=1).var(ddof=1) / seeds
    of_image = differences.mean(axis=0).var(ddof=1) - differences.var(axis=0, ddof=1).mean() / seeds
    variance = over_seeds + max(of_image, 0.0) / count
    mean = float(differences.mean())
    if variance == 0:
        return NewImages(mean, mean, mean)
    freedom = (seeds - 1) * (variance / over_seeds) ** 2 if over_seeds else math.inf
    half = float(special.stdtrit(min(freedom, 1e9), (1 + level) / 2)) * math.sqrt(variance)
    return NewImages(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Deviation:
    """The standard deviation of a run's accuracy over seeds, and that of independent errors, in percentage points."""

    seen: float
    independent: float
    is_alarming: bool


def deviation(right: Right) -> Deviation | None:
    """Return how an arm's runs deviate; None for one seed.

    Were the errors of a run independent between images, given how hard each image is, its accuracy on N images would
    deviate by sqrt(sum p (1 - p)) / N, p the share of runs that get an image right. Runs that are trained out do
    (Jordan, 2023, arXiv 2304.01910).
    """
    seeds, count = right.shape
    if seeds < 2:
        return None
    seen = float(100 * right.mean(axis=1).std(ddof=1))
    independent = float(100 * math.sqrt(right.var(axis=0, ddof=1).sum()) / count)
    surely = (seeds - 1) * seen**2 > float(special.chdtri(seeds - 1, 1 - CERTAIN)) * independent**2
    return Deviation(seen, independent, surely and seen > ALARMING * independent)
