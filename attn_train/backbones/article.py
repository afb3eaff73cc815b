"""The article's network: two 3x3 convolutions, attention over the full-resolution map, one linear layer."""

import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.backbones.backbone import Backbone
from attn_train.backbones.placement import AttentionFactory, Placement, Slots


class ArticleNet(Backbone):
    """Build conv 3x3 to 64, ReLU, conv 3x3 to 128, ReLU, attention, flatten, linear (131072 -> 10 at 32x32)."""

    any_size = False

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        classes: int,
        attention: AttentionFactory,
        *,
        placement: Placement,
    ) -> None:
        super().__init__()
        slots = Slots(attention, placement, stages=1, positions=("before_activation", "after_activation"))
        self.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(64, 128, kernel_size=3, padding=1)
        self.attention_before = slots.at(1, "before_activation", 128, size)
        self.attention_after = slots.at(1, "after_activation", 128, size)
        self.head = nn.Linear(128 * size[0] * size[1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.relu(self.attention_before(self.conv2(x)))
        x = self.attention_after(x)  # (batch, 128, height, width)
        return self.head(x.flatten(1))
