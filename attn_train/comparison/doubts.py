"""What stands in the way of a verdict, whatever the statistics say: two arms that are one, an arm that is one with its
machine, runs that failed, too few seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scipy import special

from attn_train.comparison.arms import Arm, Seeds, words_of
from attn_train.settings.compare import FIRST_LOOK

# By so much an arm's share of failed runs may exceed the reference's where it is to be called a help, or equivalent.
FAILING = 0.1
LEVEL = 0.95

Kind = Literal["identical", "confounded", "failing", "preliminary"]


@dataclass(frozen=True)
class Doubt:
    """Why some verdicts cannot be given; its kind takes their place."""

    kind: Kind
    words: str
    spares: tuple[str, ...]  # the verdicts that stand all the same


def doubts(arm: Arm, reference: Arm) -> list[Doubt]:
    """Return what stands in the way of a verdict on an arm, the weightiest first."""
    shared = [seeds for seeds in arm.runs if seeds in reference.runs]
    fewest = min(len(arm.runs), len(reference.runs))
    every = [identical(arm, reference, shared), confounded(arm, reference), failing(arm, reference), few(fewest)]
    return [doubt for doubt in every if doubt is not None]


def identical(arm: Arm, reference: Arm, seeds: Sequence[Seeds]) -> Doubt | None:
    """Doubt a mechanism whose runs have the reference's accuracy and loss to the last digit: it cannot be at work."""
    ours, theirs = ([outcome(side.runs[of_run].result) for of_run in seeds] for side in (arm, reference))
    if not seeds or ours != theirs or any(loss is None for _, loss in ours):
        return None
    words = f"the accuracy and loss of {reference.label} in every run; is the mechanism connected?"
    return Doubt("identical", words, spares=())


def outcome(result: dict[str, Any]) -> tuple[int, float | None]:
    return result["correct"], result.get("test_loss")


def confounded(arm: Arm, reference: Arm) -> Doubt | None:
    """Doubt an arm none of whose runs has its device, its versions or its commit in common with a run of the reference:
    a difference may come from either."""
    unlike = surroundings(arm, reference)
    return Doubt("confounded", f"{unlike[0]}: either may be the cause", spares=("undecided",)) if unlike else None


def surroundings(arm: Arm, reference: Arm) -> list[str]:
    """Say in which of device, versions and commit no run of an arm is like one of the reference."""
    found = []
    for key in ("device", "versions", "commit"):
        if words_of(arm.first.result.get(key)) == words_of(reference.first.result.get(key)):
            continue
        ours, theirs = ({words_of(run.result.get(key)) for run in side.runs.values()} for side in (arm, reference))
        if not ours & theirs:
            here, there = ("; ".join(sorted(values)) for values in (ours, theirs))
            found.append(f"{arm.label} has {key} {here}, {reference.label} {there}")
    return found


def failing(arm: Arm, reference: Arm) -> Doubt | None:
    """Doubt an arm whose runs fail, perhaps more often than the reference's by more than FAILING: those that finished
    are the lucky ones. It may still be said to hurt."""
    if not arm.failed:
        return None
    low, _ = exact_interval(reference.failed, reference.started)
    _, high = exact_interval(arm.failed, arm.started)
    if high - low <= FAILING:
        return None
    words = (
        f"{arm.failed} of {arm.started} runs failed, of {reference.label} {reference.failed} of {reference.started}: "
        f"its share of failures may be {100 * (high - low):.0f} points higher, and only what finished is compared"
    )
    return Doubt("failing", words, spares=("undecided", "hurts"))


def few(seeds: int) -> Doubt | None:
    """Doubt a verdict on fewer than FIRST_LOOK seeds."""
    if seeds >= FIRST_LOOK:
        return None
    return Doubt("preliminary", f"no verdict stands on fewer than {FIRST_LOOK} seeds", spares=("undecided",))


def exact_interval(count: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of a share, of which `count` of `total` were seen (Clopper and Pearson, 1934)."""
    tail = (1 - level) / 2
    low = float(special.betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return low, high
