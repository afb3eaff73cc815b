"""A small convolutional network that learns in few epochs, after the design of airbench (Jordan, 2024, arXiv
2404.00498): a whitening first layer, three wide stages with early pooling, batch normalisation without scale,
GELU."""

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from attn_train.backbones.backbone import Backbone
from attn_train.backbones.placement import AttentionFactory, Placement, Slots
from attn_train.backbones.whitening import BIAS_UNIT, WHITENING_KERNEL, Whitening
from attn_train.ops.convolution import Conv3x3
from attn_train.ops.pooling import largest

BATCH_NORM_MOMENTUM = 0.4

# The last layer is stored divided by this unit, as the biases are by theirs.
HEAD_UNIT = 116.0  # divided by the channels

MEASURED_ON = 500  # images on which is measured how much attention changes the size of the head's input


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation without a scale, whose running statistics follow fast enough for a few hundred steps.

    The next convolution can learn the scale. Without one the length of the filters before it has no effect.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=BATCH_NORM_MOMENTUM)
        self.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        mean, variance, shift = self.running_mean, self.running_var, self.bias * BIAS_UNIT
        return F.batch_norm(x, mean, variance, self.weight, shift, self.training, BATCH_NORM_MOMENTUM, self.eps)


def identity_conv(channels_in: int, channels: int) -> Conv3x3:
    """Make a 3x3 convolution whose first output channels are, at first, its input."""
    conv = Conv3x3(channels_in, channels)
    nn.init.dirac_(conv.weight.data[:channels_in])
    return conv


class Stage(nn.Module):
    """Convolve, halve the map, convolve again; with `depth` 3 convolve a third time, the last two in a residual branch.

    Args:
        size: of the input map, (height, width).
        slots: fills the stage's slot for attention: before or after the last activation, at the end of the residual
            branch, or parallel to the last convolution.
        stage: its number, from 1.
        drop_path: share of the images for which training skips the residual branch.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        size: tuple[int, int],
        slots: Slots,
        stage: int,
        depth: int,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.conv1 = identity_conv(channels_in, channels)
        self.size = (size[0] // 2, size[1] // 2) if min(size) > 1 else size
        self.norm1 = BatchNorm(channels)
        self.conv2 = identity_conv(channels, channels)
        self.norm2 = BatchNorm(channels)
        self.residual = depth == 3
        if self.residual:
            self.conv3 = identity_conv(channels, channels)
            self.norm3 = BatchNorm(channels)
            self.attention_branch = slots.at(stage, "branch", channels, self.size)
            self.drop_path = StochasticDepth(drop_path, mode="row")
        self.attention_parallel = slots.beside(stage, channels, self.size)
        self.attention_before = slots.at(stage, "before_activation", channels, self.size)
        self.attention_after = slots.at(stage, "after_activation", channels, self.size)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = F.max_pool2d(x, 2) if min(x.shape[-2:]) > 1 else x
        x = F.gelu(self.norm1(x))
        before, branch = x, self.norm2(self.conv2(x))
        if self.residual:
            before = F.gelu(branch)
            branch = self.attention_branch(self.norm3(self.conv3(before)))
        if self.attention_parallel is not None:
            branch = branch + self.attention_parallel(before)
        if self.residual:
            branch = x + self.drop_path(branch)
        return self.attention_after(F.gelu(self.attention_before(branch)))

    def without_attention(self) -> "Stage":
        """Return a copy that leaves the attention out."""
        plain = copy.deepcopy(self)
        plain.attention_before, plain.attention_after, plain.attention_parallel = nn.Identity(), nn.Identity(), None
        if plain.residual:
            plain.attention_branch = nn.Identity()
        return plain


class FastNet(Backbone):
    """Build the network.

    Args:
        widths: the channels of its stages.
        depth: convolutions in each stage.
        drop_path: with `depth` 3 the share of the images for which training skips the last stage's branch; it grows
            linearly from the first stage to the last (stochastic depth, Huang et al., 2016, arXiv 1603.09382).
        whitening_epochs: those in which the whitening layer's bias is trained. After them no gradient of the largest
            map is computed, which saves a twentieth of a step.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        attention: AttentionFactory,
        *,
        widths: list[int],
        depth: Literal[2, 3],
        drop_path: float,
        whitening_epochs: int,
        placement: Placement,
    ) -> None:
        super().__init__()
        channels, size = shape[0], shape[1:]
        if not widths or min(widths) < 1:
            raise ValueError(f"widths={widths} must hold at least one number of channels, each at least 1")
        if min(size) < WHITENING_KERNEL:
            raise ValueError(f"images of {size[0]}x{size[1]} are too small; this backbone needs 2x2 at least")
        if not 0 <= drop_path < 1 or (drop_path and depth == 2):
            raise ValueError(f"drop_path={drop_path} is a share, at least 0 and below 1, and needs depth=3")
        positions = ("before_activation", "after_activation", "parallel")
        slots = Slots(attention, placement, len(widths), ("branch", *positions) if depth == 3 else positions)
        if whitening_epochs < 0:
            raise ValueError(f"whitening_epochs={whitening_epochs} must be at least 0")
        self.whitening_epochs = whitening_epochs
        self.whiten = Whitening(channels)
        size = (size[0] - WHITENING_KERNEL + 1, size[1] - WHITENING_KERNEL + 1)
        stages: list[Stage] = []
        channels_in = self.whiten.out_channels
        for number, width in enumerate(widths, start=1):
            stages.append(Stage(channels_in, width, size, slots, number, depth, drop_path * number / len(widths)))
            channels_in, size = width, stages[-1].size
        self.stages = nn.Sequential(*stages)
        self.slots = slots.filled
        self.head = nn.Linear(channels_in, classes, bias=False)
        self.head_unit = HEAD_UNIT / channels_in
        # Small logits at the start keep the first steps of a large learning rate in bounds.
        nn.init.normal_(self.head.weight, std=1 / HEAD_UNIT)
        self.head_scale: Tensor
        self.register_buffer("head_scale", torch.ones(()))

    @torch.no_grad()
    def initialize_from(self, images: Tensor) -> None:
        """Set the first layer to whiten image patches, and the head's scale to undo what attention does to the size of
        the last map (Mishkin and Matas, 2016, arXiv 1511.06422, set scales by the data).

        Every layer's input is normalised except the head's, whose effective learning rate grows with the square of its
        input. Without the scale a gate that halves the map would quarter that rate, and the comparison would measure
        the rate and not the gate. Without attention the scale is one.

        Args:
            images: normalised training images, (n, channels, height, width).
        """
        self.whiten.initialize_from(images)
        self.head_scale.copy_(self.shrinkage(images[:MEASURED_ON]))

    def shrinkage(self, images: Tensor) -> Tensor:
        """Return the root mean square of the last map of `images` without its stage's attention over that with it.

        The network and the state of the random numbers stay as they are.
        """
        with torch.random.fork_rng(devices=[]):
            x = self.first_map(images)
            for stage in self.stages[:-1]:
                x = copy.deepcopy(stage)(x)  # a copy, because the pass moves its running statistics
            last: Stage = self.stages[-1]  # type: ignore[assignment]
            squares = []
            for stage in (last.without_attention(), copy.deepcopy(last)):
                # The same seed, so that stochastic depth skips the same images in both. The CPU's generator alone is
                # seeded: torch.manual_seed would change a GPU's too.
                torch.default_generator.manual_seed(0)
                squares.append(stage(x).square().mean())
        plain, attended = squares
        return (plain / attended).sqrt() if attended > 0 else torch.ones(())

    def begin_epoch(self, epoch: int) -> None:
        """Train the bias of the whitening layer in the first `whitening_epochs` epochs only."""
        assert self.whiten.bias is not None
        self.whiten.bias.requires_grad_(epoch < self.whitening_epochs)

    def first_map(self, x: Tensor) -> Tensor:
        """Return the whitened images after their activation: (n, 8 channels, height - 1, width - 1)."""
        return self.whiten.activated(x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.first_map(x))  # (batch, channels, height, width)
        return self.head_unit * self.head(largest(x, 2, 3).flatten(1) * self.head_scale)
