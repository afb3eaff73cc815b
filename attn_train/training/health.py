"""How a network's attention does while it learns: gates that are shut or wide open, weights that are spread over the
whole map, or lie on one pixel."""

import math

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention, Gate
from attn_train.training.watching import Record, watch

SHUT, OPEN = 0.05, 0.95
# Of the largest entropy: a head above it weighs all pixels nearly alike, and computes their mean.
UNIFORM = 0.99


def attention_health(model: nn.Module, images: Tensor) -> dict[str, float]:
    """Return what `of_gate` and `of_weights` find in each attention module of `model`, as `measure/module`.

    Args:
        images: normalised, (n, channels, height, width); the weights of all pairs of pixels are built for them.
    """
    found: dict[str, float] = {}

    def recorder(name: str, module: Attention) -> Record:
        def record(x: Tensor) -> None:
            values = of_gate(module.gate(x)) if isinstance(module, Gate) else {}
            weights = module.pair_weights(x)
            if weights is not None:
                values |= of_weights(weights, (x.shape[2], x.shape[3]))
            found.update({f"{measure}/{name}": value for measure, value in values.items()})

        return record

    attending = {name: recorder(name, part) for name, part in model.named_modules() if isinstance(part, Attention)}
    if attending:
        watch(model, images, attending)
    return found


def of_gate(gate: Tensor) -> dict[str, float]:
    """Return the shares of a gate's factors that are below 0.05, shut, and above 0.95, open, where a gate that ends at
    1 is saturated."""
    return {"gate_shut": (gate < SHUT).float().mean().item(), "gate_open": (gate > OPEN).float().mean().item()}


def of_weights(weights: Tensor, size: tuple[int, int]) -> dict[str, float]:
    """Return how the weights of a map of `size` are spread.

    `entropy`: of a query's weights, as a share of log n, 1 where all pixels weigh the same. `distance`: from query to
    key, in pixels, weighted. `uniform_heads`: the share of heads whose mean entropy is above 0.99.

    Args:
        weights: of each query's keys, (batch, heads, n, n); normalised here, for not all kinds sum to one.
    """
    weights = weights.float().clamp(min=0)
    weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-12)
    height, width = size
    most = math.log(height * width) or 1.0
    entropy = -torch.xlogy(weights, weights).sum(dim=-1) / most  # (batch, heads, n)
    places = torch.cartesian_prod(torch.arange(height), torch.arange(width)).to(weights)
    distances = torch.cdist(places, places)
    return {
        "entropy": entropy.mean().item(),
        "distance": (weights * distances).sum(dim=-1).mean().item(),
        "uniform_heads": (entropy.mean(dim=(0, 2)) > UNIFORM).float().mean().item(),
    }
