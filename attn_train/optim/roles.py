"""What the parameters of a network are for: their roles, by which an optimizer may treat them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn


@dataclass(frozen=True)
class Roles:
    """The parameters of a network that learn, each in one of three lists, and all in the network's order."""

    filters: list[nn.Parameter] = field(default_factory=list)  # its own convolutions': (out, in, height, width)
    attention: list[nn.Parameter] = field(default_factory=list)  # of the mechanism, and of what scales it
    other: list[nn.Parameter] = field(default_factory=list)
    in_order: list[nn.Parameter] = field(default_factory=list)


def sort_parameters(model: nn.Module, slots: Sequence[nn.Module]) -> Roles:
    """Sort the parameters of `model` that learn: what is in `slots` is attention, and the filters of all other
    convolutions are the network's own."""
    attention = {parameter for slot in slots for parameter in slot.parameters()}
    weights = {module.weight for module in model.modules() if isinstance(module, nn.Conv2d)}
    roles = Roles()
    for parameter in model.parameters():
        if parameter.requires_grad:
            roles.in_order.append(parameter)
            own = roles.filters if parameter in weights else roles.other
            (roles.attention if parameter in attention else own).append(parameter)
    return roles
