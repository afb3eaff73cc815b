"""Several answers as one: intervals by simulation, special cases by formulas that are known."""

import math

import numpy as np
import pytest
from scipy import stats

from attn_train.statistics.combining import Part, heterogeneity, weighted


def part(values: np.ndarray) -> Part:
    return Part(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))), len(values) - 1)


def ends(combined: Part, level: float = 0.95) -> tuple[float, float]:
    low, high = stats.t.interval(level, combined.freedom, combined.mean, combined.error)
    return float(low), float(high)


def test_two_data_sets_are_welchs_test() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(0.3, 1, 6), generator.normal(-0.1, 3, 9)
    combined = weighted([part(first), part(second)], [1, 1])
    # The mean of two is half the difference of one and the other's negative.
    welch = stats.ttest_ind(first, -second, equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert combined.freedom == pytest.approx(welch.df)
    assert ends(combined) == pytest.approx((interval.low / 2, interval.high / 2))


@pytest.mark.parametrize("sizes", [(5, 5), (5, 12, 8), (4, 4, 4, 4), (12, 5)])
@pytest.mark.parametrize("by_seeds", [False, True])
def test_the_interval_holds_the_mean(sizes: tuple[int, ...], by_seeds: bool) -> None:
    """Over data sets whose runs vary differently, and over studies of one difference that add up."""
    generator, held = np.random.default_rng(1), 0
    weights = sizes if by_seeds else [1] * len(sizes)
    true = np.full(len(sizes), 0.2) if by_seeds else 0.2 + 0.1 * np.arange(len(sizes))
    for _ in range(1000):
        parts = [part(generator.normal(true[place], 0.5 + 0.5 * place, size)) for place, size in enumerate(sizes)]
        low, high = ends(weighted(parts, weights))
        held += low <= true.mean() <= high
    assert 0.935 <= held / 1000 <= 0.985


def test_studies_add_up_to_the_mean_of_all_their_seeds() -> None:
    generator = np.random.default_rng(2)
    samples = [generator.normal(0.2, 0.5, size) for size in (5, 12, 8)]
    combined = weighted([part(sample) for sample in samples], [len(sample) for sample in samples])
    assert combined.mean == pytest.approx(np.concatenate(samples).mean())
    sums = sum(len(sample) * sample.var(ddof=1) for sample in samples)  # of variances: those of independent sums
    assert combined.error == pytest.approx(math.sqrt(sums) / 25)


def test_what_differs_between_data_sets_is_seen() -> None:
    generator = np.random.default_rng(2)
    true = generator.normal(0, 0.5, 400)
    spread, alike = heterogeneity([Part(float(mean), 0.2, 20) for mean in generator.normal(true, 0.2)])
    assert spread == pytest.approx(0.5, rel=0.1)
    assert alike < 1e-6
    spread, alike = heterogeneity([Part(float(mean), 0.2, 20) for mean in generator.normal(0, 0.2, 400)])
    assert spread < 0.08
    assert alike > 0.01
