"""How well arms are calibrated, by their runs' predictions: a table, its notes, and what compare.json has of it.

It is secondary: no verdict rests on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from attn_train.comparison.arms import Arm
from attn_train.comparison.summary import Summary
from attn_train.comparison.tables import Table, spread
from attn_train.runs.accuracy import mean_and_std
from attn_train.statistics.calibration import BINS, Calibration

TITLE = "Calibration (secondary)"
# The columns of the table, and the keys of compare.json.
COLUMNS: dict[str, tuple[str, Callable[[Calibration], float]]] = {
    "nll": ("NLL", lambda found: found.nll),
    "brier": ("Brier", lambda found: found.brier),
    "ece": ("ECE", lambda found: found.ece),
    "overconfidence": ("confidence - accuracy", lambda found: found.overconfidence),
    "reliability": ("reliability", lambda found: found.reliability),
    "resolution": ("resolution", lambda found: found.resolution),
}
# Settings that change these figures.
CAUSES = ("train.label_smoothing", "eval.views")


def ece_scaled(arm: Arm) -> list[float]:
    """Return the calibration error with a temperature of each run; nothing where not all runs have one."""
    values = [run.result.get("ece_scaled") for run in arm.runs.values()]
    return [float(value) for value in values if value is not None] if None not in values else []


def table(summary: Summary) -> Table:
    """Return the table of the arms whose predictions were read, or a head without rows."""
    arms = [arm for arm in summary.arms if arm.label in summary.calibrations]
    scaled = {arm.label: ece_scaled(arm) for arm in arms}
    more = ["ECE with a temperature"] if any(scaled.values()) else []
    rows = [["arm", *(title for title, _ in COLUMNS.values()), *more]]
    for arm in arms:
        runs, with_temperature = summary.calibrations[arm.label], scaled[arm.label]
        cells = [spread([number(run) for run in runs], 4) for _, number in COLUMNS.values()]
        last = [spread(with_temperature, 4) if with_temperature else "-"] if more else []
        rows.append([arm.label, *cells, *last])
    return rows


def notes(summary: Summary) -> list[str]:
    """Return how the figures came about."""
    causes = [f"{key}={summary.recipe[key]}" for key in CAUSES if key in summary.recipe]
    recipe = f" Of these runs: {', '.join(causes)}." if causes else ""
    return [
        f"Calibration: of the test images, mean ± standard deviation of one run; the verdicts are about "
        f"{summary.measure.words} alone. NLL in nats; Brier over all classes, between 0 and 2. Of resolution more is "
        "better, of confidence - accuracy 0, of the others less.",
        f"ECE: the mean distance of confidence, the largest probability, from accuracy, in {BINS} bins of equal width; "
        "a share between 0 and 1, larger by chance the fewer images there are. It says nothing of accuracy: 0 is also "
        "who gives every image the shares of the classes. Confidence - accuracy: above 0 over-confident, below 0 "
        "under-confident. With a temperature: which each run fitted on its validation images.",
        "Reliability, resolution: of the Brier score of the confidence alone, over the same bins (Murphy, 1973): how "
        "far confidence is from accuracy, squared, and how far the accuracies of the bins are apart.",
        "Label smoothing, and an average over views (of logits), change all of these: compare runs that have the same."
        + recipe,
    ]


@dataclass(frozen=True)
class Pooled:
    """The bins of several runs together: NaN where a bin is empty."""

    images: list[float]  # of a run, on average
    confidence: list[float]
    accuracy: list[float]


def pooled(runs: Sequence[Calibration]) -> Pooled:
    """Return the bins of runs together."""
    count, confidence, right = (
        np.sum([getattr(run, name) for run in runs], axis=0) for name in ("count", "confidence", "right")
    )
    held = np.where(count > 0, count, np.nan)
    return Pooled((count / len(runs)).tolist(), (confidence / held).tolist(), (right / held).tolist())


def record(runs: Sequence[Calibration], arm: Arm) -> dict[str, Any]:
    """Return what compare.json has of an arm: means over runs, deviations of one, and the bins of all runs together."""
    columns = {key: [number(run) for run in runs] for key, (_, number) in COLUMNS.items()}
    if scaled := ece_scaled(arm):
        columns["ece_scaled"] = scaled
    values: dict[str, Any] = {}
    for key, numbers in columns.items():
        values[key], values[f"{key}_deviation"] = mean_and_std(numbers)
    return values | {"bins": asdict(pooled(runs))}
