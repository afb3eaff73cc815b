"""When a study may stop: verdicts that stay right although the runs are looked at after every seed.

A group-sequential t test. At the look with n seeds an arm's interval and bounds are at levels of that look alone, which
are chosen together: the intervals of *all* looks hold the true difference at once with at least the confidence
promised. They are repeated confidence intervals (Jennison and Turnbull, 1989), so every verdict read off one, and the
interval at which an arm stops, are valid together.

How the error is spread over the looks: alpha (n / max_seeds)^2 is spent up to the look with n seeds (Lan and DeMets,
1983, with the power family of Kim and DeMets, 1987). The levels are those of a one-sample t statistic, which are exact
(see boundary), with Student's quantile at the degrees of freedom that the difference has: the significance-level
approach (Jennison and Turnbull, 2000, 4.4). `python scripts/simulate_verdicts.py` measures what that keeps.

Several arms share the baseline's runs: each gets its part of the level (Bonferroni), so that with 95 % confidence not
one verdict of a study is wrong and every interval holds. Because they share it, the baseline runs more seeds than they
do. An arm whose chance of a verdict has become small is stopped without one, which can make no verdict wrong.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from attn_train.settings.compare import FIRST_LOOK
from attn_train.statistics.boundary import boundaries
from attn_train.statistics.estimate import Estimate, estimate
from attn_train.statistics.intervals import (
    ALPHA,
    ALPHA_ONE_SIDED,
    VERDICTS,
    Bounds,
    Difference,
    Verdict,
    bounds,
    listed,
    verdict,
    verdicts,
)

Array = NDArray[np.float64]

EXPONENT = 2.0
# An arm is stopped where the chance that it ever has a verdict is less.
FUTILE = 0.1
# A forecast is a share of so many.
CONTINUATIONS = 1000
UNDECIDED = VERDICTS.index("undecided")


@dataclass(frozen=True)
class Rule:
    """What verdicts go by, fixed before the first run.

    arms: beside the baseline; max_seeds: of each; margin: on the scale of the numbers; extra: the baseline has a second
    seed in so many rounds, the first ones.
    """

    arms: int
    max_seeds: int
    margin: float
    extra: int = 0

    def due(self, n: int) -> int:
        """Return how many runs of the baseline belong to the look with n seeds."""
        return n + min(n, self.extra)

    def scale(self, n: int, ahead: int) -> float:
        """Return the variance of a difference at the look `ahead` over that at the look with n seeds."""
        return (1 / ahead + 1 / self.due(ahead)) / (1 / n + 1 / self.due(n))

    def levels(self, n: int) -> tuple[float, float]:
        """Return the two-sided level of the interval and the level of the bounds at the look with n seeds."""
        place = max(n, FIRST_LOOK) - FIRST_LOOK
        two_sided = nominal_levels(ALPHA / self.arms, self.max_seeds)[place]
        return two_sided, nominal_levels(2 * ALPHA_ONE_SIDED / self.arms, self.max_seeds)[place] / 2

    def bounds(self, result: Estimate, n: int) -> Bounds:
        """Return the intervals and bounds of estimates at the look with n seeds."""
        return bounds(result, *self.levels(n))


@lru_cache
def nominal_levels(alpha: float, max_seeds: int) -> tuple[float, ...]:
    """Return the two-sided level of the test at each look, n = FIRST_LOOK to `max_seeds`, so that all spend `alpha`."""
    looks = range(FIRST_LOOK, max_seeds + 1)
    critical = boundaries([alpha * (n / max_seeds) ** EXPONENT for n in looks], FIRST_LOOK)
    return tuple(float(2 * special.stdtr(n - 1, -c)) for n, c in zip(looks, critical, strict=True))


@dataclass(frozen=True)
class Look:
    """What is known of an arm after some seeds: the difference with that look's own interval (None before there are two
    seeds), and the verdict."""

    difference: Difference | None
    verdict: Verdict
    futile: bool = False  # stopped without a verdict

    @property
    def ended(self) -> bool:
        return self.futile or self.verdict != "undecided"


def look(accuracies: Array, arm: int, n: int, rule: Rule, step: float = 0.0) -> Look:
    """Look at an arm that has n seeds, at least two.

    accuracies: in per cent, (arms, seeds), the baseline first, NaN where a run is missing; `arm` is its place there;
    `step` is what one test image counts. Before FIRST_LOOK seeds the interval is that of the first look's level, and
    there is no verdict. Where nothing varies and no `step` gives it a variance, there is none either.
    """
    result = estimate(accuracies, [(arm, 0)], step)
    (difference,) = listed(result, [n], *rule.levels(n))
    if n < FIRST_LOOK or difference.error == 0:
        return Look(difference, "undecided")
    word = verdict(difference, rule.margin)
    futile = word == "undecided" and n < rule.max_seeds and bool(is_futile(result, n, rule)[0])
    return Look(difference, word, futile)


def is_futile(result: Estimate, n: int, rule: Rule) -> NDArray[np.bool_]:
    """Return where estimates at the look with n seeds have too small a chance of a verdict at the last one."""
    return chance(result, n, rule.max_seeds, rule) < FUTILE


def chance(result: Estimate, n: int, ahead: int, rule: Rule) -> Array:
    """Return the chance that estimates at the look with n seeds lead to a verdict at the look `ahead`.

    Predictive power (Spiegelhalter, Freedman and Blackburn, 1986). The true difference is taken to be normal around
    what was seen, drawn towards 0 by a normal prior whose standard deviation is the margin; the standard error to
    shrink as seeds are added.
    """
    error = np.where(np.isfinite(result.error), result.error, 1e9)
    weight = rule.scale(n, ahead)  # of what was seen in the estimate then
    kept = rule.margin**2 / (rule.margin**2 + error**2)
    mean = result.mean * (weight + (1 - weight) * kept)
    spread = error * np.sqrt((1 - weight) * ((1 - weight) * kept + weight))
    later = Estimate(np.zeros_like(error), error * np.sqrt(weight), result.freedom * ahead / n)
    held = rule.bounds(later, ahead)
    # Without a verdict: an estimate between these two, where the first is the lesser.
    low, high = rule.margin - held.most, held.high
    with np.errstate(divide="ignore", invalid="ignore"):
        missed = special.ndtr((high - mean) / spread) - special.ndtr((low - mean) / spread)
    return 1 - np.maximum(np.nan_to_num(missed), 0.0)


def forecast(difference: Difference, rule: Rule) -> list[float]:
    """Return the chance that an arm has a verdict by each further look: the share of continuations that end so.

    A continuation begins at what was seen. Its true standard error is drawn as far from the estimated one as the
    degrees of freedom allow; its true difference is normal, as `chance` takes it to be; its estimates and their errors
    then go from look to look as independent runs would take them.
    """
    looks = np.arange(difference.n + 1, rule.max_seeds + 1)
    if not len(looks) or not np.isfinite(difference.error):
        return [0.0] * len(looks)
    generator = np.random.default_rng(0)
    freedom, error = difference.freedom, difference.error
    # Drawn by the standard error's own distribution, then again by how well each explains the difference that was seen.
    true = error * np.sqrt(freedom / generator.chisquare(freedom, CONTINUATIONS))
    prior = rule.margin**2 + true**2
    share = special.softmax(-(difference.mean**2) / (2 * prior) - np.log(prior) / 2)
    true = generator.choice(true, CONTINUATIONS, p=share)
    kept = rule.margin**2 / (rule.margin**2 + true**2)
    effect = kept * difference.mean + np.sqrt(kept) * true * generator.standard_normal(CONTINUATIONS)
    # A sum of estimates weighted by information, in units of that at the look now, has independent increments.
    information = np.array([1 / rule.scale(difference.n, int(ahead)) for ahead in looks])
    added = np.diff(information, prepend=1.0)
    noise = generator.standard_normal((CONTINUATIONS, len(looks))) * np.sqrt(added)
    sums = difference.mean + (effect[:, None] * added + true[:, None] * noise).cumsum(axis=1)
    squares = generator.chisquare(freedom / difference.n, noise.shape).cumsum(axis=1) * true[:, None] ** 2
    variance = (freedom * error**2 + squares) / (freedom * looks / difference.n)
    at = np.array([rule.levels(int(ahead)) for ahead in looks])
    result = Estimate(sums / information, np.sqrt(variance / information), freedom * looks / difference.n)
    words = verdicts(bounds(result, at[:, 0], at[:, 1]), rule.margin)
    decided = (words != UNDECIDED) & (looks >= FIRST_LOOK)
    return [float(share) for share in np.maximum.accumulate(decided, axis=1).mean(axis=0)]


@dataclass(frozen=True)
class Foresight:
    """What studies come to whose arms change nothing, where a run's number has a standard deviation of so many
    `margins` over seeds: the share of verdicts in the end, and the mean number of runs."""

    margins: float
    decided: float
    runs: float


def foresee(rule: Rule) -> list[Foresight]:
    """Simulate studies before the first run, for standard deviations of half the margin, the margin and twice that."""
    seeds = rule.max_seeds + rule.extra
    studies = max(40, min(400, 500_000 // (seeds * rule.max_seeds * (rule.arms + 1))))
    noise = np.random.default_rng(0).standard_normal((studies, rule.arms + 1, seeds))
    foreseen = []
    for margins in (0.5, 1.0, 2.0):
        ends = simulate(margins * rule.margin * noise, rule)
        decided = (ends.verdict != UNDECIDED).mean()
        foreseen.append(Foresight(margins, float(decided), float(ends.runs.mean())))
    return foreseen


@dataclass(frozen=True)
class Ends:
    """How simulated studies ended.

    verdict: places in VERDICTS, seeds: at each arm's end, low and high: of its interval, each (studies, arms); runs: of
    all arms together (studies,).
    """

    verdict: NDArray[np.int_]
    seeds: NDArray[np.int_]
    low: Array
    high: Array
    runs: NDArray[np.int_]


def simulate(accuracies: Array, rule: Rule, step: float = 0.0) -> Ends:
    """Return how studies end whose runs would be these, round by round and stopped by the rule.

    accuracies: (studies, arms, max_seeds + extra), the baseline first; its seeds beyond max_seeds are its second ones.
    """
    studies, arms = accuracies.shape[0], accuracies.shape[1] - 1
    seen = np.full_like(accuracies, np.nan)
    waiting = np.ones((studies, arms), dtype=bool)
    verdict = np.full((studies, arms), UNDECIDED)
    seeds = np.zeros((studies, arms), dtype=int)
    low, high = (np.full((studies, arms), np.nan) for _ in range(2))
    for n in range(1, rule.max_seeds + 1):
        going = np.flatnonzero(waiting.any(axis=1))
        if not len(going):
            break
        columns = [n - 1] + [rule.max_seeds + n - 1] * (n <= rule.extra)
        seen[going[:, None], 0, columns] = accuracies[going[:, None], 0, columns]
        seen[:, 1:, n - 1] = np.where(waiting, accuracies[:, 1:, n - 1], np.nan)
        seeds[waiting] = n
        if n < FIRST_LOOK:
            continue
        result = estimate(seen[going], step=step)
        held = rule.bounds(result, n)
        words = np.where(result.error > 0, verdicts(held, rule.margin), UNDECIDED)
        ahead = chance(result, n, rule.max_seeds, rule) if n < rule.max_seeds else np.ones_like(result.mean)
        at = waiting[going]
        for kept, new in ((verdict, words), (low, held.low), (high, held.high)):
            kept[going] = np.where(at, new, kept[going])
        waiting[going] = at & (words == UNDECIDED) & (ahead >= FUTILE)
    runs = (~np.isnan(seen)).sum(axis=(1, 2))
    return Ends(verdict, seeds, low, high, runs)
