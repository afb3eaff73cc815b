"""Results that were trained elsewhere, as a CSV file lists them: a row a run, with the columns arm, seed and accuracy.

accuracy is in per cent of the test images; empty or nan says that the run failed. Further columns count where they are
there: total (test images, whose number says how finely accuracies are rounded), parameters, macs, train_seconds,
peak_memory_bytes and test_loss.
"""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attn_train.errors import ConfigError
from attn_train.runs.finished import NUMBERS, LeftOut, Run
from attn_train.settings.identity import short_digest

NEEDED = ("arm", "seed", "accuracy")
# All such runs are taken to be of one recipe: a file cannot show it.
RECIPE = "listed in a file"


def read_listed(path: Path) -> tuple[list[Run], list[LeftOut]]:
    """Return the runs that a CSV file lists, and those that failed; raise ConfigError for the first row that is
    wrong."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            lacking = [name for name in NEEDED if name not in (rows.fieldnames or [])]
            if lacking:
                raise ConfigError(f"{path} lacks the columns {', '.join(lacking)}; its first line is to name them")
            every = [read_row(path, rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as CSV ({error}); save it as UTF-8 with commas") from error
    runs = [row for row in every if isinstance(row, Run)]
    return runs, [row for row in every if isinstance(row, LeftOut)]


def read_row(path: Path, line: int, row: Mapping[str, str | None]) -> Run | LeftOut:
    """Return the run of a row."""
    place = Path(f"{path}:{line}")
    name = (row["arm"] or "").strip()
    if not name:
        raise ConfigError(f"{place}: the arm is empty; name the network that the run is of")
    arm = {"model.name": name, "control": "none"}
    seed = number(place, "seed", row)
    if seed is None or seed != int(seed) or seed < 0:
        raise ConfigError(f"{place}: seed={row['seed']} is no whole number, 0 or more")
    accuracy = number(place, "accuracy", row)
    if accuracy is None or math.isnan(accuracy):
        return LeftOut(place, "failed, as the file says", (short_digest(arm), RECIPE))
    if not 0 <= accuracy <= 100:
        raise ConfigError(f"{place}: accuracy={row['accuracy']} is no share in per cent, between 0 and 100")
    total = number(place, "total", row)
    result: dict[str, Any] = {
        "model": name,
        "seed": int(seed),
        "test_accuracy": accuracy / 100,
        "total": None if total is None else int(total),
        "correct": None if total is None else round(total * accuracy / 100),
        "precision": "-",
        "device": "elsewhere",
        **{key: number(place, key, row) for key in NUMBERS if key in row},
    }
    return Run(place, result, arm, short_digest(arm), RECIPE, (int(seed),))


def number(place: Path, key: str, row: Mapping[str, str | None]) -> float | None:
    """Return a cell as a number, None where it is empty."""
    text = (row.get(key) or "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{place}: {key}={text} is no number") from None
