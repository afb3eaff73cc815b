"""The settings of attn-study: their types, and the checks that need no torch. The values stand in conf/study.yaml."""

import math
import re
from dataclasses import dataclass
from typing import Any

from attn_train.errors import ConfigError

# Before this many seeds there is no verdict: the deviation is not known well enough to mean anything.
FIRST_LOOK = 5
# More looks than anyone takes; so far the boundaries are known to be exact.
MOST_SEEDS = 200


@dataclass
class BudgetConfig:
    minutes: float | None
    runs: int | None


@dataclass
class StudyConfig:
    arms: Any  # a list of names and sections
    recipe: Any  # a list of words of attn-train
    baseline: str
    margin: float
    max_seeds: int
    first_seed: int
    budget: BudgetConfig
    sweep: str | None


def check_ranges(config: StudyConfig) -> None:
    """Raise ConfigError for the first value outside its range, naming it and what is allowed."""
    if not 0 < config.margin < math.inf:
        raise ConfigError(f"margin={config.margin} is out of range; it must be above 0 (percentage points)")
    if not FIRST_LOOK <= config.max_seeds <= MOST_SEEDS:
        raise ConfigError(
            f"max_seeds={config.max_seeds} is out of range; it must be {FIRST_LOOK} (no verdict comes before) to "
            f"{MOST_SEEDS}"
        )
    if not 0 <= config.first_seed < 2**62:
        raise ConfigError(f"first_seed={config.first_seed} is out of range; it must be at least 0 and below 2^62")
    minutes, runs = config.budget.minutes, config.budget.runs
    if minutes is not None and not 0 < minutes < math.inf:
        raise ConfigError(f"budget.minutes={minutes} is out of range; it must be above 0, or null for no limit")
    if runs is not None and runs < 1:
        raise ConfigError(f"budget.runs={runs} is out of range; it must be at least 1, or null for no limit")
    if config.sweep is not None and not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", config.sweep):
        raise ConfigError(f"sweep={config.sweep} is no name of a folder; use letters, digits, '.', '_' and '-'")
