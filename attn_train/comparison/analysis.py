"""From arms to answers: each arm against the baseline, each mechanism against its own controls, corrected for their
number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from attn_train.comparison.arms import Arm, Seeds
from attn_train.comparison.doubts import Doubt, doubts
from attn_train.comparison.measures import Measure
from attn_train.statistics import intervals, power, resampling
from attn_train.statistics.images import NewImages
from attn_train.statistics.intervals import ALPHA, Array, Difference, Verdict
from attn_train.statistics.power import Needed
from attn_train.statistics.resampling import Interval, McNemar
from attn_train.statistics.sequential import Rule


@dataclass(frozen=True)
class Comparison:
    """What is found of one arm against another, over all runs of both.

    Its difference is on the measure's scale; a verdict knows whether more or less is better.
    """

    arm: Arm
    reference: Arm
    seeds: list[Seeds]  # those of the arm
    reference_seeds: list[Seeds]
    difference: Difference
    statistical: Verdict  # the verdict that the difference alone gives
    p_value: float  # adjusted for the number of arms
    detectable: float
    needed: Needed | None
    measure: Measure
    margin: float  # as a reader gets it
    max_seeds: int | None = None  # that looks were planned up to; None: this is the only look
    over_seeds: Interval | None = None
    over_images: Interval | None = None
    mcnemar: McNemar | None = None
    new_images: NewImages | None = None
    told: str | None = None  # the verdict in words, where another rule than this one reached it
    doubts: tuple[Doubt, ...] = ()
    beside: str = ""  # what a reader must know too, and which stands in the way of no verdict

    @property
    def numbers(self) -> tuple[list[float], list[float]]:
        """The numbers of the arm and of the reference."""
        return self.arm.over(self.seeds), self.reference.over(self.reference_seeds)

    @property
    def shared(self) -> list[Seeds]:
        """The seeds that both have."""
        theirs = set(self.reference_seeds)
        return [seeds for seeds in self.seeds if seeds in theirs]

    @cached_property
    def chance(self) -> float:
        """How often a run of the arm beats one of the reference, both among those that are compared."""
        ours, theirs = self.numbers if self.measure.better > 0 else reversed(self.numbers)
        return intervals.chance(ours, theirs)

    @property
    def chance_interval(self) -> tuple[float, float]:
        """The 95 % interval of that chance, by itself."""
        ours, theirs = self.numbers
        return intervals.chance_interval(self.chance, len(ours), len(theirs))

    @property
    def values(self) -> list[float]:
        """The difference for each seed that both have, on the measure's scale."""
        ours, theirs = (map(self.measure.scaled, side.over(self.shared)) for side in (self.arm, self.reference))
        return [our - their for our, their in zip(ours, theirs, strict=True)]

    @property
    def doubt(self) -> Doubt | None:
        """What takes the place of the verdict that the statistics give."""
        return next((doubt for doubt in self.doubts if self.statistical not in doubt.spares), None)

    @property
    def verdict(self) -> str:
        return self.statistical if self.doubt is None else self.doubt.kind

    @property
    def words(self) -> str:
        """The verdict as a reader gets it."""
        if self.doubt is None:
            return self.statistical_words
        without = "" if self.doubt.kind == "identical" else f" (without that: {self.statistical_words})"
        return f"{self.doubt.kind}: {self.doubt.words}{without}"

    @property
    def statistical_words(self) -> str:
        """What the difference alone says."""
        if self.told is not None:
            return self.told
        if self.statistical == "undecided":
            return f"undecided: {self.wanted}"
        gain = self.measure.in_unit(towards(self.difference, self.measure))
        return intervals.words(gain, self.statistical, self.margin, self.measure.unit, self.measure.places)

    @property
    def wanted(self) -> str:
        """How many seeds more an undecided comparison wants."""
        difference = self.difference
        if not math.isfinite(difference.error):
            return "one seed says nothing of the deviation; 5 are a start"
        if self.needed is None:
            return f"more than {power.MOST_SEEDS:,} seeds"
        missing = self.needed.n - difference.n
        more = f"about {missing} more seed{'s' if missing > 1 else ''}"
        seen = f"if the difference is the {self.measure.shown(difference.mean):+.{self.measure.places}f} seen"
        below = f" to show a gain below {self.measure.amount(self.margin)}"
        shows = "" if self.needed.shows == "effect" else below
        if self.max_seeds is None:
            return f"{more}{shows}, {seen}; this was a look"
        past = f", past max_seeds={self.max_seeds}" if self.needed.n > self.max_seeds else ""
        return f"{more}{shows}, {seen}{past}"


def towards(difference: Difference, measure: Measure) -> Difference:
    """Return a difference as a gain, or a gain as a difference: with its sign turned where less is better."""
    if measure.better > 0:
        return difference
    return replace(
        difference,
        mean=-difference.mean,
        low=-difference.high,
        high=-difference.low,
        least=-difference.most,
        most=-difference.least,
    )


def compare(
    pairs: Sequence[tuple[Arm, Arm]], measure: Measure, margin: float, *, max_seeds: int | None
) -> tuple[list[Comparison], list[str]]:
    """Compare the arms of each pair, the second being the reference, as one family; return also what went wrong.

    `margin` is in the measure's unit. `max_seeds`: what the intervals hold at all looks up to; None: at this one.
    """
    if not pairs:
        return [], []
    scaled_margin = measure.scaled_margin(margin)
    problems = [*filter(None, (about_seeds(arm, reference) for arm, reference in pairs))]
    comparisons = []
    for (arm, reference), gain in zip(pairs, gains(pairs, measure, max_seeds), strict=True):
        verdict = intervals.verdict(gain, scaled_margin)
        comparison = Comparison(
            arm=arm,
            reference=reference,
            seeds=list(arm.runs),
            reference_seeds=list(reference.runs),
            difference=towards(gain, measure),
            statistical=verdict,
            p_value=intervals.adjusted(gain.p_value, len(pairs)),
            detectable=measure.shown(power.detectable(gain, ALPHA / len(pairs))),
            needed=power.needed(gain, scaled_margin, len(pairs)) if verdict == "undecided" else None,
            measure=measure,
            margin=margin,
            max_seeds=max_seeds,
            doubts=tuple(doubts(arm, reference)),
        )
        if len(comparison.shared) >= resampling.LEAST_SEEDS:
            over_seeds = resampling.over_seeds(comparison.values, 1 - ALPHA)
            comparison = replace(comparison, over_seeds=over_seeds)
        comparisons.append(comparison)
    return comparisons, problems


def gains(pairs: Sequence[tuple[Arm, Arm]], measure: Measure, max_seeds: int | None) -> list[Difference]:
    """Return what the arm of each pair gains on the other, on the measure's scale, as one family."""
    arms = list({id(arm): arm for pair in pairs for arm in pair}.values())
    places = {id(arm): place for place, arm in enumerate(arms)}
    placed = [(places[id(arm)], places[id(other)]) for arm, other in pairs]
    return intervals.differences(table(arms, measure), placed, step(arms), levels(pairs, max_seeds))


def table(arms: Sequence[Arm], measure: Measure) -> Array:
    """Return what the runs of arms are compared by, on the measure's scale and more the better: (arms, seeds), NaN
    where an arm has no run of a seed."""
    seeds = sorted({seeds for arm in arms for seeds in arm.runs})
    columns = {of_run: place for place, of_run in enumerate(seeds)}
    values = np.full((len(arms), len(seeds)), np.nan)
    for row, arm in zip(values, arms, strict=True):
        row[[columns[of_run] for of_run in arm.runs]] = [measure.gain(value) for value in arm.values]
    return values


def step(arms: Sequence[Arm]) -> float:
    """Return what one image counts in the arms' numbers."""
    return max(arm.first.step for arm in arms)


def levels(pairs: Sequence[tuple[Arm, Arm]], max_seeds: int | None) -> tuple[Array, Array] | None:
    """Return the two-sided level of each pair's interval and the one-sided level of its bounds; None: those of a single
    look."""
    if max_seeds is None:
        return None
    rule = Rule(arms=len(pairs), max_seeds=max_seeds, margin=0.0)
    at = np.array([rule.levels(min(len(arm.runs), len(other.runs))) for arm, other in pairs])
    return at[:, 0], at[:, 1]


def about_seeds(arm: Arm, reference: Arm) -> str:
    """Say what is worth knowing where two arms have not the same seeds."""
    shared = sum(seeds in reference.runs for seeds in arm.runs)
    if shared == len(arm.runs) == len(reference.runs):
        return ""
    return (
        f"{arm.label} ({len(arm.runs)} runs) and {reference.label} ({len(reference.runs)}) have {shared} seeds in "
        "common; all runs count"
    )


def controls(arms: Sequence[Arm], baseline: Arm) -> list[tuple[Arm, Arm]]:
    """Return each mechanism with each of its own controls, unless either is what all are compared with."""
    mechanisms = {key(arm): arm for arm in arms if arm.first.arm.get("control", "none") == "none"}
    pairs = [(mechanisms.get(key(arm)), arm) for arm in arms if arm.first.arm.get("control", "none") != "none"]
    return [
        (arm, control) for arm, control in pairs if arm is not None and baseline is not arm and baseline is not control
    ]


def key(arm: Arm) -> str:
    """Return what an arm and its controls have in common."""
    settings = {name: value for name, value in arm.first.arm.items() if not name.startswith("control")}
    return repr(sorted(settings.items()))
