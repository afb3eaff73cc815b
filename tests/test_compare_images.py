"""What single predictions add: intervals for new images by simulation, deviations by known errors."""

import math

import numpy as np
import pytest
from scipy import stats

from attn_train.statistics.images import deviation, new_images
from attn_train.statistics.intervals import Difference

IMAGES = 400


def simulate(generator: np.random.Generator, seeds: int, effect: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw which images two arms get right: images differ in how hard they are, and in what the second arm adds."""
    hard = generator.beta(2, 1, IMAGES)
    helped = np.clip(hard + generator.normal(effect, 0.3, IMAGES), 0, 1)
    ours, theirs = (generator.random((seeds, IMAGES)) < shares for shares in (helped, hard))
    return ours, theirs


def true_effect(effect: float) -> float:
    generator = np.random.default_rng(99)
    hard = generator.beta(2, 1, 1_000_000)
    return float(100 * (np.clip(hard + generator.normal(effect, 0.3, 1_000_000), 0, 1) - hard).mean())


def known(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """Return the difference of two arms by the t test that is paired by seed."""
    differences = 100 * (ours.mean(axis=1) - theirs.mean(axis=1))
    error, freedom = stats.sem(differences), len(differences) - 1
    low, high = stats.ttest_1samp(differences, 0).confidence_interval()
    return Difference(len(differences), differences.mean(), error, freedom, low, high, low, high, 0.95, 1.0)


@pytest.mark.parametrize("seeds", [5, 20])
def test_the_interval_holds_the_difference_on_all_images(seeds: int) -> None:
    truth, generator = true_effect(0.05), np.random.default_rng(0)
    held, alone = 0, 0
    for _ in range(400):
        ours, theirs = simulate(generator, seeds, 0.05)
        found = new_images(known(ours, theirs), ours, theirs)
        held += found.low <= truth <= found.high
        differences = 100 * (ours.mean(axis=1) - theirs.mean(axis=1))
        low, high = stats.ttest_1samp(differences, 0).confidence_interval()
        alone += low <= truth <= high
    assert 0.92 <= held / 400 <= 0.985
    # The interval over seeds alone is for these images only.
    assert alone / 400 < 0.9


def test_without_difference_between_images_it_is_the_t_interval() -> None:
    generator = np.random.default_rng(1)
    ours, theirs = generator.random((6, 20_000)) < 0.9, generator.random((6, 20_000)) < 0.89
    found = new_images(known(ours, theirs), ours, theirs)
    low, high = stats.ttest_1samp(100 * (ours.mean(axis=1) - theirs.mean(axis=1)), 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.08)


def test_a_little_variance_over_images_makes_no_interval_narrower() -> None:
    """Though it brings degrees of freedom to the few that five noisy seeds have."""
    generator = np.random.default_rng(6)
    shift = generator.normal(0, 0.05, (5, 1))
    ours, theirs = generator.random((5, 2000)) < 0.7 + shift, generator.random((5, 2000)) < 0.7
    difference = known(ours, theirs)
    found = new_images(difference, ours, theirs)
    assert (found.low, found.high) == pytest.approx((difference.low, difference.high), abs=0.3)
    assert found.low <= difference.low
    assert found.high >= difference.high


def test_one_seed_says_nothing_of_others() -> None:
    right = np.ones((1, 10), dtype=bool)
    unknown = Difference(1, 0.0, math.inf, 1.0, -math.inf, math.inf, -math.inf, math.inf, 0.95, 1.0)
    assert (new_images(unknown, right, right).low, new_images(unknown, right, right).high) == (-math.inf, math.inf)
    assert deviation(right) is None


def test_runs_with_independent_errors_deviate_as_expected() -> None:
    generator = np.random.default_rng(2)
    shares = generator.beta(2, 1, 10_000)
    found = deviation(generator.random((200, 10_000)) < shares)
    assert found is not None
    assert found.independent == pytest.approx(100 * math.sqrt((shares * (1 - shares)).sum()) / 10_000, rel=0.01)
    assert found.seen == pytest.approx(found.independent, rel=0.15)
    assert not found.is_alarming


def test_runs_that_are_good_or_bad_as_a_whole_alarm() -> None:
    generator = np.random.default_rng(3)
    shares = generator.beta(2, 1, 10_000) * generator.normal(0.9, 0.02, (10, 1))
    found = deviation(generator.random((10, 10_000)) < shares)
    assert found is not None
    assert found.is_alarming
    assert found.seen > 2 * found.independent


def test_few_runs_alarm_seldom_by_chance() -> None:
    generator = np.random.default_rng(4)
    shares = generator.beta(2, 1, 2000)
    alarms = [deviation(generator.random((3, 2000)) < shares) for _ in range(300)]
    assert sum(found is not None and found.is_alarming for found in alarms) <= 9
