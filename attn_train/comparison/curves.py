"""Learning curves of an arm: mean and deviation over its runs, from their metrics.jsonl, and as runs of TensorBoard."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attn_train.runs.accuracy import Split, mean_and_std

# A run logs a few thousand rows at most; a longer file is not ours.
MOST_BYTES = 64_000_000


@dataclass(frozen=True)
class Point:
    """One step of a curve: the mean over `n` runs and the standard deviation of one (0 for a single run)."""

    step: int
    epoch: float
    mean: float
    deviation: float
    n: int


Curves = dict[str, list[Point]]  # by TensorBoard's tags, as a run has them: accuracy/test, loss/train, ...


def read_curves(folders: Sequence[Path]) -> Curves:
    """Return the curves over the runs in `folders`, at the steps that all of them have."""
    runs = [run for run in map(read_values, folders) if run]
    curves: Curves = {}
    for tag in sorted({tag for run in runs for tag in run}):
        series = [run[tag] for run in runs if tag in run]
        points = []
        for step in sorted(set.intersection(*(set(steps) for steps in series))):
            mean, std = mean_and_std([values[step][1] for values in series])
            points.append(Point(step, series[0][step][0], mean, std or 0.0, len(series)))
        curves[tag] = points
    return {tag: points for tag, points in curves.items() if points}


def read_values(folder: Path) -> dict[str, dict[int, tuple[float, float]]]:
    """Return what a run's metrics.jsonl says, tag by tag: epoch and value of each step; a damaged line is left out."""
    path = folder / "metrics.jsonl"
    values: dict[str, dict[int, tuple[float, float]]] = {}
    try:
        if path.stat().st_size > MOST_BYTES:
            return {}
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            row = json.loads(line)
            split = "train" if row["kind"] == "train" else str(row["split"])
            for name in ("loss", "accuracy"):
                # What stands later at the same step was measured anew, or is the final test.
                values.setdefault(f"{name}/{split}", {})[int(row["step"])] = float(row["epoch"]), float(row[name])
        except (ValueError, KeyError, TypeError):
            continue
    return values


def shown(curves: Curves, split: Split) -> tuple[str, list[Point]]:
    """Return the tag and the points of the accuracy that was tested most often: on test images, or where a run held
    some out on those; of two alike, that on the images of `split`."""
    tags = sorted(("accuracy/test", "accuracy/val"), key=lambda tag: tag != f"accuracy/{split}")
    choices = [(tag, curves[tag]) for tag in tags if tag in curves]
    return max(choices, key=lambda choice: len(choice[1]), default=(tags[0], []))


def folder_name(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=-]+", "_", label).strip("._")[:100] or "arm"


def write_tensorboard(folder: Path, curves: dict[str, Curves]) -> None:
    """Write for each arm the runs `mean`, and where it has several runs `low` and `high`, one deviation away."""
    names: set[str] = set()
    for label, arm_curves in curves.items():
        name = folder_name(label)
        while name in names:
            name += "_"
        names.add(name)
        several = any(point.n > 1 for points in arm_curves.values() for point in points)
        for run, sign in (("mean", 0), ("low", -1), ("high", 1)) if several else (("mean", 0),):
            if arm_curves:
                write_run(folder / name / run, arm_curves, sign)


def write_run(folder: Path, curves: Curves, sign: int) -> None:
    # Takes a while to import, which nobody should wait for to read that a setting is wrong.
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    # TensorBoard's own writer has a thread, whose errors would go past who calls this.
    with (folder / f"events.out.tfevents.{int(now):010d}.attn-compare").open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for tag, points in curves.items():
            for point in points:
                value = Summary.Value(tag=tag, simple_value=point.mean + sign * point.deviation)
                event = Event(wall_time=now, step=point.step, summary=Summary(value=[value]))
                writer.write(event.SerializeToString())
