"""The optimizers, by the names that `optimizer=` takes.

Each is called as `function(model, **options)`, the options being those of `conf/optimizer/<name>.yaml`. Every
parameter group carries `initial_lr`, which a schedule's factor multiplies.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from attn_train.optim.muon import Muon

Group = dict[str, Any]


def decayed_groups(model: nn.Module, weight_decay: float) -> list[Group]:
    """Split the trained parameters: decay matrices and filters, never biases and normalisation (they are vectors)."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[Group] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def sgd(model: nn.Module, *, lr: float, momentum: float, nesterov: bool, weight_decay: float) -> torch.optim.Optimizer:
    """Make stochastic gradient descent; `nesterov` needs a `momentum` above zero."""
    return torch.optim.SGD(decayed_groups(model, weight_decay), lr, momentum, nesterov=nesterov)


def adam(model: nn.Module, *, lr: float, betas: list[float], eps: float, weight_decay: float) -> torch.optim.Optimizer:
    """Make Adam; its `weight_decay` is added to the gradient (arXiv 1412.6980)."""
    return torch.optim.Adam(decayed_groups(model, weight_decay), lr, (betas[0], betas[1]), eps)


def adamw(model: nn.Module, *, lr: float, betas: list[float], eps: float, weight_decay: float) -> torch.optim.Optimizer:
    """Make Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101)."""
    return torch.optim.AdamW(decayed_groups(model, weight_decay), lr, (betas[0], betas[1]), eps)


def muon(
    model: nn.Module,
    *,
    lr: float,
    momentum: float,
    nesterov: bool,
    normalize: bool,
    newton_schulz_steps: int,
    weight_decay: float,
    batch_size: int,
    sgd_lr: float,
    sgd_momentum: float,
    attention_lr: float,
    adam_betas: list[float],
    adam_eps: float,
) -> torch.optim.Optimizer:
    """Make Muon for the backbone's convolutions, with SGD for its other parameters and Adam for the attention
    mechanism.

    `sgd_lr` is for a batch of one image, and proportional to `batch_size`: so an image's gradient counts the same in
    any batch (Goyal et al., 2017, arXiv 1706.02677). A mechanism's convolutions are Adam's because their length carries
    meaning (no normalisation follows them), and because Adam's steps do not depend on the scale of its gradients.
    """
    filters: list[nn.Parameter] = []
    attention: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_filter = parameter.ndim == 4
            (attention if "attention" in name else filters if is_filter else others).append(parameter)
    groups: list[Group] = [
        {
            "params": filters,
            "rule": "muon",
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "normalize": normalize,
            "newton_schulz_steps": newton_schulz_steps,
            "weight_decay": weight_decay,
        },
        {"params": others, "rule": "sgd", "lr": sgd_lr * batch_size, "momentum": sgd_momentum},
        {
            "params": attention,
            "rule": "adam",
            "lr": attention_lr,
            "betas": (adam_betas[0], adam_betas[1]),
            "eps": adam_eps,
            "weight_decay": 0.0,
        },
    ]
    return Muon(group for group in groups if group["params"])


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": adam,
    "adamw": adamw,
    "muon": muon,
    "sgd": sgd,
}


def make_optimizer(name: str, model: nn.Module, options: dict[str, Any]) -> torch.optim.Optimizer:
    """Make the optimizer `name`; raise ValueError for an option out of its range."""
    positive = {"lr", "eps", "sgd_lr", "attention_lr", "adam_eps", "newton_schulz_steps", "batch_size"}
    for key, value in options.items():
        # Written so that NaN, which compares False with everything, is refused too.
        if key in positive and not 0 < value < math.inf:
            raise ValueError(f"{key}={value} must be above 0, and finite")
        if key == "weight_decay" and not 0 <= value < math.inf:
            raise ValueError(f"{key}={value} must be at least 0, and finite")
        if key.endswith("momentum") and not 0 <= value < 1:
            raise ValueError(f"{key}={value} must be at least 0 and below 1")
        if key.endswith("betas") and (len(value) != 2 or not all(0 <= beta < 1 for beta in value)):
            raise ValueError(f"{key}={value} must be two numbers, each at least 0 and below 1")
    if options.get("nesterov") and options["momentum"] == 0:
        raise ValueError("nesterov=true needs a momentum above 0")
    optimizer = OPTIMIZERS[name](model, **options)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def load_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take over a saved state, laid out in memory as the parameters are here: the run may have had another format, and
    fused kernels go by position."""
    optimizer.load_state_dict(state)
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if name == "step":
                kept[name] = torch.as_tensor(value, dtype=torch.float32)  # once Muon's was an int
            elif value is not None and value.shape == parameter.shape:
                kept[name] = torch.empty_like(parameter).copy_(value)


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set every group's learning rate to `factor` times its initial one; return the first group's."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    return float(optimizer.param_groups[0]["lr"])
