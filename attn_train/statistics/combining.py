"""One difference from several: over data sets or recipes by equal weights, over studies of one recipe by adding up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Part:
    """A difference: its mean, standard error and degrees of freedom."""

    mean: float
    error: float
    freedom: float


def over_data_sets(parts: Sequence[Part]) -> Part:
    """Return the mean of differences on several data sets or recipes, each with the same weight: it is about these,
    whatever their number of runs. Degrees of freedom by Welch and Satterthwaite (1946)."""
    errors = np.square([part.error for part in parts])
    inner = float((np.square(errors) / [part.freedom for part in parts]).sum())
    freedom = float(errors.sum()) ** 2 / inner if inner else math.inf
    mean, error = float(np.mean([part.mean for part in parts])), math.sqrt(float(errors.sum())) / len(parts)
    return Part(mean, error, freedom)


def over_studies(parts: Sequence[Part], seeds: Sequence[float]) -> Part:
    """Return the mean of differences from several studies of one comparison, each weighted by its number of `seeds`,
    with one standard deviation for all of them: a few seeds know theirs too badly to be weighted by it."""
    counts, freedom = np.asarray(seeds, dtype=float), np.array([part.freedom for part in parts])
    variances = np.array([part.error**2 for part in parts]) * counts
    pooled = float((variances * freedom).sum() / freedom.sum())
    mean = float((counts * [part.mean for part in parts]).sum() / counts.sum())
    return Part(mean, math.sqrt(pooled / float(counts.sum())), float(freedom.sum()))


def heterogeneity(parts: Sequence[Part]) -> tuple[float, float]:
    """Return the standard deviation of the true differences (DerSimonian and Laird, 1986), and the p-value of Cochran's
    Q (1954) that they are all the same; NaN where they cannot be known."""
    weights = np.array([1 / part.error**2 if part.error else math.nan for part in parts])
    if len(parts) < 2 or not np.isfinite(weights).all():
        return math.nan, math.nan
    means = np.array([part.mean for part in parts])
    excess = float((weights * np.square(means - (weights * means).sum() / weights.sum())).sum())
    scale = weights.sum() - np.square(weights).sum() / weights.sum()
    spread = math.sqrt(max(0.0, (excess - (len(parts) - 1)) / scale))
    return spread, float(special.chdtrc(len(parts) - 1, excess))
