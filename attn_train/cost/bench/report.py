"""What a bench leaves: the table on the terminal, bench.csv and bench.json."""

import csv
import io
import json
import os
import platform
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from attn_train.cost.bench.outcome import BYTES, SECONDS, Outcome
from attn_train.machine import memory
from attn_train.machine.device import Device, usable_threads
from attn_train.runs.result import commit, versions
from attn_train.writing.durable import write_utf8
from attn_train.writing.text import aligned


def processor() -> str:
    """Name the processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def machine(device: Device) -> dict[str, Any]:
    """Describe the machine; call it before measuring, so that the load is that of other programs."""
    facts: dict[str, Any] = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": usable_threads(),
        "free_memory_bytes": memory.available(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "versions": versions(),
        "commit": commit(),
    }
    if device.kind == "cuda":
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def save(folder: Path, outcomes: Sequence[Outcome], exponents: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Write bench.csv, a row for each cell, and bench.json, which also has every timing and all options.

    Args:
        about: the command, its settings, the machine and the device.
    """
    rows = [outcome.row() for outcome in outcomes]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_utf8(folder / "bench.csv", text.getvalue())
    cells = [
        {**row, "name": outcome.cell.arm.name, "options": outcome.cell.arm.options, "by_round": outcome.rounds}
        for row, outcome in zip(rows, outcomes, strict=True)
    ]
    write_utf8(folder / "bench.json", json.dumps({**about, "cells": cells, "exponents": exponents}, indent=2) + "\n")


def short(value: float | None, unit: float) -> str:
    """Return `value` in units of `unit` with about three significant digits, without an exponent."""
    if value is None:
        return "-"
    scaled = value / unit
    if scaled == 0 or abs(scaled) >= 100:
        return f"{scaled:,.0f}"
    return f"{scaled:.2f}" if abs(scaled) >= 10 else f"{scaled:.3f}"


def spread(row: dict[str, Any], name: str) -> str:
    """Return a median and, in brackets, the quartiles, in milliseconds."""
    low, middle, high = (short(row[key], 1e-3) for key in (f"{name}_q1", name, f"{name}_q3"))
    return "-" if row[name] is None else f"{middle} ({low}-{high})"


COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "model": lambda row: str(row["model"]),
    "map": lambda row: f"{row['channels']}x{row['size']}x{row['size']}",
    "parameters": lambda row: short(row["parameters"], 1) if row["parameters"] is None else f"{row['parameters']:,}",
    "macs": lambda row: "-" if row["macs"] is None else f"{row['macs']:,}",
    "forward ms": lambda row: spread(row, SECONDS[0]),
    "training ms": lambda row: spread(row, SECONDS[1]),
    "forward MB": lambda row: short(row[BYTES[0]], 1e6),
    "training MB": lambda row: short(row[BYTES[1]], 1e6),
    "": lambda row: "" if row["status"] == "ok" else ": ".join(filter(None, [row["status"], row["reason"][:90]])),
}


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the table of the cells: median (lower-upper quartile), memory above what was in use before."""
    rows = [outcome.row() for outcome in outcomes]
    return aligned([list(COLUMNS), *([show(row) for show in COLUMNS.values()] for row in rows)], left=(0, 1))


def exponent_table(rows: list[dict[str, Any]]) -> str:
    """Return the table of exponents with their intervals and last slopes, a line for each arm."""
    titles = {"forward_seconds": "forward time", "training_seconds": "training time"}
    titles |= {"forward_bytes": "forward memory", "training_bytes": "training memory"}
    lines = [["model", *titles.values(), "maps"]]
    for arm in dict.fromkeys(row["model"] for row in rows):
        quantities = {row["quantity"]: row for row in rows if row["model"] == arm}
        tokens = next((row["tokens"] for row in quantities.values() if row["tokens"]), None)
        sides = ", ".join(f"{round(n**0.5)}x{round(n**0.5)}" for n in tokens) if tokens else "too few measured"
        lines.append([arm, *(shown(quantities[name]) for name in titles), sides])
    return aligned(lines, left=(0,))


def shown(row: dict[str, Any]) -> str:
    """Return an exponent with its interval in brackets and its last slopes in parentheses."""
    if row["value"] is None:
        return "-"
    interval = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{row['value']:.2f}{interval} ({', '.join(f'{slope:.2f}' for slope in row['last_slopes'])})"
