"""attn_train.comparison.statistics and .resampling against SciPy, against formulas written again, and in simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from attn_train.comparison import resampling, statistics
from attn_train.comparison.statistics import Difference, paired

ROUNDS = 20_000


def simulated(n: int, effect: float = 0.0, arms: int = 1, deviation: float = 1.0) -> list[list[Difference]]:
    """Draw normal differences; return the comparisons of each round, whose means and deviations numpy computes."""
    values = np.random.default_rng(7).normal(effect, deviation, size=(ROUNDS, arms, n))
    means, errors = values.mean(axis=2), values.std(axis=2, ddof=1) / math.sqrt(n)
    p_values = 2 * stats.t.sf(np.abs(means / errors), n - 1)
    half = stats.t.ppf(0.975, n - 1) * errors
    return [
        [
            Difference(n, m, e * math.sqrt(n), m - h, m + h, 0.95, p)
            for m, e, h, p in zip(*(column.tolist() for column in row), strict=True)
        ]
        for row in zip(means, errors, half, p_values, strict=True)
    ]


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
def test_paired_is_scipys(n: int) -> None:
    generator = np.random.default_rng(n)
    ours, theirs = generator.normal(93.2, 0.2, n), generator.normal(93.0, 0.2, n)
    found, expected = paired((ours - theirs).tolist()), stats.ttest_rel(ours, theirs)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert found.mean == pytest.approx((ours - theirs).mean())
    assert found.deviation == pytest.approx((ours - theirs).std(ddof=1))


def test_a_single_difference_decides_nothing() -> None:
    found = paired([3.0])
    assert (found.low, found.high, found.p_value) == (-math.inf, math.inf, 1.0)
    assert statistics.verdict(found, 0.2) == "undecided"


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf, 1.0]])
def test_no_difference_from_what_is_no_number(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        paired(values)


def test_two_seeds_that_agree_by_rounding_prove_nothing() -> None:
    step = 100 / 359
    assert statistics.verdict(paired([step, step], step=step), 0.2) == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.1, "helps"),
        (0.3, 0.5, "helps"),
        (-0.5, -0.01, "hurts"),
        (-0.2, 0.2, "equivalent"),
        (-0.21, 0.1, "undecided"),
        (-0.1, 0.21, "undecided"),
        (0.0, 0.1, "equivalent"),
    ],
)
def test_verdict(low: float, high: float, expected: str) -> None:
    assert statistics.verdict(Difference(5, (low + high) / 2, 0.1, low, high, 0.95, 0.5), 0.2) == expected


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_interval_covers_95_percent(n: int) -> None:
    generator = np.random.default_rng(3)
    held = sum((found := paired(row)).low <= 0.3 <= found.high for row in generator.normal(0.3, 0.25, (4000, n)))
    assert 0.93 <= held / 4000 <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("n", "arms"), [(5, 1), (2, 1), (10, 1), (5, 5)])
def test_null_is_called_an_effect_in_at_most_5_percent(n: int, arms: int) -> None:
    """Any arm of a family of nulls; the margin is so small that equivalence hides nothing."""
    called = sum(
        any(one.verdict in ("helps", "hurts") for one in statistics.corrected(row, 0.001))
        for row in simulated(n, arms=arms)
    )
    assert 0.04 <= called / ROUNDS <= 0.055


@pytest.mark.slow
@pytest.mark.parametrize("arms", [1, 4])
def test_a_difference_as_large_as_the_margin_is_rarely_called_equivalent(arms: int) -> None:
    called = sum(
        any(one.verdict == "equivalent" for one in statistics.corrected(row, 0.5))
        for row in simulated(10, effect=0.5, arms=arms, deviation=0.2)
    )
    assert called / ROUNDS <= 0.03


@pytest.mark.parametrize(("values", "margin"), [([0.1, 0.3, 0.2], 0.2), ([0.01, -0.02, 0.0, 0.01], 0.2), ([1, -1], 5)])
def test_for_one_arm_the_corrected_verdict_is_that_of_the_interval(values: list[float], margin: float) -> None:
    found = paired(values)
    assert statistics.corrected([found], margin)[0].verdict == statistics.verdict(found, margin)


def test_for_one_arm_the_verdicts_agree_whatever_the_differences() -> None:
    generator = np.random.default_rng(1)
    for row in generator.normal(generator.normal(0, 0.3, (500, 1)), 0.15, (500, 5)):
        found = paired(row)
        assert statistics.corrected([found], 0.2)[0].verdict == statistics.verdict(found, 0.2)


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03, 0.005], [0.9, 0.001, 0.5], [0.2], [], [0.02, 0.02, 0.02]])
def test_holm_by_its_definition(p_values: list[float]) -> None:
    """Adjusted: the smallest level at which the step-down procedure rejects."""

    def rejected(level: float) -> set[int]:
        found: set[int] = set()
        for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if p_values[place] > level / (len(p_values) - rank):
                break
            found.add(place)
        return found

    for place, adjusted in enumerate(statistics.holm(p_values)):
        assert p_values[place] <= adjusted <= 1
        assert place in rejected(adjusted + 1e-12)
        assert place not in rejected(adjusted - 1e-9)


@pytest.mark.parametrize("n", [2, 5, 12])
@pytest.mark.parametrize("effect", [0.4, 1.0])
def test_power_is_that_of_simulation_and_of_scipy(n: int, effect: float) -> None:
    stated = statistics.power(effect, 1.0, n, 0.05)
    values = np.random.default_rng(5).normal(effect, 1.0, (40_000, n))
    assert abs((stats.ttest_1samp(values, 0, axis=1).pvalue <= 0.05).mean() - stated) < 0.01
    critical, shift = stats.t.ppf(0.975, n - 1), effect * math.sqrt(n)
    exact = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)
    assert stated == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_detectable_is_found_in_80_percent(n: int, alpha: float) -> None:
    effect = statistics.detectable(0.25, n, alpha)
    values = np.random.default_rng(6).normal(effect, 0.25, (40_000, n))
    assert abs((stats.ttest_1samp(values, 0, axis=1).pvalue <= alpha).mean() - 0.8) < 0.02


@pytest.mark.parametrize(("n", "effect"), [(8, 0.0), (20, 0.1), (5, 0.05)])
def test_power_of_equivalence_is_that_of_simulation(n: int, effect: float) -> None:
    stated = statistics.equivalence_power(effect, 0.25, n, 0.3, 0.025)
    values = np.random.default_rng(8).normal(effect, 0.25, (40_000, n))
    half = stats.t.ppf(0.975, n - 1) * values.std(axis=1, ddof=1) / math.sqrt(n)
    inside = np.abs(values.mean(axis=1)) + half <= 0.3
    assert abs(inside.mean() - stated) < 0.02


@pytest.mark.parametrize(
    ("values", "shows"), [([0.1, 0.4, -0.1, 0.5, 0.3], "effect"), ([0.3, -0.3, 0.25, -0.25, 0.0], "equivalence")]
)
def test_needed_is_the_first_number_of_seeds_with_80_percent(values: list[float], shows: str) -> None:
    found = paired(values)
    needed = statistics.needed(found, 0.2)
    assert needed is not None
    assert needed.shows == shows

    def best(n: int) -> float:
        effect = statistics.power(found.mean, found.deviation, n, 0.05)
        return max(effect, statistics.equivalence_power(found.mean, found.deviation, n, 0.2, 0.025))

    assert best(needed.n) >= 0.8
    assert best(needed.n - 1) < 0.8
    more = statistics.needed(found, 0.2, arms=5)
    assert more is not None
    assert more.n > needed.n


def test_yardstick_of_runs_an_arm() -> None:
    """The table of runs an arm that was published for two samples, brought to pairs: a deviation of sqrt(2) sigma."""
    assert statistics.power(0.2, 0.15 * math.sqrt(2), 11, 0.05) > 0.8
    assert statistics.power(0.2, 0.15 * math.sqrt(2), 8, 0.05) < 0.8


def test_chance_is_mann_whitneys_u_over_all_pairs() -> None:
    generator = np.random.default_rng(2)
    ours, theirs = generator.integers(0, 6, 9), generator.integers(0, 5, 7)
    u = stats.mannwhitneyu(ours, theirs).statistic
    assert statistics.chance(ours.tolist(), theirs.tolist()) == pytest.approx(u / (9 * 7))


def test_bootstrap_over_seeds_is_scipys() -> None:
    values = np.random.default_rng(4).normal(0.2, 0.3, 25)
    found = resampling.over_seeds(values.tolist(), 0.95)
    expected = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_coverage_of_the_bootstrap_over_seeds_is_the_known_one() -> None:
    assert resampling.seeds_coverage(5, 0.95) == pytest.approx(0.84, abs=0.03)
    assert resampling.seeds_coverage(20, 0.95) == pytest.approx(0.92, abs=0.03)


def test_bootstrap_over_images_is_scipys_on_every_image() -> None:
    generator = np.random.default_rng(9)
    ours, theirs = generator.random((3, 2000)) < 0.9, generator.random((3, 2000)) < 0.88
    found = resampling.over_images(ours, theirs, 0.95)
    per_image = (ours.astype(float) - theirs).mean(axis=0)
    expected = stats.bootstrap((per_image,), np.mean, n_resamples=4000, method="percentile", rng=0).confidence_interval
    assert (found.low, found.high) == pytest.approx((100 * expected.low, 100 * expected.high), abs=0.1)
    assert 0.92 <= found.coverage <= 0.97


def test_mcnemar_by_the_binomial_distribution() -> None:
    ours = np.array([True] * 12 + [False] * 3 + [True] * 50)
    theirs = np.array([False] * 12 + [True] * 3 + [True] * 50)
    found = resampling.mcnemar(ours, theirs)
    tail = sum(math.comb(15, k) for k in range(4)) / 2**15
    assert (found.only_ours, found.only_theirs) == (12, 3)
    assert found.p_value == pytest.approx(2 * tail)
    assert resampling.mcnemar(ours, ours).p_value == 1.0
