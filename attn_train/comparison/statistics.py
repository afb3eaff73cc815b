"""Paired differences between two arms over seeds: interval, verdict, correction for many arms, power.

Student's paired t throughout: over seeds its interval covers what it claims from n=2 on, a bootstrap's does not.
All differences are in percentage points of accuracy.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
Verdict = Literal["helps", "hurts", "equivalent", "undecided"]

LEVEL = 0.95
POWER = 0.8
# Beyond so many seeds there is no point in naming a number.
MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences; `low` to `high` is its confidence interval at `level`."""

    n: int
    mean: float
    deviation: float
    low: float
    high: float
    level: float
    p_value: float

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.deviation / math.sqrt(self.n)


def paired(differences: Sequence[float], level: float = LEVEL, step: float = 0.0) -> Difference:
    """Compare two arms by Student's paired t: one difference for each seed that both have.

    `step` is what one image counts: accuracies are rounded to it, so few seeds can agree by chance, and the deviation
    is taken as no less than what the rounding of two accuracies makes, step / sqrt(6). A single difference decides
    nothing: its interval is infinite. Raises ValueError for none, or for one that is not finite.
    """
    values = np.asarray(differences, dtype=float)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"{list(differences)} must hold at least one difference, and only finite ones")
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Difference(n, mean, math.nan, -math.inf, math.inf, level, 1.0)
    deviation = max(float(values.std(ddof=1)), step / math.sqrt(6))
    # Differences that are equal but for the rounding of floats.
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        return Difference(n, mean, 0.0, mean, mean, level, 1.0 if abs(mean) <= 1e-12 else 0.0)
    error = deviation / math.sqrt(n)
    half = quantile((1 + level) / 2, n - 1) * error
    p_value = 2 * float(special.stdtr(n - 1, -abs(mean) / error))
    return Difference(n, mean, deviation, mean - half, mean + half, level, p_value)


def verdict(difference: Difference, margin: float) -> Verdict:
    """Say what an interval says: helps where above 0, hurts where below, else equivalent where within the margin."""
    if difference.low > 0:
        return "helps"
    if difference.high < 0:
        return "hurts"
    return "equivalent" if -margin <= difference.low and difference.high <= margin else "undecided"


def equivalence_p_value(difference: Difference, margin: float) -> float:
    """Return the p-value of two one-sided t tests against -margin and margin (Schuirmann, 1987).

    At (1 - level) / 2 or less the interval lies within the margin.
    """
    if difference.n < 2:
        return 1.0
    distance = margin - abs(difference.mean)
    if difference.deviation == 0:
        return 0.0 if distance >= 0 else 1.0
    return float(special.stdtr(difference.n - 1, -distance / difference.error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, the family-wise error kept (Holm, 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


@dataclass(frozen=True)
class Corrected:
    """A verdict among several arms, and the adjusted p-values that it rests on."""

    verdict: Verdict
    p_value: float
    equivalence_p_value: float


def corrected(differences: Sequence[Difference], margin: float) -> list[Corrected]:
    """Return the verdicts on several arms compared with one baseline, corrected for their number.

    An arm helps or hurts where Holm's adjusted p-value is at most 1 - level; else it is equivalent where the adjusted
    p-value of the two one-sided tests is at most (1 - level) / 2. For one arm that is `verdict`: for many, each kind of
    error stays below its level over all of them.
    """
    effects = holm([difference.p_value for difference in differences])
    equivalences = holm([equivalence_p_value(difference, margin) for difference in differences])
    verdicts = []
    for difference, effect, equivalence in zip(differences, effects, equivalences, strict=True):
        word: Verdict = "undecided"
        if effect <= 1 - difference.level + 1e-12:
            word = "helps" if difference.mean > 0 else "hurts"
        elif equivalence <= (1 - difference.level) / 2 + 1e-12:
            word = "equivalent"
        verdicts.append(Corrected(word, effect, equivalence))
    return verdicts


def chance(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the share of all pairs, of any seeds, in which a run of `ours` beats one of `theirs`; a tie is half.

    Mann-Whitney's U over the number of pairs: Vargha and Delaney's A (2000).
    """
    wins = np.sign(np.subtract.outer(np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)))
    return float((wins.mean() + 1) / 2)


@lru_cache(maxsize=1024)
def quantile(probability: float, freedom: int) -> float:
    """Return Student's t quantile."""
    return float(special.stdtrit(freedom, probability))


def power(effect: float, deviation: float, n: int, alpha: float) -> float:
    """Return the chance that a paired t test on n seeds, two-sided at `alpha`, finds a true difference of `effect`.

    This is the noncentral t distribution, as an integral: libraries lose it far from its middle, where n=2 is.
    """
    edge, shift = quantile(1 - alpha / 2, n - 1) * deviations(n), abs(effect) / deviation * math.sqrt(n)
    return float((special.ndtr(shift - edge) + special.ndtr(-shift - edge)).mean())


@lru_cache(maxsize=1024)
def deviations(n: int) -> Array:
    """Return 400 equally likely deviations of n normal values whose true deviation is 1."""
    values: Array = np.sqrt(special.chdtri(n - 1, (np.arange(400) + 0.5) / 400) / (n - 1))
    return values


def detectable(deviation: float, n: int, alpha: float = 1 - LEVEL) -> float:
    """Return the smallest true difference that n seeds find with 80 % power; infinite for fewer than two."""
    return math.inf if n < 2 else deviation * detectable_deviations(n, alpha)


@lru_cache(maxsize=1024)
def detectable_deviations(n: int, alpha: float) -> float:
    """Return `detectable` for a deviation of 1: the effect at which the power, which rises with it, is 80 %."""
    low, high = 0.0, 1.0
    while power(high, 1.0, n, alpha) < POWER:
        high *= 2
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, 1.0, n, alpha) < POWER else (low, middle)
    return high


def equivalence_power(effect: float, deviation: float, n: int, margin: float, alpha: float) -> float:
    """Return the chance that n seeds show equivalence within the margin, each one-sided t test at `alpha`, where the
    true difference is `effect`.

    An integral over the deviation that is found (as in Phillips, 1990).
    """
    error = deviation / math.sqrt(n)
    half = quantile(1 - alpha, n - 1) * error * deviations(n)
    inside = special.ndtr((margin - half - effect) / error) - special.ndtr((half - margin - effect) / error)
    return float(np.where(half < margin, inside, 0.0).mean())


@dataclass(frozen=True)
class Needed:
    """How many seeds an undecided comparison needs in all, and what they would then show."""

    n: int
    shows: Literal["effect", "equivalence"]


def needed(difference: Difference, margin: float, arms: int = 1) -> Needed | None:
    """Return how many seeds decide with 80 % power, were the true difference and deviation those that were seen.

    Whichever takes fewer: to find that difference, or to show that it is within the margin, each at the strictest level
    of Holm's correction for so many arms. None where no number up to 100,000 does, or the deviation is not known.
    """
    if difference.n < 2 or difference.deviation == 0:
        return None
    effect, deviation, alpha = difference.mean, difference.deviation, (1 - difference.level) / arms
    least = difference.n + 1
    choices = [
        Needed(smallest(lambda n: power(effect, deviation, n, alpha), least), "effect"),
        Needed(smallest(lambda n: equivalence_power(effect, deviation, n, margin, alpha / 2), least), "equivalence"),
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
