"""The settings of attn-study: their types and bounds. The values stand in conf/study.yaml."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from attn_train.settings.bounds import PATHS, TEXT, TEXTS, Bound, above, at_least, from_to_below, within
from attn_train.settings.compare import FIRST_LOOK, MARGIN, MOST_LOOKS

# Studies with another one are judged otherwise, and cannot be gone on with.
RULE = 2
# From so many arms on it pays to run the baseline, which all of them need, more often than each of them.
SHARED = 3

# Percentage points of accuracy; of a network far too small to be of use.
DEMONSTRATION_MARGIN = 1.0

NAME = Bound(
    lambda value: re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", value) is not None,
    "the name of a folder, of letters, digits, '.', '_' and '-'",
)


@dataclass
class BudgetSettings:
    minutes: Annotated[float | None, above(0, ", or null for no limit")]
    runs: Annotated[int | None, at_least(1, ", or null for no limit")]


@dataclass
class StudySettings:
    arms: Any  # a list of names and sections
    recipe: Annotated[Any, TEXTS]  # a list of words of attn-train
    baseline: Annotated[str, TEXT]
    metric: Annotated[str, TEXT]
    margin: Annotated[float | None, MARGIN]
    max_seeds: Annotated[int, within(FIRST_LOOK, MOST_LOOKS, f" (no verdict comes before {FIRST_LOOK})")]
    baseline_seeds: Annotated[int | None, at_least(FIRST_LOOK, ", or null: as many as pay")]
    first_seed: Annotated[int, from_to_below(0, 2**62)]
    budget: BudgetSettings
    plugins: Annotated[list[str], PATHS]
    sweep: Annotated[str | None, NAME, TEXT]
