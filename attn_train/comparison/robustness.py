"""What attn-eval corruptions=all left of a run: how well it does on images made worse."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attn_train.errors import ConfigError

FILE = "robustness.json"
# Tests that differ in one of these are not of the same images.
CONDITIONS = ("seed", "split", "data", "checkpoint", "views")


def read(folder: Path) -> dict[str, Any]:
    """Return the record of a run; raise ValueError where there is none of all fifteen corruptions and severities."""
    try:
        record: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        complete = record["corruption_accuracy"] is not None
    except FileNotFoundError as error:
        raise ValueError(f"it has no {FILE}; attn-eval run={folder} corruptions=all makes it") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"its {FILE} cannot be used ({error})") from error
    if not complete:
        raise ValueError(f"its {FILE} is not of all corruptions; attn-eval run={folder} corruptions=all adds the rest")
    return record


def number(folder: Path, path: Sequence[str]) -> float:
    """Return the number at a `path` of keys in the record of a run; raise ValueError where there is none."""
    return at(read(folder), path)


def at(record: Mapping[str, Any], path: Sequence[str]) -> float:
    """Return the number at a `path` of keys in a record; raise ValueError where there is none."""
    value: Any = record
    try:
        for key in path:
            value = value[key]
        return float(value)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its {FILE} has no {'.'.join(path)}") from error


def check_alike(records: Iterable[tuple[Path, Mapping[str, Any]]]) -> None:
    """Raise ConfigError where runs, by their folders and records, were tested on other corrupted images than the first,
    or in another way."""
    first: tuple[Path, Mapping[str, Any]] | None = None
    for folder, record in records:
        conditions = record.get("conditions") or {}
        if first is None:
            first = folder, conditions
        for key in CONDITIONS:
            if (here := conditions.get(key)) != (there := first[1].get(key)):
                raise ConfigError(
                    f"{FILE} of {first[0]} and of {folder} are not of the same test: {key} {there} and {here}; "
                    "remove one, and make it again by attn-eval corruptions=all"
                )
