"""report.html: one page that opens from a file, with no network, no script and nothing in it that was not escaped."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from attn_train.comparison import calibrated, chart, corrupted, diagram, notes, tables
from attn_train.comparison.analysis import Comparison
from attn_train.comparison.arms import Arm, show
from attn_train.comparison.curves import shown
from attn_train.comparison.measures import Measure
from attn_train.comparison.report import NEW_IMAGES, SHOWN_RUNS
from attn_train.comparison.sentences import method, ranked, sentences
from attn_train.comparison.summary import COSTS, Summary
from attn_train.writing.text import printable

TEMPLATES = Path(__file__).parent
# Arms in one picture: with more, lines cannot be told apart, and a forest has no end.
MOST_CURVES = 7
MOST_EFFECTS = 200


def template(name: str) -> jinja2.Template:
    """Return the template of a page, in which everything is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        finalize=plain,
    )
    return environment.get_template(name)


def html(summary: Summary) -> str:
    """Return the page."""
    first = summary.baseline.first.result
    count = sum(len(arm.runs) for arm in summary.arms)
    controls = tables.control_verdicts(summary) if summary.against_controls else []
    resampled, new_images = tables.resampled(summary), tables.new_images(summary)
    calibration = calibrated.table(summary)
    said, rest = sentences(summary)
    return template("page.html").render(
        summary=summary,
        sentences=said,
        sentences_left=rest,
        method=method(summary),
        margin=tables.margin(summary),
        dots=chart.MOST_DOTS if any(len(arm.runs) > chart.MOST_DOTS for arm in summary.arms) else 0,
        has_later=any(len(comparison.seeds) < len(comparison.arm.runs) for comparison in summary.comparisons),
        about=", ".join([*about(first), summary.images, f"{count} runs"]),
        lists=[(title, lines) for title, lines in tables.lists(summary) if lines],
        forest=forest(summary.comparisons, summary, f"Difference from {summary.reference_words}"),
        control_forest=forest(summary.against_controls, summary, "Difference from a network of the same cost"),
        verdicts=tables.verdicts(summary),
        controls=controls,
        costs=tables.costs(summary) if summary.has_costs else [],
        ranked=ranked(summary),
        places=tables.places(summary),
        place_notes=notes.place_notes(summary),
        cost_charts=cost_charts(summary),
        curve_charts=curve_charts(summary),
        calibration_charts=calibration_charts(summary),
        calibration=calibration if len(calibration) > 1 else [],
        calibration_title=calibrated.TITLE,
        calibration_notes=calibrated.notes(summary),
        corrupted=corrupted.table(summary) if summary.corrupted else [],
        corrupted_effects=corrupted.effects(summary),
        corrupted_title=corrupted.TITLE,
        corrupted_notes=corrupted.notes(summary),
        legend=[(arm.label, colour(summary, arm)) for arm in summary.arms],
        new_images=new_images if len(new_images) > 1 else [],
        new_images_title=NEW_IMAGES,
        image_notes=notes.image_notes(summary),
        resampled=resampled if len(resampled) > 1 else [],
        notes=notes.notes(summary),
        cost_notes=notes.cost_notes(summary),
        runs=tables.run_rows(summary, SHOWN_RUNS),
        runs_left=max(0, count - SHOWN_RUNS),
        recipe=[(key, show(value)) for key, value in summary.recipe.items()],
        arms=[(arm.label, settings(arm)) for arm in summary.arms],
        commands=[command for command in summary.commands.values() if command],
    )


def about(result: Mapping[str, Any]) -> list[str]:
    """Say what a run was trained on, as far as its result tells."""
    said = [("{}", "dataset"), ("backbone {}", "backbone"), ("{} epochs", "epochs")]
    return [words.format(result[key]) for words, key in said if result.get(key) is not None]


def plain(value: Any) -> Any:
    """Return a value of the page without characters that are none of its words; what is drawn is markup already."""
    return printable(value) if type(value) is str else value


def settings(arm: Arm) -> str:
    return ", ".join(f"{key}={show(value)}" for key, value in arm.first.arm.items())


def colour(summary: Summary, arm: Arm) -> int:
    """Return the number of an arm's colour: 0 for the baseline, and none of the others that stand in one picture have
    the same."""
    place = summary.arms.index(arm)
    return 0 if place == 0 else 1 + (place - 1) % MOST_CURVES


def forest(comparisons: list[Comparison], summary: Summary, title: str) -> Markup:
    """Draw comparisons, below the baseline's own runs where all are with it; those beyond MOST_EFFECTS are in the table
    only."""
    effects = [effect(comparison) for comparison in comparisons[:MOST_EFFECTS]]
    if not effects:
        return Markup("")
    if all(comparison.reference is summary.baseline for comparison in comparisons):
        effects.insert(0, baseline_row(summary))
    return chart.forest(effects, summary.margin, title, summary.measure.differences)


def effect(comparison: Comparison) -> chart.Effect:
    """Return the row of a comparison: its runs are shown as differences from the mean that it is compared with."""
    label, arm, reference = comparison.arm.label, comparison.arm, comparison.reference
    if not reference.is_plain and not comparison.beside:  # which names it, as the picture's title does
        label = f"{label} against {reference.label}"
    mean, low, high = tables.ends(comparison)
    words = f"{tables.difference(comparison)}, {comparison.words.split(':')[0].split(' (')[0]}"
    base = comparison.numbers[1]
    counted = away(comparison.numbers[0], base, comparison.measure)
    counts = set(comparison.seeds)
    later = away(arm.over([seeds for seeds in arm.runs if seeds not in counts]), base, comparison.measure)
    return chart.Effect(label, mean, low, high, comparison.verdict, words, counted, later)


def baseline_row(summary: Summary) -> chart.Effect:
    runs = away(summary.baseline.values, summary.baseline.values, summary.measure)
    words = f"its own {len(runs)} runs, about their mean"
    return chart.Effect(summary.baseline.label, 0.0, 0.0, 0.0, chart.BASELINE, words, runs)


def away(values: Sequence[float], base: Sequence[float], measure: Measure) -> list[float]:
    """Return how far numbers are from the mean of `base`, as a reader gets it."""
    mean = statistics.fmean(map(measure.scaled, base))
    return [measure.shown(measure.scaled(value) - mean) for value in values]


def cost_charts(summary: Summary) -> list[tuple[str, Markup]]:
    """Draw accuracy against each cost that is known of several arms and differs; another measure is not drawn so."""
    charts: list[tuple[str, Markup]] = []
    if not summary.measure.is_accuracy:
        return charts
    titles = tables.cost_titles(summary)
    units = {"parameters": 1e6, "macs": 1e6, "seconds": 1e-3 if summary.benched else 1.0, "bytes": 1e6}
    names = {"parameters": "parameters, millions", "macs": "multiply-adds an image, millions"}
    for kind in COSTS:
        spots = []
        for arm in summary.arms:
            cost, at = getattr(summary.costs[arm.label], kind), summary.means.get(arm.label)
            if cost is not None and at is not None:
                compared = summary.of(arm)
                known = compared is not None and math.isfinite(compared.difference.high)
                error = compared.difference.high - compared.difference.mean if compared is not None and known else 0.0
                on_front = arm.label in summary.fronts[kind]
                spots.append(chart.Spot(arm.label, colour(summary, arm), cost / units[kind], at, error, on_front))
        if len({spot.cost for spot in spots}) > 1:
            title = f"Accuracy against {titles[kind]}"
            drawn = chart.scatter(spots, names.get(kind, titles[kind]), title)
            charts.append((title, drawn))
    return charts


def pictured(summary: Summary) -> Iterator[list[Arm]]:
    """Yield so many arms as can be told apart in a picture, each time with the baseline."""
    others = summary.arms[1 : 1 + MOST_EFFECTS]
    for start in range(0, len(others), MOST_CURVES):
        yield [summary.baseline, *others[start : start + MOST_CURVES]]


def curve_charts(summary: Summary) -> list[tuple[str, Markup, list[tuple[str, int]]]]:
    """Draw learning curves, each picture with its legend."""
    charts = []
    for arms in pictured(summary):
        series: list[Any] = []
        tags = set()
        for arm in arms:
            tag, points = shown(summary.curves[arm.label], summary.split)
            if points:
                series.append((arm.label, colour(summary, arm), points))
                tags.add(tag)
        if series:
            what = "validation" if tags == {"accuracy/val"} else "test"
            title = f"Accuracy on {what} images, per cent, at the end of an epoch"
            charts.append((title, chart.curves(series, title), [(label, number) for label, number, _ in series]))
    return charts


def calibration_charts(summary: Summary) -> list[tuple[str, Markup, list[tuple[str, int]]]]:
    """Draw reliability diagrams of the arms whose predictions were read, each with its legend."""
    charts = []
    for arms in pictured(summary):
        of_arms = [arm for arm in arms if arm.label in summary.calibrations]
        series = [
            (arm.label, colour(summary, arm), calibrated.pooled(summary.calibrations[arm.label])) for arm in of_arms
        ]
        if series:
            title = "Accuracy by confidence, of test images"
            charts.append((title, diagram.reliability(series, title), [(label, number) for label, number, _ in series]))
    return charts
