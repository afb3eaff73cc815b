"""Several comparisons of the same arms, each on a data set or by a recipe of its own, and what they say together."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import metadata

import numpy as np

from attn_train.comparison import cost, groups as grouping, measures
from attn_train.comparison.analysis import Comparison, towards
from attn_train.comparison.arms import Arm, show, varied
from attn_train.comparison.doubts import Doubt, few
from attn_train.comparison.groups import Group
from attn_train.comparison.measures import Measure
from attn_train.comparison.summary import LOOK, Summary, summarize_runs
from attn_train.errors import ConfigError
from attn_train.runs.finished import LeftOut
from attn_train.settings.compare import CompareSettings
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


@dataclass(frozen=True)
class Combined:
    """The comparison in each group, by its name, and the comparisons over all of them."""

    groups: dict[str, Summary]
    against_baseline: list[Overall]
    against_controls: list[Overall]
    differing: dict[str, list[str]]  # the settings in which the groups' recipes differ, with each one's value
    left_out: list[LeftOut]
    warnings: list[str]
    command: str
    date: str
    version: str

    @property
    def first(self) -> Summary:
        return next(iter(self.groups.values()))

    @property
    def measure(self) -> Measure:
        return self.first.measure

    @property
    def margin(self) -> float:
        return self.first.margin

    @property
    def overall(self) -> list[Overall]:
        return [*self.against_baseline, *self.against_controls]

    @property
    def comparisons(self) -> list[Comparison]:
        """Each arm against the baseline, over all groups."""
        return [one.comparison for one in self.against_baseline]

    @property
    def folders(self) -> dict[str, str]:
        """The folder that the report of each group has within that of the whole."""
        safe = (re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60] for name in self.groups)
        return {name: f"{place}_{word}" for place, (name, word) in enumerate(zip(self.groups, safe, strict=True), 1)}


def combine(config: CompareSettings, paths: Sequence[str], command: str) -> Combined:
    """Read the runs at `paths`, compare those of each group, and then the groups' differences; raise ConfigError where
    they cannot be compared."""
    if config.max_seeds is not None:
        raise ConfigError("max_seeds= plans the looks at one comparison, and combine= is a single look; leave one out")
    groups, left_out = grouping.by_recipe(paths)
    measure, unlike = measures.choose([run for group in groups for run in group.runs], config.metric, config.split)
    # The same measure for all, also where only some groups held images out.
    config = replace(config, split="val" if measure is measures.VALIDATED else "test")
    named_by = grouping.arm_settings(groups)
    summaries = {group.name: summarize_group(config, group, command, named_by) for group in groups}
    comparable, lacking = matched(summaries)
    if not comparable:
        raise ConfigError(f"combine={config.combine} finds no arm to combine: {'; '.join(lacking)}")
    found = [overall(parts, len(comparable)) for parts in comparable]
    warnings = unlike + grouping.placed_apart(groups, named_by) + lacking + warnings_of(summaries)
    if any(one.comparison.statistical == "undecided" for one in found):
        warnings.append(LOOK)
    baselines = [summary.baseline.label for summary in summaries.values()]
    return Combined(
        groups=summaries,
        against_baseline=[one for one in found if one.comparison.reference.label in baselines],
        against_controls=[one for one in found if one.comparison.reference.label not in baselines],
        differing=differing(groups),
        left_out=left_out + [run for summary in summaries.values() for run in summary.left_out],
        warnings=list(dict.fromkeys(warnings)),
        command=command,
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
        version=metadata.version("attn-train"),
    )


def summarize_group(
    config: CompareSettings, group: Group, command: str, named_by: Mapping[str, Sequence[str]]
) -> Summary:
    """Compare the runs of one group; raise ConfigError, with its name, where they cannot be compared."""
    try:
        return summarize_runs(config, group.runs, group.left_out, command, named_by)
    except ConfigError as error:
        raise ConfigError(f"{group.name}: {error}") from error


def matched(summaries: Mapping[str, Summary]) -> tuple[list[dict[str, Comparison]], list[str]]:
    """Return the comparisons, by group, of each pair of arms that every group has, and warnings of other pairs."""
    found: dict[tuple[str, str], dict[str, Comparison]] = {}
    for name, summary in summaries.items():
        for one in [*summary.comparisons, *summary.against_controls]:
            found.setdefault((one.arm.label, one.reference.label), {})[name] = one
    comparable, warnings = [], []
    for (arm, reference), parts in found.items():
        missing = [name for name in summaries if name not in parts]
        single = [name for name, part in parts.items() if not math.isfinite(part.difference.error)]
        if not missing and not single:
            comparable.append(parts)
            continue
        why = f"no such runs in {'; '.join(missing)}" if missing else f"fewer than two runs in {'; '.join(single)}"
        warnings.append(f"{arm} against {reference} is not combined: {why}; what the others say is in their reports")
    return comparable, warnings


def overall(parts: Mapping[str, Comparison], family: int) -> Overall:
    """Combine the comparisons of one pair of arms in several groups; `family`: how many pairs are combined."""
    each = list(parts.values())
    measure, margin = each[0].measure, each[0].margin
    known = [Part(part.difference.mean, part.difference.error, part.difference.freedom) for part in each]
    together = combining.over_data_sets(known)
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


def warnings_of(summaries: Mapping[str, Summary]) -> list[str]:
    """Return the groups' warnings: those that all have once, others with the names of the groups that have them."""
    said: dict[str, list[str]] = {}
    for name, summary in summaries.items():
        for warning in summary.warnings:
            if warning not in (LOOK, cost.DRIFT):  # of the single reports
                said.setdefault(warning, []).append(name)
    return [
        warning if len(names) == len(summaries) else f"{'; '.join(names)}: {warning}" for warning, names in said.items()
    ]


def differing(groups: Sequence[Group]) -> dict[str, list[str]]:
    """Return the settings in which the groups' recipes differ, each with its value in every group."""
    recipes = [group.recipe for group in groups]
    return {key: [show(one[key]) if key in one else "-" for one in recipes] for key in varied(recipes)}
