"""What is said beside the t interval: bootstraps over seeds and over test images, each with the coverage that it has in
simulation, and McNemar's test of two single runs.

Efron and Tibshirani, An Introduction to the Bootstrap (1993); McNemar, Psychometrika 12 (1947), in its exact form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

# Below this many seeds the percentile bootstrap is too narrow to be shown at all: at 5 it covers 84 %.
LEAST_SEEDS = 20
RESAMPLES = 2000
SIMULATIONS = 1000


@dataclass(frozen=True)
class Interval:
    """A percentile interval, in percentage points, and the share of simulated intervals like it that held the truth."""

    low: float
    high: float
    coverage: float


@dataclass(frozen=True)
class McNemar:
    """How many test images only one of two runs got right, and the exact p-value of that being chance."""

    only_ours: int
    only_theirs: int
    p_value: float


def over_seeds(differences: Sequence[float], level: float) -> Interval:
    """Resample seeds; meant for at least LEAST_SEEDS differences."""
    values = np.asarray(differences, dtype=float)
    generator = np.random.default_rng(0)
    means = values[generator.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), seeds_coverage(len(values), level))


@lru_cache(maxsize=256)
def seeds_coverage(n: int, level: float) -> float:
    """Return the share of bootstraps over n normal values whose interval holds their true mean, by simulation."""
    n = min(n, 200)  # from where on the share does not change any more
    generator = np.random.default_rng(0)
    held = 0
    for values in generator.standard_normal((SIMULATIONS, n)):
        means = values[generator.integers(n, size=(500, n))].mean(axis=1)
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
        held += low <= 0 <= high
    return held / SIMULATIONS


def over_images(ours: NDArray[np.bool_], theirs: NDArray[np.bool_], level: float) -> Interval:
    """Resample test images; `ours` and `theirs` say which were right: bool (seeds, images), each with its own seeds.

    The interval is that of these very runs over other test images; it does not know that other seeds differ too.
    """
    values, counts = np.unique(ours.mean(axis=0) - theirs.mean(axis=0), return_counts=True)
    shares, total = counts / counts.sum(), int(counts.sum())
    generator = np.random.default_rng(0)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(generator.multinomial(total, shares, size=RESAMPLES) @ values / total, tails)
    truth = values @ shares
    held = 0
    for sample in generator.multinomial(total, shares, size=SIMULATIONS):
        ends = np.quantile(generator.multinomial(total, sample / total, size=500) @ values / total, tails)
        held += ends[0] - 1e-12 <= truth <= ends[1] + 1e-12
    return Interval(100 * float(low), 100 * float(high), held / SIMULATIONS)


def mcnemar(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> McNemar:
    """Compare two runs by the images, bool (images,), of which one of them got right what the other did not."""
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    decided = only_ours + only_theirs
    p_value = float(stats.binomtest(only_ours, decided, 0.5).pvalue) if decided else 1.0
    return McNemar(only_ours, only_theirs, p_value)
