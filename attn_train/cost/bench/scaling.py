"""How time and memory grow with the number of tokens: the local exponent at the largest maps, with its interval."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Exponent:
    """The exponent of a quantity against the number of tokens."""

    value: float  # mean over the rounds
    low: float | None  # end of its 95 % confidence interval; None of a single round
    high: float | None
    tokens: list[int]  # of the maps that it is fitted to
    rounds: int


def slope(tokens: Sequence[int], values: Sequence[float]) -> float:
    """Return the least-squares slope of log(values) against log(tokens)."""
    return statistics.linear_regression([math.log(n) for n in tokens], [math.log(value) for value in values]).slope


def interval(slopes: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Return Student's t interval of the mean, or None for a single value."""
    n = len(slopes)
    if n < 2:
        return None
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * statistics.stdev(slopes) / math.sqrt(n)
    return statistics.mean(slopes) - half, statistics.mean(slopes) + half


def exponent(rounds_of: dict[int, list[float]], points: int) -> Exponent | None:
    """Return the exponent at the largest maps; None where too few maps have values, or a value is not above 0.

    Args:
        rounds_of: by the number of tokens, the values of all rounds.
        points: the number of maps to fit.
    """
    tokens = sorted(rounds_of)[-points:]
    if len(tokens) < 2 or len(tokens) < points:
        return None
    rounds = list(zip(*(rounds_of[n] for n in tokens), strict=False))
    if not rounds or min(map(min, rounds)) <= 0:
        return None
    slopes = [slope(tokens, values) for values in rounds]
    low, high = interval(slopes) or (None, None)
    return Exponent(statistics.mean(slopes), low, high, tokens, len(slopes))
