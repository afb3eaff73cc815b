"""What the arms cost: parameters and multiply-adds as counted, time and memory as measured; and who is on the front."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_train.compare.arms import Arm, show
from attn_train.errors import ConfigError

DRIFT = (
    "time and memory are those that the runs themselves noted, on a machine whose speed may have drifted between them: "
    "take them as rough, or give bench=FOLDER, what attn-bench measured in turn"
)


@dataclass(frozen=True)
class Cost:
    """The cost of an arm; None for what is not known. `seconds` and `bytes` are of training, or of attention alone
    where they come from attn-bench."""

    parameters: int | None
    macs: int | None
    seconds: float | None
    bytes: float | None


def noted(arm: Arm, key: str) -> float | None:
    """Return the median of what an arm's runs noted."""
    values = [run.result[key] for run in arm.runs.values() if run.result.get(key) is not None]
    return statistics.median(values) if values else None


def of_runs(arm: Arm) -> Cost:
    parameters, macs = noted(arm, "parameters"), noted(arm, "macs")
    return Cost(
        None if parameters is None else round(parameters),
        None if macs is None else round(macs),
        noted(arm, "train_seconds"),
        noted(arm, "peak_memory_bytes"),
    )


def read_bench(folder: Path) -> list[dict[str, Any]]:
    """Return the cells that attn-bench measured; raise ConfigError for a folder without any."""
    path = folder / "bench.json" if folder.is_dir() else folder
    try:
        cells = json.loads(path.read_bytes())["cells"]
        found = [cell for cell in cells if cell["status"] == "ok" and cell["model"] and cell["training_seconds"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"bench={folder} has no readable bench.json; name a folder that attn-bench wrote") from error
    if not found:
        raise ConfigError(f"bench={folder}: no cell of it was measured; run attn-bench again")
    return found


def with_bench(arms: Sequence[Arm], cells: Sequence[dict[str, Any]]) -> tuple[dict[str, Cost], list[str]]:
    """Return the arms' costs with time and memory as attn-bench measured them, and warnings of what is not there.

    Each is of the mechanism alone: seconds of a training step summed over the maps that all arms were measured on, and
    the largest peak of memory. No mechanism costs nothing; a control's network is not measured by attn-bench.
    """
    own = {arm.label: matching(arm, cells) for arm in arms}
    measured = {label: found for label, found in own.items() if found}
    maps = set.intersection(*(set(found) for found in measured.values())) if measured else set()
    warnings = [
        f"bench has no cell of {arm.label}: its time and memory are not known"
        for arm in arms
        if arm.label not in measured and not arm.is_plain
    ]
    if measured and not maps:
        warnings.append("bench has no map on which all of these mechanisms were measured")
    costs = {}
    for arm in arms:
        seconds: float | None = None
        peak: float | None = None
        if arm.label in measured and maps:
            found = [measured[arm.label][one] for one in maps]
            seconds = sum(cell["training_seconds"] for cell in found)
            peak = max((cell.get("training_bytes") or 0 for cell in found), default=None)
        elif arm.is_plain:
            seconds, peak = 0.0, 0.0
        counted = of_runs(arm)
        costs[arm.label] = Cost(counted.parameters, counted.macs, seconds, peak)
    return costs, warnings


def matching(arm: Arm, cells: Sequence[dict[str, Any]]) -> dict[tuple[int, int], dict[str, Any]]:
    """Return the cells of an arm's mechanism with the arm's options, by their map."""
    if arm.first.arm.get("control", "none") != "none":
        return {}
    found = {}
    for cell in cells:
        name, *options = str(cell["model"]).split(" ")
        given = dict(one.split("=", 1) for one in options if "=" in one)
        agrees = all(show(arm.first.arm.get(f"model.{key}")) == value for key, value in given.items())
        if name == arm.first.arm.get("model.name") and agrees:
            found[(cell["channels"], cell["size"])] = cell
    return found


def front(costs: Mapping[str, float | None], accuracies: Mapping[str, float]) -> list[str]:
    """Return who is on the Pareto front: nobody else is at least as accurate and at least as cheap, and better in
    one."""
    known = {label: cost for label, cost in costs.items() if cost is not None}
    return [
        label
        for label, cost in known.items()
        if not any(
            known[other] <= cost
            and accuracies[other] >= accuracies[label]
            and (known[other] < cost or accuracies[other] > accuracies[label])
            for other in known
        )
    ]
