"""The module that is looked at: a mechanism with its settings, made for any channels and size of the map."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attn_train.attention import ATTENTION
from attn_train.attention.attention import Attention
from attn_train.settings import options


@dataclass(frozen=True)
class Subject:
    """A mechanism by its name, with the settings to look at it with, and the map that it is made for."""

    name: str
    settings: dict[str, Any]
    channels: int
    size: tuple[int, int]

    def make(self, channels: int | None = None, size: tuple[int, int] | None = None, **changed: Any) -> Attention:
        """Make the module, its weights drawn anew from the same numbers; raise ConfigError or ValueError where it
        cannot be made."""
        kind = ATTENTION[self.name]
        bound = options.bind("model", kind, self.settings | changed)
        torch.manual_seed(3)
        return kind(channels or self.channels, size=size or self.size, **bound)

    def shaken(self, channels: int | None = None, size: tuple[int, int] | None = None, **changed: Any) -> Attention:
        """Make the module in evaluation with all its parameters moved a little: one that begins at zero, as the last
        layer of a branch often does, would hide what the module does."""
        module = self.make(channels, size, **changed).eval()
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for value in module.parameters():
                if value.is_floating_point():
                    value.add_(torch.randn(value.shape, generator=generator), alpha=0.2)
        return module

    def images(self, batch: int = 4, channels: int | None = None, size: tuple[int, int] | None = None) -> Tensor:
        """Return a random map of a batch, the same at each call."""
        generator = torch.Generator().manual_seed(5)
        return torch.randn(batch, channels or self.channels, *(size or self.size), generator=generator)
