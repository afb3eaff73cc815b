"""How the figures of a comparison came about and how to read them, a sentence or two each."""

import hashlib

from attn_train.comparison.doubts import FAILING
from attn_train.comparison.summary import Summary
from attn_train.comparison.tables import margin
from attn_train.runs.accuracy import WORDS
from attn_train.settings.compare import FIRST_LOOK
from attn_train.statistics.intervals import unseen
from attn_train.statistics.resampling import LEAST_SEEDS


def notes(summary: Summary) -> list[str]:
    """Return how the figures came about, a sentence or two each."""
    sentences = [
        what_is_compared(summary),
        "Difference: of the two means over all runs; runs of the same seed make its error smaller where they vary "
        f"together. {what_holds(summary)}",
        "Verdict: an arm helps or hurts where its interval is above or below 0 (p, adjusted for the number of arms by "
        "Bonferroni, is of a single look). Else it is equivalent where its difference surely lies within "
        f"{margin(summary)}, the margin, and gains less where it surely gains less than that: by one-sided bounds at "
        "96 %, for all arms at once, which stand beside the verdict. With 95 % confidence no verdict is wrong.",
        "Detects: the smallest true difference that so many runs find with 80 % power. How many seeds more is solved "
        "likewise, for the deviation that was seen: a rough guide. Beats it: the chance that one run of the row does "
        "better than one of the other arm's, a tie being half, with a 95 % interval of its own (Newcombe, 2006).",
        failure_note(summary),
        *code_notes(summary),
        f"An interval over seeds is for these {WORDS[summary.split]} images; one over images is for these runs. From "
        f"{LEAST_SEEDS} seeds on a bootstrap over seeds stands beside the t interval; with fewer it is too narrow.",
    ]
    if summary.split == "val":
        sentences.append(
            "Validation images were held out of training to choose by; what is chosen is flattered by them. A claim is "
            "for test images: split=test, once nothing is chosen any more, which can also resample them."
        )
    return sentences


def code_notes(summary: Summary) -> list[str]:
    """Say of each mechanism that is no part of attn-train by what code it was trained."""
    sentences = []
    for arm in summary.arms:
        code = arm.first.arm.get("model.code")
        if code is None:
            continue
        kept = (arm.first.folder / "plugins").glob("*.py")
        files = [path.name for path in kept if hashlib.sha256(path.read_bytes()).hexdigest() == code]
        what = f"{files[0]}, SHA-256 {code}; each run keeps a copy in its folder plugins" if files else code
        sentences.append(f"{arm.label} is no part of attn-train but a person's own code: {what}.")
    return sentences


def image_notes(summary: Summary) -> list[str]:
    """Return how the figures for other test images came about."""
    sentences = [
        "Images like these: the interval for other test images of the same kind and other seeds, at the same level. To "
        "the variance over seeds it adds that of the difference from image to image, over their number.",
        "Std of a run: of its accuracy over seeds, in points; of independent errors: what it would be if each image "
        "were right or wrong by itself, as often as it is. Runs that are trained out vary no more (Jordan, 2023).",
    ]
    if summary.study is not None:
        sentences.append("The study's rule does not judge by other images: its verdicts are for these.")
    return sentences


def place_notes(summary: Summary) -> list[str]:
    """Return how the places of the arms came about."""
    ranking = summary.ranking
    sentences = [
        "Place: the best and the worst that an arm may have, with 95 % confidence for all arms at once, by Tukey's "
        "intervals of all pairs; among arms that share places no order is known. An arm of fewer than "
        f"{FIRST_LOOK} runs, one with failed runs and one that is confounded may have any."
    ]
    if ranking is not None and ranking.league:
        sentences.append(
            "Drawn together: the mean, drawn towards that of all arms as far as it may be chance; nearer to the truth "
            "on average, as the best of many is flattered. It is for a league table: no verdict rests on it."
        )
    if ranking is not None and ranking.screened is not None:
        sentences.append(
            "Screen: by Benjamini and Hochberg's false discovery rate of the arms' differences from "
            f"{summary.baseline.label}; a verdict's confidence is that no arm of the table is wrong."
        )
    if summary.study is not None:
        sentences.append("The study's rule does not judge by places: they are of a single look at all runs.")
    return sentences


def cost_notes(summary: Summary) -> list[str]:
    """Return how the figures of the costs came about."""
    sentences = [
        "A Pareto front is of means. May be chance: not surely better than a cheaper arm on the front, for the "
        "intervals of both against the baseline overlap. An arm beside the front may miss it by chance, too."
    ]
    if summary.benched:
        sentences.append(
            "Time and memory are of the mechanism alone, as attn-bench measured it with the same options on maps and "
            "batches as in training, at the images' full size: a training step, summed over all places where the "
            "network has it, and the largest peak."
        )
    return sentences


def what_is_compared(summary: Summary) -> str:
    """Say what the numbers and their differences are."""
    measure = summary.measure
    if measure.is_accuracy:
        what = f"Accuracy: mean ± standard deviation of one run, at the final epoch, in per cent of {summary.images}. "
    else:
        better = "less is better" if measure.better < 0 else "more is better"
        what = f"The {measure.words}, of which {better}: mean ± standard deviation of one run, at the final epoch. "
    scale = ", compared as ratios" if measure.logarithmic else ""
    return f"{what}Differences are in {measure.differences}{scale}."


def what_holds(summary: Summary) -> str:
    """Say which intervals hold together, and at how many looks."""
    if summary.study is not None:
        rest = " Those against controls are of a single look, and not part of it." if summary.against_controls else ""
        return (
            f"Its interval (Student's t) is that of attn-study's last look: with 95 % confidence all against "
            f"{summary.baseline.label} hold, although the runs were looked at after every seed.{rest}"
        )
    family = len(summary.comparisons) + len(summary.against_controls)
    together = "the only one" if family == 1 else f"for all {family} of this page at once"
    looks = "if the runs are looked at once"
    if summary.max_seeds is not None:
        looks = f"however often they are looked at, up to {summary.max_seeds} seeds, if that was fixed before"
    return f"Its interval (Student's t) is {together}: with 95 % confidence every one holds, {looks}."


def failure_note(summary: Summary) -> str:
    """Say how failed runs count, and what the runs that there are leave possible."""
    fewest = min((len(arm.runs) for arm in summary.arms if not arm.failed), default=0)
    possible = (
        f" Where none of {fewest} runs failed, up to {100 * unseen(fewest):.0f} % of such runs may still "
        "fail or end far off: so few cannot rule that out."
        if fewest
        else ""
    )
    return (
        "Failed: runs that broke off by themselves, as by a loss that is not finite, with the exact 95 % interval of "
        f"their share; no arm helps or is equivalent while that may exceed the other's by {100 * FAILING:.0f} points."
        f"{possible} With fewer than {FIRST_LOOK} seeds every verdict is preliminary."
    )
