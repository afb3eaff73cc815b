"""Several comparisons of the same arms, each on a data set or by a recipe of its own, and what they say together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import metadata

from attn_train.comparison import cost, groups as grouping, measures, studied
from attn_train.comparison.analysis import Comparison
from attn_train.comparison.arms import show, varied
from attn_train.comparison.curves import folder_name
from attn_train.comparison.groups import Group
from attn_train.comparison.measures import Measure
from attn_train.comparison.overall import Overall, overall
from attn_train.comparison.summary import LOOK, SINGLE_LOOK, Summary, summarize_runs
from attn_train.errors import ConfigError
from attn_train.runs.finished import LeftOut
from attn_train.settings.compare import CompareSettings


@dataclass(frozen=True)
class Combined:
    """The comparison in each group, by its name, and the comparisons over all of them.

    Groups are studies that add up, or else data sets or recipes with equal weights.
    """

    adds_up: bool
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
        return {name: f"{place}_{folder_name(name)}" for place, name in enumerate(self.groups, 1)}


def combine(config: CompareSettings, paths: Sequence[str], command: str) -> Combined:
    """Read the runs at `paths`, compare those of each group, and then the groups' differences; raise ConfigError where
    they cannot be compared."""
    if config.max_seeds is not None:
        raise ConfigError("max_seeds= plans the looks at one comparison, and combine= is a single look; leave one out")
    adds_up = config.combine == "studies"
    groups, left_out = (grouping.by_folder(paths), []) if adds_up else grouping.by_recipe(paths)
    runs = [run for group in groups for run in group.runs]
    config = replace(config, metric=config.metric or studied.metric_of(runs))
    measure, unlike = studied.choose_measure(runs, config)
    # The same measure for all, also where only some groups held images out.
    config = replace(config, split="val" if measure is measures.VALIDATED else "test")
    named_by = grouping.arm_settings(groups)
    summaries = {group.name: summarize_group(config, group, command, named_by) for group in groups}
    comparable, lacking = matched(summaries)
    if not comparable:
        raise ConfigError(f"combine={config.combine} finds no arm to combine: {'; '.join(lacking)}")
    check_margins(summaries)
    found = [overall(parts, len(comparable), adds_up) for parts in comparable]
    about_studies = [*(unlike_recipes(groups) if adds_up else []), *stopped(summaries)]
    warnings = [*unlike, *about_studies, *grouping.placed_apart(groups, named_by), *lacking, *warnings_of(summaries)]
    if any(one.comparison.statistical == "undecided" for one in found):
        warnings.append(SINGLE_LOOK)
    baselines = [summary.baseline.label for summary in summaries.values()]
    return Combined(
        adds_up=adds_up,
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


def check_margins(summaries: Mapping[str, Summary]) -> None:
    """Raise ConfigError where studies fixed different margins."""
    margins = {summary.margin: name for name, summary in summaries.items()}
    if len(margins) > 1:
        said = ", ".join(f"{margin:g} in {name}" for margin, name in margins.items())
        raise ConfigError(f"the margins differ: {said}; a verdict over all has one, so compare each by itself")


def unlike_recipes(groups: Sequence[Group]) -> list[str]:
    """Return a warning where studies that add up are not of one recipe."""
    if len({run.recipe_digest for group in groups for run in group.runs}) == 1:
        return []
    settings = [f"{key}={' and '.join(dict.fromkeys(values))}" for key, values in differing(groups).items()]
    said = "; ".join(settings[:6]) + (" and more" if len(settings) > 6 else "")
    return [f"the studies are not of one recipe: {said or 'they do not say in what they differ'}"]


def stopped(summaries: Mapping[str, Summary]) -> list[str]:
    """Return a warning where some of the studies ended by what they saw."""
    names = [name for name, summary in summaries.items() if summary.study is not None]
    if not names:
        return []
    return [
        f"{'; '.join(names)}: studies that stop by their looks; an effect that ends one early is mostly too large in "
        "it, which flatters all together a little, and the interval over all is of a single look"
    ]


def differing(groups: Sequence[Group]) -> dict[str, list[str]]:
    """Return the settings in which the groups' recipes differ, each with its value in every group."""
    recipes = [group.recipe for group in groups]
    return {key: [show(one[key]) if key in one else "-" for one in recipes] for key in varied(recipes)}
