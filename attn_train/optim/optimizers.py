"""The optimizers, by the names that `optimizer=` takes.

Each is a set of options, those of `conf/optimizer/<name>.yaml`, and makes the optimizer of a network's parameters.
Every parameter group carries `initial_lr`, which a schedule's factor multiplies.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch

from attn_train.optim.mixed import Mixed
from attn_train.optim.roles import Roles
from attn_train.settings.bounds import Bound, above, at_least, from_to_below

Group = dict[str, Any]

POSITIVE = above(0, ", and finite")
DECAY = at_least(0, ", and finite")
MOMENTUM = from_to_below(0, 1)
BETAS = Bound(
    lambda betas: len(betas) == 2 and all(0 <= beta < 1 for beta in betas), "two numbers, each at least 0 and below 1"
)


class Options(ABC):
    """The options of an optimizer, which makes it."""

    @abstractmethod
    def make(self, roles: Roles) -> torch.optim.Optimizer:
        """Make the optimizer of the parameters in `roles`; raise ValueError for options that do not go together."""


def decayed_groups(roles: Roles, weight_decay: float) -> list[Group]:
    """Split the parameters into two groups: weight decay is for matrices and filters, not for vectors, which are biases
    and the parameters of normalisation."""
    parameters = roles.in_order
    groups: list[Group] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def check_nesterov(nesterov: bool, momentum: float) -> None:
    """Raise ValueError for Nesterov momentum with a momentum of zero."""
    if nesterov and momentum == 0:
        raise ValueError("nesterov=true needs a momentum above 0")


@dataclass(frozen=True, kw_only=True)
class SGD(Options):
    """Stochastic gradient descent."""

    lr: Annotated[float, POSITIVE]
    momentum: Annotated[float, MOMENTUM]
    nesterov: bool
    weight_decay: Annotated[float, DECAY]

    def make(self, roles: Roles) -> torch.optim.Optimizer:
        check_nesterov(self.nesterov, self.momentum)
        groups = decayed_groups(roles, self.weight_decay)
        return torch.optim.SGD(groups, self.lr, self.momentum, nesterov=self.nesterov)


@dataclass(frozen=True, kw_only=True)
class Adam(Options):
    """Adam (Kingma and Ba, 2014, arXiv 1412.6980); its `weight_decay` is added to the gradient."""

    kind: ClassVar[type[torch.optim.Adam]] = torch.optim.Adam

    lr: Annotated[float, POSITIVE]
    betas: Annotated[list[float], BETAS]
    eps: Annotated[float, POSITIVE]
    weight_decay: Annotated[float, DECAY]

    def make(self, roles: Roles) -> torch.optim.Optimizer:
        first, second = self.betas
        return self.kind(decayed_groups(roles, self.weight_decay), self.lr, (first, second), self.eps)


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2017, arXiv 1711.05101)."""

    kind: ClassVar[type[torch.optim.Adam]] = torch.optim.AdamW


@dataclass(frozen=True, kw_only=True)
class Muon(Options):
    """Muon for the network's own convolutions, SGD for its other parameters, Adam for the attention mechanism.

    `sgd_lr` is for a batch of one image and is multiplied by `batch_size`, so that an image's gradient counts the same
    in any batch (Goyal et al., 2017, arXiv 1706.02677). Adam trains a mechanism's convolutions too: no normalisation
    follows them, so that their length matters, and Adam's steps do not depend on the scale of the gradients. So it does
    what a backbone counts among them: an LSTM's matrices, a transformer's blocks.
    """

    lr: Annotated[float, POSITIVE]
    momentum: Annotated[float, MOMENTUM]
    nesterov: bool
    normalize: bool
    newton_schulz_steps: Annotated[int, POSITIVE]
    weight_decay: Annotated[float, DECAY]
    batch_size: Annotated[int, POSITIVE]
    sgd_lr: Annotated[float, POSITIVE]
    sgd_momentum: Annotated[float, MOMENTUM]
    attention_lr: Annotated[float, POSITIVE]
    adam_betas: Annotated[list[float], BETAS]
    adam_eps: Annotated[float, POSITIVE]

    def make(self, roles: Roles) -> torch.optim.Optimizer:
        check_nesterov(self.nesterov, self.momentum)
        first, second = self.adam_betas
        groups: list[Group] = [
            {
                "params": roles.filters,
                "rule": "muon",
                "lr": self.lr,
                "momentum": self.momentum,
                "nesterov": self.nesterov,
                "normalize": self.normalize,
                "newton_schulz_steps": self.newton_schulz_steps,
                "weight_decay": self.weight_decay,
            },
            {
                "params": roles.other,
                "rule": "sgd",
                "lr": self.sgd_lr * self.batch_size,
                "momentum": self.sgd_momentum,
            },
            {
                "params": roles.attention,
                "rule": "adam",
                "lr": self.attention_lr,
                "betas": (first, second),
                "eps": self.adam_eps,
                "weight_decay": 0.0,
            },
        ]
        return Mixed(group for group in groups if group["params"])


OPTIMIZERS: dict[str, type[Options]] = {
    "adam": Adam,
    "adamw": AdamW,
    "muon": Muon,
    "sgd": SGD,
}


def make_optimizer(options: Options, roles: Roles) -> torch.optim.Optimizer:
    """Make the optimizer and note each group's `initial_lr`; raise ValueError for options that do not go together."""
    optimizer = options.make(roles)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def load_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a saved state, in the memory format of the parameters.

    The saved run may have had another format, and fused kernels pair elements by their place in memory.
    """
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if name == "step":
                values[name] = torch.as_tensor(value, dtype=torch.float32)  # Muon's is an int in old checkpoints
            elif value is not None and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set every group's learning rate to `factor` times its initial one; return the first group's."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    return float(optimizer.param_groups[0]["lr"])
