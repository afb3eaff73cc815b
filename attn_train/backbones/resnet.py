"""Residual networks for small images (He et al., 2016, arXiv 1512.03385): ResNet-20 and 56 of its section 4.2, and
ResNet-18 with a 3x3 stem instead of the 7x7 one and its pooling."""

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from attn_train.backbones.backbone import Backbone
from attn_train.backbones.placement import AttentionFactory, Placement, Slots
from attn_train.ops.convolution import Conv1x1, Conv3x3
from attn_train.ops.pooling import mean

# By depth: the blocks of each stage, and the channels of the first. Each further stage halves the map and doubles them.
STAGES = {18: ((2, 2, 2, 2), 64), 20: ((3, 3, 3), 16), 56: ((9, 9, 9), 16)}


class BasicBlock(nn.Module):
    """Add two 3x3 convolutions with batch normalisation to a shortcut, then apply ReLU.

    Args:
        slots: fills the block's slots for attention.
        stage: its number, from 1.
        size: of the output map, (height, width).
        drop_path: share of the images for which training skips the convolutions.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        stride: int,
        slots: Slots,
        stage: int,
        size: tuple[int, int],
        drop_path: float,
    ) -> None:
        super().__init__()
        self.conv1 = Conv3x3(channels_in, channels, stride)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = Conv3x3(channels, channels)
        self.norm2 = nn.BatchNorm2d(channels)
        self.attention_branch = slots.at(stage, "branch", channels, size)
        self.attention_parallel = slots.beside(stage, channels, size)
        self.attention_before = slots.at(stage, "before_activation", channels, size)
        self.attention_after = slots.at(stage, "after_activation", channels, size)
        self.drop_path = StochasticDepth(drop_path, mode="row")
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                Conv1x1(channels_in, channels, bias=False, step=stride), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        before = F.relu(self.norm1(self.conv1(x)))
        branch = self.attention_branch(self.norm2(self.conv2(before)))
        if self.attention_parallel is not None:
            branch = branch + self.attention_parallel(before)
        branch = self.drop_path(branch)
        return self.attention_after(F.relu(self.attention_before(self.shortcut(x) + branch)))


class ResNet(Backbone):
    """Build a residual network of `depth` 18, 20 or 56.

    `width` is the channels of the first stage, which each further stage doubles, or a list with those of each stage;
    None is the paper's. `drop_path` is the share of the images for which training skips the last block's branch; it
    grows linearly from the first block to the last (stochastic depth, Huang et al., 2016, arXiv 1603.09382).
    """

    widths_option = "width"

    @classmethod
    def stage_widths(cls, options: dict[str, Any]) -> list[int]:
        blocks, paper_width = STAGES[options["depth"]]
        width = paper_width if options["width"] is None else options["width"]
        return width if isinstance(width, list) else [width * 2**stage for stage in range(len(blocks))]

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        attention: AttentionFactory,
        *,
        depth: Literal[18, 20, 56],
        width: int | list[int] | None,
        drop_path: float,
        placement: Placement,
    ) -> None:
        super().__init__()
        channels, size = shape[0], shape[1:]
        blocks, _ = STAGES[depth]
        widths = self.stage_widths({"depth": depth, "width": width})
        if len(widths) != len(blocks) or min(widths) < 1:
            raise ValueError(
                f"width={width} is not a number of channels; it must be at least 1, or null, or a list of "
                f"{len(blocks)}, one for each stage"
            )
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path={drop_path} is a share of the images: at least 0 and below 1")
        slots = Slots(
            attention, placement, len(blocks), ("branch", "before_activation", "after_activation", "parallel")
        )
        self.stem = Conv3x3(channels, widths[0])
        self.norm = nn.BatchNorm2d(widths[0])
        stages: list[nn.Module] = []
        channels_in = widths[0]
        for stage, (count, channels_out) in enumerate(zip(blocks, widths, strict=True), start=1):
            for block in range(count):
                stride = 2 if stage > 1 and block == 0 else 1
                size = (-(-size[0] // stride), -(-size[1] // stride))  # a padded 3x3 rounds up
                share = drop_path * (len(stages) + 1) / sum(blocks)
                stages.append(BasicBlock(channels_in, channels_out, stride, slots, stage, size, share))
                channels_in = channels_out
        self.blocks = nn.Sequential(*stages)
        self.slots = slots.filled
        self.head = nn.Linear(channels_in, classes)
        for weight in self.roles().filters:
            nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.norm(self.stem(x))))  # (batch, channels, height, width)
        return self.head(mean(x, 2, 3).flatten(1))
