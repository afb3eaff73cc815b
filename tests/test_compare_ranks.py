"""Places of many arms, estimates drawn together, and false alarms, by simulation."""

import numpy as np
import pytest

from attn_train.statistics.ranks import false_discovery, places, rank_sets, shrunken

ARMS, SEEDS = 8, 5


def study(generator: np.random.Generator, true: np.ndarray) -> tuple[list[float], list[float]]:
    runs = generator.normal(true, 1.0, (SEEDS, len(true)))
    pooled = np.sqrt(runs.var(axis=0, ddof=1).mean() / SEEDS)
    return list(runs.mean(axis=0)), [float(pooled)] * len(true)


@pytest.mark.parametrize("apart", [0.0, 1.0, 4.0])
def test_all_places_hold_at_once(apart: float) -> None:
    generator, true = np.random.default_rng(0), apart * np.arange(ARMS)
    places = ARMS - np.arange(ARMS)
    held = 0
    for _ in range(300):
        means, errors = study(generator, true)
        sets = rank_sets(means, errors, ARMS * (SEEDS - 1), 0.95)
        # Of equal arms any order is true: none may be surely behind another.
        held += (
            all(low <= place <= high for (low, high), place in zip(sets, places, strict=True))
            if apart
            else all(one == (1, ARMS) for one in sets)
        )
    assert held / 300 >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("arms", [3, 8])
def test_places_by_runs_are_seldom_wrong_whatever_runs_have_in_common(arms: int) -> None:
    """Of equal arms any order is true. Standard errors of 0.7 points and less."""
    noise = np.random.default_rng(2).standard_normal((1000, arms, 6))
    common = np.random.default_rng(3).standard_normal((1000, 1, 6))
    unequal = noise * np.linspace(0.5, 2, arms)[:, None]
    wrong = [
        np.mean([any(place != (1, arms) for place in places(table, 0.0, 0.95)) for table in runs])
        for runs in (noise, unequal, 0.7**0.5 * noise + 0.3**0.5 * common, 0.1**0.5 * noise + 0.9**0.5 * common)
    ]
    assert max(wrong) <= 0.05
    assert wrong[0] >= 0.005
    assert wrong[0] > wrong[2] >= wrong[3]


def test_an_arm_without_two_runs_may_have_any_place() -> None:
    generator = np.random.default_rng(4)
    table = np.array([[90.0], [95.0], [80.0], [99.0]]) + 0.1 * generator.standard_normal((4, 5))
    table[3, 1:] = np.nan
    assert places(table, 0.0, 0.95) == [(2, 3), (1, 2), (3, 4), (1, 4)]
    assert places(np.full((3, 5), np.nan), 0.0, 0.95) == [(1, 3)] * 3


def test_what_is_far_apart_has_its_place() -> None:
    assert rank_sets([1.0, 3.0, 2.0], [0.01] * 3, 20, 0.95) == [(3, 3), (1, 1), (2, 2)]
    assert rank_sets([1.0, 1.001, 5.0], [0.1] * 3, 20, 0.95) == [(2, 3), (2, 3), (1, 1)]


def test_estimates_that_are_drawn_together_are_nearer() -> None:
    generator = np.random.default_rng(1)
    alone, together, best = 0.0, 0.0, 0.0
    for _ in range(300):
        true = generator.normal(0, 0.3, ARMS)
        means, errors = study(generator, true)
        drawn = np.array(shrunken(means, errors))
        alone += float(np.square(means - true).mean())
        together += float(np.square(drawn - true).mean())
        best += float(drawn.max() - true[drawn.argmax()]) / 300
    assert together < 0.8 * alone
    assert abs(best) < 0.15


def test_estimates_that_are_certain_stay() -> None:
    assert shrunken([1.0, 2.0, 5.0], [1e-6] * 3) == pytest.approx([1, 2, 5])
    assert shrunken([1.0, 1.1, 0.9], [10.0] * 3) == pytest.approx([1, 1, 1])


def test_a_screen_calls_few_wrongly() -> None:
    # The example of Benjamini and Hochberg's paper, section 3.1: four are called at 5 %.
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
    p_values += [0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert sum(value <= 0.05 for value in false_discovery(p_values)) == 4
