"""What a study has done, as its folder tells: a row in runs.jsonl for each run that ended, and each run's result.json.

A row that is missing (the study was killed, another command trained the run) is made up for by the run's folder, a row
whose result is gone counts no more: so a study goes on from whatever is there.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from attn_train.machine.interrupt import STOPPING
from attn_train.runs.accuracy import Split, split_of
from attn_train.runs.finished import load_result

# The exit codes of a run that saved and stopped because a signal said so.
INTERRUPTED = tuple(128 + number for number in STOPPING)


@dataclass(frozen=True)
class Row:
    """A run that ended, however it did."""

    arm: str
    seed: int
    job: str  # its folder within the study's
    seconds: float  # from its start to its end, in this go
    exit_code: int
    reason: str


class Ledger:
    """The rows of a study, and the results of its finished runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[Row] = []
        self.results: dict[tuple[str, int], dict[str, Any]] = {}
        self._ended: dict[tuple[str, int], int] = {}  # the number of its row
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    self.take(Row(**json.loads(line)))
                except (ValueError, TypeError):
                    continue  # cut off by the end of a process

    @property
    def path(self) -> Path:
        return self.folder / "runs.jsonl"

    def take(self, row: Row) -> None:
        self.rows.append(row)
        result = read_result(self.folder / row.job)
        if row.exit_code == 0 and result is not None:
            self.results[row.arm, row.seed] = result
            self._ended[row.arm, row.seed] = len(self.rows)

    def add(self, row: Row) -> None:
        """Take a row and write it to disk."""
        with self.path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")  # what was cut off stays a line of its own
            file.write(json.dumps(asdict(row)).encode() + b"\n")
        self.take(row)

    def find(self, arm: str, seed: int, job: str) -> None:
        """Add a row for a run that finished without one."""
        result = None if (arm, seed) in self.results else read_result(self.folder / job)
        if result is not None:
            self.add(Row(arm, seed, job, result["train_seconds"], 0, ""))

    @property
    def split(self) -> Split:
        """Whose images the runs are judged by: validation images where all held some out and say how many."""
        known = all("val_total" in result for result in self.results.values())
        return split_of(self.results.values()) if known else "test"

    def finished(self, arm: str) -> list[int]:
        """Return the seeds of an arm's finished runs."""
        return sorted(seed for name, seed in self.results if name == arm)

    def in_order(self, arm: str, seeds: Sequence[int]) -> list[int]:
        """Return those of `seeds` that an arm has finished, in the order in which it did."""
        done = [seed for seed in seeds if (arm, seed) in self.results]
        return sorted(done, key=lambda seed: self.place(arm, seed))

    def place(self, arm: str, seed: int) -> int:
        """Return the place of a finished run among all rows."""
        return self._ended[arm, seed]

    def folder_of(self, arm: str, seed: int) -> Path:
        """Return the folder of a finished run."""
        return self.folder / self.rows[self._ended[arm, seed] - 1].job

    def seconds(self, arm: str) -> float | None:
        """Return what a run of `arm` takes: the median of its finished runs, else of all, or None before the first."""
        finished = [row for row in self.rows if row.exit_code == 0]
        seconds = [row.seconds for row in finished if row.arm == arm] or [row.seconds for row in finished]
        return median(seconds) if seconds else None

    @property
    def minutes_spent(self) -> float:
        return sum(row.seconds for row in self.rows) / 60

    @property
    def runs_spent(self) -> int:
        """Count the runs that ended by themselves, well or not."""
        return sum(row.exit_code not in INTERRUPTED for row in self.rows)


def read_result(run: Path) -> dict[str, Any] | None:
    """Return the result of the run in the folder `run`; None if it has not finished, or its result is damaged."""
    try:
        result = load_result(run)
    except (OSError, ValueError):
        return None
    return result if {"test_accuracy", "total", "train_seconds"} <= result.keys() else None
