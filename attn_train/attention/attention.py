"""What every attention mechanism has in common."""

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from attn_train.ops.pooling import scaled


class Attention(nn.Module):
    """A module that maps (batch, channels, height, width) to the same shape and can say where it looks.

    The height and width may differ from the `size` it was made for: training may begin at a lower resolution.
    """

    # Whether an evaluated image gets something of its neighbour in the batch.
    pairs: ClassVar[bool] = False

    def attention_map(self, x: Tensor) -> Tensor | None:
        """Return how much each position counts, (batch, height, width), or None for a mechanism that weighs none."""
        return None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...


class Gate(Attention):
    """A mechanism that multiplies the map by factors which it computes from the map."""

    @abstractmethod
    def gate(self, x: Tensor) -> Tensor:
        """Return the factors; where they are the same for all channels, rows or columns, that dimension may be one."""

    def forward(self, x: Tensor) -> Tensor:
        # A factor that is a parameter stays float32 under autocast, and would turn the whole map into float32.
        gate = self.gate(x).to(x.dtype)
        return scaled(x, gate) if gate.shape == (*x.shape[:2], 1, 1) else x * gate

    def attention_map(self, x: Tensor) -> Tensor | None:
        """Average the factors over the channels: (batch, height, width); None where all positions have the same."""
        gate = self.gate(x)
        if gate.shape[2:] == (1, 1) and x.shape[2:] != (1, 1):
            return None
        return gate.mean(dim=1).expand(-1, *x.shape[2:])
