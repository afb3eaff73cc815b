"""Pictures for a page, drawn by Matplotlib as SVG: their colours are the page's own, light or dark."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from attn_train.comparison.curves import Point
from attn_train.writing.drawing import as_svg, new_figure
from attn_train.writing.text import printable, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Units of the drawing, which are points of Matplotlib; a phone shows it at three quarters of its size, so that 13 is
# still read there.
WIDTH = 480
TEXT, SMALL = 13, 12
ROW, FOOT = 76, 50  # of a forest plot: the height of a row, and of what stands below the rows
MOST_DOTS = 200  # in a row: more would lie on each other
POINTS_PER_INCH = 72
# Arms that have a colour of their own.
COLOURS = 8
# The verdict of the baseline's own row in a forest plot.
BASELINE = "baseline"

# What is drawn in one of these is shown in the page's colour of that name: a variable of its style sheet.
NAMES = ("ground", "ink", "muted", "line", "margin", "helps", "hurts", "equivalent", "gains-less", "undecided")
PAINT = {name: f"#fe00{number:02x}" for number, name in enumerate((*NAMES, *(f"c{n}" for n in range(COLOURS))))}


@contextmanager
def drawing(height: float) -> Iterator["Figure"]:
    """Give an empty figure that is `height` high, in units of the drawing."""
    with new_figure(WIDTH / POINTS_PER_INCH, height / POINTS_PER_INCH, layout=None) as figure:
        yield figure


def inline(figure: "Figure", title: str, names: Sequence[str] = ()) -> Markup:
    """Return a figure as part of a page; `title` is what it says to who cannot see it, `names` what the pointer is told
    over the artists with the ids name-0, name-1, ..."""
    tips = {f"name-{number}": printable(name) for number, name in enumerate(names)}
    return Markup(as_svg(figure, printable(title), tips, {paint: f"var(--{name})" for name, paint in PAINT.items()}))


def around(values: Sequence[float], share: float = 0.05) -> tuple[float, float]:
    """Return a range that holds the values with some room, and is never empty."""
    low, high = min(values), max(values)
    room = (high - low) * share or max(abs(high) * share, 0.5)
    return low - room, high + room


def plain_axes(figure: "Figure", left: float, bottom: float, right: float, top: float) -> "Axes":
    """Add axes that leave so much room at the figure's edges, with their line below and nothing else."""
    height = figure.get_figheight() * POINTS_PER_INCH
    axes = figure.add_axes((left / WIDTH, bottom / height, 1 - (left + right) / WIDTH, 1 - (bottom + top) / height))
    axes.patch.set_visible(False)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(PAINT["muted"])
    axes.tick_params(length=5, color=PAINT["muted"], labelcolor=PAINT["muted"], labelsize=SMALL)
    axes.tick_params(axis="y", length=0)
    return axes


@dataclass(frozen=True)
class Effect:
    """A row of a forest plot: infinite ends stand for an interval that is not known.

    Each of `runs` is a dot, as its difference from the mean that the row is compared with; each of `uncounted` a ring:
    a run that the interval is not of. The baseline's own row has no interval, but for its `mean` of 0.
    """

    label: str
    mean: float
    low: float
    high: float
    verdict: str
    words: str
    runs: Sequence[float] = ()
    uncounted: Sequence[float] = ()

    @property
    def ends(self) -> list[float]:
        """What the axis has to hold."""
        return [end for end in (self.low, self.mean, self.high, *self.runs, *self.uncounted) if math.isfinite(end)]


def forest(effects: Sequence[Effect], margin: float, title: str, unit: str) -> Markup:
    """Draw differences with their intervals, below each other on one axis in `unit`, and the margin as a band about
    zero."""
    ends = [end for effect in effects for end in effect.ends]
    with drawing(ROW * len(effects) + FOOT) as figure:
        axes = plain_axes(figure, left=14, bottom=FOOT - 4, right=14, top=4)
        axes.set(xlim=around([*ends, -margin, margin, 0.0]), ylim=(len(effects), 0), yticks=())
        axes.axvspan(-margin, margin, color=PAINT["margin"], linewidth=0)
        axes.axvline(0, color=PAINT["muted"], linewidth=1, linestyle=(0, (4, 3)))
        for place, effect in enumerate(effects):
            bar(axes, effect, place)
        axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:+g}" if tick else "0")
        axes.set_xlabel(printable(unit), fontsize=SMALL, color=PAINT["muted"])
    return inline(figure, title, [f"{effect.label}: {len(effect.runs)} runs" for effect in effects])


def bar(axes: "Axes", effect: Effect, place: int) -> None:
    """Draw the row of a forest plot that begins at `place`: label, words, interval, and the runs below it."""
    colour, at = colour_of(effect), place + 47 / ROW
    label, words = shortened(printable(effect.label), 50), printable(effect.words)
    edge = axes.get_yaxis_transform()  # from the left edge of the axes, whatever the range of values
    axes.text(0, place + 16 / ROW, label, transform=edge, fontsize=TEXT, weight="bold", color=PAINT["ink"])
    axes.text(0, place + 33 / ROW, words, transform=edge, fontsize=SMALL, color=PAINT["muted"])
    if effect.verdict != BASELINE:
        if math.isfinite(effect.low) and math.isfinite(effect.high):
            axes.plot([effect.low, effect.high], [at, at], "-|", color=colour, linewidth=2.5, markersize=10)
        else:
            axes.plot([0, 1], [at, at], transform=edge, color=colour, linewidth=2.5, linestyle=(0, (1, 2)))
        axes.plot(effect.mean, at, "o", color=colour, markersize=11)
    dots(axes, effect, place)


def colour_of(effect: Effect) -> str:
    verdict = effect.verdict.replace(" ", "-")
    return PAINT["c0"] if verdict == BASELINE else PAINT.get(verdict, PAINT["undecided"])


def dots(axes: "Axes", effect: Effect, place: int) -> None:
    """Draw the runs of the row of a forest plot that begins at `place`: of very many, some at even distances in their
    order, the first and the last among them."""
    colour = colour_of(effect)
    at = place + (47 if effect.verdict == BASELINE else 60) / ROW
    for values, filled in ((effect.runs, True), (effect.uncounted, False)):
        if len(values) > MOST_DOTS:
            ordered, last = sorted(values), len(values) - 1
            values = [ordered[round(last * number / (MOST_DOTS - 1))] for number in range(MOST_DOTS)]
        (marks,) = axes.plot(values, [at] * len(values), "o", color=colour, alpha=0.55, markersize=6, clip_on=False)
        marks.set(markeredgewidth=0 if filled else 1.5, markerfacecolor=colour if filled else "none")
        marks.set_gid(f"name-{place}" if filled else None)


def frame(figure: "Figure", horizontal: str) -> "Axes":
    """Add axes for accuracies in per cent against what `horizontal` says."""
    axes = plain_axes(figure, left=46, bottom=FOOT, right=12, top=10)
    axes.grid(axis="y", color=PAINT["line"], linewidth=1)
    axes.set_axisbelow(True)
    axes.locator_params(nbins=6)
    axes.yaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
    axes.set_xlabel(printable(horizontal), fontsize=SMALL, color=PAINT["muted"])
    return axes


def percent(mean: float, half: float) -> tuple[float, float]:
    """Return the ends of a range of accuracies, none of which is below 0 or above 100 per cent."""
    return max(0.0, mean - half), min(100.0, mean + half)


def curves(series: Sequence[tuple[str, int, Sequence[Point]]], title: str) -> Markup:
    """Draw accuracy against the epoch, in per cent: for each (label, colour, points) the mean with a band of one
    deviation, as far as there are such accuracies."""
    every = [point for _, _, points in series for point in points]
    first, last = min(point.epoch for point in every), max(point.epoch for point in every)
    with drawing(282) as figure:
        axes = frame(figure, "epoch")
        axes.set_xlim(first, last if last > first else first + 1)
        axes.set_ylim(around([end for point in every for end in percent(100 * point.mean, 100 * point.deviation)]))
        axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
        for number, (_, colour, points) in enumerate(series):
            paint, epochs = PAINT[f"c{colour % COLOURS}"], [point.epoch for point in points]
            low, high = zip(*(percent(100 * point.mean, 100 * point.deviation) for point in points), strict=True)
            axes.fill_between(epochs, low, high, color=paint, alpha=0.14, linewidth=0)
            mark = "o" if len(points) == 1 else ""
            means = [100 * point.mean for point in points]
            axes.plot(epochs, means, color=paint, linewidth=2, marker=mark, gid=f"name-{number}", clip_on=False)
    return inline(figure, title, [label for label, _, _ in series])


@dataclass(frozen=True)
class Spot:
    """An arm in a picture of accuracy against cost: its mean accuracy in per cent and the interval's half width."""

    label: str
    colour: int
    cost: float
    accuracy: float
    error: float
    on_front: bool


def scatter(spots: Sequence[Spot], horizontal: str, title: str) -> Markup:
    """Draw accuracy against a cost; what is on the Pareto front is filled and joined by a line."""
    from matplotlib.ticker import LogLocator

    costs = [spot.cost for spot in spots]
    with drawing(282) as figure:
        axes = frame(figure, horizontal)
        axes.set_ylim(around([end for spot in spots for end in percent(spot.accuracy, spot.error)]))
        if min(costs) > 0 and max(costs) / min(costs) > 20:
            axes.set_xscale("log")
            axes.set_xlim(min(costs) / 1.3, max(costs) * 1.3)
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axes.minorticks_off()
        else:
            axes.set_xlim(around(costs, 0.12))
        axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
        front = sorted((spot.cost, spot.accuracy) for spot in spots if spot.on_front)
        axes.plot(*zip(*front, strict=True), color=PAINT["muted"], linewidth=1.5, linestyle=(0, (3, 3)))
        for number, spot in enumerate(spots):
            paint, above = PAINT[f"c{spot.colour % COLOURS}"], 3 + spot.on_front
            if spot.error:
                axes.vlines(spot.cost, *percent(spot.accuracy, spot.error), color=paint, alpha=0.6, zorder=above)
            face = paint if spot.on_front else PAINT["ground"]
            (mark,) = axes.plot(spot.cost, spot.accuracy, "o", color=paint, zorder=above, gid=f"name-{number}")
            mark.set(markerfacecolor=face, markeredgewidth=2, markersize=12)
    return inline(figure, title, [spot.label for spot in spots])
