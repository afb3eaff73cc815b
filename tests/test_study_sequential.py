"""The statistics of attn-study against scipy, and against simulated studies that know nothing of its numerics."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from attn_train.settings.compare import FIRST_LOOK
from attn_train.statistics.boundary import boundaries
from attn_train.statistics.estimate import Estimate, estimate
from attn_train.statistics.intervals import ALPHA, ALPHA_ONE_SIDED, VERDICTS, Difference
from attn_train.statistics.sequential import Look, Rule, chance, forecast, foresee, look, nominal_levels, simulate

Array = NDArray[np.float64]


def made(rule: Rule, effects: list[float], studies: int, deviations: tuple[float, ...] = ()) -> Array:
    """Accuracies (study, arm, seed) of arms with these effects, whose runs vary by 1, or as `deviations` says."""
    values = np.random.default_rng(5).standard_normal((studies, rule.arms + 1, rule.max_seeds + rule.extra))
    values[:, : len(deviations)] *= np.array(deviations)[:, None]
    values[:, 1:] += np.array(effects)[:, None]
    return values


def wrong(verdict: NDArray[np.int_], effects: list[float], margin: float) -> NDArray[np.bool_]:
    """Where a verdict is not true of the effect."""
    effect = np.array(effects)
    says = dict(zip(VERDICTS, (verdict == place for place in range(len(VERDICTS))), strict=True))
    too_large, too_small = effect >= margin - 1e-9, effect <= -margin + 1e-9
    return (
        says["helps"] & (effect <= 0)
        | says["hurts"] & (effect >= 0)
        | says["equivalent"] & (too_large | too_small)
        | says["gains less"] & too_large
    )


# Boundaries


def test_one_look_is_students_t() -> None:
    for first in (3, 5, 30):
        assert boundaries([0.05], first) == pytest.approx([stats.t.ppf(0.975, first - 1)], rel=1e-12)
    assert Rule(1, FIRST_LOOK, 0.2).levels(FIRST_LOOK) == pytest.approx((ALPHA, ALPHA_ONE_SIDED))


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
@pytest.mark.parametrize(("alpha", "seeds"), [(0.05, 20), (0.05, 60), (0.01, 12), (0.0025, 20)])
def test_what_is_spent_at_each_look(alpha: float, seeds: int) -> None:
    """Of simulated nulls, as many have passed by each look as the spending says: five deviations of a binomial."""
    values = np.random.default_rng(5).standard_normal((100_000, seeds))
    looks = range(FIRST_LOOK, seeds + 1)
    p_values = [stats.ttest_1samp(values[:, :n], 0, axis=1).pvalue for n in looks]
    passed = (np.stack(p_values, axis=1) <= nominal_levels(alpha, seeds)).cumsum(axis=1) > 0
    for place, n in enumerate(looks):
        spent = alpha * (n / seeds) ** 2
        assert passed[:, place].mean() == pytest.approx(spent, abs=5 * math.sqrt(spent / 100_000) + 1e-5)


@pytest.mark.slow
def test_levels_stay_below_what_may_be_spent() -> None:
    for arms, seeds in ((1, 20), (5, 200)):
        levels = [Rule(arms, seeds, 0.2).levels(n) for n in range(FIRST_LOOK, seeds + 1)]
        for column, most in zip(zip(*levels, strict=True), (ALPHA / arms, ALPHA_ONE_SIDED / arms), strict=True):
            assert 0 < min(column) < max(column) < most


# Error rates


@pytest.mark.parametrize("rule", [Rule(1, 12, 1e-9), Rule(5, 12, 1e-9, 9), Rule(2, 20, 0.5)], ids=str)
@pytest.mark.parametrize("deviations", [(), (2.0,), (1.0, 2.5)], ids=["equal", "baseline varies", "an arm varies"])
def test_null_is_called_an_effect_in_at_most_5_percent(rule: Rule, deviations: tuple[float, ...]) -> None:
    """In 6,000 studies, whose standard error is 0.28 points."""
    effects = [0.0] * rule.arms
    ends = simulate(made(rule, effects, 6000, deviations), rule)
    called = wrong(ends.verdict, effects, rule.margin).any(axis=1).mean()
    assert 0.008 <= called <= 0.055
    assert ((ends.low <= 0) & (ends.high >= 0)).all(axis=1).mean() >= 0.945


@pytest.mark.slow
def test_five_arms_of_every_kind() -> None:
    """No verdict is wrong: no harm, no help, no equivalence that is not there, no gain overlooked."""
    rule, effects = Rule(5, 20, 0.8, 15), [0.0, 0.8, -0.8, 0.5, 3.0]
    ends = simulate(made(rule, effects, 6000), rule)
    assert 0.003 <= wrong(ends.verdict, effects, 0.8).any(axis=1).mean() <= 0.055
    held = (ends.low <= np.array(effects)) & (ends.high >= np.array(effects))
    assert held.all(axis=1).mean() >= 0.945


@pytest.mark.parametrize(("rule", "size"), [(Rule(1, 20, 1.0), 1.0), (Rule(5, 12, 2.0, 9), 2.0)])
def test_a_gain_as_large_as_the_margin_is_rarely_overlooked(rule: Rule, size: float) -> None:
    effects = [size] * rule.arms
    ends = simulate(made(rule, effects, 6000), rule)
    assert 0.01 <= wrong(ends.verdict, effects, rule.margin).any(axis=1).mean() <= 0.055


def test_looks_at_the_level_of_one_would_not_do() -> None:
    """The simulation sees the fault that the rule avoids."""
    values = made(Rule(1, 12, 1e-9), [0.0], 4000)
    p_values = [stats.ttest_ind(values[:, 1, :n], values[:, 0, :n], axis=1).pvalue for n in range(FIRST_LOOK, 13)]
    assert (np.stack(p_values) <= 0.05).any(axis=0).mean() > 0.1


def test_what_a_study_of_five_arms_costs() -> None:
    """Truths of which three in five are 0, a standard deviation of 0.15, a margin of 0.2, at most 20 seeds."""
    rule, generator = Rule(5, 20, 0.2, 15), np.random.default_rng(2)
    truth = generator.choice([0.0, 0.1, -0.1, 0.3, -0.3], p=[0.6, 0.125, 0.125, 0.075, 0.075], size=(3000, 5))
    values = 0.15 * generator.standard_normal((3000, 6, 35))
    values[:, 1:] += truth[..., None]
    ends = simulate(values, rule)
    assert ends.runs.mean() <= 81
    assert (ends.verdict != VERDICTS.index("undecided")).mean() >= 0.935
    errors = np.stack([wrong(row, list(effects), 0.2) for row, effects in zip(ends.verdict, truth, strict=True)])
    assert errors.any(axis=1).mean() <= 0.03


# A look


@pytest.mark.parametrize(("effect", "rule"), [(0.0, Rule(2, 9, 1.5)), (1.2, Rule(3, 8, 0.5, 6))])
def test_looks_are_those_of_the_simulation(effect: float, rule: Rule) -> None:
    """Arms that end leave their last runs in the table; each study is gone through look by look."""
    values = made(rule, [effect] * rule.arms, 20)
    ends = simulate(values, rule)
    for study, *expected in zip(values, ends.verdict, ends.seeds, ends.low, ends.high, strict=True):
        counts = dict.fromkeys(range(1, rule.arms + 1), 0)
        now: dict[int, Look] = {}
        for n in range(1, rule.max_seeds + 1):
            counts |= {arm: n for arm in counts if arm not in now or not now[arm].ended}
            table = np.full_like(study, np.nan)
            table[0, :n] = study[0, :n]
            second = slice(rule.max_seeds, rule.max_seeds + min(n, rule.extra))
            table[0, second] = study[0, second]
            for arm, count in counts.items():
                table[arm, :count] = study[arm, :count]
            if n > 1:
                now |= {arm: look(table, arm, n, rule) for arm, count in counts.items() if count == n}
        for arm, *ended in zip(counts, *expected, strict=True):
            found = now[arm].difference
            assert found is not None
            word = VERDICTS.index(now[arm].verdict)
            assert (word, found.n, found.low, found.high) == pytest.approx(tuple(ended), rel=1e-9)


def test_no_verdict_before_the_first_look() -> None:
    table = np.array([[90.0, 90.1, 89.9, 90.0, 90.1], [95.0, 95.1, 94.9, 95.0, 95.2]])
    rule = Rule(1, 20, 0.2)
    for n in range(2, FIRST_LOOK):
        assert look(table[:, :n], 1, n, rule).verdict == "undecided"
    assert look(table, 1, 5, rule).verdict == "helps"
    assert look(table[::-1], 1, 5, rule).verdict == "hurts"


def test_equal_accuracies_prove_nothing_by_themselves() -> None:
    table, rule = np.full((2, 8), 90.0), Rule(1, 10, 1.0)
    assert look(table, 1, 8, rule).verdict == "undecided"
    # Where an image counts 0.01 points, equal ones are as near as can be seen.
    assert look(table, 1, 8, rule, step=0.01).verdict == "equivalent"
    assert look(table, 1, 8, rule, step=7.0).verdict == "undecided"


# Forecasts


def test_a_forecast_is_the_share_of_studies_that_come_to_a_verdict() -> None:
    """Where effects are as it takes them to be: normal, with the margin as their standard deviation."""
    rule, generator = Rule(1, 15, 0.5), np.random.default_rng(4)
    values = generator.standard_normal((20_000, 2, 15))
    values[:, 1] += generator.normal(0, rule.margin, (20_000, 1))
    foretold = chance(estimate(values[:, :, :8]), 8, 15, rule)[:, 0]
    held = rule.bounds(estimate(values), 15)
    decided = ((held.low > 0) | (held.most < rule.margin))[:, 0]
    for low in np.arange(0.2, 1.0, 0.2):
        chosen = (foretold >= low) & (foretold < low + 0.2)
        assert decided[chosen].mean() == pytest.approx(foretold[chosen].mean(), abs=0.08)


def test_forecasts_come_true() -> None:
    """Where effects are normal with the margin as their deviation, and runs vary by any size; known from five seeds."""
    rule, generator = Rule(1, 12, 0.5), np.random.default_rng(5)
    values = generator.standard_normal((500, 2, 12)) * np.exp(generator.uniform(-3.5, 1.5, (500, 1, 1)))
    values[:, 1] += generator.normal(0, rule.margin, (500, 1))
    decided = simulate(values, rule).verdict[:, 0] != VERDICTS.index("undecided")
    looks = [look(value[:, :5], 1, 5, rule) for value in values]
    waiting = np.array([at.verdict == "undecided" for at in looks])
    foretold = np.array(
        [forecast(at.difference, rule)[-1] for at in looks if at.verdict == "undecided" and at.difference]
    )
    assert waiting.sum() > 200
    for chosen in (foretold < 0.3, (foretold >= 0.3) & (foretold < 0.8), foretold >= 0.8):
        assert chosen.sum() > 30
        assert decided[waiting][chosen].mean() == pytest.approx(foretold[chosen].mean(), abs=0.12)


@pytest.mark.slow
def test_forecasts_rise_and_end_with_the_study() -> None:
    rule = Rule(2, 20, 0.4)
    found = Difference(6, 0.05, 0.25, 10.0, 0.0, 0.0, 0.0, 0.0, 0.95, 1.0)
    ahead = forecast(found, rule)
    assert len(ahead) == 14
    assert ahead == sorted(ahead)
    assert 0 <= ahead[0] < ahead[-1] < 1
    early = Difference(3, 3.0, 0.25, 4.0, 0.0, 0.0, 0.0, 0.0, 0.95, 1.0)
    assert forecast(early, rule)[0] == 0 < forecast(early, rule)[1]
    assert forecast(Difference(20, 0.05, 0.25, 10.0, 0.0, 0.0, 0.0, 0.0, 0.95, 1.0), rule) == []


def test_certainty_is_forecast_as_such() -> None:
    rule = Rule(1, 20, 0.4)
    for mean, expected in ((3.0, 1.0), (-3.0, 1.0), (0.2, 0.0)):
        result = Estimate(np.array([mean]), np.array([0.02 if expected else 0.5]), np.array([30.0]))
        assert chance(result, 19, 20, rule)[0] == pytest.approx(expected, abs=0.05)


def test_foresight_is_of_arms_that_change_nothing() -> None:
    rule = Rule(3, 12, 0.2, 9)
    easy, middle, hard = foresee(rule)
    assert (easy.margins, middle.margins, hard.margins) == (0.5, 1, 2)
    assert easy.decided > 0.9 > middle.decided > hard.decided
    values = 0.2 * np.random.default_rng(9).standard_normal((2000, 4, 21))
    ends = simulate(values, rule)
    assert middle.decided == pytest.approx((ends.verdict != VERDICTS.index("undecided")).mean(), abs=0.05)
    assert middle.runs == pytest.approx(ends.runs.mean(), rel=0.05)
