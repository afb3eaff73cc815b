"""What single predictions add to accuracies: an interval for other test images of the same kind, and whether runs
deviate by more than independent errors would.

Both take which test images were right: bool (seeds, images).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from attn_train.statistics.intervals import Difference

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


def new_images(difference: Difference, ours: Right, theirs: Right) -> NewImages:
    """Return the interval of a difference for test images drawn like these, at the level of its own interval.

    To its variance over seeds comes V / N, for N images: V is the variance over images of the difference that is
    expected of an image, without what few seeds add to it. Degrees of freedom by Satterthwaite (1946), those over
    images taken as known; they are many. They may outweigh a small V: the interval is never narrower for it.
    """
    sides = (ours, theirs)
    shares = [100 * side.mean(axis=0) for side in sides]
    by_chance = sum(
        float((share * (100 - share)).mean()) / max(len(side) - 1, 1) for share, side in zip(shares, sides, strict=True)
    )
    over_images = max(float((shares[0] - shares[1]).var(ddof=1) - by_chance), 0.0) / ours.shape[1]
    variance = difference.error**2 + over_images
    if not 0 < variance < math.inf:
        return NewImages(difference.mean, difference.low, difference.high)
    freedom = difference.freedom * (variance / difference.error**2) ** 2 if difference.error else math.inf
    half = float(special.stdtrit(min(freedom, 1e9), (1 + difference.level) / 2)) * math.sqrt(variance)
    half = max(half, difference.mean - difference.low)
    return NewImages(difference.mean, difference.mean - half, difference.mean + half)


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
