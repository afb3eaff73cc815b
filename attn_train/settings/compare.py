"""The settings of attn-compare: their types and checks, and how its words are told apart. The values stand in
conf/compare.yaml."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from attn_train.errors import ConfigError
from attn_train.settings.bounds import PATH, TEXT, Bound, above, at_least, one_of, within

# Before so many seeds there is no verdict: the deviation is not known well enough to mean anything, and what comes out
# significant is mostly exaggerated.
FIRST_LOOK = 5
# More than anyone takes; so far the levels of planned looks are known to be exact.
MOST_LOOKS = 200
MARGIN = above(0, " (in the unit of the metric)")
# The verdicts that a script may expect, each also as not_WORD.
EXPECTED = ("helps", "hurts", "equivalent", "gains_less", "undecided")
# What it may expect of a bound alone: a loss as large as the margin is excluded.
NO_LOSS = "no_loss"
WORDS = (*(word for verdict in EXPECTED for word in (verdict, f"not_{verdict}")), NO_LOSS)


def by_arm(expected: str) -> dict[str | None, str]:
    """Return the words that are expected of the arms that are named; None names all."""
    parts = (part.rpartition(":") for part in expected.split(";"))
    return {arm.strip() if colon else None: word.strip() for arm, colon, word in parts}


EXPECTATION = Bound(
    lambda value: set(by_arm(value).values()) <= set(WORDS),
    f"{', '.join(WORDS)}, or one of these by arm, like gated:helps;se:not_hurts",
    choices=True,
)


@dataclass
class CompareSettings:
    metric: Annotated[str | None, TEXT]
    margin: Annotated[float | None, MARGIN]
    baseline: Annotated[str | None, TEXT]
    max_seeds: Annotated[int | None, within(FIRST_LOOK, MOST_LOOKS, " (planned looks), or null for a single look")]
    combine: Annotated[str | None, one_of("recipes", "studies")]
    against: Annotated[str | None, PATH]
    bench: Annotated[str | None, PATH]
    split: Annotated[str, one_of("auto", "val", "test")]
    images: Annotated[Any, one_of("auto", True, False)]
    curves: Annotated[int, at_least(0)]
    output: Annotated[str | None, PATH]
    expect: Annotated[str | None, EXPECTATION, TEXT]
    format: Annotated[str, one_of("text", "markdown", "latex", "csv", "json")]


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the paths among the words of a command line, and its settings as overrides; raise ConfigError for a word
    that is neither."""
    names = [field.name for field in fields(CompareSettings)]
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
