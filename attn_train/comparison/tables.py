"""The tables of a comparison, cell by cell as words: the same in every form of the report."""

import math
from itertools import islice

from attn_train.comparison.analysis import Comparison
from attn_train.comparison.arms import Arm
from attn_train.comparison.cost import Cost
from attn_train.comparison.doubts import exact_interval
from attn_train.comparison.measures import ACCURACY, Measure
from attn_train.comparison.summary import Summary
from attn_train.runs.accuracy import mean_and_std
from attn_train.runs.finished import Run

Table = list[list[str]]

STANDARD_DEVIATIONS = ("std of a run", "of independent errors")
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
    difference, shown = comparison.difference, comparison.measure.shown
    return shown(difference.mean), shown(difference.low), shown(difference.high)


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


def chance(comparison: Comparison) -> str:
    """Return how often a run beats one of the other arm, with its interval."""
    low, high = comparison.chance_interval
    return f"{100 * comparison.chance:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


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
        chance(comparison),
        comparison.words,
    ]


def head(summary: Summary) -> list[str]:
    failed = ["failed"] if summary.has_failures else []
    unit = " in %" if summary.measure.logarithmic else ""
    measured = [summary.measure.words, "against", f"difference{unit} [interval]"]
    return ["runs", *failed, *measured, "p (adjusted)", "detects", "beats it", "verdict"]


def verdicts(summary: Summary) -> Table:
    """Return the table of the arms against the baseline."""
    rows = [["arm", *head(summary)]]
    for base in summary.references:
        own = spread(base.values, summary.measure.digits)
        cells = [str(len(base.runs)), *failures(summary, base), own, *[""] * 5]
        rows.append([base.label, *cells, "what others are held against"])
    rows += [[comparison.arm.label, *verdict_row(summary, comparison)] for comparison in summary.comparisons]
    for arm in summary.arms:
        if summary.of(arm) is None and arm not in summary.references:
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


def places(summary: Summary) -> Table:
    """Return the places that the arms may have, the best first, with a league table where they are many; or a head
    without rows."""
    ranking, digits = summary.ranking, summary.measure.digits
    league = ["drawn together"] if ranking is not None and ranking.league else []
    rows = [["arm", "place", summary.measure.words, *league]]
    values = {arm.label: arm.values for arm in summary.arms}
    for label, (best, worst) in ranking.places.items() if ranking is not None else ():
        place = f"{best} to {worst} of {len(values)}" if best < worst else f"{best} of {len(values)}"
        drawn = ranking.league.get(label) if ranking is not None else None
        shown = "-" if drawn is None else f"{drawn:,.{digits}f}"
        rows.append([label, place, spread(values[label], digits), *([shown] if league else [])])
    return rows


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


def by_chance(summary: Summary, arm: Arm, kind: str) -> str:
    return " (may be chance)" if arm.label in summary.fronts_by_chance[kind] else ""


def costs(summary: Summary) -> Table:
    titles = cost_titles(summary)
    rows = [["arm", *titles.values(), "on the Pareto front of accuracy and"]]
    for arm in summary.arms:
        on = ", ".join(f"{titles[kind]}{by_chance(summary, arm, kind)}" for kind in summary.on_front(arm))
        rows.append([arm.label, *cost_row(summary.costs[arm.label], summary.benched), on or "-"])
    return rows


def resampled(summary: Summary) -> Table:
    """Return what bootstraps and McNemar's test add, or a head without rows."""
    rows = [["arm", "against", "what", "result"]]
    for comparison in [*summary.comparisons, *summary.against_controls]:
        names = [comparison.arm.label, comparison.reference.label]
        for what, over in (("seeds", comparison.over_seeds), ("test images, these runs", comparison.over_images)):
            if over is not None:
                low, high = comparison.measure.shown(over.low), comparison.measure.shown(over.high)
                covers = f"covers {100 * over.coverage:.0f} % in simulation"
                shown = interval(low, high, comparison.measure.places)
                rows.append([*names, f"bootstrap over {what}", f"{shown}, {covers}"])
        if (test := comparison.mcnemar) is not None:
            counts = f"{test.only_ours} images right only here, {test.only_theirs} only there"
            rows.append(
                [*names, "McNemar's test of two single runs", f"{counts}: p {p_value(test.p_value)}; {TWO_RUNS}"]
            )
    return rows


def new_images(summary: Summary) -> Table:
    """Return what the predictions say of other test images: of each comparison the interval for them, of each arm how
    its runs deviate; or a head without rows."""
    rows = [["arm", "against", "these images", "images like these", *STANDARD_DEVIATIONS]]
    compared = {comparison.arm.label for comparison in summary.comparisons}
    alone = [arm.label for arm in summary.arms if arm.label not in compared and arm.label in summary.deviations]
    rows += [[label, *[""] * 3, *standard_deviations(summary, label)] for label in alone]
    for family, repeated in ((summary.comparisons, False), (summary.against_controls, True)):
        for comparison in family:
            if (held := comparison.new_images) is not None:
                label = comparison.arm.label
                wider = f"{signed(held.mean)} {interval(held.low, held.high)}"
                deviations = ["", ""] if repeated else standard_deviations(summary, label)
                rows.append([label, comparison.reference.label, difference(comparison), wider, *deviations])
    return rows


def standard_deviations(summary: Summary, label: str) -> list[str]:
    """Return the standard deviation of an arm's runs, and that of runs whose errors are independent."""
    deviation = summary.deviations.get(label)
    return ["-", "-"] if deviation is None else [f"{deviation.seen:.2f}", f"{deviation.independent:.2f}"]


def margin(summary: Summary) -> str:
    return summary.measure.amount(summary.margin)


def lists(summary: Summary) -> list[tuple[str, list[str]]]:
    """Return what a reader must not overlook: what was left out, and warnings, each with its title."""
    everything = len(summary.left_out) + sum(len(arm.runs) for arm in summary.arms)
    out = [f"{run.folder}: {run.reason}" for run in summary.left_out]
    return [(f"LEFT OUT: {len(out)} of {everything} runs", out), ("Warnings", summary.warnings)]


def run_rows(summary: Summary, most: int) -> Table:
    """Return the list of the runs that were used, up to so many."""
    tested = ["test loss"] if summary.measure is ACCURACY else []
    rows = [["arm", "seed", summary.measure.words, *tested, "training s", "device", "folder"]]
    runs = ((arm, run) for arm in summary.arms for run in arm.runs.values())
    rows += [[arm.label, *run_words(run, summary.measure)] for arm, run in islice(runs, most)]
    return rows


def run_words(run: Run, measure: Measure) -> list[str]:
    seeds = [str(run.seeds[0])] if len(set(run.seeds)) == 1 else list(map(str, run.seeds))
    loss, seconds = run.result.get("test_loss"), run.result.get("train_seconds")
    tested = ["-" if loss is None else f"{loss:.4f}"] if measure is ACCURACY else []
    cells = [" ".join(seeds), f"{run.value:,.{measure.digits}f}", *tested, short(seconds)]
    return [*cells, f"{run.result.get('device')}, {run.result['precision']}", str(run.folder)]
