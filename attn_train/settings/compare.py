"""The settings of attn-compare: their types and checks, and how its words are told apart. The values stand in
conf/compare.yaml."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from attn_train.errors import ConfigError


@dataclass
class CompareConfig:
    margin: float
    baseline: str | None
    bench: str | None
    split: str  # auto, val, test
    images: Any  # auto, true, false
    curves: int
    output: str | None


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the paths among the words of a command line, and its settings as overrides; raise ConfigError for a word
    that is neither."""
    names = [one.name for one in fields(CompareConfig)]
    paths: list[str] = []
    settings: dict[str, str] = {}
    for word in arguments:
        name, equals, value = word.partition("=")
        if equals and name in names:
            settings[name] = value
        elif re.fullmatch(r"[+~]*[\w.]+=.*", word) and not Path(word).exists():
            raise ConfigError(f"unknown setting '{name}'; choose from {', '.join(names)}")
        else:
            paths.append(word)
    if "" in paths:
        raise ConfigError("an empty word names no folder of runs; give its name, or leave it out")
    if not paths:
        raise ConfigError(
            "nothing to compare; name run folders, sweeps' folders or a folder of those, like outputs/try"
        )
    return paths, [f"{name}={value}" for name, value in settings.items()]


def check_ranges(config: CompareConfig) -> None:
    """Raise ConfigError for the first value outside its range, naming it and what is allowed."""
    if not 0 < config.margin < math.inf:
        raise ConfigError(f"margin={config.margin} is out of range; it must be above 0 (percentage points)")
    if config.split not in ("auto", "val", "test"):
        raise ConfigError(f"split={config.split} is not a choice; choose from auto, val, test")
    if config.images not in ("auto", True, False):
        raise ConfigError(f"images={config.images} is not a choice; choose from auto, true, false")
    if config.curves < 0:
        raise ConfigError(f"curves={config.curves} is out of range; it must be at least 0")
