"""What a comparison can find, and how many seeds would decide it: the power of Student's t."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from attn_train.statistics.intervals import ALPHA, ALPHA_ONE_SIDED, Difference

Array = NDArray[np.float64]

POWER = 0.8
# Beyond so many seeds there is no point in naming a number.
MOST_SEEDS = 100_000


@lru_cache(maxsize=4096)
def quantile(probability: float, freedom: float) -> float:
    """Return Student's t quantile."""
    return float(special.stdtrit(freedom, probability))


def power(effect: float, error: float, freedom: float, alpha: float) -> float:
    """Return the chance that a t test, two-sided at `alpha`, finds a true difference of `effect`.

    error: the true standard error; freedom: of its estimate.
    This is the noncentral t distribution, as an integral: libraries lose it far from its middle, where n=2 is.
    """
    edge, shift = quantile(1 - alpha / 2, freedom) * deviations(freedom), abs(effect) / error
    return float((special.ndtr(shift - edge) + special.ndtr(-shift - edge)).mean())


def power_below(effect: float, error: float, freedom: float, *, margin: float, alpha: float) -> float:
    """Return the chance that the upper bound, one-sided at `alpha`, is below the margin; arguments as of `power`."""
    edge = quantile(1 - alpha, freedom) * deviations(freedom)
    return float(special.ndtr((margin - effect) / error - edge).mean())


@lru_cache(maxsize=1024)
def deviations(freedom: float) -> Array:
    """Return 400 equally likely standard deviations, estimated with so many degrees of freedom, of a true one of 1."""
    values: Array = np.sqrt(special.chdtri(freedom, (np.arange(400) + 0.5) / 400) / freedom)
    return values


def detectable(difference: Difference, alpha: float = ALPHA) -> float:
    """Return the smallest true difference that such a comparison finds with 80 % power; infinite where none."""
    if not math.isfinite(difference.error):
        return math.inf
    return difference.error * detectable_errors(difference.freedom, alpha)


@lru_cache(maxsize=1024)
def detectable_errors(freedom: float, alpha: float) -> float:
    """Return `detectable` for a standard error of 1: the effect at which the power, which rises with it, is 80 %."""
    low, high = 0.0, 1.0
    while power(high, 1.0, freedom, alpha) < POWER:
        high *= 2
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, 1.0, freedom, alpha) < POWER else (low, middle)
    return high


@dataclass(frozen=True)
class Needed:
    """How many seeds an undecided comparison needs in all, and what they would then show."""

    n: int
    shows: Literal["effect", "less"]


def needed(difference: Difference, margin: float, arms: int = 1) -> Needed | None:
    """Return how many seeds decide with 80 % power, were the true difference and error those that were seen.

    Whichever takes fewer: to find that difference, or to show that it is less than the margin, each at the level that
    one of so many arms has. None where no number up to 100,000 does, or the error is not known.
    """
    if not math.isfinite(difference.error) or difference.error == 0:
        return None
    effect, least = difference.mean, difference.n + 1

    def at(n: int) -> tuple[float, float]:
        # Two digits are enough, and what is computed for one number of degrees of freedom serves all near it.
        freedom = float(f"{difference.freedom * n / difference.n:.2g}")
        return difference.error * math.sqrt(difference.n / n), freedom

    choices = [
        Needed(smallest(lambda n: power(effect, *at(n), ALPHA / arms), least), "effect"),
        Needed(
            smallest(lambda n: power_below(effect, *at(n), margin=margin, alpha=ALPHA_ONE_SIDED / arms), least), "less"
        ),
    ]
    best = min(choices, key=lambda choice: choice.n)
    return best if best.n <= MOST_SEEDS else None


def smallest(power_of: Callable[[int], float], least: int) -> int:
    """Return the smallest n from `least` on whose power is 80 %; more than MOST_SEEDS where none is up to there."""
    low, high = least - 1, least
    while power_of(high) < POWER:
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power_of(middle) < POWER else (low, middle)
    return high
