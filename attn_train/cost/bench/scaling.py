"""How time and memory grow with the number of tokens: the exponent at the largest maps.

Its interval is of repetition: what other rounds would give on the same maps. It need not hold the exponent of larger
maps; the slopes between the last ones say whether the exponent has settled.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scipy import stats


@dataclass(frozen=True)
class Exponent:
    """The exponent of a quantity against the number of tokens."""

    value: float  # mean over the rounds
    low: float | None  # end of its 95 % interval of repetition, over the rounds; None of a single round
    high: float | None
    last_slopes: list[float]  # between the three largest maps, the last one between the two largest
    tokens: list[int]  # of the maps that it is fitted to
    rounds: int


def slope(tokens: Sequence[int], values: Sequence[float]) -> float:
    """Return the least-squares slope of log(values) against log(tokens)."""
    return statistics.linear_regression([math.log(n) for n in tokens], [math.log(value) for value in values]).slope


def slopes_by_round(rounds_of: dict[int, list[float]], tokens: Sequence[int]) -> list[float]:
    """Return the slope over the maps of these numbers of tokens in each round; none where a value is not above 0."""
    rounds = list(zip(*(rounds_of[n] for n in tokens), strict=False))
    if not rounds or min(map(min, rounds)) <= 0:
        return []
    return [slope(tokens, values) for values in rounds]


def last_slopes(rounds_of: dict[int, list[float]]) -> list[float]:
    """Return the mean slopes over the rounds between neighbours of the three largest maps, as far as there are any."""
    neighbours = pairwise(sorted(rounds_of)[-3:])
    return [statistics.mean(slopes) for pair in neighbours if (slopes := slopes_by_round(rounds_of, pair))]


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
    slopes = slopes_by_round(rounds_of, tokens)
    if not slopes:
        return None
    low, high = interval(slopes) or (None, None)
    return Exponent(statistics.mean(slopes), low, high, last_slopes(rounds_of), tokens, len(slopes))
