"""Pictures of a run: samples, mistakes, the confusion matrix, calibration; where it looks is in `looking`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_train.data.batches import TrainBatches
from attn_train.statistics.calibration import BINS, EDGES, Calibration
from attn_train.writing.drawing import new_figure
from attn_train.writing.text import printable, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 30  # letters of a class's name
# In inches: a tile with the gap after it, the gap, the height of a caption, the margin for the names of rows.
TILE, GAP, CAPTION, MARGIN = 1.4, 0.1, 0.3, 0.5
LETTER = 0.6  # width of a letter, as a share of the font size


def label(name: str) -> str:
    """Return the name of a class as a figure shows it."""
    return shortened(printable(name), LONGEST)


def to_rgb(images: Tensor) -> Tensor:
    """Return uint8 images (n, channels, height, width) with three channels."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]


def samples(batches: TrainBatches, count: int = 64) -> Tensor:
    """Return a grid of training images as the network sees them, augmented: uint8 (3, height, width)."""
    # Imported here, because it takes more than a second, for which the start of a run should not wait.
    from torchvision.utils import make_grid

    images, _ = next(batches.epoch(0))
    shown = batches.normalization.undo(images[:count]).cpu()
    return make_grid(to_rgb(shown), nrow=8, padding=2, pad_value=255)


def tiled(
    rows: Sequence[Sequence[NDArray[np.uint8]]], captions: Sequence[Sequence[str]], names: Sequence[str] = ()
) -> "Figure":
    """Lay out images in rows.

    Args:
        rows: images, uint8 (height, width, 3).
        captions: texts over the images, by row; of all rows, or of the first ones only.
        names: of the rows, at their left.
    """
    margin = MARGIN if names else 0.0
    # The upper edge of each row's images; a row without captions leaves no room for them.
    tops = [TILE * row + CAPTION * min(row + 1, len(captions)) for row in range(len(rows))]
    size = margin + TILE * max(1, *map(len, rows)), TILE * len(rows) + CAPTION * len(captions)
    with new_figure(*size, layout=None) as figure:
        # One pair of axes, in inches from the upper left corner: a pair for each image takes ten times as long.
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        for top, images in zip(tops, rows, strict=True):
            for column, image in enumerate(images):
                high, wide = ((TILE - GAP) * length / max(image.shape[:2]) for length in image.shape[:2])
                left, upper = margin + TILE * column + (TILE - wide) / 2, top + (TILE - GAP - high) / 2
                axes.imshow(image, extent=(left, left + wide, upper + high, upper), aspect="auto")
        for top, texts in zip(tops, captions, strict=False):
            for column, text in enumerate(texts):
                font = min(7.0, 72 * TILE / (LETTER * max(1, *map(len, text.splitlines()))))
                middle = margin + TILE * (column + 0.5)
                axes.text(middle, top - GAP / 2, text, fontsize=font, ha="center", va="bottom")
        for top, name in zip(tops, names, strict=False):
            middle = top + (TILE - GAP) / 2
            axes.text(margin / 2, middle, name, fontsize=6, rotation=90, ha="center", va="center")
        axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    return figure


def captioned(images: Tensor, captions: Sequence[str], columns: int = 8) -> "Figure":
    """Lay out uint8 images (n, channels, height, width) in a grid, a caption over each."""
    shown = list(to_rgb(images).permute(0, 2, 3, 1).numpy())
    starts = range(0, max(1, len(shown)), columns)
    return tiled([shown[i : i + columns] for i in starts], [captions[i : i + columns] for i in starts])


def mistakes(images: Tensor, logits: Tensor, labels: Tensor, classes: Sequence[str], count: int = 32) -> "Figure":
    """Show the `count` wrong predictions with the highest probability: image, prediction, probability, true class."""
    probability, predicted = logits.softmax(dim=1).max(dim=1)
    wrong = torch.nonzero(predicted != labels).flatten()
    worst = wrong[probability[wrong].argsort(descending=True)][:count]
    captions = [
        f"{label(classes[int(predicted[i])])} {100 * probability[i]:.0f} %\nis {label(classes[int(labels[i])])}"
        for i in worst.tolist()
    ]
    return captioned(images[worst.to(images.device)].cpu(), captions)


def confusion_counts(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Count each pair (true class, predicted class): int64 (classes, classes).

    scikit-learn's confusion_matrix, for what is one line here, takes seconds to import.
    """
    return torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)


def confusion(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> "Figure":
    """Draw the confusion matrix: true classes in rows, predicted ones in columns, as shares of the row."""
    counts = confusion_counts(logits.argmax(dim=1), labels, len(classes))
    shares = (counts / counts.sum(dim=1, keepdim=True).clamp(min=1)).numpy()
    side = min(16.0, 3 + 0.45 * len(classes))
    ticks, names = range(len(classes)), [label(name) for name in classes]
    with new_figure(side, side) as figure:
        axis = figure.subplots()
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axis.set_xticks(ticks, names, rotation=90)
        axis.set_yticks(ticks, names)
        axis.set_xlabel("predicted")
        axis.set_ylabel("true")
        for row, column in counts.nonzero().tolist() if len(classes) <= 20 else ():
            colour = "white" if shares[row, column] > 0.5 else "black"
            count = str(int(counts[row, column]))
            axis.text(column, row, count, ha="center", va="center", fontsize=7, color=colour)
    return figure


def reliability(found: Calibration) -> "Figure":
    """Draw the accuracy of the images in each bin of confidence, how far their mean confidence is from it, and below
    how many they are."""
    held = found.count > 0
    middles, width = ((EDGES[:-1] + EDGES[1:]) / 2)[held], 1 / BINS
    accuracy, confidence = (sums[held] / found.count[held] for sums in (found.right, found.confidence))
    with new_figure(4.6, 5.4) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.bar(middles, accuracy, width, color="#4c78a8", edgecolor="white", label="accuracy")
        above.bar(
            middles,
            confidence - accuracy,
            width,
            bottom=accuracy,
            color="none",
            edgecolor="#e45756",
            hatch="////",
            label="confidence, from there",
        )
        above.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--", label="calibrated")
        above.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
        above.set_title(f"ECE {found.ece:.4f}, {found.direction}", fontsize=10)
        figure.legend(loc="outside lower center", fontsize=8, ncols=3, frameon=False)
        below.bar(middles, found.count[held], width, color="#9d9d9d", edgecolor="white")
        below.set(yscale="log", xlabel=f"confidence, in {BINS} bins", ylabel="images")
        below.yaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
    return figure
