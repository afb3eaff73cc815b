"""Pictures as SVG, drawn for a page: their colours are the page's own, light or dark, and their texts are escaped."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape as escaped

from attn_train.compare.curves import Point
from attn_train.writing.text import printable, shortened

# Units of the drawing; a phone shows it at three quarters of its size, so that 13 is still read there.
WIDTH = 480
COLOURS = 8


@dataclass(frozen=True)
class Scale:
    """Where the values from `low` to `high` lie between the places `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Return round values in the range."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for digits in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
                found = [
                    d * 10.0**power for power in powers for d in digits if self.low <= d * 10.0**power <= self.high
                ]
                if len(found) >= 3:
                    return found
            return found
        rough = (self.high - self.low) / about
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        first = math.ceil(self.low / step - 1e-9)
        return [round(n * step, 12) for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def around(values: Sequence[float], share: float = 0.05) -> tuple[float, float]:
    """Return a range that holds the values with some room, and is never empty."""
    low, high = min(values), max(values)
    room = (high - low) * share or max(abs(high) * share, 0.5)
    return low - room, high + room


def escape(words: str) -> Markup:
    """Return a text that is no markup and has no character that turns the words after it around."""
    return escaped(printable(words))


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def circle(x: float, y: float, radius: float, kind: str, title: str = "") -> str:
    name = f"<title>{escape(title)}</title>" if title else ""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="dot {kind}">{name}</circle>'


def drawing(height: float, title: str, parts: Sequence[str]) -> Markup:
    """Wrap what was drawn; `title` is what it says to who cannot see it."""
    name = escape(title)
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{name}"><title>{name}</title>'
        + "".join(parts)
        + "</svg>"
    )


@dataclass(frozen=True)
class Effect:
    """A row of a forest plot: infinite ends stand for an interval that is not known."""

    label: str
    mean: float
    low: float
    high: float
    verdict: str
    words: str


def forest(effects: Sequence[Effect], margin: float, title: str, unit: str) -> Markup:
    """Draw differences with their intervals, below each other on one axis in `unit`, and the margin as a band about
    zero."""
    ends = [one for effect in effects for one in (effect.low, effect.mean, effect.high) if math.isfinite(one)]
    low, high = around([*ends, -margin, margin, 0.0])
    x = Scale(low, high, 14, WIDTH - 14)
    row, top = 62, 4
    bottom = top + row * len(effects)
    width = x(margin) - x(-margin)
    parts = [f'<rect x="{x(-margin):.1f}" y="{top}" width="{width:.1f}" height="{bottom - top}" class="margin"/>']
    parts += [line(x(0), top, x(0), bottom, "zero"), line(x.start, bottom, x.end, bottom, "axis")]
    for tick in x.ticks():
        parts.append(line(x(tick), bottom, x(tick), bottom + 5, "axis"))
        parts.append(text(x(tick), bottom + 19, f"{tick:+g}" if tick else "0", "small", "middle"))
    parts.append(text(WIDTH / 2, bottom + 38, unit, "small", "middle"))
    for number, effect in enumerate(effects):
        parts += bar(effect, x, top + row * number)
    return drawing(bottom + 46, title, parts)


def bar(effect: Effect, x: Scale, y: float) -> list[str]:
    """Draw a row of a forest plot from `y` downwards."""
    at, known = y + 49, math.isfinite(effect.low) and math.isfinite(effect.high)
    left, right = (x(effect.low), x(effect.high)) if known else (x.start, x.end)
    parts = [
        text(x.start, y + 16, shortened(effect.label, 62), "label"),
        text(x.start, y + 33, effect.words, "small"),
        line(left, at, right, at, f"interval {effect.verdict}{'' if known else ' unknown'}"),
    ]
    if known:
        parts += [line(end, at - 5, end, at + 5, f"interval {effect.verdict}") for end in (left, right)]
    return [*parts, circle(x(effect.mean), at, 5, effect.verdict)]


def frame(x: Scale, y: Scale, horizontal: str, number: Callable[[float], str]) -> list[str]:
    """Draw the axes with their ticks."""
    parts = []
    for tick in y.ticks():
        parts += [
            line(x.start, y(tick), x.end, y(tick), "grid-line"),
            text(x.start - 7, y(tick) + 4, f"{tick:g}", "small", "end"),
        ]
    for tick in x.ticks():
        parts += [
            line(x(tick), y.start, x(tick), y.start + 5, "axis"),
            text(x(tick), y.start + 19, number(tick), "small", "middle"),
        ]
    parts += [
        line(x.start, y.start, x.end, y.start, "axis"),
        text((x.start + x.end) / 2, y.start + 38, horizontal, "small", "middle"),
    ]
    return parts


def percent(mean: float, half: float) -> tuple[float, float]:
    """Return the ends of a range of accuracies, none of which is below 0 or above 100 per cent."""
    return max(0.0, mean - half), min(100.0, mean + half)


def curves(series: Sequence[tuple[str, int, Sequence[Point]]], title: str) -> Markup:
    """Draw accuracy against the epoch, in per cent: for each (label, colour, points) the mean with a band of one
    deviation, as far as there are such accuracies."""
    points = [point for _, _, own in series for point in own]
    epochs = [point.epoch for point in points]
    ends = [end for point in points for end in percent(100 * point.mean, 100 * point.deviation)]
    low, high = around(ends)
    first, last = min(epochs), max(epochs)
    x = Scale(first, last if last > first else first + 1, 46, WIDTH - 12)
    y = Scale(low, high, 232, 10)
    parts = frame(x, y, "epoch", lambda tick: f"{tick:g}")
    for _, colour, own in series:
        band = [(point.epoch, *percent(100 * point.mean, 100 * point.deviation)) for point in own]
        edge = [(epoch, top) for epoch, _, top in band] + [(epoch, floor) for epoch, floor, _ in reversed(band)]
        places = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in edge)
        parts.append(f'<polygon points="{places}" class="band c{colour % COLOURS}"/>')
    for label, colour, own in series:
        places = " ".join(f"{x(point.epoch):.1f},{y(100 * point.mean):.1f}" for point in own)
        kind = f"c{colour % COLOURS}"
        parts.append(f'<polyline points="{places}" class="curve {kind}"><title>{escape(label)}</title></polyline>')
        if len(own) == 1:
            parts.append(circle(x(own[0].epoch), y(100 * own[0].mean), 4, kind))
    return drawing(282, title, parts)


@dataclass(frozen=True)
class Spot:
    """An arm in a picture of accuracy against cost: its mean accuracy in per cent and the interval's half width."""

    label: str
    colour: int
    cost: float
    accuracy: float
    error: float
    on_front: bool


def scatter(spots: Sequence[Spot], horizontal: str, number: Callable[[float], str], title: str) -> Markup:
    """Draw accuracy against a cost; what is on the Pareto front is filled and joined by a line."""
    costs = [spot.cost for spot in spots]
    low, high = around([end for spot in spots for end in percent(spot.accuracy, spot.error)])
    logarithmic = min(costs) > 0 and max(costs) / min(costs) > 20
    edges = (min(costs) / 1.3, max(costs) * 1.3) if logarithmic else around(costs, 0.12)
    x, y = Scale(*edges, 46, WIDTH - 12, logarithmic), Scale(low, high, 232, 10)
    parts = frame(x, y, horizontal, number)
    front = sorted((spot for spot in spots if spot.on_front), key=lambda spot: spot.cost)
    places = " ".join(f"{x(spot.cost):.1f},{y(spot.accuracy):.1f}" for spot in front)
    parts.append(f'<polyline points="{places}" class="front"/>')
    for spot in sorted(spots, key=lambda spot: spot.on_front):
        at, kind = x(spot.cost), f"c{spot.colour % COLOURS}"
        if spot.error:
            bottom, top = percent(spot.accuracy, spot.error)
            parts.append(line(at, y(bottom), at, y(top), f"error {kind}"))
        parts.append(circle(at, y(spot.accuracy), 6, kind if spot.on_front else f"{kind} open", spot.label))
    return drawing(282, title, parts)
