"""What every attention mechanism has in common."""

from abc import abstractmethod

from torch import Tensor, nn


class Attention(nn.Module):
    """A module that maps (batch, channels, height, width) to the same shape and can say where it looks.

    The height and width may differ from the `size` it was made for: training may begin at a lower resolution.
    """

    def attention_map(self, x: Tensor) -> Tensor | None:
        """Return how much each position counts, (batch, height, width), or None for a mechanism that weighs none."""
        return None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...
