"""What several comparisons say together, for machines: compare.json and compare.csv."""

import json
from pathlib import Path
from typing import Any

from attn_train.comparison.combined import Combined
from attn_train.comparison.combined_text import all_of
from attn_train.comparison.overall import Overall
from attn_train.comparison.records import finite, in_unit, plain, to_rows

# Of one comparison of several groups these are of no use: its runs are not of one network or data set.
KEYS = ("arm", "reference", "verdict", "words", "margin", "adjusted_p_value", "detectable")


def whole(one: Overall) -> dict[str, Any]:
    """Return an arm over all groups."""
    comparison = one.comparison
    values = {key: plain(comparison)[key] for key in KEYS}
    between = {"spread": comparison.measure.shown(one.spread), "p_alike": one.p_alike, "in_each": one.everywhere}
    return {**values, **in_unit(comparison), **between}


def nested(one: Overall) -> dict[str, Any]:
    return {**whole(one), "parts": {name: plain(part) for name, part in one.parts.items()}}


def record(combined: Combined) -> dict[str, Any]:
    """Return what every form of JSON has."""
    return {
        "baseline": combined.first.baseline.label,
        "metric": combined.measure.name,
        "split": combined.first.split,
        "margin": combined.margin,
        "combine": "studies" if combined.adds_up else "recipes",
        "groups": combined.folders,
        "comparisons": [nested(one) for one in combined.against_baseline],
        "against_controls": [nested(one) for one in combined.against_controls],
    }


def to_json(combined: Combined) -> str:
    """Return compare.json; the folders of the groups have each one's own, with all runs."""
    more = {
        "command": combined.command,
        "version": combined.version,
        "date": combined.date,
        "differing": combined.differing,
        "left_out": [{"folder": str(run.folder), "reason": run.reason} for run in combined.left_out],
        "warnings": combined.warnings,
    }
    return json.dumps(finite(record(combined) | more), indent=1, allow_nan=False, default=str) + "\n"


def to_line(combined: Combined, folder: Path) -> str:
    """Return the verdicts as JSON in one line, and the folder of the whole report."""
    return json.dumps(finite({**record(combined), "report": str(folder)}), allow_nan=False)


def to_csv(combined: Combined) -> str:
    """Return compare.csv: a row for each arm over all groups, and for it in each one."""
    rows = []
    for one in combined.overall:
        rows.append({"in": all_of(combined), **whole(one)})
        rows += [{"in": name, **plain(part)} for name, part in one.parts.items()]
    return to_rows(rows)
