"""The base classes of the attention mechanisms."""

import math
from abc import abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from attn_train.ops.pooling import scaled


def reduced_channels(channels: int, reduction: int, least: int = 1) -> int:
    """Return `channels // reduction`, at least `least`; raise ValueError for a `reduction` below 1."""
    if reduction < 1:
        raise ValueError(f"reduction={reduction} must be at least 1")
    return max(least, channels // reduction)


def divisor(channels: int, setting: str, value: int | None, usual: int = 1, of: str = "the map") -> int:
    """Return `value`, or for None the greatest common divisor of `usual` and the channels.

    Raises ValueError where the `setting` of that value does not divide the channels.
    """
    if value is None:
        return math.gcd(channels, usual)
    if value < 1 or channels % value:
        fitting = ", ".join(str(n) for n in range(1, channels + 1) if channels % n == 0)
        raise ValueError(f"{setting}={value} does not divide the {channels} channels of {of}; choose from {fitting}")
    return value


class Attention(nn.Module):
    """A module that maps (batch, channels, height, width) to the same shape.

    The height and width may differ from the `size` it was made for: training may begin at a lower resolution.
    """

    # Whether the output for an evaluated image depends on its neighbour in the batch.
    pairs: ClassVar[bool] = False
    # Why it cannot be computed in bfloat16; None: it can.
    bfloat16_fault: str | None = None

    def attention_map(self, x: Tensor) -> Tensor | None:
        """Return the weight of each position, (batch, height, width); None for a mechanism that weighs no positions."""
        return None

    def pair_weights(self, x: Tensor) -> Tensor | None:
        """Return the weight of each key for each query, (batch, heads, n, n); None for one that has no such weights."""
        return None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...


class Gate(Attention):
    """A mechanism that multiplies the map by factors computed from it."""

    @abstractmethod
    def gate(self, x: Tensor) -> Tensor:
        """Return the factors, of a shape that broadcasts to that of x."""

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
