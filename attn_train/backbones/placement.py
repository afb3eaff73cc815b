"""Where attention goes in a backbone: in which stages, and where in a block of such a stage."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

AttentionFactory = Callable[[int, tuple[int, int]], nn.Module]


@dataclass(frozen=True)
class Placement:
    """The stages (counted from 1, or "all") that get attention, and its position in their blocks."""

    stages: Literal["all"] | list[int]
    position: Literal["branch", "before_activation", "after_activation"]


class Slots:
    """Hand out the attention modules of one backbone, or nothing where `placement` wants none.

    Raises ValueError for a stage or position that the backbone does not have. A backbone names each slot `attention` or
    `attention_<position>`: by that word the optimizer tells a mechanism's parameters from the backbone's own.
    """

    def __init__(
        self, attention: AttentionFactory, placement: Placement, stages: int, positions: tuple[str, ...]
    ) -> None:
        wanted = range(1, stages + 1) if placement.stages == "all" else placement.stages
        for stage in wanted:
            if not 1 <= stage <= stages:
                raise ValueError(f"placement.stages has {stage}; this backbone has stages 1 to {stages}, or all")
        if placement.position not in positions:
            raise ValueError(
                f"placement.position={placement.position} is not in this backbone; choose from {', '.join(positions)}"
            )
        self.attention = attention
        self.stages = frozenset(wanted)
        self.position = placement.position

    def at(self, stage: int, position: str, channels: int, size: tuple[int, int]) -> nn.Module:
        if stage in self.stages and position == self.position:
            return self.attention(channels, size)
        return nn.Identity()
