"""Everything that a report says, gathered from the run folders before a word of it is written."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from importlib import metadata
from typing import Any

from attn_train.comparison import (
    analysis,
    arms as sorting,
    benched,
    corruptions,
    cost,
    measures,
    predictions,
    ranking,
    strays,
    studied,
)
from attn_train.comparison.again import training_command
from attn_train.comparison.analysis import Comparison
from attn_train.comparison.arms import Arm
from attn_train.comparison.corruptions import Corrupted
from attn_train.comparison.cost import Cost
from attn_train.comparison.curves import Curves, read_curves
from attn_train.comparison.groups import passed_over, read_runs
from attn_train.comparison.measures import Measure
from attn_train.comparison.ranking import Ranking
from attn_train.comparison.studied import Studied
from attn_train.errors import ConfigError
from attn_train.runs import accuracy
from attn_train.runs.accuracy import Split
from attn_train.runs.finished import LeftOut, Run
from attn_train.settings import compose
from attn_train.settings.compare import CompareSettings
from attn_train.statistics.calibration import Calibration
from attn_train.statistics.images import Deviation

LOOKED = (
    "this was a look at these runs: judged again together with more seeds, until each verdict is in, up to 9 % of "
    "such comparisons come to a wrong one, not 5 %"
)
LOOK = f"{LOOKED}. Say max_seeds=N at the first look already, or use attn-study"
# Where looks cannot be planned.
SINGLE_LOOK = f"{LOOKED}. Fix the number of seeds before the first look"
COSTS = ("parameters", "macs", "seconds", "bytes")


@dataclass(frozen=True)
class Summary:
    """What is compared, what was found, and what was not used."""

    arms: list[Arm]
    baseline: Arm
    comparisons: list[Comparison]  # each other arm against the baseline, but controls whose mechanism is there
    against_controls: list[Comparison]  # each mechanism against its own controls
    deviations: dict[str, Deviation]  # of arms whose predictions were read
    calibrations: dict[str, list[Calibration]]  # likewise, of each run
    corrupted: Corrupted | None  # where all runs were tested on corrupted images
    ranking: Ranking | None  # of the arms; None where they are few
    study: Studied | None  # by whose rule the comparisons were judged
    max_seeds: int | None  # up to which looks were planned
    costs: dict[str, Cost]
    curves: dict[str, Curves]
    left_out: list[LeftOut]
    warnings: list[str]
    measure: Measure
    margin: float
    benched: bool  # time and memory are attn-bench's
    recipe: dict[str, Any]
    commands: dict[str, str]  # that train each arm again
    command: str  # that makes this report again
    date: str
    version: str
    stored: str | None = None  # the folder of the runs that others are held against, where they are of another time

    @property
    def references(self) -> list[Arm]:
        """The arms that others are held against, but controls: the baseline, or several stored ones."""
        every = [self.baseline, *(comparison.reference for comparison in self.comparisons)]
        return list({arm.label: arm for arm in every}.values())

    @property
    def reference_words(self) -> str:
        """What the differences are from."""
        return self.baseline.label if len(self.references) == 1 else f"the same arm in {self.stored}"

    @property
    def split(self) -> Split:
        """Whose images the arms are compared by."""
        return self.baseline.first.split

    @property
    def images(self) -> str:
        """Say what images those are, and how many where that is known."""
        count = accuracy.image_count(self.baseline.first.result, self.split)
        return f"{'' if count is None else f'{count:,} '}{accuracy.WORDS[self.split]} images"

    @cached_property
    def means(self) -> dict[str, float]:
        """The arms' mean numbers: of the baseline the mean over all runs, and on it each arm's mean difference."""
        bases = {arm.label: statistics.fmean(arm.values) for arm in self.references}
        moved = {
            comparison.arm.label: self.measure.moved(bases[comparison.reference.label], comparison.difference.mean)
            for comparison in self.comparisons
        }
        means = {arm.label: statistics.fmean(arm.values) for arm in self.arms} | moved
        # Rounded, so that equal arms are equal, however they were added up.
        return {label: round(mean, 9) for label, mean in means.items()}

    @cached_property
    def fronts(self) -> dict[str, list[str]]:
        """For each kind of cost the labels of the arms on the Pareto front."""
        gains = {label: self.measure.better * mean for label, mean in self.means.items()}
        return {kind: cost.front(self.costs_in(kind), gains) for kind in COSTS}

    @cached_property
    def fronts_by_chance(self) -> dict[str, list[str]]:
        """Of those on each front the labels of the arms that may be there by chance."""
        gains = {arm.label: (-math.inf, math.inf) for arm in self.arms} | {self.baseline.label: (0.0, 0.0)}
        for comparison in self.comparisons:
            if not comparison.doubts:
                gain = analysis.towards(comparison.difference, self.measure)
                gains[comparison.arm.label] = gain.low, gain.high
        return {kind: cost.not_shown(self.fronts[kind], self.costs_in(kind), gains) for kind in COSTS}

    def costs_in(self, kind: str) -> dict[str, float | None]:
        """Return each arm's cost of a kind of COSTS."""
        return {label: getattr(known, kind) for label, known in self.costs.items()}

    @property
    def has_costs(self) -> bool:
        """Whether anything is known of what the arms cost."""
        return any(getattr(cost, kind) is not None for cost in self.costs.values() for kind in COSTS)

    @property
    def has_failures(self) -> bool:
        return any(arm.failed for arm in self.arms)

    def of(self, arm: Arm) -> Comparison | None:
        """Return the comparison of an arm with the baseline."""
        return next((comparison for comparison in self.comparisons if comparison.arm is arm), None)

    def on_front(self, arm: Arm) -> list[str]:
        return [kind for kind, labels in self.fronts.items() if arm.label in labels]


def summarize(config: CompareSettings, paths: Sequence[str], command: str) -> Summary:
    """Read the runs at `paths` and compare them; raise ConfigError where they cannot be compared."""
    runs, left_out = read_runs(paths)
    return summarize_runs(config, runs, left_out, command)


@dataclass(frozen=True)
class Compared:
    """What was found of arms, the baseline first, and what is to be said of it."""

    arms: list[Arm]
    comparisons: list[Comparison]
    against_controls: list[Comparison]
    measure: Measure
    margin: float
    left_out: list[LeftOut]
    warnings: list[str]
    study: Studied | None = None
    stored: str | None = None


def summarize_runs(
    config: CompareSettings,
    runs: list[Run],
    left_out: list[LeftOut],
    command: str,
    named_by: Mapping[str, Sequence[str]] | None = None,
) -> Summary:
    """Compare runs; `named_by` as in arms.sort. Raises ConfigError where they cannot be compared."""
    about_runs = sorting.check_recipe(runs)
    measure, unlike = studied.choose_measure(runs, config)
    runs, without = measures.measured(runs, measure)
    left_out = [*left_out, *without]
    if not runs:
        raise ConfigError(f"metric={measure.name}: no run has it{passed_over(left_out)}")
    arms, repeated = sorting.sort(runs, left_out, named_by)
    if len(arms) < 2:
        raise ConfigError(
            f"all runs found are of one arm, {arms[0].label}; a comparison needs another, like "
            f"model={'gated' if arms[0].is_plain else 'none'}{passed_over(left_out)}"
        )
    baseline, judge, about_looks = studied.choose_judge(arms, measure, config)
    arms = [baseline, *(arm for arm in arms if arm is not baseline)]
    margin = measure.margin if config.margin is None else config.margin
    margin = margin if judge is None else judge.margin
    comparisons, against_controls, problems = families(arms, measure, margin, config.max_seeds, judge)
    if runs[0].split == "val":
        arms = by_gain(arms, comparisons, against_controls)
    warnings = about_looks + about_runs + unlike + strays.warnings(arms, measure) + problems
    left_out += repeated
    found = Compared(arms, comparisons, against_controls, measure, margin, left_out, warnings, judge)
    return complete(found, config, command)


def complete(found: Compared, config: CompareSettings, command: str) -> Summary:
    """Add to what was found what single images and many arms say, what the arms cost, how they learned, and how all of
    it is made again."""
    arms, measure = found.arms, found.measure
    comparisons, against_controls = list(found.comparisons), list(found.against_controls)
    of_images = predictions.add(comparisons, against_controls, arms, config.images, measure)
    deviations, calibrations, about_images = of_images
    on_corrupted, about_corrupted = corruptions.compare(arms, comparisons)
    costs, lacking = benched.costs(arms, config.bench, compose.CONF)
    ranked = None
    if found.stored is None:
        ranked = ranking.rank(arms, comparisons, measure, is_screened=found.study is None)
    return Summary(
        arms=arms,
        baseline=arms[0],
        comparisons=comparisons,
        against_controls=against_controls,
        deviations=deviations,
        calibrations=calibrations,
        corrupted=on_corrupted,
        ranking=ranked,
        study=found.study,
        max_seeds=config.max_seeds,
        costs=costs,
        curves={arm.label: read_curves([run.folder for run in arm.runs.values()][: config.curves]) for arm in arms},
        left_out=found.left_out,
        warnings=list(dict.fromkeys(found.warnings + about_images + about_corrupted + lacking)),
        measure=measure,
        margin=found.margin,
        benched=config.bench is not None,
        recipe=sorting.recipe_of(arms[0].first),
        commands={arm.label: training_command(arm) for arm in arms},
        command=command,
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
        version=metadata.version("attn-train"),
        stored=found.stored,
    )


def by_gain(arms: Sequence[Arm], comparisons: list[Comparison], against_controls: list[Comparison]) -> list[Arm]:
    """Sort comparisons in place, the largest difference first, and return the arms in their order, the baseline first:
    images that are there to choose by ask for a ranking."""
    for table in (comparisons, against_controls):
        table.sort(key=lambda comparison: -comparison.difference.mean)
    places = {comparison.arm.label: place for place, comparison in enumerate(comparisons)}
    return [arms[0], *sorted(arms[1:], key=lambda arm: places.get(arm.label, len(places)))]


def families(
    arms: Sequence[Arm], measure: Measure, margin: float, max_seeds: int | None, judge: Studied | None
) -> tuple[list[Comparison], list[Comparison], list[str]]:
    """Compare arms with the first, and mechanisms with their controls; return also what went wrong.

    All are one family, but for a study, whose rule is of its arms against its baseline alone.
    """
    baseline, *others = arms
    controlled = analysis.controls(arms, baseline)
    if judge is None:
        others = [arm for arm in others if all(arm is not control for _, control in controlled)]
    pairs = [(arm, baseline) for arm in others]
    compare = partial(analysis.compare, measure=measure, margin=margin, max_seeds=max_seeds)
    if judge is None:
        found, problems = compare([*pairs, *controlled])
        if max_seeds is None and any(comparison.statistical == "undecided" for comparison in found):
            problems.append(LOOK)
        return found[: len(pairs)], found[len(pairs) :], problems
    found, problems = compare(pairs)
    against, more = compare(controlled)
    return [judge.judged(comparison) for comparison in found], against, problems + more
