"""The tables of a comparison, cell by cell as words, and the notes under them: the same in every form of the report."""

import math

from attn_train.comparison.analysis import Comparison
from attn_train.comparison.arms import Arm
from attn_train.comparison.cost import Cost
from attn_train.comparison.doubts import FAILING, exact_interval
from attn_train.comparison.measures import ACCURACY, Measure
from attn_train.comparison.summary import Summary
from attn_train.runs.accuracy import WORDS, mean_and_std
from attn_train.runs.finished import Run
from attn_train.settings.compare import FIRST_LOOK
from attn_train.statistics.intervals import unseen
from attn_train.statistics.resampling import LEAST_SEEDS

Table = list[list[str]]

TWO_RUNS = "it is about these two networks: two seeds of one arm differ as often"


def signed(value: float, places: int = 2) -> str:
    return "-" if not math.isfinite(value) else f"{value:+.{places}f}"


def short(value: float | None, unit: float = 1.0) -> str:
    """Return `value` in units of `unit` with three digits that count."""
    if value is None:
        return "-"
    scaled = value / unit
    if scaled == 0 or abs(scaled) >= 100:
        return f"{scaled:,.0f}"
    return f"{scaled:.3g}"


def spread(values: list[float], digits: int) -> str:
    """Return the mean over runs and the standard deviation of one."""
    mean, std = mean_and_std(values)
    return f"{mean:,.{digits}f}" if std is None else f"{mean:,.{digits}f} ± {std:,.{digits}f}"


def interval(low: float, high: float, places: int = 2) -> str:
    return f"[{signed(low, places)}, {signed(high, places)}]" if math.isfinite(low) else "[not known]"


def ends(comparison: Comparison) -> tuple[float, float, float]:
    """Return the mean of a difference and the ends of its interval, as a reader gets them."""
    found, shown = comparison.difference, comparison.measure.shown
    return shown(found.mean), shown(found.low), shown(found.high)


def difference(comparison: Comparison) -> str:
    """Return a difference with its interval."""
    (mean, low, high), places = ends(comparison), comparison.measure.places
    return f"{signed(mean, places)} {interval(low, high, places)}"


def p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def failures(summary: Summary, arm: Arm) -> list[str]:
    """Return how many of the runs that ended failed, with the interval of that share; nothing where none did in any
    arm."""
    low, high = exact_interval(arm.failed, arm.started)
    return [f"{arm.failed} of {arm.started} [{100 * low:.0f}, {100 * high:.0f} %]"] if summary.has_failures else []


def verdict_row(summary: Summary, comparison: Comparison) -> list[str]:
    seeds, runs = comparison.difference.n, len(comparison.arm.runs)
    ours, theirs = comparison.numbers
    digits = comparison.measure.digits
    return [
        str(seeds) if seeds == runs else f"{seeds} of {runs}",
        *failures(summary, comparison.arm),
        spread(ours, digits),
        spread(theirs, digits),
        difference(comparison),
        p_value(comparison.p_value),
        "-" if math.isinf(comparison.detectable) else short(comparison.detectable),
        f"{100 * comparison.chance:.0f} %",
        comparison.words,
    ]


def head(summary: Summary) -> list[str]:
    failed = ["failed"] if summary.has_failures else []
    unit = " in %" if summary.measure.logarithmic else ""
    measured = [summary.measure.words, "against", f"difference{unit} [interval]"]
    return ["runs", *failed, *measured, "p (adjusted)", "detects", "beats it", "verdict"]


def verdicts(summary: Summary) -> Table:
    """Return the table of the arms against the baseline."""
    base = summary.baseline
    rows = [
        ["arm", *head(summary)],
        [
            base.label,
            str(len(base.runs)),
            *failures(summary, base),
            spread(base.values, summary.measure.digits),
            *[""] * 5,
            "what others are held against",
        ],
    ]
    rows += [[comparison.arm.label, *verdict_row(summary, comparison)] for comparison in summary.comparisons]
    for arm in summary.arms[1:]:
        if summary.of(arm) is None:
            own = spread(arm.values, summary.measure.digits)
            cells = [str(len(arm.runs)), *failures(summary, arm), own, *[""] * 5]
            rows.append([arm.label, *cells, "a control, which its mechanism is held against"])
    return rows


def control_verdicts(summary: Summary) -> Table:
    """Return the table of mechanisms against the plain networks that were made as expensive."""
    rows = [
        [comparison.arm.label, comparison.reference.label, *verdict_row(summary, comparison)]
        for comparison in summary.against_controls
    ]
    return [["mechanism", "its control", *head(summary)], *rows]


def cost_titles(summary: Summary) -> dict[str, str]:
    attention = "attention " if summary.benched else ""
    return {
        "parameters": "parameters",
        "macs": "multiply-adds",
        "seconds": f"{attention}ms a step" if summary.benched else "training s",
        "bytes": f"{attention}MB" if summary.benched else "peak MB",
    }


def cost_row(cost: Cost, benched: bool) -> list[str]:
    return [
        "-" if cost.parameters is None else f"{cost.parameters:,}",
        "-" if cost.macs is None else f"{cost.macs:,}",
        short(cost.seconds, 1e-3 if benched else 1.0),
        short(cost.bytes, 1e6),
    ]


def costs(summary: Summary) -> Table:
    titles = cost_titles(summary)
    rows = [["arm", *titles.values(), "on the Pareto front of accuracy and"]]
    for arm in summary.arms:
        on = ", ".join(titles[kind] for kind in summary.on_front(arm))
        rows.append([arm.label, *cost_row(summary.costs[arm.label], summary.benched), on or "-"])
    return rows


def resampled(summary: Summary) -> Table:
    """Return what bootstraps and McNemar's test add, or a head without rows."""
    rows = [["arm", "against", "what", "result"]]
    for comparison in [*summary.comparisons, *summary.against_controls]:
        names = [comparison.arm.label, comparison.reference.label]
        for what, found in (("seeds", comparison.over_seeds), ("test images, these runs", comparison.over_images)):
            if found is not None:
                low, high = comparison.measure.shown(found.low), comparison.measure.shown(found.high)
                covers = f"covers {100 * found.coverage:.0f} % in simulation"
                shown = interval(low, high, comparison.measure.places)
                rows.append([*names, f"bootstrap over {what}", f"{shown}, {covers}"])
        if (test := comparison.mcnemar) is not None:
            counts = f"{test.only_ours} images right only here, {test.only_theirs} only there"
            rows.append(
                [*names, "McNemar's test of two single runs", f"{counts}: p {p_value(test.p_value)}; {TWO_RUNS}"]
            )
    return rows


def margin(summary: Summary) -> str:
    return f"{summary.margin:g} {summary.measure.unit}".rstrip()


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
        "better than one of the other arm's; a tie is half.",
        failure_note(summary),
        f"An interval over seeds is for these {WORDS[summary.split]} images; one over images is for these runs. From "
        f"{LEAST_SEEDS} seeds on a bootstrap over seeds stands beside the t interval; with fewer it is too narrow.",
    ]
    if summary.split == "val":
        sentences.append(
            "Validation images were held out of training to choose by; what is chosen is flattered by them. A claim is "
            "for test images: split=test, once nothing is chosen any more, which can also resample them."
        )
    return sentences


def cost_notes(summary: Summary) -> list[str]:
    """Return how the figures of the costs came about."""
    sentences = ["A Pareto front is of means. Arms that are equivalent may stand on either side of it by chance."]
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
    if measure.factor == 100:
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


def lists(summary: Summary) -> list[tuple[str, list[str]]]:
    """Return what a reader must not overlook: what was left out, and warnings, each with its title."""
    everything = len(summary.left_out) + sum(len(arm.runs) for arm in summary.arms)
    out = [f"{run.folder}: {run.reason}" for run in summary.left_out]
    return [(f"LEFT OUT: {len(out)} of {everything} runs", out), ("Warnings", summary.warnings)]


def run_rows(summary: Summary) -> Table:
    """Return the list of all runs that were used."""
    tested = ["test loss"] if summary.measure is ACCURACY else []
    rows = [["arm", "seed", summary.measure.words, *tested, "training s", "device", "folder"]]
    for arm in summary.arms:
        rows += [[arm.label, *run_words(run, summary.measure)] for run in arm.runs.values()]
    return rows


def run_words(run: Run, measure: Measure) -> list[str]:
    seeds = [str(run.seeds[0])] if len(set(run.seeds)) == 1 else list(map(str, run.seeds))
    loss, seconds = run.result.get("test_loss"), run.result.get("train_seconds")
    tested = ["-" if loss is None else f"{loss:.4f}"] if measure is ACCURACY else []
    cells = [" ".join(seeds), f"{run.value:,.{measure.digits}f}", *tested, short(seconds)]
    return [*cells, f"{run.result.get('device')}, {run.result['precision']}", str(run.folder)]
