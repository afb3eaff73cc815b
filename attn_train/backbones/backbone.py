"""The base class of the backbones."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from attn_train.optim.roles import Roles, sort_parameters


class Backbone(nn.Module):
    """A network that maps images (batch, channels, height, width) to logits (batch, classes)."""

    # Whether it takes images of another size than it was made for, which training at a lower resolution needs.
    any_size: ClassVar[bool] = True
    # The option that takes the channels of each stage as a list, by which a control is made wider.
    widths_option: ClassVar[str] = "widths"

    # The maps (channels, height, width) on which it has attention, at the size it was made for, in order.
    attention_places: Sequence[tuple[int, int, int]] = ()

    # The attention modules in its slots, in the order in which they were made.
    slots: Sequence[nn.Module] = ()

    @classmethod
    def stage_widths(cls, options: dict[str, Any]) -> list[int]:
        """Return the channels of each stage with these options of the constructor."""
        return list(options[cls.widths_option])

    def initialize_from(self, images: Tensor) -> None:
        """Set what depends on the data, before the network leaves the CPU; by default nothing.

        Args:
            images: normalised training images, (n, channels, height, width).
        """

    def begin_epoch(self, epoch: int) -> None:
        """Set what depends on the epoch (from 0), before it begins; by default nothing."""

    def roles(self) -> Roles:
        """Return the trainable parameters by their role."""
        return sort_parameters(self, self.slots)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...
