"""The statistics of attn-study against scipy, and against simulated studies that know nothing of its numerics."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from attn_train.comparison.statistics import Difference
from attn_train.settings.study import FIRST_LOOK
from attn_train.study.boundary import boundaries
from attn_train.study.sequential import ALPHA, chances, critical_values, detectable, level, look, seeds_needed

STUDIES = 40_000
Array = NDArray[np.float64]


def t_statistics(differences: Array, true: float = 0.0) -> Array:
    """The t statistic of the first n of each row, for n from FIRST_LOOK on, by the textbook's two passes."""
    seeds = differences.shape[1]
    found = [
        (differences[:, :n].mean(axis=1) - true) / (differences[:, :n].std(axis=1, ddof=1) / math.sqrt(n))
        for n in range(FIRST_LOOK, seeds + 1)
    ]
    return np.stack(found, axis=1)


def ends(differences: Array, margin: float, arms: int) -> tuple[Array, Array, Array, Array]:
    """For each row: +1 helps, -1 hurts, 2 equivalent, 0 undecided; the interval at the end; how many seeds."""
    seeds = differences.shape[1]
    words, low, high, taken = (np.zeros(len(differences)) for _ in range(4))
    going = np.ones(len(differences), dtype=bool)
    for n, critical in enumerate(critical_values(arms, seeds), start=FIRST_LOOK):
        mean = differences[:, :n].mean(axis=1)
        half = critical * differences[:, :n].std(axis=1, ddof=1) / math.sqrt(n)
        word = np.where(mean > half, 1, np.where(mean < -half, -1, np.where(abs(mean) + half <= margin, 2, 0)))
        low, high, taken = (
            np.where(going, new, old) for new, old in ((mean - half, low), (mean + half, high), (n, taken))
        )
        words = np.where(going, word, words)
        going &= word == 0
    return words, low, high, taken


def made(effect: float, seeds: int, studies: int = STUDIES) -> Array:
    return np.random.default_rng(5).normal(effect, 1.0, (studies, seeds))


def paired_arms(effects: list[float], seeds: int, studies: int) -> Array:
    """Differences (arm, study, seed) of arms whose deviation is that of the baseline, which they share."""
    generator = np.random.default_rng(6)
    baseline = generator.normal(0, 1 / math.sqrt(2), (studies, seeds))
    return np.stack([generator.normal(one, 1 / math.sqrt(2), (studies, seeds)) - baseline for one in effects])


# Boundaries


def test_one_look_is_students_t() -> None:
    for first in (3, 5, 30):
        assert boundaries([0.05], first) == pytest.approx([stats.t.ppf(0.975, first - 1)], rel=1e-12)
    assert critical_values(1, FIRST_LOOK) == pytest.approx([stats.t.ppf(1 - ALPHA / 2, FIRST_LOOK - 1)])
    assert level(FIRST_LOOK, 1, FIRST_LOOK) == pytest.approx(1 - ALPHA)


@pytest.mark.slow
def test_two_looks_by_an_integral_over_the_plane() -> None:
    """With three values, two looks: the chance to pass either, by integrating over the sphere that their direction is
    uniform on."""
    first, second = boundaries([0.05, 0.1], 2 + 1)
    # A direction in four dimensions, uniform: the surface by a fine net of three angles.
    a = (np.arange(400) + 0.5) / 400 * math.pi
    b = (np.arange(400) + 0.5) / 400 * math.pi
    c = (np.arange(400) + 0.5) / 400 * 2 * math.pi
    passed = weight = 0.0
    for one in a:
        x1, rest = math.cos(one), math.sin(one)
        x2 = rest * np.cos(b)[:, None] * np.ones_like(c)
        x3, x4 = (rest * np.sin(b)[:, None] * turn(c) for turn in (np.cos, np.sin))
        values = np.stack([np.full_like(x2, x1), x2, x3, x4])
        t3, t4 = (values[:n].mean(axis=0) / (values[:n].std(axis=0, ddof=1) / math.sqrt(n)) for n in (3, 4))
        area = rest**2 * np.sin(b)[:, None] * np.ones_like(c)
        passed += float((area * ((abs(t3) > first) | (abs(t4) > second))).sum())
        weight += float(area.sum())
    assert passed / weight == pytest.approx(0.1, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("arms", "seeds"), [(1, 20), (1, 60), (5, 12), (20, 20)])
def test_what_is_spent_at_each_look(arms: int, seeds: int) -> None:
    """Of simulated nulls, as many have passed by each look as the spending says: five deviations of a binomial."""
    t = abs(t_statistics(made(0.0, seeds, 100_000)))
    passed = (t > np.asarray(critical_values(arms, seeds))).cumsum(axis=1) > 0
    for place, n in enumerate(range(FIRST_LOOK, seeds + 1)):
        spent = ALPHA / arms * (n / seeds) ** 2
        assert passed[:, place].mean() == pytest.approx(spent, abs=5 * math.sqrt(spent / 100_000) + 1e-5)


@pytest.mark.slow
def test_levels_rise_to_the_end_of_what_may_be_spent() -> None:
    for arms, seeds in ((1, 20), (5, 200)):
        critical = critical_values(arms, seeds)
        assert len(critical) == seeds - FIRST_LOOK + 1
        assert list(critical) == sorted(critical, reverse=True)
        for n in (FIRST_LOOK, seeds):
            quantile = stats.t.ppf((1 + level(n, arms, seeds)) / 2, n - 1)
            assert quantile == pytest.approx(critical[n - FIRST_LOOK], rel=1e-6)


# Error rates


@pytest.mark.parametrize("seeds", [5, 12, 20, 50])
def test_null_is_called_an_effect_in_at_most_5_percent(seeds: int) -> None:
    words, low, high, _ = ends(made(0.0, seeds), margin=1e-9, arms=1)
    called = np.isin(words, (1, -1)).mean()
    assert 0.045 <= called <= 0.055
    assert ((low <= 0) & (high >= 0)).mean() >= 0.945


def test_pococks_boundary_would_not_do() -> None:
    """The simulation sees the fault that the rule avoids: z = 2.157 at three looks or more, with a t statistic."""
    differences = made(0.0, 10)
    t = [stats.ttest_1samp(differences[:20_000, :n], 0, axis=1).statistic for n in range(3, 11)]
    assert (abs(np.stack(t)) > 2.43).any(axis=0).mean() > 0.15


def test_five_arms_with_one_baseline() -> None:
    """None of five nulls is called an effect, and all five intervals hold, in at least 94.5 % of 40,000 studies."""
    called, held = np.zeros(STUDIES, dtype=bool), np.ones(STUDIES, dtype=bool)
    for differences in paired_arms([0.0] * 5, 12, STUDIES):
        words, low, high, _ = ends(differences, margin=0.5, arms=5)
        called |= np.isin(words, (1, -1))
        held &= (low <= 0) & (high >= 0)
    assert 0.02 <= called.mean() <= 0.055
    assert held.mean() >= 0.945


def test_five_arms_of_every_kind() -> None:
    """No verdict is wrong: no harm, no help, no equivalence that is not there."""
    effects = [0.0, 0.8, -0.8, 0.5, 3.0]
    wrong, held = np.zeros(20_000, dtype=bool), np.ones(20_000, dtype=bool)
    for effect, differences in zip(effects, paired_arms(effects, 20, 20_000), strict=True):
        words, low, high, _ = ends(differences, margin=0.8 - 1e-9, arms=5)
        wrong |= (
            (words == 1) & (effect <= 0) | (words == -1) & (effect >= 0) | (words == 2) & (abs(effect) >= 0.8 - 1e-9)
        )
        held &= (low <= effect) & (high >= effect)
    assert wrong.mean() <= 0.055
    assert held.mean() >= 0.945


@pytest.mark.parametrize("effect", [0.0, 0.3, 0.8, 1.0, 2.5])
def test_interval_at_the_end_holds_the_truth(effect: float) -> None:
    words, low, high, _ = ends(made(effect, 20), margin=1.0, arms=1)
    assert ((low <= effect) & (high >= effect)).mean() >= 0.945
    if effect >= 1.0:
        assert (words == 2).mean() <= 0.055
    assert (words == -1).mean() <= 0.03  # the wrong way round: half of the nulls at most


def test_coarse_accuracies() -> None:
    """On 100 test images a deviation is about as large as what one image counts; the error rate is kept all the same,
    for few differences agree by chance into a deviation far too small."""
    step = 1.0
    differences = np.round(made(0.0, 12, 3000) * 0.8 / step) * step
    found = [look(list(row), 1, 12, 0.2, step).verdict for row in differences]
    assert np.isin(found, ("helps", "hurts")).mean() <= 0.055


# A look


@pytest.mark.parametrize(("effect", "margin", "arms"), [(0.0, 0.8, 1), (0.7, 0.5, 1), (-1.2, 0.3, 3), (0.1, 1.5, 2)])
def test_looks_are_those_of_the_simulations(effect: float, margin: float, arms: int) -> None:
    differences = made(effect, 15, 200)
    words, low, high, taken = ends(differences, margin, arms)
    names = {1: "helps", -1: "hurts", 2: "equivalent", 0: "undecided"}
    for row, word, *expected in zip(differences, words, low, high, taken, strict=True):
        found = look(list(row), arms, 15, margin)
        assert found.verdict == names[int(word)]
        assert found.difference is not None
        got = (found.difference.low, found.difference.high, found.difference.n)
        assert got == pytest.approx(expected, rel=1e-6)


def test_no_verdict_before_the_first_look() -> None:
    clear = [5.0, 5.1, 4.9, 5.0, 5.1]
    for n in range(5):
        found = look(clear[:n], 1, 20, 0.2)
        assert found.verdict == "undecided"
        assert (found.difference is None) == (n < 2)
    assert look(clear, 1, 20, 0.2).verdict == "helps"
    assert look([-one for one in clear], 1, 20, 0.2).verdict == "hurts"


def test_a_verdict_stays() -> None:
    """What comes after the look that decided changes nothing, nor do more seeds than were planned."""
    first = look([1.0, 1.1, 0.9, 1.0, 1.05], 1, 20, 0.2)
    assert look([1.0, 1.1, 0.9, 1.0, 1.05, -40.0, -30.0], 1, 20, 0.2) == first
    noise = list(made(0.0, 9, 1)[0])
    assert look(noise, 1, 6, 1e-9) == look(noise[:6], 1, 6, 1e-9)


def test_equal_differences_prove_nothing_by_themselves() -> None:
    assert look([0.5] * 8, 1, 10, 1.0).verdict == "undecided"
    assert look([0.0] * 8, 1, 10, 1.0).verdict == "undecided"
    # Where an image counts 0.01 points, equal ones are as near as can be seen.
    assert look([0.0] * 8, 1, 10, 1.0, step=0.01).verdict == "equivalent"
    assert look([0.0] * 8, 1, 10, 1.0, step=5.0).verdict == "undecided"


# Power


@pytest.mark.parametrize(
    ("effect", "margin", "arms", "seeds"), [(0.8, 0.0, 1, 20), (0.3, 1.0, 2, 15), (-1.5, 0.5, 5, 12)]
)
def test_stated_chances(effect: float, margin: float, arms: int, seeds: int) -> None:
    stated = chances(effect, margin, arms, seeds)
    words, _, _, taken = ends(made(effect, seeds, 20_000), margin, arms)
    assert stated.helps == pytest.approx((words == 1).mean(), abs=0.02)
    assert stated.hurts == pytest.approx((words == -1).mean(), abs=0.02)
    assert stated.equivalent == pytest.approx((words == 2).mean(), abs=0.02)
    assert stated.seeds == pytest.approx(taken.mean(), abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(("arms", "seeds"), [(1, 20), (3, 12), (1, 60)])
def test_detectable_difference_is_found_in_80_percent(arms: int, seeds: int) -> None:
    words, *_ = ends(made(detectable(arms, seeds), seeds, 20_000), margin=0.0, arms=arms)
    assert (words == 1).mean() == pytest.approx(0.8, abs=0.02)


def test_one_look_has_the_power_of_students_t() -> None:
    n, effect = FIRST_LOOK, 1.5
    critical = stats.t.ppf(1 - ALPHA / 2, n - 1)
    exact = stats.nct.sf(critical, n - 1, effect * math.sqrt(n))
    assert chances(effect, 0.0, 1, n).helps == pytest.approx(exact, abs=0.02)


def test_seeds_needed() -> None:
    """With the mean and deviation that were seen, that many decide and one less does not."""
    for mean in (0.5, -0.02):
        now = Difference(6, mean, 0.6, -math.inf, math.inf, 0.95, 1.0)
        needed = seeds_needed(now, 2, 60, margin=0.4)
        assert needed is not None
        decided = []
        for n in (needed - 1, needed):
            half = stats.t.ppf((1 + level(n, 2, 60)) / 2, n - 1) * 0.6 / math.sqrt(n)
            decided.append(half < abs(mean) or abs(mean) + half <= 0.4)
        assert decided == [False, True]
    assert seeds_needed(Difference(6, 0.05, 5.0, 0, 0, 0.95, 1.0), 2, 60, margin=0.1) is None
