"""The roles of a network's parameters, by which an optimizer may treat them differently."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import nn


@dataclass(frozen=True)
class Roles:
    """The trainable parameters of a network: each in one of three lists, and all of them in the network's order."""

    filters: list[nn.Parameter] = field(default_factory=list)  # of its convolutions, (out, in, height, width)
    # Of the mechanisms and the gates that scale them, and what a backbone has of their kind: matrices that no
    # normalisation follows.
    attention: list[nn.Parameter] = field(default_factory=list)
    other: list[nn.Parameter] = field(default_factory=list)
    in_order: list[nn.Parameter] = field(default_factory=list)


def sort_parameters(model: nn.Module, attending: Iterable[nn.Module]) -> Roles:
    """Sort the trainable parameters of `model`: those in `attending` are attention, the filters of all other
    convolutions are filters."""
    attention = {parameter for module in attending for parameter in module.parameters()}
    weights = {module.weight for module in model.modules() if isinstance(module, nn.Conv2d)}
    roles = Roles()
    for parameter in model.parameters():
        if parameter.requires_grad:
            roles.in_order.append(parameter)
            if parameter in attention:
                roles.attention.append(parameter)
            else:
                (roles.filters if parameter in weights else roles.other).append(parameter)
    return roles
