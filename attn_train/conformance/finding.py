"""What was found of a module, point by point."""

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["passes", "limited", "fails", "yes", "no", "measured", "not known"]


@dataclass(frozen=True)
class Finding:
    """A point that was looked at.

    `passes`, `limited` (it works, but not everywhere) and `fails` are of what a mechanism must do; `yes` and `no` of
    properties, of which none is better; `measured` of figures.
    """

    point: str
    verdict: Verdict
    detail: str = ""
    value: Any = None


def in_a_line(error: Exception) -> str:
    """Say in one line what was raised."""
    first = str(error).strip().partition("\n")[0][:200]
    return first if isinstance(error, ValueError) and first else f"{type(error).__name__}: {first}".rstrip(": ")
