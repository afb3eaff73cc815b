"""The comparison for machines: compare.csv, a row an arm, and compare.json, with every run."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from attn_train.comparison import calibrated, corrupted
from attn_train.comparison.analysis import Comparison
from attn_train.comparison.arms import Arm
from attn_train.comparison.doubts import exact_interval
from attn_train.comparison.measures import Measure
from attn_train.comparison.summary import Summary
from attn_train.runs import accuracy


def finite(value: Any) -> Any:
    """Return nested values with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def spread(name: str, values: list[float]) -> dict[str, Any]:
    """Return the mean over runs and the standard deviation of one."""
    mean, std = accuracy.mean_and_std(values)
    return {name: mean, f"{name}_deviation": std}


def name_of(measure: Measure) -> str:
    """Return what the numbers of a measure are called; which images an accuracy is of, `split` says."""
    return "accuracy" if measure.is_accuracy else measure.name


def in_unit(comparison: Comparison) -> dict[str, Any]:
    """Return a difference in the unit of its measure."""
    return asdict(comparison.measure.in_unit(comparison.difference))


def plain(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison flat, but for what resampling and single images add."""
    ours, theirs = comparison.numbers
    name = name_of(comparison.measure)
    return {
        "arm": comparison.arm.label,
        "reference": comparison.reference.label,
        **spread(name, ours),
        **spread(f"reference_{name}", theirs),
        **in_unit(comparison),
        "verdict": comparison.verdict,
        "words": comparison.words,
        "margin": comparison.margin,
        "adjusted_p_value": comparison.p_value,
        "detectable": comparison.detectable,
        "chance": comparison.chance,
        **dict(zip(("chance_low", "chance_high"), comparison.chance_interval, strict=True)),
        "seeds_needed": None if comparison.needed is None else comparison.needed.n,
        "seeds_needed_for": None if comparison.needed is None else comparison.needed.shows,
    }


def nested(comparison: Comparison) -> dict[str, Any]:
    resampled = {
        "over_seeds": comparison.over_seeds,
        "over_images": comparison.over_images,
        "mcnemar": comparison.mcnemar,
        "new_images": comparison.new_images,
    }
    return {
        **plain(comparison),
        "seeds": [list(seeds) for seeds in comparison.seeds],
        "reference_seeds": [list(seeds) for seeds in comparison.reference_seeds],
        "shared_seeds": [list(seeds) for seeds in comparison.shared],
        "differences": [comparison.measure.shown(value) for value in comparison.values],
        **{name: None if result is None else asdict(result) for name, result in resampled.items()},
    }


def arm_row(summary: Summary, arm: Arm) -> dict[str, Any]:
    return {
        "arm": arm.label,
        "runs": len(arm.runs),
        "failed": arm.failed,
        **dict(zip(("failure_low", "failure_high"), exact_interval(arm.failed, arm.started), strict=True)),
        **spread(name_of(summary.measure), arm.values),
        **asdict(summary.costs[arm.label]),
        "pareto": " ".join(summary.on_front(arm)),
        "pareto_by_chance": " ".join(kind for kind, labels in summary.fronts_by_chance.items() if arm.label in labels),
    }


def to_json(summary: Summary) -> str:
    """Return compare.json."""
    arms = [
        {
            **arm_row(summary, arm),
            "errors": asdict(summary.deviations[arm.label]) if arm.label in summary.deviations else None,
            "calibration": calibrated.record(runs, arm) if (runs := summary.calibrations.get(arm.label)) else None,
            "settings": arm.first.arm,
            "command": summary.commands[arm.label],
            "runs": [
                {
                    "folder": str(run.folder),
                    "seeds": list(run.seeds),
                    name_of(summary.measure): run.value,
                    "test_accuracy": accuracy.accuracy(run.result, "test"),
                }
                for run in arm.runs.values()
            ],
            "curves": {tag: [asdict(point) for point in points] for tag, points in summary.curves[arm.label].items()},
        }
        for arm in summary.arms
    ]
    record = {
        "command": summary.command,
        "version": summary.version,
        "date": summary.date,
        "metric": summary.measure.name,
        "margin": summary.margin,
        "split": summary.split,
        "images": accuracy.image_count(summary.baseline.first.result, summary.split),
        "test_images": summary.baseline.first.result["total"],
        "baseline": summary.baseline.label,
        "stored": summary.stored,
        "cost_from": "attn-bench" if summary.benched else "runs",
        "recipe": summary.recipe,
        "arms": arms,
        "comparisons": [nested(comparison) for comparison in summary.comparisons],
        "against_controls": [nested(comparison) for comparison in summary.against_controls],
        "corrupted": corrupted.record(summary.corrupted),
        "ranking": None if summary.ranking is None else asdict(summary.ranking),
        "pareto": summary.fronts,
        "pareto_by_chance": summary.fronts_by_chance,
        "left_out": [{"folder": str(run.folder), "reason": run.reason} for run in summary.left_out],
        "warnings": summary.warnings,
    }
    # An entry a line: with an indent, json is ten times slower.
    entries = (f"{json.dumps(key)}: {dumped(entry)}" for key, entry in finite(record).items())
    return "{\n" + ",\n".join(entries) + "\n}\n"


def dumped(entry: Any) -> str:
    return json.dumps(entry, allow_nan=False, default=str)


def to_line(summary: Summary, folder: Path) -> str:
    """Return the verdicts as JSON in one line, and the folder of the whole report."""
    keys = ("arm", "reference", "verdict", "words", "n", "mean", "low", "high", "p_value", "adjusted_p_value")
    record = {
        "baseline": summary.baseline.label,
        "metric": summary.measure.name,
        "split": summary.split,
        "margin": summary.margin,
        "comparisons": [{key: plain(comparison)[key] for key in keys} for comparison in summary.comparisons],
        "against_controls": [{key: plain(comparison)[key] for key in keys} for comparison in summary.against_controls],
        "report": str(folder),
    }
    return json.dumps(finite(record), allow_nan=False)


def cell(value: Any) -> Any:
    """Return a value for CSV; a text that a spreadsheet would compute gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def to_csv(summary: Summary) -> str:
    """Return compare.csv: the baseline, then each arm with what it is compared with, then mechanisms against their
    controls."""
    rows = [arm_row(summary, arm) for arm in summary.references]
    for comparison in [*summary.comparisons, *summary.against_controls]:
        rows.append({**arm_row(summary, comparison.arm), **plain(comparison)})
    return to_rows(rows)


def to_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV, whose head has the names of all of them."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in finite(dict(row)).items()} for row in rows)
    return text.getvalue()
