"""From arms to answers: each arm against the baseline, each mechanism against its own controls, corrected for their
number."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from attn_train.comparison import resampling, statistics
from attn_train.comparison.arms import Arm, Seeds
from attn_train.comparison.doubts import Doubt, doubts
from attn_train.comparison.measures import Measure
from attn_train.comparison.resampling import Interval, McNemar
from attn_train.comparison.statistics import Corrected, Difference, Needed

# Below so many pairs the test images are resampled too where nothing else is asked for.
FEW = 5


@dataclass(frozen=True)
class Comparison:
    """What is found of one arm against another, over the seeds that both have.

    Its difference is on the measure's scale; a verdict knows whether more or less is better.
    """

    arm: Arm
    reference: Arm
    seeds: list[Seeds]
    difference: Difference
    corrected: Corrected
    detectable: float
    needed: Needed | None
    measure: Measure
    margin: float  # as a reader gets it
    over_seeds: Interval | None = None
    over_images: Interval | None = None
    mcnemar: McNemar | None = None
    told: str | None = None  # the verdict in words, where another rule than this one reached it
    doubts: tuple[Doubt, ...] = ()

    @property
    def numbers(self) -> tuple[list[float], list[float]]:
        """The numbers of the arm and of the reference over the seeds that are compared."""
        return self.arm.over(self.seeds), self.reference.over(self.seeds)

    @property
    def chance(self) -> float:
        """How often a run of the arm beats one of the reference, both among those that are compared."""
        ours, theirs = self.numbers if self.measure.better > 0 else reversed(self.numbers)
        return statistics.chance(ours, theirs)

    @property
    def values(self) -> list[float]:
        """The difference for each seed, on the measure's scale."""
        scaled = self.measure.scaled
        return [scaled(ours) - scaled(theirs) for ours, theirs in zip(*self.numbers, strict=True)]

    @property
    def doubt(self) -> Doubt | None:
        """What takes the place of the verdict that the statistics give."""
        return next((doubt for doubt in self.doubts if self.corrected.verdict not in doubt.spares), None)

    @property
    def verdict(self) -> str:
        return self.corrected.verdict if self.doubt is None else self.doubt.kind

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
        found, verdict = self.difference, self.corrected.verdict
        margin = self.measure.scaled_margin(self.margin)
        alone = statistics.verdict(towards(found, self.measure), margin)
        if verdict in ("helps", "hurts"):
            small = max(abs(found.low), abs(found.high)) <= margin
            return f"{verdict}, but less than the margin" if small else verdict
        if verdict == "equivalent":
            return f"equivalent within {self.margin:g} {self.measure.unit}".rstrip()
        text = f"undecided: {self.wanted}"
        if alone != "undecided":
            text += f" (alone: {alone}, but not once corrected for the number of arms)"
        return text

    @property
    def wanted(self) -> str:
        """How many seeds more an undecided comparison wants."""
        found = self.difference
        if found.n < 2:
            return "one seed says nothing of the deviation; 5 are a start"
        if self.needed is None:
            return f"more than {statistics.MOST_SEEDS:,} seeds"
        missing = self.needed.n - found.n
        more = f"about {missing} more seed{'s' if missing > 1 else ''}"
        seen = f"{self.measure.shown(found.mean):+.{self.measure.places}f}"
        if self.needed.shows == "effect":
            return f"{more}, if the difference is the {seen} seen"
        return f"{more} to show it within {self.margin:g}, if it is the {seen} seen"


def towards(difference: Difference, measure: Measure) -> Difference:
    """Return a difference as a gain, or a gain as a difference: with its sign turned where less is better."""
    if measure.better > 0:
        return difference
    return replace(difference, mean=-difference.mean, low=-difference.high, high=-difference.low)


def compare(
    pairs: Sequence[tuple[Arm, Arm]], measure: Measure, margin: float, images: bool | None
) -> tuple[list[Comparison], list[str]]:
    """Compare the arms of each pair, the second being the reference, as one family; return also what went wrong.

    `margin` is in the measure's unit. `images` says whether to resample test images; None: where there are few seeds.
    A pair without a common seed is left out.
    """
    shared, problems = in_common(pairs)
    gains = [
        [
            measure.better * (measure.scaled(arm.runs[one].value) - measure.scaled(other.runs[one].value))
            for one in seeds
        ]
        for arm, other, seeds in shared
    ]
    steps = [arm.first.step for arm, _, _ in shared]
    found = [statistics.paired(own, step=step) for own, step in zip(gains, steps, strict=True)]
    verdicts = statistics.corrected(found, measure.scaled_margin(margin))
    alpha = (1 - statistics.LEVEL) / max(1, len(shared))
    comparisons = []
    for (arm, reference, seeds), own, one, verdict in zip(shared, gains, found, verdicts, strict=True):
        undecided = verdict.verdict == "undecided"
        comparison = Comparison(
            arm=arm,
            reference=reference,
            seeds=seeds,
            difference=towards(one, measure),
            corrected=verdict,
            detectable=measure.shown(statistics.detectable(one.deviation, one.n, alpha)),
            needed=statistics.needed(one, measure.scaled_margin(margin), len(shared)) if undecided else None,
            measure=measure,
            margin=margin,
            over_seeds=resampled_seeds([measure.better * gain for gain in own], one.level),
            doubts=tuple(doubts(arm, reference, seeds)),
        )
        if images or (images is None and one.n < FEW):
            comparison, problem = by_image(comparison)
            problems += [problem] if problem else []
        comparisons.append(comparison)
    return comparisons, problems


def resampled_seeds(differences: Sequence[float], level: float) -> Interval | None:
    """Return a bootstrap over seeds, where there are enough for one."""
    return resampling.over_seeds(differences, level) if len(differences) >= resampling.LEAST_SEEDS else None


def in_common(pairs: Sequence[tuple[Arm, Arm]]) -> tuple[list[tuple[Arm, Arm, list[Seeds]]], list[str]]:
    """Return each pair with the seeds that both have, and what is told of runs that have no partner."""
    shared, problems = [], []
    for arm, reference in pairs:
        seeds = [one for one in arm.runs if one in reference.runs]
        if not seeds:
            problems.append(f"{arm.label} and {reference.label} have no seed in common: they are not compared")
            continue
        if lonely := len(arm.runs) - len(seeds):
            problems.append(
                f"{lonely} runs of {arm.label} have no run of {reference.label} with the same seed: its row is of the "
                f"{len(seeds)} that have"
            )
        shared.append((arm, reference, seeds))
    return shared, problems


def by_image(comparison: Comparison) -> tuple[Comparison, str]:
    """Return a comparison with what the predictions of single images add, or why they add nothing."""
    try:
        ours, theirs = (
            np.stack([resampling.read_correct(run.folder, run.result["total"], run.result["correct"]) for run in runs])
            for runs in (
                [arm.runs[seeds] for seeds in comparison.seeds] for arm in (comparison.arm, comparison.reference)
            )
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        return comparison, f"{comparison.arm.label}: the predictions of its runs cannot be used ({error})"
    single = resampling.mcnemar(ours[0], theirs[0]) if len(ours) == 1 else None
    over_images = resampling.over_images(ours, theirs, comparison.difference.level)
    return replace(comparison, over_images=over_images, mcnemar=single), ""


def controls(arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Return each mechanism with each of its own controls."""
    mechanisms = {key(arm): arm for arm in arms if arm.first.arm.get("control", "none") == "none"}
    return [
        (mechanisms[key(arm)], arm)
        for arm in arms
        if arm.first.arm.get("control", "none") != "none" and key(arm) in mechanisms
    ]


def key(arm: Arm) -> str:
    """Return what an arm and its controls have in common."""
    settings = {name: value for name, value in arm.first.arm.items() if not name.startswith("control")}
    return repr(sorted(settings.items()))
