"""The article's network: two 3x3 convolutions, attention over the full-resolution map, one linear layer."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.backbones.backbone import Backbone
from attn_train.backbones.placement import AttentionFactory, Placement, Slots

WIDTHS = [64, 128]


class ArticleNet(Backbone):
    """Build conv 3x3 to 64, ReLU, conv 3x3 to 128, ReLU, attention, flatten, linear (131072 -> 10 at 32x32).

    `widths` are the channels of the two convolutions; the default is the article's.
    """

    any_size = False

    @classmethod
    def stage_widths(cls, options: dict[str, Any]) -> list[int]:
        return list(options.get(cls.widths_option, WIDTHS))

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        attention: AttentionFactory,
        *,
        widths: list[int] = WIDTHS,
        placement: Placement,
    ) -> None:
        super().__init__()
        channels, size = shape[0], shape[1:]
        if len(widths) != 2 or min(widths) < 1:
            raise ValueError(f"widths={widths} must hold two numbers of channels, each at least 1")
        first, second = widths
        slots = Slots(attention, placement, stages=1, positions=("before_activation", "after_activation"))
        self.conv1 = nn.Conv2d(channels, first, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(first, second, kernel_size=3, padding=1)
        self.attention_before = slots.at(1, "before_activation", second, size)
        self.attention_after = slots.at(1, "after_activation", second, size)
        self.slots = slots.filled
        self.head = nn.Linear(second * size[0] * size[1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.relu(self.attention_before(self.conv2(x)))
        x = self.attention_after(x)  # (batch, channels, height, width)
        if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
            return self.head(x.flatten(1))
        # flatten would copy a map in channels_last; to permute the weight instead is cheaper.
        weight = self.head.weight.unflatten(1, x.shape[1:]).permute(0, 2, 3, 1)
        return F.linear(x.permute(0, 2, 3, 1).flatten(1), weight.flatten(1), self.head.bias)
