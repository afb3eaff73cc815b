"""What the rounds found of each cell, and the figures that a reader gets of it."""

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from attn_train.cost.bench.cells import Cell
from attn_train.cost.bench.scaling import exponent

SECONDS = ("forward_seconds", "training_seconds")
BYTES = ("forward_bytes", "training_bytes")


@dataclass
class Outcome:
    """A cell with what each of its processes said, in the order of the rounds."""

    cell: Cell
    batch: int
    rounds: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> str:
        """`ok` if every round was, else how the first other one ended; `not measured` before the first."""
        ends = [one["status"] for one in self.rounds]
        return next((end for end in ends if end != "ok"), "ok" if ends else "not measured")

    @property
    def reason(self) -> str:
        return next((one["reason"] for one in self.rounds if one["status"] != "ok"), "")

    def value(self, name: str) -> Any:
        """Return what the first round that has it says of `name`."""
        return next((one[name] for one in self.rounds if name in one), None)

    def samples(self, name: str) -> list[float]:
        """Return the timings of all rounds."""
        return [second for one in self.rounds for second in one.get(name, [])]

    def by_round(self, name: str) -> list[float]:
        """Return one figure from each round: the median of timings, the bytes."""
        found = [one[name] for one in self.rounds if name in one]
        return [statistics.median(one) if isinstance(one, list) else one for one in found]

    def row(self) -> dict[str, Any]:
        """Return the cell's figures, flat: seconds, bytes; None where there is none."""
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
            found = self.by_round(name)
            row[name] = round(statistics.median(found)) if found else None
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
    for arm in dict.fromkeys(one.cell.arm.label for one in outcomes):
        for name in (*SECONDS, *BYTES):
            measured = {
                one.cell.tokens: one.by_round(name)
                for one in outcomes
                if one.cell.arm.label == arm and one.status == "ok"
            }
            found = exponent(measured, points)
            figures = (
                asdict(found) if found is not None else dict.fromkeys(("value", "low", "high", "tokens", "rounds"))
            )
            rows.append({"model": arm, "quantity": name, **figures})
    return rows
