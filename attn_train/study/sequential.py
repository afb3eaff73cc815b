"""When a study may stop: verdicts that stay right although the runs are looked at after every seed.

A group-sequential t test. At the look with n seeds an arm's interval is mean +- c_n * deviation / sqrt(n), where the
c_n are chosen together (see boundary): the intervals of *all* looks hold the true difference at once with at least the
confidence promised, whatever the deviation. They are repeated confidence intervals (Jennison and Turnbull, 1989), so
every verdict read off one - helps, hurts, equivalent - and the interval at which an arm stops are valid together.

How the error is spread over the looks: alpha (n / max_seeds)^2 is spent up to the look with n seeds (Lan and DeMets,
1983, with the power family of Kim and DeMets, 1987). Compared by simulation at alpha 5 % and at most 20 seeds, for true
differences of 0.5, 0.75 and 1 deviations (chance to find it | seeds until then, on average), and with none and a margin
of one deviation (chance to call it equivalent):

    power family, exponent 2                      50 %  84 %  98 % | 17.2  14.2  11.5     93 %
    power family, exponent 1                      44 %  79 %  97 % | 17.0  13.8  10.8     90 %
    O'Brien-Fleming-like spending                 52 %  85 %  98 % | 17.4  14.6  12.1     94 %
    Pocock-like spending                          41 %  76 %  95 % | 17.0  13.8  10.6     87 %
    always valid, t mixture with variance 1       25 %  59 %  87 % | 18.3  15.8  12.7     73 %

The always-valid confidence sequence (Wang and Ramdas, 2023, arXiv 2310.03722) needs no max_seeds, and pays dearly.

Several arms share the baseline's runs: each gets alpha / arms (Bonferroni), so that with 95 % confidence not one
verdict of a study is wrong and every interval holds. Holm's procedure hands on the share of an arm whose null was
rejected, because a false null cannot be rejected wrongly. Here that gains nothing safe: whatever an arm's truth is, one
of its three verdicts is wrong, so each arm needs its share for itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from attn_train.comparison.statistics import Difference, Verdict, paired, verdict
from attn_train.settings.study import FIRST_LOOK
from attn_train.study.boundary import boundaries

ALPHA = 0.05
EXPONENT = 2.0

# Studies simulated for a statement about power: its standard error is at most 0.4 points.
SIMULATED = 20_000
POWER = 0.8


@lru_cache
def critical_values(arms: int, max_seeds: int) -> tuple[float, ...]:
    """Return c_n for n = FIRST_LOOK to `max_seeds`, for each of so many `arms` beside the baseline."""
    looks = range(FIRST_LOOK, max_seeds + 1)
    return tuple(boundaries([ALPHA / arms * (n / max_seeds) ** EXPONENT for n in looks], FIRST_LOOK))


def level(n: int, arms: int, max_seeds: int) -> float:
    """Return the level of the t interval at the look with `n` seeds: the one whose quantile is c_n."""
    critical = critical_values(arms, max_seeds)[n - FIRST_LOOK]
    return float(1 - 2 * special.stdtr(n - 1, -critical))


@dataclass(frozen=True)
class Look:
    """What is known of an arm after some seeds: the interval at that look's own level (None before there are two), and
    the verdict."""

    difference: Difference | None
    verdict: Verdict


def look(differences: Sequence[float], arms: int, max_seeds: int, margin: float, step: float = 0.0) -> Look:
    """Return the first look at which there is a verdict, else the last look.

    `differences` in percentage points, one for each seed, in the order in which they came; `step` is what one test
    image counts. Before FIRST_LOOK of them the interval is that of the first look's level, and there is no verdict.
    Differences without any deviation, where no `step` gives them one, decide nothing either.
    """
    now = Look(None, "undecided")
    for n in range(2, min(len(differences), max_seeds) + 1):
        difference = paired(differences[:n], level(max(n, FIRST_LOOK), arms, max_seeds), step)
        decides = n >= FIRST_LOOK and difference.deviation > 0
        now = Look(difference, verdict(difference, margin) if decides else "undecided")
        if now.verdict != "undecided":
            return now
    return now


def seeds_needed(difference: Difference, arms: int, max_seeds: int, margin: float) -> int | None:
    """Return how many seeds in all would decide, were mean and deviation those seen; None for more than `max_seeds`."""
    distance = max(abs(difference.mean), margin - abs(difference.mean))
    for n in range(max(FIRST_LOOK, difference.n + 1), max_seeds + 1):
        if critical_values(arms, max_seeds)[n - FIRST_LOOK] * difference.deviation / math.sqrt(n) < distance:
            return n
    return None


@dataclass(frozen=True)
class Chances:
    """How studies of one arm end: the shares of the verdicts, and the mean number of seeds."""

    helps: float
    hurts: float
    equivalent: float
    seeds: float


@lru_cache(maxsize=1)
def noise(max_seeds: int) -> NDArray[np.float64]:
    """Return standard normal differences (studies, seeds), the same ones each time."""
    return np.random.default_rng(0).standard_normal((SIMULATED, max_seeds))


def chances(effect: float, margin: float, arms: int, max_seeds: int) -> Chances:
    """Simulate how an arm's study ends; `effect` and `margin` in deviations of the paired differences."""
    n = np.arange(1, max_seeds + 1)
    mean = noise(max_seeds).cumsum(axis=1) / n  # (studies, seeds)
    spread = np.square(noise(max_seeds)).cumsum(axis=1) - n * np.square(mean)
    n, mean, spread = n[FIRST_LOOK - 1 :], mean[:, FIRST_LOOK - 1 :] + effect, spread[:, FIRST_LOOK - 1 :]
    half = np.asarray(critical_values(arms, max_seeds)) * np.sqrt(spread / (n - 1) / n)
    helps, hurts, within = mean - half > 0, mean + half < 0, np.abs(mean) + half <= margin
    decided = helps | hurts | within
    stops = np.where(decided.any(axis=1), decided.argmax(axis=1), len(n) - 1)
    helped, hurt, inside = (one[np.arange(len(stops)), stops] for one in (helps, hurts, within & ~helps & ~hurts))
    return Chances(float(helped.mean()), float(hurt.mean()), float(inside.mean()), float(n[stops].mean()))


@lru_cache
def detectable(arms: int, max_seeds: int) -> float:
    """Return the true difference, in deviations of the paired differences, that a study finds with 80 % power."""
    low, high = 0.0, 16.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if chances(middle, 0.0, arms, max_seeds).helps < POWER else (low, middle)
    return high
