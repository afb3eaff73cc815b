"""The reliability diagram of a page: accuracy by confidence, and how many images there are."""

from collections.abc import Sequence

from markupsafe import Markup

from attn_train.comparison.calibrated import Pooled
from attn_train.comparison.chart import COLOURS, PAINT, SMALL, drawing, inline, plain_axes
from attn_train.statistics.calibration import BINS, EDGES

# Units of the drawing: the whole, and of it the part that shows how many images there are.
HEIGHT, COUNTS, FOOT, GAP = 420, 80, 50, 14
LEFT, RIGHT = 52, 14


def reliability(series: Sequence[tuple[str, int, Pooled]], title: str) -> Markup:
    """Draw for each (label, colour, bins) the accuracy against the confidence of each bin that holds images, and below
    how many of a run's images it holds."""
    with drawing(HEIGHT) as figure:
        above = plain_axes(figure, LEFT, FOOT + COUNTS + GAP, RIGHT, 10)
        below = plain_axes(figure, LEFT, FOOT, RIGHT, HEIGHT - FOOT - COUNTS)
        for axes in (above, below):
            axes.grid(axis="y", color=PAINT["line"], linewidth=1)
            axes.set_axisbelow(True)
        above.plot([0, 1], [0, 1], color=PAINT["muted"], linewidth=1.5, linestyle=(0, (4, 3)))
        for number, (_, colour, bins) in enumerate(series):
            paint, name = PAINT[f"c{colour % COLOURS}"], f"name-{number}"
            above.plot(bins.confidence, bins.accuracy, "o-", color=paint, linewidth=2, markersize=6, gid=name)
            below.stairs(bins.images, EDGES, color=paint, linewidth=2)
        above.set(xlim=(0, 1), ylim=(0, 1.02), xticklabels=[])
        below.set(xlim=(0, 1), yscale="log")
        below.minorticks_off()
        for axis in (above.yaxis, below.yaxis, below.xaxis):
            axis.set_major_formatter(lambda tick, _: f"{tick:g}")
        above.set_ylabel("share that is right", fontsize=SMALL, color=PAINT["muted"])
        below.set_ylabel("images", fontsize=SMALL, color=PAINT["muted"])
        below.set_xlabel(f"confidence, in {BINS} bins", fontsize=SMALL, color=PAINT["muted"])
    return inline(figure, title, [label for label, _, _ in series])
