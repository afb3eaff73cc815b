"""attn_train.statistics against SciPy, against formulas written again, and in simulation."""

import math
import statistics as plain
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from attn_train.statistics import intervals, power, resampling
from attn_train.statistics.estimate import Estimate, estimate, means
from attn_train.statistics.intervals import Difference, bounds, differences, listed, verdicts

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]


def by_hand(arms: list[dict[int, float]], first: int, second: int) -> tuple[float, float, float]:
    """The difference of two arms, its standard error and degrees of freedom: the formulas of `estimate`, run by run."""
    count = [len(arm) for arm in arms]
    mean = [plain.fmean(arm.values()) for arm in arms]
    variance = [plain.variance(arm.values()) for arm in arms]
    medians = [v * (n - 1) / stats.chi2.median(n - 1) for n, v in zip(count, variance, strict=True)]
    typical = min(plain.fmean(variance), plain.median(medians))
    share = [0.0 if len(arms) < 3 else min(4, n - 1) / (n - 1 + min(4, n - 1)) for n in count]
    both = arms[first].keys() & arms[second].keys()
    f = len(both) * (1 - 1 / count[first] - 1 / count[second] + len(both) / (count[first] * count[second]))
    products = [(arms[first][s] - mean[first]) * (arms[second][s] - mean[second]) for s in both]
    covariance = sum(products) / f if f > 0.5 else 0.0
    taken = 2 * f / (f + 10) * len(both) / (count[first] * count[second])
    pooled = [(1 - h) * v + h * typical for h, v in zip(share, variance, strict=True)]
    total = pooled[first] / count[first] + pooled[second] / count[second] - taken * covariance
    common = (share[first] / count[first] + share[second] / count[second]) / len(arms)
    weight = [common + (place in (first, second)) * (1 - share[place]) / count[place] for place in range(len(arms))]
    tame = [
        v if place in (first, second) else min(v, math.sqrt(math.pi / 2) * typical) for place, v in enumerate(variance)
    ]
    spread = sum(2 * (w * v) ** 2 / (n - 1) for w, v, n in zip(weight, tame, count, strict=True))
    a, b = variance[first], variance[second]
    fa, fb = count[first] - 1, count[second] - 1
    spread += 4 * weight[first] * weight[second] * covariance**2 * f / (fa * fb)
    spread += taken**2 * (a * b + covariance**2) / max(f, 1e-9)
    spread -= 4 * taken * covariance * (weight[first] * a / fa + weight[second] * b / fb)
    return mean[first] - mean[second], math.sqrt(total), 2 * total**2 / spread


def difference_at(n: int, mean: float, error: float, freedom: float, *, alpha: float, one_sided: float) -> Difference:
    """The difference with this mean, standard error and degrees of freedom."""
    (found,) = listed(Estimate(*(np.array([value]) for value in (mean, error, freedom))), [n], alpha, one_sided)
    return found


def table_of(arms: list[dict[int, float]]) -> Array:
    seeds = sorted({seed for arm in arms for seed in arm})
    return np.array([[arm.get(seed, math.nan) for seed in seeds] for arm in arms])


def arms_of(accuracies: Array, *counts: int) -> Array:
    """Keep the first so many seeds of each arm."""
    kept = accuracies.copy()
    for arm, count in enumerate(counts):
        kept[..., arm, count:] = np.nan
    return kept


# The estimate


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
def test_without_common_seeds_it_is_welchs_test(n: int) -> None:
    generator = np.random.default_rng(n)
    ours, theirs = generator.normal(93.2, 0.2, n), generator.normal(93.0, 0.3, n + 4)
    table = np.full((2, 2 * n + 4), np.nan)
    table[1, :n], table[0, n:] = ours, theirs
    (found,) = differences(table)
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert (found.n, found.freedom) == pytest.approx((n, expected.df))
    assert (found.least, found.most) == pytest.approx(tuple(expected.confidence_interval(0.92)), rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_estimate_by_hand(seed: int) -> None:
    """Arms with other numbers of runs, some seeds of which they share."""
    generator = np.random.default_rng(seed)
    arms = [
        {
            int(one): 90 + 0.2 * generator.normal() + 0.1 * math.sin(one)
            for one in generator.choice(12, generator.integers(2, 12), replace=False)
        }
        for _ in range(int(generator.integers(2, 6)))
    ]
    pairs = [(first, second) for first in range(len(arms)) for second in range(first)]
    found = estimate(table_of(arms), pairs)
    for place, (first, second) in enumerate(pairs):
        got = found.mean[place], found.error[place], found.freedom[place]
        mean, error, freedom = by_hand(arms, first, second)
        assert got == pytest.approx((mean, error, max(freedom, 1.0)), rel=1e-9)


def test_the_means_of_arms_without_common_seeds_have_the_errors_of_their_differences() -> None:
    generator = np.random.default_rng(1)
    table, start = np.full((4, 24), np.nan), 0
    for row, n in zip(table, (3, 5, 9, 7), strict=True):
        row[start : start + n] = generator.normal(90, 0.2, n)
        start += n
    found = means(table)
    assert found.mean == pytest.approx(np.nanmean(table, axis=1))
    assert np.square(found.error[1:]) + found.error[0] ** 2 == pytest.approx(np.square(estimate(table).error))


@pytest.mark.parametrize(("arms", "n"), [(2, 6), (8, 5), (8, 10)])
def test_the_errors_of_means_vary_by_their_degrees_of_freedom(arms: int, n: int) -> None:
    """A variance with f degrees of freedom has a variance of 2 / f of its square; half pooled ones have more."""
    found = means(np.random.default_rng(2).standard_normal((20_000, arms, n)))
    variance = np.square(found.error)
    assert np.median(found.freedom) == pytest.approx(2 * variance.mean() ** 2 / variance.var(), rel=0.2)


def test_studies_side_by_side_are_what_each_is_alone() -> None:
    accuracies = np.random.default_rng(0).normal(90, 0.2, (7, 4, 9))
    accuracies[3, 2, 5:] = np.nan
    together = estimate(accuracies)
    for place, one in enumerate(accuracies):
        assert together.error[place] == pytest.approx(estimate(one).error)
        assert together.freedom[place] == pytest.approx(estimate(one).freedom)


def test_a_single_run_decides_nothing() -> None:
    for table in ([[90.0], [93.0]], [[90.0, 90.1, 90.2], [93.0, math.nan, math.nan]]):
        (found,) = differences(np.array(table))
        assert (found.low, found.high, found.p_value) == (-math.inf, math.inf, 1.0)
        assert intervals.verdict(found, 0.2) == "undecided"


def test_runs_that_agree_by_rounding_have_the_deviation_of_rounding() -> None:
    step = 100 / 359
    table = np.array([[90.0, 90.0], [90.0 + step, 90.0 + step]])
    (found,) = differences(table, step=step)
    assert found.error == pytest.approx(math.sqrt(step**2 / 12))
    assert intervals.verdict(found, 0.2) == "undecided"
    (exact,) = differences(table)
    assert (exact.error, exact.p_value) == (0.0, 0.0)


def test_a_wild_arm_makes_only_its_own_interval_wide() -> None:
    accuracies = np.random.default_rng(1).normal(90, 0.1, (6, 8))
    calm = estimate(accuracies).error
    accuracies[5, ::2] -= 20
    wild = estimate(accuracies).error
    assert (wild[:4] < 1.5 * calm[:4]).all()
    assert wild[4] > 20 * calm[4]


def test_a_wild_arm_costs_the_others_no_certainty() -> None:
    accuracies = 90 + 0.15 * np.random.default_rng(0).standard_normal((6, 8))
    before = differences(accuracies)
    accuracies[5, 3] -= 9
    after = differences(accuracies)
    widths = [(one.high - one.low) / (other.high - other.low) for one, other in zip(after, before, strict=True)]
    assert widths[:4] == pytest.approx([1] * 4, abs=0.1)
    assert widths[4] > 10


# Error rates, by simulation


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return generator.standard_normal(shape)


def alike(correlation: float) -> Draw:
    """Runs of one seed have something in common."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        seeds = generator.standard_normal((shape[0], 1, shape[2]))
        return math.sqrt(correlation) * seeds + math.sqrt(1 - correlation) * generator.standard_normal(shape)

    return draw


def scaled(*deviations: float) -> Draw:
    """The baseline and the first arms vary by so much, the others by 1."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        factors = np.ones(shape[1])
        factors[: len(deviations)] = deviations
        return generator.standard_normal(shape) * factors[:, None]

    return draw


def one_skewed(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    values = generator.standard_normal(shape)
    values[:, 1] = generator.exponential(size=values[:, 1].shape) - 1
    return values


def one_crashing(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """A fifth of an arm's runs lose three deviations; its mean is 0."""
    values = generator.standard_normal(shape)
    values[:, 1] += 0.6 - 3 * (generator.random(values[:, 1].shape) < 0.2)
    return values


DRAWS = {
    "equal": normal,
    "correlated": alike(0.3),
    "very correlated": alike(0.9),
    "arm varies more": scaled(1.0, 2.5),
    "baseline varies more": scaled(2.0),
    "skewed": one_skewed,
    "crashing": one_crashing,
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
@pytest.mark.parametrize("arms", [1, 5])
def test_null_is_called_an_effect_in_at_most_5_percent(arms: int, draw: Draw) -> None:
    """In 8,000 simulations, whose standard error is 0.25 points; from 5 seeds on, some runs without a partner."""
    for counts in ((5, *[5] * arms), (8, *[6] * arms)):
        accuracies = arms_of(draw(np.random.default_rng(7), (8000, arms + 1, 10)), *counts)
        held = bounds(estimate(accuracies), 0.05 / arms, 0.04 / arms)
        called = ((held.low > 0) | (held.high < 0)).any(axis=1).mean()
        assert called <= 0.06
        if draw is normal:
            assert called >= 0.03


def test_no_verdict_of_a_family_is_wrong_in_95_percent() -> None:
    """Arms that change nothing beside arms that gain just the margin, which neither helps nor gains less wrongly."""
    effects = np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    accuracies = np.random.default_rng(3).standard_normal((8000, 6, 12))
    accuracies[:, 1:] += effects[:, None]
    words = verdicts(bounds(estimate(accuracies), 0.01, 0.008), margin=1.0)
    wrong = np.where(effects == 0, words <= 1, (words >= 1) & (words <= 3)).any(axis=1).mean()
    assert 0.02 <= wrong <= 0.055


# Verdicts


@pytest.mark.parametrize(
    ("low", "high", "least", "most", "expected"),
    [
        (0.01, 0.1, 0.02, 0.09, "helps"),
        (0.3, 0.5, 0.32, 0.48, "helps"),
        (-0.5, -0.01, -0.4, -0.02, "hurts"),
        (-0.21, 0.21, -0.19, 0.19, "equivalent"),
        (-0.3, 0.1, -0.25, 0.05, "gains less"),
        (-0.1, 0.3, -0.05, 0.25, "undecided"),
        (-0.3, 0.3, -0.25, 0.2, "undecided"),
    ],
)
def test_verdict(low: float, high: float, least: float, most: float, expected: str) -> None:
    found = Difference(5, (low + high) / 2, 0.1, 8.0, low, high, least, most, 0.95, 0.5)
    assert intervals.verdict(found, 0.2) == expected


@pytest.mark.parametrize(
    ("mean", "said"),
    [
        (1.0, "helps"),
        (0.17, "helps, but by less than 0.5 points"),
        (-0.17, "hurts, but by less than 0.5 points"),
        (0.0, "equivalent within 0.5 points (-0.11 to +0.11)"),
        (-0.9, "hurts"),
    ],
)
def test_words_of_a_verdict(mean: float, said: str) -> None:
    found = difference_at(9, mean, 0.06, 20.0, alpha=0.05, one_sided=0.04)
    assert intervals.words(found, intervals.verdict(found, 0.5), 0.5) == said


def test_words_of_a_verdict_that_has_one_bound() -> None:
    found = difference_at(9, -0.2, 0.2, 20.0, alpha=0.05, one_sided=0.04)
    most = -0.2 + 0.2 * stats.t.ppf(0.96, 20)
    assert (
        intervals.words(found, intervals.verdict(found, 0.5), 0.5)
        == f"gains less than 0.5 points (at most {most:+.2f})"
    )


@pytest.mark.parametrize("n", [1, 5, 12, 100])
def test_what_so_many_runs_cannot_have_seen(n: int) -> None:
    """Clopper and Pearson's one-sided bound for nothing in n."""
    expected = stats.binomtest(0, n, alternative="less").proportion_ci(0.95).high
    assert intervals.unseen(n) == pytest.approx(expected)


# Power


@pytest.mark.parametrize("n", [2, 5, 12])
@pytest.mark.parametrize("effect", [0.4, 1.0])
def test_power_is_that_of_simulation_and_of_scipy(n: int, effect: float) -> None:
    stated = power.power(effect, 1 / math.sqrt(n), n - 1, 0.05)
    values = np.random.default_rng(5).normal(effect, 1.0, (40_000, n))
    assert abs((stats.ttest_1samp(values, 0, axis=1).pvalue <= 0.05).mean() - stated) < 0.01
    critical, shift = stats.t.ppf(0.975, n - 1), effect * math.sqrt(n)
    exact = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)
    assert stated == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize(("n", "effect"), [(8, 0.0), (20, 0.1), (5, 0.05)])
def test_power_below_the_margin_is_that_of_simulation(n: int, effect: float) -> None:
    stated = power.power_below(effect, 0.25 / math.sqrt(n), n - 1, margin=0.3, alpha=0.04)
    values = np.random.default_rng(8).normal(effect, 0.25, (40_000, n))
    called = stats.ttest_1samp(values, 0.3, axis=1, alternative="less").pvalue <= 0.04
    assert abs(called.mean() - stated) < 0.01


@pytest.mark.parametrize("n", [3, 5, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_detectable_is_found_in_80_percent(n: int, alpha: float) -> None:
    """Two arms of n runs with equal variances: Welch's test."""
    found = difference_at(n, 0.0, 0.25 * math.sqrt(2 / n), 2 * n - 2, alpha=alpha, one_sided=alpha)
    effect = power.detectable(found, alpha)
    values = np.random.default_rng(6).normal(0, 0.25, (2, 40_000, n))
    rejected = stats.ttest_ind(values[0] + effect, values[1], axis=1).pvalue <= alpha
    assert abs(rejected.mean() - 0.8) < 0.02


@pytest.mark.parametrize(("mean", "shows"), [(0.24, "effect"), (0.0, "less")])
def test_needed_is_the_first_number_of_seeds_with_80_percent(mean: float, shows: str) -> None:
    found = difference_at(5, mean, 0.13, 8.0, alpha=0.05, one_sided=0.04)
    needed = power.needed(found, 0.2)
    assert needed is not None
    assert needed.shows == shows

    def best(n: int) -> float:
        error, freedom = 0.13 * math.sqrt(5 / n), 8 * n / 5
        below = power.power_below(mean, error, freedom, margin=0.2, alpha=0.04)
        return max(power.power(mean, error, freedom, 0.05), below)

    assert best(needed.n) >= 0.8
    assert best(needed.n - 1) < 0.8
    more = power.needed(found, 0.2, arms=5)
    assert more is not None
    assert more.n > needed.n


def test_chance_is_mann_whitneys_u_over_all_pairs() -> None:
    generator = np.random.default_rng(2)
    ours, theirs = generator.integers(0, 6, 9), generator.integers(0, 5, 7)
    u = stats.mannwhitneyu(ours, theirs).statistic
    assert intervals.chance(ours.tolist(), theirs.tolist()) == pytest.approx(u / (9 * 7))


@pytest.mark.parametrize(("ours", "theirs", "least"), [(3, 3, 0.86), (5, 5, 0.91), (5, 10, 0.91), (20, 20, 0.93)])
def test_the_interval_of_a_chance_holds_it(ours: int, theirs: int, least: float) -> None:
    """In 4,000 simulations, whose standard error is below 0.5 points, of normal runs, equal and unequal ones."""
    generator, shares = np.random.default_rng(0), []
    for true in (0.5, 0.75, 0.9, 0.97):
        for deviation in (1.0, 2.5):
            shift = stats.norm.ppf(true) * math.hypot(1, deviation)
            runs = deviation * generator.standard_normal((4000, ours, 1)) + shift
            wins = runs > generator.standard_normal((4000, 1, theirs))
            seen, counts = np.unique(wins.mean((1, 2)), return_counts=True)
            ends = [intervals.chance_interval(float(chance), ours, theirs) for chance in seen]
            shares.append(sum(n for (low, high), n in zip(ends, counts, strict=True) if low <= true <= high) / 4000)
    assert least <= min(shares)
    assert 0.93 <= np.mean(shares) <= 0.98


@pytest.mark.parametrize(("ours", "theirs", "chance"), [(5, 5, 0.8), (3, 9, 0.25), (4, 4, 1.0)])
def test_the_ends_of_a_chance_are_a_fixed_number_of_deviations_away(ours: int, theirs: int, chance: float) -> None:
    low, high = intervals.chance_interval(chance, ours, theirs)
    assert 1 - intervals.chance_interval(1 - chance, ours, theirs)[1] == pytest.approx(low)
    m = (ours + theirs) / 2 - 1
    for end in {low, high} - {0.0, 1.0}:
        q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)  # two of ours beat one of theirs, one of ours beats two
        hanley_mcneil = (end * (1 - end) + m * (q1 - end**2) + m * (q2 - end**2)) / (ours * theirs)
        assert abs(chance - end) == pytest.approx(stats.norm.ppf(0.975) * math.sqrt(hanley_mcneil))


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
