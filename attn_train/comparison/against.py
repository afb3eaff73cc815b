"""Runs against stored ones: is an arm still as good as the same arm was then?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from attn_train.comparison import analysis, arms as sorting, groups as grouping, measures, strays, studied
from attn_train.comparison.analysis import Comparison
from attn_train.comparison.arms import Arm
from attn_train.comparison.doubts import surroundings
from attn_train.comparison.groups import Group
from attn_train.comparison.measures import Measure
from attn_train.comparison.summary import SINGLE_LOOK, Compared, Summary, complete
from attn_train.errors import ConfigError
from attn_train.runs.finished import LeftOut
from attn_train.settings.compare import CompareSettings


def summarize_against(config: CompareSettings, paths: Sequence[str], command: str) -> Summary:
    """Compare the runs at `paths` with those stored in config.against; raise ConfigError where they cannot be
    compared."""
    stored = str(config.against)
    for name, given in (("combine", config.combine), ("max_seeds", config.max_seeds)):
        if given is not None:
            raise ConfigError(f"against= is a single look at runs of one recipe, and {name}= is not; leave one out")
    today, then = read_both(paths, stored)
    runs = [*today.runs, *then.runs]
    warnings = sorting.check_recipe(runs) + studied.of(runs)[1]
    measure, unlike = studied.choose_measure(runs, config)
    named_by = grouping.arm_settings([today, then])
    (ours, lacking), (theirs, lacking_then) = (sorted_arms(group, measure, named_by) for group in (today, then))
    pairs, missing = paired(ours, theirs, config.baseline, stored)
    margin = measure.margin if config.margin is None else config.margin
    found, problems = analysis.compare(pairs, measure, margin, max_seeds=None)
    comparisons = [over_time(comparison, stored) for comparison in found]
    if any(comparison.statistical == "undecided" for comparison in comparisons):
        problems.append(SINGLE_LOOK)
    arms = [*{id(reference): reference for _, reference in pairs}.values(), *(arm for arm, _ in pairs)]
    warnings += [*unlike, *missing, *strays.warnings(arms, measure), *problems]
    compared = Compared(arms, comparisons, [], measure, margin, [*lacking, *lacking_then], warnings, stored=stored)
    return complete(compared, config, command)


def read_both(paths: Sequence[str], stored: str) -> tuple[Group, Group]:
    """Return the runs at `paths` and the stored ones, which are in no case among the former; raise ConfigError where
    either are none, or come from a file and the others from a folder."""
    grouping.list_files([*paths, stored])
    then, lacking_then = grouping.read_runs([stored])
    runs, lacking = grouping.read_runs(paths)
    folders = {run.folder.resolve() for run in then}
    today = [run for run in runs if run.folder.resolve() not in folders]
    if not today:
        raise ConfigError(f"against={stored} holds all the runs that are to be held against it; name others")
    lacking = [run for run in lacking if run.folder not in [other.folder for other in lacking_then]]
    return Group("today", today, lacking, {}), Group(stored, then, lacking_then, {})


def sorted_arms(
    group: Group, measure: Measure, named_by: Mapping[str, Sequence[str]]
) -> tuple[list[Arm], list[LeftOut]]:
    """Return the arms of a group, and all of it that is not in them."""
    runs, without = measures.measured(group.runs, measure)
    arms, repeated = sorting.sort(runs, group.left_out, named_by)
    return arms, [*group.left_out, *without, *repeated]


def paired(
    ours: Sequence[Arm], theirs: Sequence[Arm], baseline: str | None, stored: str
) -> tuple[list[tuple[Arm, Arm]], list[str]]:
    """Return each arm with the stored one that it is held against, and warnings of arms that have none.

    That is the stored arm of the same name; the stored baseline for all, where it is named or the only one.
    """
    if baseline is not None or (len(theirs) == 1 and theirs[0].is_plain):
        reference = sorting.choose_baseline(theirs, baseline)
        pairs = [(arm, reference) for arm in ours]
    else:
        known = {arm.label: arm for arm in theirs}
        pairs = [(arm, known[arm.label]) for arm in ours if arm.label in known]
    if not pairs:
        has = ", ".join(arm.label for arm in theirs)
        raise ConfigError(f"against={stored} has none of {', '.join(arm.label for arm in ours)}, but {has}")
    compared = [arm for arm, _ in pairs]
    missing = [f"{arm.label} is not in {stored}, and is not compared" for arm in ours if arm not in compared]
    for arm in theirs:
        arm.label = label_of(arm.label, stored)
    return pairs, missing


def label_of(label: str, stored: str) -> str:
    """Return what an arm is called where it is stored."""
    return f"{label} ({stored})"


def over_time(comparison: Comparison, stored: str) -> Comparison:
    """Return a comparison of an arm with a stored one: what else changed since is the very question, so that it stands
    beside the verdict and not in its place; and runs that are still the same are as good."""
    reference = comparison.reference.label
    beside = "; ".join([f"against {reference}", *surroundings(comparison.arm, comparison.reference)])
    doubts = tuple(doubt for doubt in comparison.doubts if doubt.kind != "confounded")
    comparison = replace(comparison, doubts=doubts, beside=beside)
    same_arm = reference == label_of(comparison.arm.label, stored)
    if not same_arm or all(doubt.kind != "identical" for doubt in doubts):
        return comparison
    told = f"equivalent: the accuracy and loss of {reference} in every run"
    failing = tuple(doubt for doubt in doubts if doubt.kind == "failing")
    return replace(comparison, statistical="equivalent", told=told, doubts=failing)
