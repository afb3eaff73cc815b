"""The exponent by which a cost grows with the map, and its interval, against numpy and scipy."""

import numpy as np
import pytest
from scipy import stats

from attn_train.cost.bench.scaling import exponent, interval, slope


def noisy(power: float, sizes: list[int], rounds: int, generator: np.random.Generator) -> dict[int, list[float]]:
    return {n: list(3e-7 * n**power * np.exp(generator.normal(0, 0.05, rounds))) for n in sizes}


def test_slope_and_interval_are_those_of_numpy_and_scipy() -> None:
    generator = np.random.default_rng(1)
    made = noisy(1.6, [64, 256, 1024], 5, generator)
    found = exponent(made, points=3)
    assert found is not None
    slopes = [np.polyfit(np.log([64, 256, 1024]), np.log(one), 1)[0] for one in zip(*made.values(), strict=True)]
    assert found.value == pytest.approx(np.mean(slopes), rel=1e-9)
    expected = stats.ttest_1samp(slopes, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.rounds == 5


def test_interval_holds_the_true_exponent_in_95_of_100_benches() -> None:
    generator = np.random.default_rng(2)
    inside = 0
    for _ in range(1000):
        found = exponent(noisy(2.0, [256, 1024, 4096], 3, generator), points=3)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 2.0 <= found.high
    assert 930 <= inside <= 970  # three deviations of a binomial


def test_exponent_is_of_the_largest_maps() -> None:
    """A constant cost that tokens outgrow: at the end the square shows."""
    made = {n: [1.0 if n <= 256 else (n / 256) ** 2] * 2 for n in (64, 4096, 256, 1024)}
    found = exponent(made, points=3)
    assert found is not None
    assert found.value == pytest.approx(2)
    assert found.tokens == [256, 1024, 4096]
    assert (found.low, found.high) == pytest.approx((2, 2))
    wide = exponent(made, points=4)
    assert wide is not None
    assert wide.value < 1.9


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_last_slopes_of_power_laws_are_those_of_numpy(power: float) -> None:
    """Of a power law they are its exponent; where a constant cost is added they climb, which the interval hides."""
    tokens = np.array([64, 256, 1024, 4096])
    for overhead in (0.0, 1e-3):
        values = overhead + 1e-6 * tokens**power
        made = {int(n): [value, 1.1 * value] for n, value in zip(tokens, values, strict=True)}
        expected = np.diff(np.log(values)) / np.diff(np.log(tokens))
        fit = exponent(made, points=3)
        assert fit is not None
        assert fit.last_slopes == pytest.approx(expected[-2:])
        assert (fit.low, fit.high) == pytest.approx((fit.value, fit.value))
        if overhead:
            assert fit.last_slopes[0] < fit.last_slopes[1] < power
        else:
            assert fit.last_slopes == pytest.approx([power, power])


def test_last_slopes_of_fewer_maps() -> None:
    """A third map is looked at although the exponent is of two; where it has no value above 0 there is one slope."""
    for first, expected in ((1.0, [0.5, 1.0]), (0.0, [1.0])):
        fit = exponent({64: [first], 256: [2.0], 1024: [8.0]}, points=2)
        assert fit is not None
        assert fit.last_slopes == pytest.approx(expected)
    pair = exponent({64: [1.0], 256: [2.0]}, points=2)
    assert pair is not None
    assert pair.last_slopes == pytest.approx([0.5])


def test_where_there_is_no_exponent_or_no_interval() -> None:
    assert exponent({64: [1.0], 256: [2.0]}, points=3) is None
    assert exponent({64: [0.0], 256: [2.0]}, points=2) is None  # no memory taken
    assert exponent({64: [], 256: []}, points=2) is None
    once = exponent({64: [1.0], 256: [2.0]}, points=2)
    assert once is not None
    assert once.value == pytest.approx(0.5)
    assert once.low is None
    assert interval([1.0]) is None
    assert slope([4, 16], [3.0, 12.0]) == pytest.approx(1)
