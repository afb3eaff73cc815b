"""Differences between arms over seeds: interval, verdict, correction for many arms.

The difference and its standard error are those of `estimate`; Student's t throughout. All differences are in percentage
points of accuracy.

Two levels. Helps and hurts rest on the two-sided interval at 5 %; equivalent and "gains less" (than the margin) on
one-sided bounds at 4 %. Both are divided by the number of arms (Bonferroni). Whatever an arm's true difference is, only
one of the two errors is possible: at 0 to say that it helps or hurts, at the margin or beyond to say that it gains less
or nothing; so that any verdict of a family is wrong has a chance of at most 5 %. The one-sided level is 4 % and not 5 %
for the sake of skewed runs: where one arm's errors are exponential, a bound at 5 % is wrong in 7.5 % of studies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from attn_train.statistics.estimate import Estimate, estimate

Array = NDArray[np.float64]
Verdict = Literal["helps", "hurts", "equivalent", "gains less", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("helps", "hurts", "equivalent", "gains less", "undecided")

ALPHA = 0.05
ALPHA_ONE_SIDED = 0.04


@dataclass(frozen=True)
class Difference:
    """The difference of two arms' mean accuracies, the first with `n` runs.

    `low` to `high` is its confidence interval at `level`; `least` and `most` are one-sided bounds, each alone.
    """

    n: int
    mean: float
    error: float  # standard error
    freedom: float  # degrees of freedom of the error
    low: float
    high: float
    least: float
    most: float
    level: float
    p_value: float


@dataclass(frozen=True)
class Bounds:
    """Two-sided intervals from `low` to `high`, and one-sided bounds `least` and `most`; all of one shape."""

    low: Array
    high: Array
    least: Array
    most: Array


def bounds(result: Estimate, alpha: float | Array, one_sided: float | Array) -> Bounds:
    """Return the intervals of estimates at the two-sided level `alpha` and their bounds at the level `one_sided`, each
    one for all or one for each."""
    known = np.isfinite(result.error)
    error = np.where(known, result.error, 0.0)
    half = np.where(known, special.stdtrit(result.freedom, 1 - alpha / 2) * error, np.inf)
    bound = np.where(known, special.stdtrit(result.freedom, 1 - one_sided) * error, np.inf)
    return Bounds(result.mean - half, result.mean + half, result.mean - bound, result.mean + bound)


def verdicts(held: Bounds, margin: float) -> NDArray[np.int_]:
    """Return the place in VERDICTS of what intervals and bounds say.

    An arm helps where its interval is above 0 and hurts where it is below; else it is equivalent where both bounds are
    within the margin, and gains less where the upper bound is below it.
    """
    less = held.most < margin
    return np.select([held.low > 0, held.high < 0, less & (held.least > -margin), less], [0, 1, 2, 3], 4)


def verdict(difference: Difference, margin: float) -> Verdict:
    """Say what a difference's interval and bounds say; see `verdicts`."""
    ends = (difference.low, difference.high, difference.least, difference.most)
    return VERDICTS[int(verdicts(Bounds(*map(np.asarray, ends)), margin))]


def listed(result: Estimate, counts: Sequence[int], alpha: float | Array, one_sided: float | Array) -> list[Difference]:
    """Return estimates (pairs,) one by one, with their intervals, bounds and p-values; `counts` are the arms' runs."""
    held = bounds(result, alpha, one_sided)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(np.abs(result.mean) <= 1e-12, 0.0, -np.abs(result.mean) / result.error)
    p_values = 2 * special.stdtr(result.freedom, distance)
    level = np.full_like(p_values, 1 - alpha)
    columns = (held.low, held.high, held.least, held.most, level, p_values)
    rows = np.stack([result.mean, result.error, result.freedom, *columns], axis=-1).tolist()
    return [Difference(n, *row) for n, row in zip(counts, rows, strict=True)]


def differences(
    accuracies: Array,
    pairs: Sequence[tuple[int, int]] | None = None,
    step: float = 0.0,
    levels: tuple[Array, Array] | None = None,
) -> list[Difference]:
    """Compare arms as one family: their intervals hold all at once.

    accuracies: in per cent, (arms, seeds), NaN where an arm has no run of a seed.
    pairs: each the places of an arm and of what it is compared with; by default each arm with the first.
    step: what one image counts.
    levels: two-sided of each pair's interval, one-sided of its bounds; by default those of a single look.
    An arm with fewer than two runs decides nothing: its interval is infinite.
    """
    pairs = [(place, 0) for place in range(1, len(accuracies))] if pairs is None else pairs
    counts = [int((~np.isnan(accuracies[place])).sum()) for place, _ in pairs]
    alpha, one_sided = levels or (ALPHA / len(pairs), ALPHA_ONE_SIDED / len(pairs))
    return listed(estimate(accuracies, pairs, step), counts, alpha, one_sided)


def words(difference: Difference, verdict: Verdict, margin: float, unit: str = "points", places: int = 2) -> str:
    """Write a verdict that is in out, with the bounds that it rests on, in `unit` with so many places."""
    least, most, limit = difference.least, difference.most, f"{margin:g} {unit}".rstrip()
    if verdict == "equivalent":
        return f"equivalent within {limit} ({least:+.{places}f} to {most:+.{places}f})"
    if verdict == "gains less":
        return f"gains less than {limit} (at most {most:+.{places}f})"
    small = most < margin if verdict == "helps" else least > -margin
    return f"{verdict}, but by less than {limit}" if small else verdict


def adjusted(p_value: float, family: int) -> float:
    """Return a p-value adjusted for the number of arms (Bonferroni): at most 5 % where the arm helps or hurts."""
    return min(1.0, family * p_value)


def unseen(n: int) -> float:
    """Return the share of runs that may go wrong although none of n did, with 95 % confidence."""
    return float(1 - ALPHA ** (1 / n))


def chance(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the share of all pairs, of any seeds, in which a run of `ours` beats one of `theirs`; a tie is half.

    Mann-Whitney's U over the number of pairs: Vargha and Delaney's A (2000); of two kinds of images, the area under the
    ROC curve of what tells them apart.
    """
    ordered = np.sort(np.asarray(theirs, dtype=float))
    beaten, not_above = (np.searchsorted(ordered, ours, side=side).sum() for side in ("left", "right"))
    return float(beaten + not_above) / (2 * len(ours) * len(theirs))


def chance_interval(chance: float, ours: int, theirs: int, level: float = 1 - ALPHA) -> tuple[float, float]:
    """Return the interval of a `chance` that was seen in so many runs of two arms.

    Newcombe's method 5 (Statistics in Medicine 25, 2006, 559): the chances from which the one seen is no farther than
    chance allows, by Hanley and McNeil's variance (Radiology 143, 1982) with the mean of both numbers of runs in it. In
    simulations of normal runs at 95 % it holds in 91 to 99 %, with three runs an arm in 87 to 99 %.
    """
    squared, mean = float(special.ndtri((1 + level) / 2)) ** 2, (ours + theirs) / 2

    def excess(true: float, seen: float) -> float:
        both = (1 - true) / (2 - true) + true / (1 + true)
        variance = true * (1 - true) * (1 + (mean - 1) * both) / (ours * theirs)
        return (seen - true) ** 2 - squared * variance

    def least(seen: float) -> float:
        return float(optimize.brentq(excess, 0.0, min(seen, 1 - 1e-9), args=(seen,))) if seen > 0 else 0.0

    return least(chance), 1 - least(1 - chance)
