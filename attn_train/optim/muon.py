"""Muon: momentum, with the update of each filter bank replaced by the nearest orthogonal matrix
(Jordan et al., 2024, https://kellerjordan.github.io/posts/muon)."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

# Of the polynomial a x + b x^3 + c x^5 that is applied to the singular values. The post chose them for a steep slope at
# zero: the singular values end between about 0.7 and 1.2, not at one.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrices: Tensor, steps: int) -> Tensor:
    """Push the singular values of each of `matrices` (..., rows, columns) towards one by Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # so that the largest singular value is at most one
    # A product and a sum in one call: fewer kernels than by operators, and one rounding instead of three.
    add_product = torch.addmm if x.ndim == 2 else torch.baddbmm
    for _ in range(steps):
        gram = x @ x.mT
        x = add_product(x, add_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def muon_step(parameters: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], group: dict[str, Any]) -> None:
    """Take one step of Muon on filter banks, each seen as the matrix (out, in * height * width).

    The iteration runs in autocast's precision, without autocast in float32.

    Args:
        parameters: the filter banks, (out, in, height, width) each.
        momenta: one for each parameter, changed in place.
        group: `lr`, `momentum`, `nesterov`, `newton_schulz_steps`, `weight_decay` and `normalize`. With `normalize` the
            norm of a bank is kept at the square root of `out`: before batch normalisation the length of filters has no
            effect, but a step counts relative to it.
    """
    torch._foreach_mul_(momenta, group["momentum"])
    torch._foreach_add_(momenta, gradients)
    directions = torch._foreach_add(gradients, momenta, alpha=group["momentum"]) if group["nesterov"] else momenta
    updates = orthogonal_updates(list(directions), group["newton_schulz_steps"])
    if group["normalize"]:
        norms = torch._foreach_norm(parameters)
        torch._foreach_mul_(parameters, [len(bank) ** 0.5 / norm for bank, norm in zip(parameters, norms, strict=True)])
    if group["weight_decay"]:
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
    torch._foreach_sub_(parameters, torch._foreach_mul(updates, group["lr"]))


def orthogonal_updates(directions: list[Tensor], steps: int) -> list[Tensor]:
    """Orthogonalize each filter bank (out, in, height, width) of `directions`."""
    by_shape: dict[object, list[int]] = defaultdict(list)
    # On a GPU, where one product is too short to fill it, banks of the same shape are computed together.
    for number, direction in enumerate(directions):
        by_shape[number if direction.device.type == "cpu" else direction.shape].append(number)
    # The iteration tolerates bfloat16. Where the processor multiplies matrices by tiles, its share of a step then falls
    # from a sixteenth to a sixtieth.
    kind = directions[0].device.type
    precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    updates = list(directions)
    for numbers in by_shape.values():
        # The order of a matrix's columns does not matter; with this one filters in channels_last need not be moved.
        banks = [directions[number].permute(0, 2, 3, 1) for number in numbers]
        matrices = banks[0].flatten(1) if len(banks) == 1 else torch.stack(banks).flatten(2)
        orthogonal = orthogonalize(matrices.to(precision), steps).to(directions[numbers[0]].dtype)
        for number, bank, update in zip(numbers, banks, [orthogonal] if len(banks) == 1 else orthogonal, strict=True):
            updates[number] = update.reshape(bank.shape).permute(0, 3, 1, 2)
    return updates
