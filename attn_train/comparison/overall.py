"""One arm against one other in several groups of runs, and what these say together."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from attn_train.comparison.analysis import Comparison, towards
from attn_train.comparison.arms import Arm
from attn_train.comparison.doubts import Doubt, few
from attn_train.statistics import combining, intervals, power
from attn_train.statistics.combining import Part
from attn_train.statistics.estimate import Estimate
from attn_train.statistics.intervals import ALPHA, ALPHA_ONE_SIDED, Difference


@dataclass(frozen=True)
class Overall:
    """What all groups say of one arm against one other.

    `comparison` is over all of them, `parts` are the groups' own, by their names. `spread` is the standard deviation of
    the true differences between groups, estimated, on the measure's scale; `p_alike` the p-value of their being all the
    same.
    """

    comparison: Comparison
    parts: dict[str, Comparison]
    spread: float
    p_alike: float

    @property
    def everywhere(self) -> str:
        """The verdict that holds in every group: an intersection-union test, which needs no correction for their
        number. Empty where there is none."""
        verdicts = {part.verdict for part in self.parts.values()}
        return verdicts.pop() if len(verdicts) == 1 and verdicts <= {*intervals.VERDICTS[:-1]} else ""


def overall(parts: Mapping[str, Comparison], family: int, adds_up: bool) -> Overall:
    """Combine the comparisons of one pair of arms in several groups, weighted by their seeds where they add up;
    `family`: how many pairs are combined."""
    each = list(parts.values())
    measure, margin = each[0].measure, each[0].margin
    known = [Part(part.difference.mean, part.difference.error, part.difference.freedom) for part in each]
    together = combining.weighted(known, [seeds_of(part) if adds_up else 1 for part in each])
    difference = as_difference(together, sum(part.difference.n for part in each), family)
    gain = towards(difference, measure)
    verdict = intervals.verdict(gain, measure.scaled_margin(margin))
    needed = power.needed(gain, measure.scaled_margin(margin), family) if verdict == "undecided" else None
    comparison = Comparison(
        arm=merged([part.arm for part in each]),
        reference=merged([part.reference for part in each]),
        seeds=[(place, *seeds) for place, part in enumerate(each) for seeds in part.seeds],
        reference_seeds=[(place, *seeds) for place, part in enumerate(each) for seeds in part.reference_seeds],
        difference=difference,
        statistical=verdict,
        p_value=intervals.adjusted(difference.p_value, family),
        detectable=measure.shown(power.detectable(gain, ALPHA / family)),
        needed=needed,
        measure=measure,
        margin=margin,
        doubts=doubts_of(parts),
    )
    if verdict == "undecided":
        comparison = replace(comparison, told=undecided(comparison, len(each)))
    return Overall(comparison, dict(parts), *combining.heterogeneity(known))


def seeds_of(comparison: Comparison) -> float:
    """Return the number of seeds that a difference is worth: the harmonic mean of both arms'."""
    return statistics.harmonic_mean([len(comparison.seeds), len(comparison.reference_seeds)])


def as_difference(part: Part, runs: int, family: int) -> Difference:
    """Return a combined difference with its interval and bounds, at the levels of one of `family` arms."""
    # Without any variance the freedom is infinite, of which there is no quantile.
    values = (part.mean, part.error, min(part.freedom, 1e9))
    estimate = Estimate(*(np.array([value]) for value in values))
    (difference,) = intervals.listed(estimate, [runs], ALPHA / family, ALPHA_ONE_SIDED / family)
    return difference


def merged(arms: Sequence[Arm]) -> Arm:
    """Return one arm with the runs of the same arm in all groups, whose place there comes before their seeds."""
    runs = {(place, *seeds): run for place, arm in enumerate(arms) for seeds, run in arm.runs.items()}
    return Arm(arms[0].label, runs, sum(arm.failed for arm in arms))


def doubts_of(parts: Mapping[str, Comparison]) -> tuple[Doubt, ...]:
    """Return what stands in the way of a verdict over all groups: what does in any; only the seeds add up."""
    doubts = [
        replace(doubt, words=f"in {name} {doubt.words}")
        for name, part in parts.items()
        for doubt in part.doubts
        if doubt.kind != "preliminary"
    ]
    seeds = sum(min(len(part.seeds), len(part.reference_seeds)) for part in parts.values())
    return tuple(filter(None, [*doubts, few(seeds)]))


def undecided(comparison: Comparison, groups: int) -> str:
    """Say how many seeds more would decide a combined comparison."""
    if comparison.needed is None:
        return f"undecided: more than {power.MOST_SEEDS:,} seeds"
    more = math.ceil((comparison.needed.n - comparison.difference.n) / groups)
    seen = f"{comparison.measure.shown(comparison.difference.mean):+.{comparison.measure.places}f}"
    return (
        f"undecided: about {more} more seed{'s' if more > 1 else ''} in each, if the difference is the {seen} seen; "
        "this was a look"
    )
