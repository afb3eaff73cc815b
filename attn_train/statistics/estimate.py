"""The difference between two arms' mean accuracies over all their runs, with its standard error: one estimator for
seeds that both arms have and for seeds that only one has.

The difference is that of the plain means over n_a and n_b runs, p of them of the same seeds. Its variance is

    v_a / n_a + v_b / n_b - 2 w p c / (n_a n_b).

v: an arm's variance over seeds, half pooled: (1 - h) s^2 + h t with s^2 that of its own runs, t the typical one of all
    arms, and h = 4 / (n + 3), a half at five runs, less beyond and never more; nothing is pooled for fewer than three
    arms. t is the mean over arms, or their median (corrected for its bias) where that is less: an arm that is wild
    makes only its own interval wide.
c: the covariance of the two arms over the seeds that they share, counted by w = f / (f + 10), where f is its degrees of
    freedom, so that few pairs count little: a correlation is not known from five pairs.

The degrees of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946), from the variance of that sum. Weights by an
estimated correlation (generalised least squares) were tried and not taken: with five runs against ten they call a null
an effect in 8 to 26 % of 20,000 simulations at 5 %, since the weights follow the noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

# Degrees of freedom of the typical variance that are added to an arm's own.
BORROWED = 4.0
# A covariance with so many degrees of freedom counts half.
PAIRS_HALF = 10.0
# The standard error of a median over that of a mean: no arm counts more in the error of the typical variance.
EFFICIENCY = float(np.sqrt(np.pi / 2))


@dataclass(frozen=True)
class Estimate:
    """Differences of means, their standard errors and degrees of freedom, each (..., pairs); the error is infinite
    where an arm has fewer than two runs."""

    mean: Array
    error: Array
    freedom: Array


@dataclass(frozen=True)
class Moments:
    """What is known of each arm: its number of runs, mean and variance (..., arms); accuracies less the mean, 0 where a
    run is missing (..., arms, seeds)."""

    known: NDArray[np.bool_]
    n: Array
    mean: Array
    variance: Array
    centred: Array

    @property
    def freedom(self) -> Array:
        return np.maximum(self.n - 1, 1.0)


def estimate(accuracies: Array, pairs: Sequence[tuple[int, int]] | None = None, step: float = 0.0) -> Estimate:
    """Compare arms; each difference is that of the first arm of a pair less the second.

    accuracies: (..., arms, seeds), NaN where an arm has no run of a seed; leading axes are separate comparisons.
    pairs: arms by their place; by default each arm against the first.
    step: what one image counts; accuracies are rounded to it, so no variance is taken below step^2 / 12.
    """
    arms = accuracies.shape[-2]
    first, second = np.array(pairs or [(arm, 0) for arm in range(1, arms)], dtype=int).reshape(-1, 2).T
    at = moments(accuracies, step)
    usable = (at.n[..., first] >= 2) & (at.n[..., second] >= 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance, freedom = variance_of_difference(at, first, second)
        error = np.where(usable, np.sqrt(variance), np.inf)
        freedom = np.where(usable & (variance > 0), np.maximum(freedom, 1.0), 1.0)
        return Estimate(at.mean[..., first] - at.mean[..., second], error, freedom)


def means(accuracies: Array, step: float = 0.0) -> Estimate:
    """Return each arm's mean with its own error and degrees of freedom (..., arms), by half-pooled variances; arguments
    as of `estimate`."""
    at = moments(accuracies, step)
    usable = at.n >= 2
    with np.errstate(invalid="ignore", divide="ignore"):
        count, share, level = pooling(at)
        variance = (1 - share) * at.variance + share * level
        each, tame = errors_of_variances(at, level)
        common = share / count
        others = np.nansum(tame, axis=-1, keepdims=True) - tame
        freedom = 2 * np.square(variance) / ((1 - share + common) ** 2 * each + common**2 * others)
        error = np.where(usable, np.sqrt(variance / at.n), np.inf)
        return Estimate(at.mean, error, np.where(usable & (variance > 0), np.maximum(freedom, 1.0), 1.0))


def moments(accuracies: Array, step: float) -> Moments:
    """Return the moments of each arm."""
    known = ~np.isnan(accuracies)
    n = known.sum(axis=-1).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, accuracies, 0.0).sum(axis=-1) / n
        centred = np.where(known, accuracies - mean[..., None], 0.0)
        variance = np.maximum(np.square(centred).sum(axis=-1) / (n - 1), step**2 / 12)
    return Moments(known, n, mean, np.where(n >= 2, variance, np.nan), centred)


def typical(at: Moments) -> Array:
    """Return the typical variance over arms (..., 1): their mean, or the median, brought to the mean of a chi-squared
    variable, where that is less."""
    several = at.n >= 2
    mean = np.where(several, at.variance, 0.0).sum(axis=-1, keepdims=True) / several.sum(axis=-1, keepdims=True)
    ratio = np.where(several, at.variance * at.freedom / special.chdtri(at.freedom, 0.5), np.inf)
    ordered, count = np.sort(ratio, axis=-1), several.sum(axis=-1, keepdims=True)
    places = [np.maximum((count - 1) // 2, 0), np.maximum(count // 2, 0)]
    middle = sum(np.take_along_axis(ordered, np.minimum(place, ratio.shape[-1] - 1), axis=-1) for place in places) / 2
    return np.minimum(mean, middle)


def pooling(at: Moments) -> tuple[NDArray[np.int_], Array, Array]:
    """Return the number of arms whose variance is known (..., 1), the share of the typical variance in each arm's
    (..., arms), and the typical one (..., 1)."""
    several = (at.n >= 2).sum(axis=-1, keepdims=True)
    borrowed = np.where(several >= 3, np.minimum(BORROWED, at.freedom), 0.0)
    return several, borrowed / (at.freedom + borrowed), typical(at)


def errors_of_variances(at: Moments, level: Array) -> tuple[Array, Array]:
    """Return the variance of each arm's variance (..., arms), as it counts for itself and as for others: of other arms
    only the typical variance `level` is used, which one that is wild hardly moves."""
    each = 2 * np.square(at.variance) / at.freedom
    tame = 2 * np.square(np.minimum(at.variance, EFFICIENCY * level)) / at.freedom
    return each, tame


def variance_of_difference(at: Moments, first: NDArray[np.int_], second: NDArray[np.int_]) -> tuple[Array, Array]:
    """Return the variance of each difference and its degrees of freedom, each (..., pairs)."""
    several, share, level = pooling(at)
    own, weight = (1 - share) / at.n, share / at.n
    # The sum over arms of coefficient * variance: their own, and a part of the typical one, as were it their mean.
    common = (weight[..., first] + weight[..., second]) / several
    covariance, freedom, taken = covariances(at, first, second)
    a, b = at.variance[..., first], at.variance[..., second]
    total = own[..., first] * a + own[..., second] * b + common * several * level - taken * covariance
    by_a, by_b = own[..., first] + common, own[..., second] + common
    each, tame = errors_of_variances(at, level)
    others = np.nansum(tame, axis=-1, keepdims=True) - tame[..., first] - tame[..., second]
    spread = by_a**2 * each[..., first] + by_b**2 * each[..., second] + common**2 * others
    fa, fb = at.freedom[..., first], at.freedom[..., second]
    spread += 4 * by_a * by_b * covariance**2 * freedom / (fa * fb)
    spread += taken**2 * (a * b + covariance**2) / np.maximum(freedom, 1e-9)
    spread -= 4 * taken * covariance * (by_a * a / fa + by_b * b / fb)
    return total, 2 * np.square(total) / spread


def covariances(at: Moments, first: NDArray[np.int_], second: NDArray[np.int_]) -> tuple[Array, Array, Array]:
    """Return each pair's covariance over the seeds that both have, its degrees of freedom, and how often it is taken
    from the variance of the difference."""
    shared = (at.known[..., first, :] & at.known[..., second, :]).sum(axis=-1)
    a, b = 1 / at.n[..., first], 1 / at.n[..., second]
    freedom = shared * (1 - a - b + shared * a * b)
    products = (at.centred[..., first, :] * at.centred[..., second, :]).sum(axis=-1)
    covariance = np.where(freedom > 0.5, products / np.maximum(freedom, 1e-9), 0.0)
    return covariance, freedom, 2 * freedom / (freedom + PAIRS_HALF) * shared * a * b
