"""Pictures of where a network looks: the weights of its attention, and beside them Grad-CAM, with what a network that
has learnt nothing would show."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention, Gate
from attn_train.data.batches import Normalization
from attn_train.runs.pictures import tiled, to_rgb
from attn_train.training.grad_cam import agreement, grad_cam, shuffled
from attn_train.training.watching import Record, watch
from attn_train.writing.drawing import new_figure, plain_settings
from attn_train.writing.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention_maps(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return the attention map of each attention module of `model` for normalised `images`, by the module's name.

    Each is float32 (batch, height, width), of the module's own feature map. Mechanisms that weigh no positions have
    none.
    """
    maps: dict[str, Tensor] = {}

    def recorder(name: str, module: Attention) -> Record:
        def record(x: Tensor) -> None:
            attention = module.attention_map(x)
            if attention is not None:
                maps[name] = attention.float().cpu()

        return record

    attending = [(name, part) for name, part in model.named_modules() if isinstance(part, Attention)]
    watch(model, images, {name: recorder(name, part) for name, part in attending})
    return maps


def spread(attention: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps (batch, height, width) to `size`, each stretched to the range from 0 to 1."""
    low = attention.amin(dim=(1, 2), keepdim=True)
    high = attention.amax(dim=(1, 2), keepdim=True)
    stretched = (attention - low) / (high - low).clamp(min=1e-12)
    return F.interpolate(stretched[:, None], size=tuple(size), mode="bilinear", align_corners=False)[:, 0]


def attention_figure(images: Tensor, maps: dict[str, Tensor], captions: Sequence[str]) -> "Figure":
    """Draw images, uint8 (n, channels, height, width), and below them the same images under each attention map."""
    with plain_settings():
        # Imported here, because Matplotlib takes long to import.
        import matplotlib

        colours = matplotlib.colormaps["inferno"]
    shown = to_rgb(images).permute(0, 2, 3, 1).numpy()
    grey = shown.mean(axis=3, keepdims=True)
    rows = [list(shown)]
    for attention in maps.values():
        overlay = colours(spread(attention, images.shape[-2:]).numpy())[..., :3]
        rows.append(list((0.45 * grey + 0.55 * 255 * overlay).astype(np.uint8)))
    names = ["", *(name.replace(".attention", "\nattention") for name in maps)]
    return tiled(rows, [[printable(caption) for caption in captions]], names)


def attention_on(
    model: nn.Module, images: Tensor, normalization: Normalization, captions: Sequence[str]
) -> "Figure | None":
    """Draw the model's attention maps on uint8 images, and below them Grad-CAM of it and of its shuffled copy; None for
    a model without any."""
    normalised = normalization(images)
    maps = attention_maps(model, normalised)
    maps |= grad_cams(model, normalised)
    return attention_figure(images.cpu(), maps, captions) if maps else None


def grad_cams(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return Grad-CAM of a network and of its shuffled copy for normalised images, named with how far they agree."""
    found = grad_cam(model, images.clone())
    if found is None:
        return {}
    untrained = grad_cam(shuffled(model), images.clone())
    assert untrained is not None
    agree = agreement(found, untrained)
    told = "" if np.isnan(agree) else f"\nagree {agree:.2f}"
    return {"Grad-CAM": found, f"weights shuffled{told}": untrained}


def channel_gates(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return the factors of each gate of `model` that has one for each channel, for normalised `images`: float32
    (batch, channels), by the module's name."""
    gates: dict[str, Tensor] = {}

    def recorder(name: str, module: Gate) -> Record:
        def record(x: Tensor) -> None:
            gate = module.gate(x)
            if gate.shape[1] > 1 and gate.shape[2:] == (1, 1):
                gates[name] = gate.flatten(1).expand(len(x), -1).float().cpu()

        return record

    watch(model, images, {name: recorder(name, part) for name, part in model.named_modules() if isinstance(part, Gate)})
    return gates


def channels_figure(gates: dict[str, Tensor], captions: Sequence[str]) -> "Figure":
    """Draw for each gate its factors: an image a row, a channel a column, sorted by their mean over the images."""
    with new_figure(8, 0.6 + (0.5 + 0.16 * len(captions)) * len(gates)) as figure:
        axes = figure.subplots(len(gates), 1, squeeze=False)[:, 0]
        for axis, (name, gate) in zip(axes, gates.items(), strict=True):
            ordered = gate[:, gate.mean(dim=0).argsort(descending=True)]
            shown = axis.imshow(ordered.numpy(), aspect="auto", interpolation="nearest", cmap="inferno")
            axis.set_title(name, fontsize=8)
            axis.set_yticks(range(len(captions)), [printable(caption) for caption in captions], fontsize=6)
            axis.set_xticks([])
            figure.colorbar(shown, ax=axis).ax.tick_params(labelsize=6)
        axes[-1].set_xlabel("channels, sorted by the mean of their factors", fontsize=8)
    return figure


def channels_on(
    model: nn.Module, images: Tensor, normalization: Normalization, captions: Sequence[str]
) -> "Figure | None":
    """Draw the factors of the model's gates by channel for uint8 images; None for a model without any."""
    gates = channel_gates(model, normalization(images))
    return channels_figure(gates, captions) if gates else None
