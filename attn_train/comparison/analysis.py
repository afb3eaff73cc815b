"""From arms to answers: each arm against the baseline, each mechanism against its own controls, corrected for their
number."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from attn_train.comparison import resampling, statistics
from attn_train.comparison.arms import Arm, Seeds
from attn_train.comparison.doubts import Doubt, doubts
from attn_train.comparison.resampling import Interval, McNemar
from attn_train.comparison.statistics import Corrected, Difference, Needed

# Below so many pairs the test images are resampled too where nothing else is asked for.
FEW = 5


@dataclass(frozen=True)
class Comparison:
    """What is found of one arm against another, over the seeds that both have."""

    arm: Arm
    reference: Arm
    seeds: list[Seeds]
    difference: Difference
    corrected: Corrected
    detectable: float
    needed: Needed | None
    margin: float
    over_seeds: Interval | None = None
    over_images: Interval | None = None
    mcnemar: McNemar | None = None
    told: str | None = None  # the verdict in words, where another rule than this one reached it
    doubts: tuple[Doubt, ...] = ()

    @property
    def accuracies(self) -> tuple[list[float], list[float]]:
        """The accuracies of the arm and of the reference over the seeds that are compared, in per cent."""
        return self.arm.over(self.seeds), self.reference.over(self.seeds)

    @property
    def chance(self) -> float:
        """How often a run of the arm beats one of the reference, both among those that are compared."""
        return statistics.chance(*self.accuracies)

    @property
    def values(self) -> list[float]:
        """The difference for each seed, in percentage points."""
        return [ours - theirs for ours, theirs in zip(*self.accuracies, strict=True)]

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
        alone = statistics.verdict(found, self.margin)
        if verdict in ("helps", "hurts"):
            small = max(abs(found.low), abs(found.high)) <= self.margin
            return f"{verdict}, but less than the margin" if small else verdict
        if verdict == "equivalent":
            return f"equivalent within {self.margin:g} points"
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
        if self.needed.shows == "effect":
            return f"{more}, if the difference is the {found.mean:+.2f} seen"
        return f"{more} to show it within {self.margin:g}, if it is the {found.mean:+.2f} seen"


def compare(pairs: Sequence[tuple[Arm, Arm]], margin: float, images: bool | None) -> tuple[list[Comparison], list[str]]:
    """Compare the arms of each pair, the second being the reference, as one family; return also what went wrong.

    `images` says whether to resample test images; None: where there are few seeds. A pair without a common seed is left
    out.
    """
    shared, problems = in_common(pairs)
    values = [[arm.runs[one].accuracy - other.runs[one].accuracy for one in seeds] for arm, other, seeds in shared]
    steps = [arm.first.step for arm, _, _ in shared]
    found = [statistics.paired(own, step=step) for own, step in zip(values, steps, strict=True)]
    verdicts = statistics.corrected(found, margin)
    alpha = (1 - statistics.LEVEL) / max(1, len(shared))
    comparisons = []
    for (arm, reference, seeds), own, one, verdict in zip(shared, values, found, verdicts, strict=True):
        undecided = verdict.verdict == "undecided"
        comparison = Comparison(
            arm=arm,
            reference=reference,
            seeds=seeds,
            difference=one,
            corrected=verdict,
            detectable=statistics.detectable(one.deviation, one.n, alpha),
            needed=statistics.needed(one, margin, len(shared)) if undecided else None,
            margin=margin,
            over_seeds=resampling.over_seeds(own, one.level) if one.n >= resampling.LEAST_SEEDS else None,
            doubts=tuple(doubts(arm, reference, seeds)),
        )
        if images or (images is None and one.n < FEW):
            comparison, problem = by_image(comparison)
            problems += [problem] if problem else []
        comparisons.append(comparison)
    return comparisons, problems


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
