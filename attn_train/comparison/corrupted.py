"""How arms do on corrupted images: two tables, their notes, and what compare.json has of it.

It is secondary: no verdict rests on it.
"""

from dataclasses import asdict
from typing import Any

from attn_train.comparison.corruptions import Corrupted
from attn_train.comparison.summary import Summary
from attn_train.comparison.tables import Table, interval, signed, spread
from attn_train.runs.accuracy import mean_and_std
from attn_train.statistics.intervals import ALPHA, Difference

TITLE = "On corrupted images (secondary)"


def table(summary: Summary) -> Table:
    """Return the arms' accuracies, clean and corrupted, in per cent; a head alone where nothing is known."""
    rows = [["arm", "clean", "mean of the fifteen", "drop", "noise", "blur", "weather", "digital"]]
    if summary.corrupted is not None:
        for label, columns in summary.corrupted.columns.items():
            rows.append([label, *(spread(values, 2) for values in columns.values())])
    return rows


def effects(summary: Summary) -> Table:
    """Return the differences from the baseline by corruption, in percentage points."""
    corrupted = summary.corrupted
    if corrupted is None:
        return []
    rows = [["corruption", "group", summary.reference_words, *corrupted.differences]]
    for name, group in corrupted.groups.items():
        cells = [shown(of_arm[name]) for of_arm in corrupted.differences.values()]
        rows.append([name, group, f"{corrupted.baseline[name]:.2f}", *cells])
    return rows


def shown(difference: Difference) -> str:
    """Return a difference with its interval, and `*` where that is all on one side of 0."""
    mark = " *" if difference.low > 0 or difference.high < 0 else ""
    return f"{signed(difference.mean)} {interval(difference.low, difference.high)}{mark}"


def notes(summary: Summary) -> list[str]:
    """Return how to read both tables."""
    corrupted = summary.corrupted
    if corrupted is None:
        return []
    named = " For a verdict about the mean name it beforehand: metric=corruption_accuracy."
    if summary.measure.of_corruptions is not None:
        named = ""
    return [
        f"{corrupted.name}. Accuracy in per cent; of a corruption, the mean over five severities. Mean ± standard "
        f"deviation of one run. Drop: clean minus corrupted. The verdicts are about {summary.measure.words} alone.",
        f"Differences from {summary.reference_words} in percentage points, over all runs: all {corrupted.family} "
        f"intervals hold at once with {100 * (1 - ALPHA):g} % confidence, at a single look; *: not chance.{named}",
    ]


def record(corrupted: Corrupted | None) -> dict[str, Any] | None:
    """Return what compare.json has of it."""
    if corrupted is None:
        return None
    return {
        "name": corrupted.name,
        "deviations": corrupted.deviations,
        "family": corrupted.family,
        "arms": {
            label: {
                key: dict(zip(("mean", "deviation"), mean_and_std(values), strict=True)) for key, values in of.items()
            }
            for label, of in corrupted.columns.items()
        },
        "baseline": corrupted.baseline,
        "differences": {
            label: {name: asdict(difference) for name, difference in of_arm.items()}
            for label, of_arm in corrupted.differences.items()
        },
    }
