"""Place attention in a backbone: in which stages, where in their blocks, and with which gate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from attn_train.attention.identity import Identity
from attn_train.seeds import generator

AttentionFactory = Callable[[int, tuple[int, int]], nn.Module]

# The zero gate is stored divided by this unit: Adam moves a number by about its learning rate a step, and a run of a
# few hundred steps must be able to open the gate.
GATE_UNIT = 10.0


@dataclass(frozen=True)
class Placement:
    """Where a backbone has attention."""

    stages: Literal["all"] | list[int]  # from 1
    # In each block of these stages.
    position: Literal["branch", "before_activation", "after_activation", "parallel", "mixer"]
    zero_gate: bool = False  # multiply its change by a learned number that begins at zero; see Placed


class Placed(nn.Module):
    """Compute `x + gate * (attention(x) - x)`, or with `parallel` the second term alone.

    With `zero_gate` the gate is a learned number that begins at zero, so that the network begins as the same function
    with every mechanism (ReZero: Bachlechner et al., 2020, arXiv 2003.04887); else it is one.
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
    """Fill the slots of one backbone: with attention where `placement` says so, else with nothing.

    Raises ValueError for a stage or position that the backbone does not have.

    Args:
        attention: makes a mechanism for (channels, (height, width)).
        stages: their number.
        positions: those that its blocks have.
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
        self.filled: list[nn.Module] = []  # the attention modules so far

    def make(self, channels: int, size: tuple[int, int]) -> nn.Module:
        """Make a mechanism from random numbers of its own, so that the backbone's weights are the same with every
        mechanism and with none."""
        state = torch.get_rng_state()
        try:
            number = len(self.filled) + 1
            torch.set_rng_state(generator("attention", torch.initial_seed(), number).get_state())
            return self.attention(channels, size)
        finally:
            torch.set_rng_state(state)

    def at(self, stage: int, position: str, channels: int, size: tuple[int, int]) -> nn.Module:
        """Return the module in the slot at `position`: attention, or the identity."""
        if stage not in self.stages or position != self.position:
            return nn.Identity()
        attention = self.make(channels, size)
        if self.zero_gate and not isinstance(attention, Identity):
            attention = Placed(attention, True, False)
        self.filled.append(attention)
        return attention

    def beside(self, stage: int, channels: int, size: tuple[int, int], position: str = "parallel") -> nn.Module | None:
        """Return the module that gives the change alone, to be added to what is computed beside it; None without
        one."""
        if stage not in self.stages or self.position != position:
            return None
        attention = self.make(channels, size)
        placed = None if isinstance(attention, Identity) else Placed(attention, self.zero_gate, True)
        self.filled.append(placed or attention)
        return placed
