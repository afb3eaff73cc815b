"""Pictures of corruptions: one image under each of them, and the accuracy by severity."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from attn_train.robust.corruptions import CORRUPTIONS, EXTRA, MAIN_GROUPS, SEVERITIES
from attn_train.robust.record import Scores
from attn_train.runs.pictures import to_rgb
from attn_train.writing.drawing import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = dict(zip((*MAIN_GROUPS, EXTRA), ("#e45756", "#4c78a8", "#54a24b", "#b279a2", "#9d9d9d"), strict=True))
COLUMNS = 5


def spoken(name: str) -> str:
    return name.replace("_", " ")


def accuracies(sets: Mapping[str, Mapping[int, Scores]], clean: float, name: str) -> "Figure":
    """Draw the accuracy by severity, a small chart for each corruption, `clean` as a dashed line in each.

    Args:
        sets: the scores by corruption and severity; `accuracy` is a fraction.
        name: what the images are called.
    """
    shown = [each for each in CORRUPTIONS if each in sets]
    rows = -(-len(shown) // COLUMNS)
    with new_figure(2 * COLUMNS, 1.6 * rows + 0.6) as figure:
        axes = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).flatten()
        for axis, each in zip(axes, shown, strict=False):
            severities = list(sets[each])
            values = [100 * sets[each][severity]["accuracy"] for severity in severities]
            group = CORRUPTIONS[each].group
            axis.axhline(100 * clean, color="black", linewidth=0.8, linestyle="--")
            axis.plot(severities, values, color=COLOURS[group], marker="o", markersize=3)
            axis.set_title(f"{spoken(each)} ({group})", fontsize=8)
            axis.set(xticks=list(SEVERITIES), ylim=(0, 100))
            axis.tick_params(labelsize=7)
        for axis in axes[len(shown) :]:
            axis.axis("off")
        figure.suptitle(f"{name}: accuracy in % by severity; dashed: clean", fontsize=9)
    return figure


def grid(clean: Tensor, corrupted: Mapping[str, Mapping[int, Tensor]]) -> "Figure":
    """Show one image as it is and beside it at each severity, a row for each corruption, in two blocks.

    Args:
        clean: uint8 (channels, height, width).
        corrupted: images like it, by corruption and severity.
    """
    shown = [name for name in CORRUPTIONS if name in corrupted]
    rows = max(1, -(-len(shown) // 2))
    columns = 1 + len(SEVERITIES)
    with new_figure(9.6, 0.4 + 0.6 * rows) as figure:
        axes = figure.subplots(1, 2)
        for axis, names in zip(axes, (shown[:rows], shown[rows:]), strict=True):
            axis.set_axis_off()
            axis.set(xlim=(-1.9, columns), ylim=(rows, -0.4))
            for column, title in enumerate(["clean", *map(str, SEVERITIES)] if names else []):
                axis.text(column + 0.48, -0.1, title, ha="center", fontsize=7)
            for row, name in enumerate(names):
                axis.text(-0.08, row + 0.48, spoken(name), ha="right", va="center", fontsize=7)
                for column, image in {0: clean, **corrupted[name]}.items():
                    pixels = np.asarray(to_rgb(image[None])[0].permute(1, 2, 0))
                    edges = (column, column + 0.96, row + 0.96, row)
                    axis.imshow(pixels, extent=edges, interpolation="nearest")
    return figure
