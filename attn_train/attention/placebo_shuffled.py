"""A control: a mechanism with its parameters and its work, but each image gets what was computed for another image.
What it gains is not due to attention to the image."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from attn_train.attention.attention import Attention, Gate
from attn_train.settings import options as settings


class PlaceboShuffled(Attention):
    """Compute the mechanism `of` with its `options`, and apply to each image of the batch the gate of another image; of
    a mechanism that is no gate, add the change that it makes to another. The parameters are those of the mechanism.

    In training the other image is a random one of the batch. In evaluation images 0 and 1 of a batch are exchanged, 2
    and 3, and so on; of an odd number the last three are exchanged in a ring. `training.inference.evaluate` shuffles
    the whole split first, always in the same way.
    """

    mechanisms: ClassVar[Mapping[str, type[Attention]]]  # by the names that `of` takes, among others
    pairs: ClassVar[bool] = True

    def __init__(
        self, channels: int, size: tuple[int, int], *, of: str = "gated", options: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        choices = sorted(name for name, kind in self.mechanisms.items() if not kind.pairs)
        if of not in choices:
            raise ValueError(f"of={of} is not a mechanism to shuffle; choose from {', '.join(choices)}")
        kind = self.mechanisms[of]
        self.mechanism = kind(channels, size=size, **settings.bind("model.options", kind, options or {}))

    def permutation(self, x: Tensor) -> Tensor:
        """Return for each image of the batch the place of the one whose gate it gets: int64 (batch,)."""
        count = len(x)
        if self.training:
            ring = torch.randperm(count, device=x.device)
            return torch.empty_like(ring).scatter_(0, ring, ring.roll(1))
        places = torch.arange(count, device=x.device)
        neighbours = places ^ 1
        if count % 2:
            ring = places[-3:]
            neighbours = torch.cat([neighbours[: -len(ring)], ring.roll(1)])
        return neighbours

    def forward(self, x: Tensor) -> Tensor:
        other = self.permutation(x)
        if isinstance(self.mechanism, Gate):
            return x * self.mechanism.gate(x)[other]
        return x + (self.mechanism(x) - x)[other]

    def attention_map(self, x: Tensor) -> Tensor | None:
        """Return the map that each image gets, (batch, height, width); None where the mechanism has none."""
        maps = self.mechanism.attention_map(x)
        return None if maps is None else maps[self.permutation(x)]
