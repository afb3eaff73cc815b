"""What a person wants first: a sentence for each arm, and what the figures in it rest on. The same in every form of the
report."""

from collections.abc import Sequence
from dataclasses import dataclass

from attn_train.comparison.analysis import Comparison
from attn_train.comparison.measures import Measure
from attn_train.comparison.ranking import FALSE_ALARMS
from attn_train.comparison.summary import Summary
from attn_train.comparison.tables import difference, ends, margin, short, signed
from attn_train.runs.accuracy import Split

# More sentences are not read in a minute.
MOST_SENTENCES = 10


@dataclass(frozen=True)
class Sentence:
    """What is said of one arm: `claim` stands before the colon, `figures` after it."""

    verdict: str
    claim: str
    figures: str

    def __str__(self) -> str:
        return f"{self.claim}: {self.figures}"


def sentences(summary: Summary) -> tuple[list[Sentence], str]:
    """Return the sentences of at most MOST_SENTENCES arms, and how many others the table has.

    They stand as in the table; where there are too many, the arms that have their verdict come first.
    """
    comparisons = summary.comparisons
    if len(comparisons) > MOST_SENTENCES:
        comparisons = sorted(comparisons, key=lambda comparison: not is_decided(comparison))
    chosen, others = comparisons[:MOST_SENTENCES], comparisons[MOST_SENTENCES:]
    decided = sum(map(is_decided, others))
    rest = f"and {len(others)} more in the table, {decided} of them decided" if others else ""
    return [sentence(comparison, time_cost(summary, comparison)) for comparison in chosen], rest


def is_decided(comparison: Comparison) -> bool:
    return comparison.doubt is None and comparison.statistical != "undecided"


def sentence(comparison: Comparison, cost: str) -> Sentence:
    """Return the sentence of an arm; `cost` says what it costs, or nothing where that is not known."""
    claim, reason = spoken(comparison)
    figures = f"{difference(comparison)} {what(comparison.measure)}"
    figures = ", ".join(filter(None, [figures, cost]))
    rest = "; ".join(filter(None, [figures, reason, comparison.beside]))
    return Sentence(comparison.verdict, f"{comparison.arm.label} {claim}", rest)


def spoken(comparison: Comparison) -> tuple[str, str]:
    """Return the verdict as a verb, and what is worth knowing beside it."""
    verdict, words = comparison.verdict, comparison.words
    _, _, reason = words.partition(": ")
    if verdict == "identical":
        return f"is identical to {comparison.reference.label}", reason
    if comparison.doubt is not None:
        return f"has no verdict ({verdict})", reason
    if verdict == "undecided":
        return "is undecided", reason
    return ("neither helps nor hurts", words) if verdict == "equivalent" else (words, "")


def what(measure: Measure) -> str:
    """Say what a difference is in, and its direction where that is not the usual one."""
    fewer = " (less is better)" if measure.better < 0 else ""
    return f"{measure.unit} in {measure.words}{fewer}".lstrip()


def time_cost(summary: Summary, comparison: Comparison) -> str:
    """Say what an arm costs in time beside the other; nothing where that is not known, or is itself compared."""
    ours, base = (summary.costs[side.label].seconds for side in (comparison.arm, comparison.reference))
    if ours is None or base is None or summary.measure.key == "train_seconds":
        return ""
    if base > 0:
        time = "attention time by attn-bench" if summary.benched else "training time"
        return f"cost {round(100 * (ours / base - 1)):+,d} % {time}"
    # Without attention there is no time of it to be a share of.
    return f"cost {short(ours, 1e-3)} ms of attention a step by attn-bench" if summary.benched else ""


def ranked(summary: Summary) -> list[str]:
    """Say which of many arms may be the best, and which a screen lists."""
    ranking, count = summary.ranking, len(summary.arms)
    if ranking is None:
        return []
    best = ", ".join(ranking.best) if len(ranking.best) < count else f"any of the {count} arms"
    said = [f"May be the best: {best}."]
    if ranking.screened is not None:
        said.append(screened([each for each in summary.comparisons if each.arm.label in ranking.screened], summary))
    return said


def screened(comparisons: Sequence[Comparison], summary: Summary) -> str:
    """Say which arms a screen lists, with their differences."""
    listed = [f"{each.arm.label} ({signed(ends(each)[0], each.measure.places)})" for each in comparisons]
    if not listed:
        return f"A screen, not verdicts: no arm stands out from {summary.baseline.label}."
    return (
        f"A screen, not verdicts: from {summary.baseline.label} stand out {', '.join(listed)}. Of those listed about "
        f"{100 * FALSE_ALARMS:.0f} % are false alarms: give them more seeds."
    )


def method(summary: Summary) -> list[str]:
    """Say what the figures of the sentences rest on: method, runs, correction, margin, images."""
    comparisons = summary.comparisons
    runs = span([len(comparison.seeds) for comparison in comparisons])
    base_runs = span([len(comparison.reference_seeds) for comparison in comparisons])
    family = len(comparisons) + (0 if summary.study is not None else len(summary.against_controls))
    together = f" for all {family} differences at once" if family > 1 else ""
    if summary.study is not None:
        interval = f"as attn-study computes it{together}, valid although the runs were looked at after every seed"
    else:
        looks = "one look at the runs" if summary.max_seeds is None else f"all looks up to {summary.max_seeds} seeds"
        interval = f"by Student's t{together}{' (Bonferroni)' if together else ''}, for {looks}"
    return [
        f"Difference: the mean of an arm's runs ({runs}) less that of {summary.reference_words} ({base_runs}); in "
        f"brackets its 95 % confidence interval, {interval}.",
        f"Margin: a difference that surely lies within {margin(summary)} counts as none.",
        images(summary.split, summary.images),
    ]


def images(split: Split, what: str) -> str:
    """Say by which images the arms are judged, `what` in words, and which are there to choose by."""
    judged = f"Judged by the final epoch of each run on {what}"
    if split == "val":
        return f"{judged}, which are there to choose by; a claim is for test images (split=test)."
    return f"{judged}; whoever chooses by them flatters what is chosen: hold images out for that (dataset.val_size)."


def span(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return f"n = {low}" if low == high else f"n = {low} to {high}"
