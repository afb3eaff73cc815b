"""bench.png: time and memory against the number of tokens, and the accuracy of finished runs against their cost."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attn_train.cost.bench.outcome import Outcome
from attn_train.errors import ConfigError
from attn_train.runs import result
from attn_train.runs.accuracy import WORDS, accuracy, mean_and_std, split_of
from attn_train.settings import widths
from attn_train.writing.drawing import new_figure
from attn_train.writing.text import printable, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = [f"C{number}" for number in range(10)]
STROKES = ("-", "--", ":", "-.")
MARKS = ("o", "s", "^", "D", "v", "P")

LONGEST = 60  # letters of a label

Look = dict[str, Any]


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """Give each label a pair of colour and stroke of its own, and a mark."""
    return {
        label: {
            "color": COLOURS[number % 10],
            "linestyle": STROKES[number // 10 % len(STROKES)],
            "marker": MARKS[number // 10 % len(MARKS)],
            "markersize": 4,
            "linewidth": 1.4,
        }
        for number, label in enumerate(labels)
    }


def read_runs(folders: Sequence[str]) -> list[dict[str, Any]]:
    """Return the results of finished runs; raise ConfigError for a folder without one."""
    results = []
    for folder in folders:
        run = result.read(Path(folder))
        if run is None:
            raise ConfigError(f"runs: {folder} has no result.json; name folders of finished runs")
        results.append(run)
    return results


def growth(
    axis: "Axes", rows: Sequence[dict[str, Any]], name: str, unit: float, title: str, look: dict[str, Look]
) -> None:
    """Draw a quantity against the number of tokens, a line for each model.

    Args:
        name: the quantity, a key of the rows.
        unit: what the quantity is divided by.
    """
    from matplotlib.ticker import MaxNLocator

    for label, style in look.items():
        points = [
            (row["tokens"], row[name] / unit)
            for row in sorted(rows, key=lambda row: row["tokens"])
            if row["model"] == label and row[name]
        ]
        if points:
            axis.plot(*zip(*points, strict=True), **style)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    channels: dict[int, set[int]] = defaultdict(set)
    for row in rows:
        channels[row["tokens"]].add(row["channels"])
    names = {n: f"{round(n**0.5)}x{round(n**0.5)}\n{', '.join(map(str, sorted(channels[n])))} ch." for n in channels}
    axis.set_xticks(list(names), list(names.values()), fontsize=8)
    axis.minorticks_off()
    low, high = axis.get_ylim()
    if high < 10 * low:  # else there would be a tick at one power of ten, or at none
        axis.yaxis.set_major_locator(MaxNLocator(6))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_xlabel("feature map (a pixel is a token)")
    axis.set_title(title, fontsize=10)
    axis.grid(alpha=0.3)


def trade(axis: "Axes", runs: Sequence[dict[str, Any]], cost: str, title: str, look: dict[str, Look]) -> None:
    """Draw accuracy against the cost `cost`: the mean over the runs of each model, with their standard deviation."""
    split = split_of(runs)
    by_label: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        by_label[run_label(run, runs)].append(run)
    for label, repeats in by_label.items():
        mean, std = mean_and_std([accuracy(run, split) for run in repeats])
        at = statistics.fmean(run[cost] for run in repeats), mean
        style = {**look[label], "linestyle": "none", "markersize": 6}
        axis.errorbar(*at, yerr=std or None, capsize=3, **style)
        axis.annotate(f"{label} ({len(repeats)})", at, textcoords="offset points", xytext=(5, 4), fontsize=7)
    axis.set_xlabel(title)
    axis.set_ylabel(f"{WORDS[split]} accuracy, %")
    axis.set_title(f"accuracy against {title}", fontsize=10)
    axis.margins(0.2)
    axis.grid(alpha=0.3)


def run_label(run: dict[str, Any], runs: Sequence[dict[str, Any]]) -> str:
    """Name a run by its model or what it is a control of, by the settings in which the runs of this model differ, and
    by its backbone and dataset where the runs differ in these."""
    varied = [key for key in ("backbone", "dataset") if len({other[key] for other in runs}) > 1]
    name = widths.label(run["model"], run.get("control", "none"))
    alike = [
        other.get("arm", {}) for other in runs if widths.label(other["model"], other.get("control", "none")) == name
    ]
    settings = run.get("arm", {})
    differing = [key for key in settings if key != "control_width" and len({repr(arm.get(key)) for arm in alike}) > 1]
    words = [f"{key.removeprefix('model.').removeprefix('backbone.')}={settings[key]}" for key in differing]
    return shown(" ".join([name, *words, *(run[key] for key in varied)]))


def shown(label: str) -> str:
    """Shorten a label to the room in the figure."""
    return shortened(printable(label), LONGEST)


def faults(rows: Sequence[dict[str, Any]], label: str) -> str:
    """Say from which map on a model could not be measured; "" where all were."""
    failed = [row for row in rows if row["model"] == label and row["status"] not in ("ok", "not measured")]
    if not failed:
        return ""
    first = min(failed, key=lambda row: row["tokens"])
    return f" ({first['status']} at {first['size']}x{first['size']})"


def draw(outcomes: Sequence[Outcome], runs: Sequence[dict[str, Any]], title: str) -> "Figure":
    """Draw two panels, four with finished runs, and a legend in the order in which the lines end."""
    rows = [outcome.row() for outcome in outcomes]
    labels = list(dict.fromkeys([*(row["model"] for row in rows), *(run_label(run, runs) for run in runs)]))
    look = looks(labels)
    lines = 1 + (len(runs) > 0)
    last = {row["model"]: row["training_seconds"] or 0.0 for row in sorted(rows, key=lambda row: row["tokens"])}
    ordered = sorted(last, key=lambda label: -last[label])
    with new_figure(12.5, max(4.6 * lines, 1.2 + 0.19 * len(labels))) as figure:
        from matplotlib.lines import Line2D

        axes = figure.subplots(lines, 2, squeeze=False)
        growth(axes[0, 0], rows, "training_seconds", 1e-3, "training step, ms", look)
        growth(axes[0, 1], rows, "training_bytes", 1e6, "memory of a training step, MB", look)
        if runs:
            trade(axes[1, 0], runs, "macs", "multiply-adds of the network for an image", look)
            trade(axes[1, 1], runs, "train_seconds", "seconds of training", look)
        handles = [Line2D([], [], **look[label], label=shown(label) + faults(rows, label)) for label in ordered]
        figure.legend(handles=handles, loc="outside right upper", fontsize=8, handlelength=3.2, frameon=False)
        figure.suptitle(printable(title), fontsize=9)
    return figure
