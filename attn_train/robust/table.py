"""What was found under corruptions, in words."""

from collections.abc import Mapping, Sequence

from attn_train.robust.corruptions import CORRUPTIONS, EXTRA, MAIN_GROUPS
from attn_train.robust.record import Record, Scores
from attn_train.writing.text import aligned


def line(name: str, sets: Mapping[int, Scores], severities: Sequence[int]) -> str:
    """Say the accuracy of a corruption at each severity."""
    return f"{name:17} " + " ".join(f"{100 * sets[severity]['accuracy']:6.2f}" for severity in severities) + " %"


def report(record: Record) -> list[str]:
    """Return the table of accuracies, the means, and where they are written, in lines."""
    summary = record.summary()
    tested = [name for name in CORRUPTIONS if name in record.sets]
    severities = sorted({severity for name in tested for severity in record.sets[name]})
    rows = [["accuracy in %", "group", *(f"severity {severity}" for severity in severities), "mean"]]
    for name in tested:
        sets, mean = record.sets[name], record.mean([name])
        shown = [f"{100 * sets[severity]['accuracy']:.2f}" if severity in sets else "" for severity in severities]
        rows.append([name, CORRUPTIONS[name].group, *shown, f"{100 * mean['accuracy']:.2f}" if mean else ""])
    means = {"mean of the fifteen": summary["fifteen"]}
    means |= {f"mean of {group}": summary["groups"][group] for group in (*MAIN_GROUPS, EXTRA)}
    for name, mean in means.items():
        if mean is not None:
            rows.append([name, "", *("" for _ in severities), f"{100 * mean['accuracy']:.2f}"])
    clean = record.clean
    lines = aligned(rows, left=(0, 1)).splitlines()
    lines.append(f"clean: {100 * clean['accuracy']:.2f} %, {scores(clean)}")
    if summary["corruption_accuracy"] is not None:
        fifteen, drop = summary["fifteen"], 100 * summary["drop"]
        accuracy = f"{100 * fifteen['accuracy']:.2f} %, {drop:.2f} points below clean"
        lines.append(f"{record.name}: {accuracy}, {scores(fifteen)}")
    return [*lines, f"written: {record.path}"]


def scores(found: Scores) -> str:
    """Say how good the probabilities are."""
    return f"nll {found['nll']:.4f}, brier {found['brier']:.4f}, ece {found['ece']:.4f}"
