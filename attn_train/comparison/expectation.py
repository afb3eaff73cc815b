"""What a script expects of a comparison: a verdict of every arm, or of those it names."""

from collections.abc import Sequence

from attn_train.comparison.analysis import Comparison, towards
from attn_train.errors import ConfigError, ExpectationError
from attn_train.settings.compare import EXPECTED, NO_LOSS, by_arm
from attn_train.writing.text import printable


def wanted(comparisons: Sequence[Comparison], expected: str | None) -> list[tuple[Comparison, str]]:
    """Return each comparison that something is expected of, with the word (see settings.compare); raise ConfigError for
    an arm that is not compared."""
    if expected is None:
        return []
    compared = {comparison.arm.label: comparison for comparison in comparisons}
    every = []
    for arm, word in by_arm(expected).items():
        if arm is not None and arm not in compared:
            choices = ", ".join(compared)
            raise ConfigError(f"expect={expected} names {arm}, which is not compared; choose from {choices}")
        every += [(compared[label], word) for label in (compared if arm is None else [arm])]
    return every


def check(every: Sequence[tuple[Comparison, str]]) -> None:
    """Raise ExpectationError for the first verdict that is another than expected. What takes the place of a verdict,
    like `confounded`, meets no expectation."""
    for comparison, word in every:
        if not meets(comparison, word):
            raise ExpectationError(printable(f"expect={word}, but {comparison.arm.label}: {comparison.words}"))


def meets(comparison: Comparison, word: str) -> bool:
    """Say whether a verdict is the `word`, or, of not_WORD, a verdict and not that word; of no_loss, whether the bound
    on what is lost is within the margin."""
    verdict, measure = comparison.verdict.replace(" ", "_"), comparison.measure
    if word == NO_LOSS:
        lost = -towards(comparison.difference, measure).least
        is_bounded = verdict in EXPECTED and lost < measure.scaled_margin(comparison.margin)
        return is_bounded or verdict in ("helps", "equivalent")
    if word.startswith("not_"):
        return verdict in EXPECTED and verdict != word.removeprefix("not_")
    return verdict == word
