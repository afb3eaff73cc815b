"""What tests on corrupted images say of arms: the fifteen corruptions, one family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from attn_train.comparison import analysis, robustness
from attn_train.comparison.analysis import Comparison
from attn_train.comparison.arms import Arm
from attn_train.comparison.measures import ACCURACY
from attn_train.errors import ConfigError
from attn_train.statistics import intervals
from attn_train.statistics.intervals import ALPHA, ALPHA_ONE_SIDED, Difference

EXTRA = "extra"  # the group of the four that are not among the fifteen
# Columns of the arms' table: where robustness.json has their accuracy.
COLUMNS = {
    "clean": ("clean", "accuracy"),
    "corrupted": ("corruption_accuracy",),
    "drop": ("drop",),
    **{group: ("groups", group, "accuracy") for group in ("noise", "blur", "weather", "digital")},
}


@dataclass(frozen=True)
class Corrupted:
    """What the tests under corruption say of arms, all in per cent or percentage points."""

    name: str  # what the images are called
    deviations: list[str]  # in which they are not the published ones
    groups: dict[str, str]  # by corruption, the fifteen
    columns: dict[str, dict[str, list[float]]]  # by arm and COLUMNS, of each run
    baseline: dict[str, float]  # its mean accuracy by corruption
    differences: dict[str, dict[str, Difference]]  # by arm and corruption, from the baseline

    @property
    def family(self) -> int:
        """How many intervals hold at once."""
        return sum(map(len, self.differences.values()))


def compare(arms: Sequence[Arm], comparisons: Sequence[Comparison]) -> tuple[Corrupted | None, list[str]]:
    """Return what the records of the runs say, None where not all runs have one or arms are held against several, and
    warnings."""
    records: dict[str, list[Mapping[str, Any]]] = {}
    lacking = []
    for arm in arms:
        for run in arm.runs.values():
            try:
                record = robustness.read(run.folder)
            except ValueError as error:
                lacking.append(f"{run.folder}: {error}")
            else:
                records.setdefault(arm.label, []).append(record)
    if not records or len({each.reference.label for each in comparisons}) != 1:
        return None, []
    if lacking:
        count = sum(len(arm.runs) for arm in arms)
        what = f"{len(lacking)} of {count} runs were not tested on all corrupted images, as {lacking[0]}"
        return None, [f"{what}: nothing is said of these"]
    try:
        folders = [run.folder for arm in arms for run in arm.runs.values()]
        every = [record for arm in arms for record in records[arm.label]]
        robustness.check_alike(zip(folders, every, strict=True))
        return found(arms, comparisons, records), []
    except (ConfigError, ValueError) as error:
        return None, [f"nothing is said of corrupted images: {error}"]


def found(
    arms: Sequence[Arm], comparisons: Sequence[Comparison], records: Mapping[str, list[Mapping[str, Any]]]
) -> Corrupted:
    """Return what complete records of all runs say; raise ValueError where one lacks a number."""
    first = next(iter(records.values()))[0]
    groups = {name: entry["group"] for name, entry in first["corruptions"].items() if entry["group"] != EXTRA}
    columns = {
        label: {key: [100 * robustness.at(record, path) for record in of_arm] for key, path in COLUMNS.items()}
        for label, of_arm in records.items()
    }
    differences: dict[str, dict[str, Difference]] = {comparison.arm.label: {} for comparison in comparisons}
    baseline = {}
    for name in groups:
        path = ("corruptions", name, "mean", "accuracy")
        values = {label: [100 * robustness.at(record, path) for record in of_arm] for label, of_arm in records.items()}
        baseline[name] = float(np.mean(values[comparisons[0].reference.label]))
        for label, difference in zip(differences, gains(comparisons, values, len(groups)), strict=True):
            differences[label][name] = difference
    return Corrupted(first["name"], list(first["deviations"]), groups, columns, baseline, differences)


def gains(
    comparisons: Sequence[Comparison], values: Mapping[str, Sequence[float]], corruptions: int
) -> list[Difference]:
    """Return the differences under one corruption, each of a family of all arms and so many corruptions; values: by
    arm, in the order of its runs."""
    arms = list({side.label: side for each in comparisons for side in (each.reference, each.arm)}.values())
    valued = [with_values(arm, values[arm.label]) for arm in arms]
    places = {arm.label: place for place, arm in enumerate(arms)}
    pairs = [(places[each.arm.label], places[each.reference.label]) for each in comparisons]
    family = corruptions * len(pairs)
    levels = np.full(len(pairs), ALPHA / family), np.full(len(pairs), ALPHA_ONE_SIDED / family)
    return intervals.differences(analysis.table(valued, ACCURACY), pairs, analysis.step(valued), levels)


def with_values(arm: Arm, values: Sequence[float]) -> Arm:
    """Return an arm whose runs are compared by other numbers."""
    runs = {seeds: replace(run, value=value) for (seeds, run), value in zip(arm.runs.items(), values, strict=True)}
    return Arm(arm.label, runs, arm.failed)
