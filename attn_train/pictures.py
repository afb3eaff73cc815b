"""Pictures of a run: samples, mistakes, the confusion matrix, and where the attention looks."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.data.batches import Normalization, TrainBatches
from attn_train.drawing import new_figure
from attn_train.text import printable, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Letters of a class's name that a figure has room for.
LONGEST = 30


def label(name: str) -> str:
    """Return the name of a class as a figure shows it."""
    return shortened(printable(name), LONGEST)


def to_rgb(images: Tensor) -> Tensor:
    """Return uint8 images (n, channels, height, width) with three channels."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]


def samples(batches: TrainBatches, count: int = 64) -> Tensor:
    """Return a grid of training images as the network sees them, augmented: uint8 (3, height, width)."""
    # Takes more than a second to import, which a run should not wait for at its start.
    from torchvision.utils import make_grid

    images, _ = next(batches.epoch(0))
    shown = batches.normalization.undo(images[:count]).cpu()
    return make_grid(to_rgb(shown), nrow=8, padding=2, pad_value=255)


def captioned(images: Tensor, captions: Sequence[str], columns: int = 8) -> "Figure":
    """Lay out uint8 images (n, channels, height, width) in a grid, a caption over each."""
    rows = max(1, -(-len(images) // columns))
    with new_figure(1.4 * columns, 1.6 * rows) as figure:
        axes = figure.subplots(rows, columns, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for axis, image, caption in zip(axes.flat, to_rgb(images), captions, strict=False):
            axis.imshow(image.permute(1, 2, 0).numpy())
            axis.set_title(caption, fontsize=7)
    return figure


def mistakes(images: Tensor, logits: Tensor, labels: Tensor, classes: Sequence[str], count: int = 32) -> "Figure":
    """Show the `count` images of which the model was most sure and wrong: what it said, its probability, the truth."""
    probability, said = logits.softmax(dim=1).max(dim=1)
    wrong = torch.nonzero(said != labels).flatten()
    worst = wrong[probability[wrong].argsort(descending=True)][:count]
    captions = [
        f"{label(classes[int(said[i])])} {100 * probability[i]:.0f} %\nis {label(classes[int(labels[i])])}"
        for i in worst.tolist()
    ]
    return captioned(images[worst.to(images.device)].cpu(), captions)


def confusion_counts(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Count each pair (true class, predicted class): int64 (classes, classes)."""
    return torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)


def confusion(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> "Figure":
    """Draw the confusion matrix: a row a true class, a column a predicted one, as shares of the row."""
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


@torch.no_grad()
def attention_maps(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return, for each attention module of `model` by name, where it looks on normalised `images` (batch, ...).

    Each is float32 (batch, height, width) of its own feature map. Mechanisms that weigh no positions are left out.
    """
    maps: dict[str, Tensor] = {}

    def recorder(name: str, module: Attention) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def record(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found = module.attention_map(inputs[0])
            if found is not None:
                maps[name] = found.float().cpu()

        return record

    handles = [
        module.register_forward_pre_hook(recorder(name, module))
        for name, module in model.named_modules()
        if isinstance(module, Attention)
    ]
    try:
        model.eval()
        model(images)
    finally:
        for handle in handles:
            handle.remove()
    return maps


def spread(attention: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring maps (batch, height, width) to `size`, each stretched to the range from 0 to 1."""
    low = attention.amin(dim=(1, 2), keepdim=True)
    high = attention.amax(dim=(1, 2), keepdim=True)
    stretched = (attention - low) / (high - low).clamp(min=1e-12)
    return F.interpolate(stretched[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def attention_figure(images: Tensor, maps: dict[str, Tensor], captions: Sequence[str]) -> "Figure":
    """Draw each uint8 image (n, channels, height, width) and, below it, itself under each attention map."""
    shown = to_rgb(images).permute(0, 2, 3, 1).numpy()
    size = (images.shape[-2], images.shape[-1])
    rows = 1 + len(maps)
    with new_figure(1.5 * max(2, len(images)), 1.6 * rows) as figure:
        axes = figure.subplots(rows, len(images), squeeze=False)
        for axis in axes.flat:
            axis.set_xticks([])
            axis.set_yticks([])
        for column, caption in enumerate(captions):
            axes[0, column].imshow(shown[column])
            axes[0, column].set_title(printable(caption), fontsize=7)
        for row, (name, found) in enumerate(maps.items(), start=1):
            overlay = spread(found, size).numpy()
            axes[row, 0].set_ylabel(name.replace(".attention", "\nattention"), fontsize=6)
            for column in range(len(images)):
                axes[row, column].imshow(np.asarray(shown[column]).mean(axis=2), cmap="gray", vmin=0, vmax=255)
                axes[row, column].imshow(overlay[column], cmap="inferno", alpha=0.55, vmin=0, vmax=1)
    return figure


def attention_on(
    model: nn.Module, images: Tensor, normalization: Normalization, captions: Sequence[str]
) -> "Figure | None":
    """Draw where the model's attention looks on uint8 images; None for a model without attention maps."""
    maps = attention_maps(model, normalization(images))
    return attention_figure(images.cpu(), maps, captions) if maps else None
