"""The measurements of each cell, and the figures that summarize them."""

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from attn_train.cost.bench.cells import Cell
from attn_train.cost.bench.scaling import exponent

SECONDS = ("forward_seconds", "training_seconds")
BYTES = ("forward_bytes", "training_bytes")


@dataclass
class Outcome:
    """A cell with its measurements."""

    cell: Cell
    batch: int
    rounds: list[dict[str, Any]] = field(default_factory=list)  # the figures of each round, see process.run

    @property
    def status(self) -> str:
        """`ok` if every round was, else the first other status; `not measured` before the first round."""
        ends = [figures["status"] for figures in self.rounds]
        return next((end for end in ends if end != "ok"), "ok" if ends else "not measured")

    @property
    def reason(self) -> str:
        return next((figures["reason"] for figures in self.rounds if figures["status"] != "ok"), "")

    def value(self, name: str) -> Any:
        """Return the figure `name` of the first round that has it, else None."""
        return next((figures[name] for figures in self.rounds if name in figures), None)

    def samples(self, name: str) -> list[float]:
        """Return the timings of all rounds."""
        return [seconds for figures in self.rounds for seconds in figures.get(name, [])]

    def by_round(self, name: str) -> list[float]:
        """Return one figure from each round: the median of timings, the bytes."""
        values = [figures[name] for figures in self.rounds if name in figures]
        return [statistics.median(value) if isinstance(value, list) else value for value in values]

    def row(self) -> dict[str, Any]:
        """Return the cell's figures as a flat row, in seconds and bytes; None where there is none."""
        cell = self.cell
        row = {
            "model": cell.arm.label,
            "size": cell.side,
            "channels": cell.channels,
            "tokens": cell.tokens,
            "batch": self.batch,
            "status": self.status,
            "reason": self.reason,
            "rounds": len(self.rounds),
            "parameters": self.value("parameters"),
            "macs": self.value("macs"),
        }
        for name in SECONDS:
            samples = self.samples(name)
            low, middle, high = quartiles(samples)
            row |= {name: middle, f"{name}_q1": low, f"{name}_q3": high, f"{name}_samples": len(samples)}
        for name in BYTES:
            values = self.by_round(name)
            row[name] = round(statistics.median(values)) if values else None
        return row


def quartiles(samples: list[float]) -> tuple[float | None, float | None, float | None]:
    """Return the lower quartile, the median and the upper quartile."""
    if not samples:
        return None, None, None
    if len(samples) == 1:
        return samples[0], samples[0], samples[0]
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, middle, high


def exponents(outcomes: list[Outcome], points: int) -> list[dict[str, Any]]:
    """Return, for each arm and quantity, the exponent at the largest maps that were measured without a fault."""
    rows = []
    for arm in dict.fromkeys(outcome.cell.arm.label for outcome in outcomes):
        measured = [outcome for outcome in outcomes if outcome.cell.arm.label == arm and outcome.status == "ok"]
        for name in (*SECONDS, *BYTES):
            fit = exponent({outcome.cell.tokens: outcome.by_round(name) for outcome in measured}, points)
            figures = asdict(fit) if fit else dict.fromkeys(("value", "low", "high", "last_slopes", "tokens", "rounds"))
            rows.append({"model": arm, "quantity": name, **figures})
    return rows
