"""Where attention goes in a backbone: in which stages, where in a block of such a stage, and how it begins."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from attn_train.attention.identity import Identity
from attn_train.seeds import generator

AttentionFactory = Callable[[int, tuple[int, int]], nn.Module]

# In what units the zero gate is kept: Adam moves a number by its learning rate a step, and a run of some hundred steps
# must be able to open the gate.
GATE_UNIT = 10.0


@dataclass(frozen=True)
class Placement:
    """The stages (counted from 1, or "all") that get attention, its position in their blocks, and whether the change
    that it makes is multiplied by a number that begins at zero."""

    stages: Literal["all"] | list[int]
    position: Literal["branch", "before_activation", "after_activation", "parallel"]
    zero_gate: bool = False


class Placed(nn.Module):
    """Attention whose change, `attention(x) - x`, is added to x, or with `parallel` is all that is returned.

    With `zero_gate` a learned number that is zero at first multiplies the change, so that every mechanism starts as the
    same network (ReZero: Bachlechner et al., 2020, arXiv 2003.04887).
    """

    def __init__(self, attention: nn.Module, zero_gate: bool, parallel: bool) -> None:
        super().__init__()
        self.attention = attention
        self.scale = nn.Parameter(torch.zeros(())) if zero_gate else None
        self.parallel = parallel

    def forward(self, x: Tensor) -> Tensor:
        change = self.attention(x) - x
        if self.scale is not None:
            change = GATE_UNIT * self.scale * change
        return change if self.parallel else x + change


class Slots:
    """Hand out the attention modules of one backbone, or nothing where `placement` wants none.

    `filled` are the modules handed out so far. Raises ValueError for a stage or position that the backbone does not
    have.
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
        self.zero_gate = placement.zero_gate
        self.filled: list[nn.Module] = []

    def make(self, channels: int, size: tuple[int, int]) -> nn.Module:
        """Make the mechanism from random numbers of its own: the backbone's weights are the same with any other, or
        with none."""
        state = torch.get_rng_state()
        try:
            number = len(self.filled) + 1
            torch.set_rng_state(generator("attention", torch.initial_seed(), number).get_state())
            return self.attention(channels, size)
        finally:
            torch.set_rng_state(state)

    def at(self, stage: int, position: str, channels: int, size: tuple[int, int]) -> nn.Module:
        """Return what the map passes through at a position."""
        if stage not in self.stages or position != self.position:
            return nn.Identity()
        attention = self.make(channels, size)
        if self.zero_gate and not isinstance(attention, Identity):
            attention = Placed(attention, True, False)
        self.filled.append(attention)
        return attention

    def beside(self, stage: int, channels: int, size: tuple[int, int]) -> nn.Module | None:
        """Return what is added to a convolution's output, computed from its input: with no attention, nothing."""
        if stage not in self.stages or self.position != "parallel":
            return None
        attention = self.make(channels, size)
        placed = None if isinstance(attention, Identity) else Placed(attention, self.zero_gate, True)
        self.filled.append(placed or attention)
        return placed
