"""A control: another mechanism with the same parameters and work, but each image gets what was computed for another
image. What it gains, attending to the image did not."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from attn_train.attention.attention import Attention, Gate
from attn_train.settings import options as settings


class PlaceboShuffled(Attention):
    """Compute the mechanism `of` with its `options`, and give each image of the batch the gate of another, or for a
    mechanism that is no gate the change that it makes to another; parameters: those of the mechanism.

    In training the other image is a random one of the batch. In evaluation images 0 and 1 of a batch give to each
    other, 2 and 3, and so on; of an odd number the last three give in a ring. `inference.evaluate` pairs the whole set
    so, by a fixed drawing.
    """

    pairs: ClassVar[bool] = True

    def __init__(
        self, channels: int, size: tuple[int, int], *, of: str = "gated", options: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        from attn_train.attention import ATTENTION  # which names this class too

        choices = sorted(name for name, kind in ATTENTION.items() if not kind.pairs)
        if of not in choices:
            raise ValueError(f"of={of} is not a mechanism to shuffle; choose from {', '.join(choices)}")
        chosen = settings.bind("model.options", ATTENTION[of], options or {})
        self.mechanism = ATTENTION[of](channels, size=size, **chosen)

    def givers(self, x: Tensor) -> Tensor:
        """Return for each image of the batch the number of the one that gives to it: int64 (batch,)."""
        count = len(x)
        if self.training:
            ring = torch.randperm(count, device=x.device)
            return torch.empty_like(ring).scatter_(0, ring, ring.roll(1))
        own = torch.arange(count, device=x.device)
        giver = own ^ 1
        if count % 2:
            ring = own[-3:]
            giver = torch.cat([giver[: -len(ring)], ring.roll(1)])
        return giver

    def forward(self, x: Tensor) -> Tensor:
        giver = self.givers(x)
        if isinstance(self.mechanism, Gate):
            return x * self.mechanism.gate(x)[giver]
        return x + (self.mechanism(x) - x)[giver]

    def attention_map(self, x: Tensor) -> Tensor | None:
        """Return the map that each image got: (batch, height, width), or None where the mechanism has none."""
        found = self.mechanism.attention_map(x)
        return None if found is None else found[self.givers(x)]
