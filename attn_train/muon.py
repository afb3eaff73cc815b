"""Muon: momentum whose update for each filter bank is replaced by the nearest orthogonal matrix
(Jordan et al., 2024, https://kellerjordan.github.io/posts/muon)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

# Of the odd polynomial a x + b x^3 + c x^5 that is applied to the singular values; the values are the post's, chosen
# for a steep slope at zero: the singular values end between about 0.7 and 1.2, not at one.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrices: Tensor, steps: int) -> Tensor:
    """Push the singular values of each of `matrices` (..., rows, columns) towards one by Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # so that the largest singular value is at most one
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Train each parameter group by the rule it names: `muon`, for convolution filters; `sgd`, with Nesterov momentum;
    or `adam` (Kingma and Ba, arXiv 1412.6980).

    A filter bank (out, in, height, width) counts as the matrix (out, in * height * width). With `normalize` its norm
    is kept at the square root of `out`: before a batch normalisation the length of the filters means nothing, and a
    fixed one keeps the size of a step relative to it. Under autocast its iteration has that precision, else float32.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, defaults={})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        rules = {"muon": self.muon_step, "sgd": self.sgd_step, "adam": self.adam_step}
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    rules[group["rule"]](parameter, group)

    def muon_step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].mul_(group["momentum"]).add_(gradient)
        update = gradient.add(momentum, alpha=group["momentum"]) if group["nesterov"] else momentum
        # The iteration tolerates bfloat16, which takes it from a sixteenth of a step to a sixtieth where matrices are
        # multiplied by tiles.
        kind = update.device.type
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
        matrix = update.reshape(len(update), -1).to(precision)
        update = orthogonalize(matrix, group["newton_schulz_steps"]).to(parameter.dtype).view_as(parameter)
        if group["normalize"]:
            parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(update * group["lr"])

    def sgd_step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].mul_(group["momentum"]).add_(gradient)
        parameter.sub_(group["lr"] * gradient.add(momentum, alpha=group["momentum"]))

    def adam_step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        mean = state["mean"].lerp_(gradient, 1 - beta1)
        square = state["square"].lerp_(gradient.square(), 1 - beta2)
        mean_hat = mean / (1 - beta1 ** state["step"])
        square_hat = square / (1 - beta2 ** state["step"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(group["lr"] * mean_hat / (square_hat.sqrt() + group["eps"]))
