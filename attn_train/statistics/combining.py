"""One answer from several: over data sets or recipes by equal weights, over studies of one recipe by adding up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Part:
    """A difference that is known by itself: its mean, standard error and degrees of freedom."""

    mean: float
    error: float
    freedom: float


@dataclass(frozen=True)
class Combined:
    """What several differences say together; `spread` is the standard deviation of the true ones (tau), estimated, and
    `p_alike` the p-value of their being all the same."""

    mean: float
    low: float
    high: float
    p_value: float
    spread: float
    p_alike: float


def over_data_sets(parts: Sequence[Part], level: float) -> Combined:
    """Return the mean of differences on several data sets or recipes, each with the same weight: it is about these,
    whatever their number of runs. Degrees of freedom by Welch and Satterthwaite (1946)."""
    errors = np.square([part.error for part in parts])
    variance = float(errors.sum()) / len(parts) ** 2
    inner = float((np.square(errors) / [part.freedom for part in parts]).sum())
    freedom = float(errors.sum()) ** 2 / inner if inner else math.inf
    return with_interval(float(np.mean([part.mean for part in parts])), variance, freedom, parts, level)


def over_studies(parts: Sequence[Part], level: float) -> Combined:
    """Return the mean of differences from several studies of one comparison, each weighted by its number of seeds, with
    one standard deviation for all of them: a few seeds know theirs too badly to be weighted by it."""
    freedom = sum(part.freedom for part in parts)
    counts = np.array([part.freedom + 1 for part in parts])
    variances = np.array([part.error**2 for part in parts]) * counts
    pooled = float((variances * (counts - 1)).sum()) / freedom
    mean = float((counts * [part.mean for part in parts]).sum() / counts.sum())
    return with_interval(mean, pooled / float(counts.sum()), freedom, parts, level)


def with_interval(mean: float, variance: float, freedom: float, parts: Sequence[Part], level: float) -> Combined:
    """Return a combined mean with its t interval, and how much the parts differ."""
    spread, p_alike = heterogeneity(parts)
    error, freedom = math.sqrt(variance), min(freedom, 1e9)
    if error == 0:
        return Combined(mean, mean, mean, 1.0 if mean == 0 else 0.0, spread, p_alike)
    half = float(special.stdtrit(freedom, (1 + level) / 2)) * error
    p_value = 2 * float(special.stdtr(freedom, -abs(mean) / error))
    return Combined(mean, mean - half, mean + half, p_value, spread, p_alike)


def heterogeneity(parts: Sequence[Part]) -> tuple[float, float]:
    """Return the standard deviation of the true differences (DerSimonian and Laird, 1986), and the p-value of Cochran's
    Q (1954)."""
    weights = np.array([1 / part.error**2 if part.error else math.nan for part in parts])
    if len(parts) < 2 or not np.isfinite(weights).all():
        return math.nan, math.nan
    means = np.array([part.mean for part in parts])
    excess = float((weights * np.square(means - (weights * means).sum() / weights.sum())).sum())
    scale = weights.sum() - np.square(weights).sum() / weights.sum()
    spread = math.sqrt(max(0.0, (excess - (len(parts) - 1)) / scale))
    return spread, float(special.chdtrc(len(parts) - 1, excess))
