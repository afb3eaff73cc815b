"""An optimizer with a rule of its own for each parameter group."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from attn_train.optim.muon import muon_step


class Mixed(torch.optim.Optimizer):
    """Train each parameter group by the `rule` that it names.

    `muon` is for convolution filters; `sgd` has Nesterov momentum; `adam` has decoupled weight decay (Loshchilov and
    Hutter, 2017, arXiv 1711.05101). The last two are torch's own.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, defaults={})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        rules = {"muon": self.muon_step, "sgd": self.sgd_step, "adam": self.adam_step}
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                rules[group["rule"]](parameters, [parameter.grad for parameter in parameters], group)

    def states(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        """Return the optimizer's state `name` of each parameter: at first zeros of its shape."""
        for parameter in parameters:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter)
        return [self.state[parameter][name] for parameter in parameters]

    def muon_step(self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        muon_step(parameters, gradients, self.states(parameters, "momentum"), group)

    def sgd_step(self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        sgd(
            parameters,
            gradients,
            self.states(parameters, "momentum"),  # type: ignore[arg-type]
            fused=True,
            weight_decay=0.0,
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=0.0,
            nesterov=True,
            maximize=False,
        )

    def adam_step(self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        for parameter in parameters:
            state = self.state[parameter]
            # The counter of a checkpoint may lie on another device.
            state["step"] = state.get("step", torch.zeros(())).to(parameter.device)
        adamw(
            parameters,
            gradients,
            self.states(parameters, "mean"),
            self.states(parameters, "square"),
            [],
            self.states(parameters, "step"),
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
