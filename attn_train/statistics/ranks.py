"""Many arms at once: which places each may have, estimates drawn together, a screen with few false alarms."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


def rank_sets(means: Sequence[float], errors: Sequence[float], freedom: float, level: float) -> list[tuple[int, int]]:
    """Return for each arm the best and the worst place that it may have, 1 the largest mean; with `level` all hold at
    once.

    means, errors: each arm's mean and its standard error, independent of each other's; freedom: of the variance.
    An arm is behind those that are above it in Tukey's simultaneous intervals of all pairs (Mogstad, Romano, Shaikh and
    Wilhelm, Review of Economic Studies 91, 2024).
    """
    count = len(means)
    critical = studentized_range(level, count, freedom) / math.sqrt(2)
    mean, variance = np.asarray(means, dtype=float), np.square(errors)
    reach = critical * np.sqrt(variance[:, None] + variance[None, :])
    above = mean[None, :] - mean[:, None] > reach  # (arm, other): the other is surely above
    return [(1 + int(row.sum()), count - int(column.sum())) for row, column in zip(above, above.T, strict=True)]


@cache  # SciPy finds it by integration, which takes a tenth of a second
def studentized_range(level: float, count: int, freedom: float) -> float:
    """Return what the range of `count` means stays below with `level`, in standard errors that have `freedom`."""
    return float(stats.studentized_range.ppf(level, count, freedom))


def shrunken(means: Sequence[float], errors: Sequence[float]) -> list[float]:
    """Return arms' means drawn towards their common mean as far as they can be chance (James and Stein, 1961; with the
    variance between arms by Paule and Mandel, 1982). For a league table, and not for verdicts: the best of many is
    flattered."""
    mean, variance = np.asarray(means, dtype=float), np.square(errors)

    def excess(between: float) -> float:
        weights = 1 / (variance + between)
        centre = (weights * mean).sum() / weights.sum()
        return float((weights * np.square(mean - centre)).sum()) - (len(mean) - 1)

    if len(mean) < 3 or not variance.all():
        return [float(value) for value in mean]
    low, high = 0.0, float(np.square(mean - mean.mean()).sum()) + float(variance.max())
    if excess(0.0) <= 0:
        between = 0.0
    else:
        for _ in range(60):
            between = (low + high) / 2
            low, high = (between, high) if excess(between) > 0 else (low, between)
    weights = 1 / (variance + between)
    centre = (weights * mean).sum() / weights.sum()
    kept = between / (variance + between)
    return [float(value) for value in centre + kept * (mean - centre)]


def false_discovery(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that of the arms called at a level at most that share is called wrongly, on average
    (Benjamini and Hochberg, 1995)."""
    adjusted: Array = stats.false_discovery_control(p_values, method="bh")
    return [float(value) for value in adjusted]
