"""Muon: momentum whose update for each filter bank is replaced by the nearest orthogonal matrix
(Jordan et al., 2024, https://kellerjordan.github.io/posts/muon)."""

from collections import defaultdict
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
    # A product and a sum at once: fewer kernels than by operators, and one rounding instead of three.
    add_product = torch.addmm if x.ndim == 2 else torch.baddbmm
    for _ in range(steps):
        gram = x @ x.mT
        x = add_product(x, add_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def muon_step(parameters: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], group: dict[str, Any]) -> None:
    """Take one step of Muon on filter banks (out, in, height, width), each as the matrix (out, in * height * width).

    group: `lr`, `momentum`, `nesterov`, `newton_schulz_steps`, `weight_decay` and `normalize`. With `normalize` a
        bank's norm is kept at the square root of `out`: before a batch normalisation the length of the filters means
        nothing, and a fixed one keeps the size of a step relative to it.
    Under autocast the iteration has that precision, else float32.
    """
    torch._foreach_mul_(momenta, group["momentum"])
    torch._foreach_add_(momenta, gradients)
    directions = torch._foreach_add(gradients, momenta, alpha=group["momentum"]) if group["nesterov"] else momenta
    updates = orthogonal_updates(list(directions), group["newton_schulz_steps"])
    if group["normalize"]:
        norms = torch._foreach_norm(parameters)
        torch._foreach_mul_(parameters, [len(one) ** 0.5 / norm for one, norm in zip(parameters, norms, strict=True)])
    if group["weight_decay"]:
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
    torch._foreach_sub_(parameters, torch._foreach_mul(updates, group["lr"]))


def orthogonal_updates(directions: list[Tensor], steps: int) -> list[Tensor]:
    """Orthogonalize each filter bank (out, in, height, width) of `directions`; off the CPU all of one shape at once,
    because the products are short there."""
    by_shape: dict[object, list[int]] = defaultdict(list)
    for number, one in enumerate(directions):
        by_shape[number if one.device.type == "cpu" else one.shape].append(number)
    # The iteration tolerates bfloat16, which takes it from a sixteenth of a step to a sixtieth where matrices are
    # multiplied by tiles.
    kind = directions[0].device.type
    precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    updates = list(directions)
    for numbers in by_shape.values():
        # The order of a matrix's columns is free; this one leaves filters in channels_last where they are.
        banks = [directions[number].permute(0, 2, 3, 1) for number in numbers]
        matrices = banks[0].flatten(1) if len(banks) == 1 else torch.stack(banks).flatten(2)
        found = orthogonalize(matrices.to(precision), steps).to(directions[numbers[0]].dtype)
        for number, bank, update in zip(numbers, banks, [found] if len(banks) == 1 else found, strict=True):
            updates[number] = update.reshape(bank.shape).permute(0, 3, 1, 2)
    return updates
