"""A convolutional stem and a few transformer blocks, whose token mixer is the mechanism or softmax attention.

Trained from scratch on small images, transformers learn fast only behind convolutions (Hassani et al., 2021, arXiv
2104.05704; Xiao et al., 2021, arXiv 2106.14881).
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from attn_train.backbones.backbone import Backbone
from attn_train.backbones.fast import BatchNorm, identity_conv
from attn_train.backbones.placement import AttentionFactory, Placement, Slots
from attn_train.backbones.whitening import WHITENING_KERNEL, Whitening
from attn_train.ops.dot_product import dot_product_attention
from attn_train.optim.roles import Roles, sort_parameters

TOKENS = 8  # the map that the stem leaves has at most so many rows and columns
INITIAL_STD = 0.02  # of the learned positions


class StemStage(nn.Module):
    """Convolve, shrink the map by the factor `pooling`, rounded up, and convolve again."""

    def __init__(self, channels_in: int, channels: int, pooling: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = identity_conv(channels_in, channels), BatchNorm(channels)
        self.conv2, self.norm2 = identity_conv(channels, channels), BatchNorm(channels)
        self.pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(x), self.pooling, ceil_mode=True) if self.pooling > 1 else self.conv1(x)
        return F.gelu(self.norm2(self.conv2(F.gelu(self.norm1(x)))))


class SoftmaxMixer(nn.Module):
    """Multi-head attention (Vaswani et al., 2017, arXiv 1706.03762, section 3.2.2) between the pixels of a map.

    Each of the `heads` has `channels / heads` channels, rounded up, so that a control may have any width.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        inner = heads * math.ceil(channels / heads)
        self.heads = heads
        self.query_key_value = nn.Linear(channels, 3 * inner)
        self.project = nn.Linear(inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.query_key_value(x.flatten(2).transpose(1, 2)).unflatten(2, (3, self.heads, -1))
        query, key, value = tokens.permute(2, 0, 3, 1, 4)  # each (batch, heads, n, d)
        attended = dot_product_attention(query, key, value).transpose(1, 2).flatten(2)  # (batch, n, inner)
        return self.project(attended).transpose(1, 2).unflatten(2, x.shape[2:])


class Block(nn.Module):
    """Mix the tokens and then the channels, each beside a shortcut and behind a normalisation (pre-norm).

    Args:
        size: of the map, (height, width).
        mixer: what mixes the tokens where no mechanism does.
        slots: fills the block's slots for attention: in place of the mixer, behind it or parallel to it.
        stage: its number, from 1.
        expansion: the hidden channels of the perceptron, as a multiple of the others.
        drop_path: share of the images for which training skips either branch.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        mixer: Literal["softmax", "none"],
        heads: int,
        slots: Slots,
        stage: int,
        expansion: int,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, expansion * channels)
        self.reduce = nn.Linear(expansion * channels, channels)
        # Made in any case: the other weights are then the same with every mechanism.
        own = SoftmaxMixer(channels, heads)
        self.attention_mixer = slots.beside(stage, channels, size, "mixer")
        self.mixer = own if mixer == "softmax" and self.attention_mixer is None else None
        self.attention_branch = slots.at(stage, "branch", channels, size)
        self.attention_parallel = slots.beside(stage, channels, size)
        self.drop_path = StochasticDepth(drop_path, mode="row")

    def mixed(self, x: Tensor) -> Tensor | None:
        """Return what mixing adds to a map (batch, channels, height, width); None where nothing mixes."""
        if self.attention_mixer is not None:
            return self.attention_mixer(x)
        if self.mixer is None:
            return None
        change = self.attention_branch(self.mixer(x))
        return change if self.attention_parallel is None else change + self.attention_parallel(x)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens in their places, (batch, height, width, channels)."""
        change = self.mixed(self.norm1(x).permute(0, 3, 1, 2))
        if change is not None:
            x = x + self.drop_path(change.permute(0, 2, 3, 1))
        return x + self.drop_path(self.reduce(F.gelu(self.expand(self.norm2(x)))))


class Positions(nn.Module):
    """Add to each token a learned vector of its place, resampled bilinearly for a map of another size."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.vectors = nn.Parameter(INITIAL_STD * torch.randn(1, channels, *size))

    def forward(self, x: Tensor) -> Tensor:
        vectors: Tensor = self.vectors
        if vectors.shape[2:] != x.shape[2:]:
            vectors = F.interpolate(vectors, x.shape[2:], mode="bilinear", antialias=False)
        return x + vectors


class Pooling(nn.Module):
    """Average the tokens (batch, n, channels): `mean`, or `sequence` with weights, `softmax(linear(x))` over the tokens
    (Hassani et al., 2021, arXiv 2104.05704, section 3.2; without a bias, which the softmax would not see)."""

    def __init__(self, channels: int, kind: Literal["sequence", "mean"]) -> None:
        super().__init__()
        self.score = nn.Linear(channels, 1, bias=False) if kind == "sequence" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.score is None:
            return x.mean(dim=1)
        return (torch.softmax(self.score(x), dim=1) * x).sum(dim=1)


class HybridNet(Backbone):
    """Build the network: whitened images, two stages of convolutions that leave at most 8x8 tokens, transformer blocks.

    Without a mechanism the blocks have the `mixer`: usual softmax attention, or nothing, so that only the stem relates
    pixels. A mechanism stands in its place (`mixer`), where what it changes in the normalised tokens is added to them,
    behind it (`branch`), or beside it (`parallel`).

    Args:
        widths: the channels of the stem's two stages; those of the second are the blocks'.
        depth: the blocks, each a stage of its own to `placement`.
        mixer: softmax, or none.
        heads: of the softmax.
        expansion: the hidden channels of a block's perceptron, as a multiple of the others.
        pooling: of the tokens, for the classifier.
        drop_path: share of the images for which training skips the last block's branches; it grows linearly from the
            first block to the last (stochastic depth, Huang et al., 2016, arXiv 1603.09382).
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        attention: AttentionFactory,
        *,
        widths: list[int],
        depth: int,
        mixer: Literal["softmax", "none"],
        heads: int,
        expansion: int,
        pooling: Literal["sequence", "mean"],
        drop_path: float,
        placement: Placement,
    ) -> None:
        super().__init__()
        channels, size = shape[0], shape[1:]
        if len(widths) != 2 or min(widths) < 1:
            raise ValueError(f"widths={widths} must hold two numbers of channels, each at least 1")
        for name, value in (("depth", depth), ("heads", heads), ("expansion", expansion)):
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path={drop_path} is a share of the images: at least 0 and below 1")
        if min(size) < WHITENING_KERNEL:
            raise ValueError(f"images of {size[0]}x{size[1]} are too small; this backbone needs 2x2 at least")
        positions = ("mixer", "branch", "parallel") if mixer == "softmax" else ("mixer",)
        slots = Slots(attention, placement, depth, positions)
        self.whiten = Whitening(channels)
        size = (size[0] - WHITENING_KERNEL + 1, size[1] - WHITENING_KERNEL + 1)
        halvings = max(0, math.ceil(math.log2(max(size) / TOKENS)))
        stem: list[nn.Module] = []
        channels_in = self.whiten.out_channels
        for width, times in zip(widths, (halvings - halvings // 2, halvings // 2), strict=True):
            stem.append(StemStage(channels_in, width, 2**times))
            size = (math.ceil(size[0] / 2**times), math.ceil(size[1] / 2**times))
            channels_in = width
        self.stem = nn.Sequential(*stem)
        self.positions = Positions(channels_in, size)
        self.blocks = nn.Sequential(
            *(
                Block(channels_in, size, mixer, heads, slots, number, expansion, drop_path * number / depth)
                for number in range(1, depth + 1)
            )
        )
        self.slots = slots.filled
        self.norm = nn.LayerNorm(channels_in)
        self.pooling = Pooling(channels_in, pooling)
        self.head = nn.Linear(channels_in, classes)

    def initialize_from(self, images: Tensor) -> None:
        """Set the first layer to whiten image patches; for the argument see Backbone."""
        self.whiten.initialize_from(images)

    def roles(self) -> Roles:
        """Return the trainable parameters by their role: all behind the stem is trained as a mechanism is, for a
        transformer's matrices do not learn at the rate of a convolution's filters."""
        return sort_parameters(self, [self.positions, self.blocks, self.norm, self.pooling, self.head])

    def forward(self, x: Tensor) -> Tensor:
        x = self.positions(self.stem(self.whiten.activated(x)))  # (batch, channels, height, width)
        x = self.blocks(x.permute(0, 2, 3, 1))
        return self.head(self.pooling(self.norm(x.flatten(1, 2))))
