"""What may stand for softmax between the scores of attention and its weights, along the last dimension.

All compute in float32 at least, whatever the scores' precision. Their weights are not negative; only those of sparsemax
and entmax sum to one.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SOFTPICK_EPS = 1e-8  # as in the authors' code


def exact(scores: Tensor) -> Tensor:
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def sigmoid(scores: Tensor) -> Tensor:
    """Return `1 / (1 + n exp(-s))` for each of n scores (Ramapuram et al., 2024, arXiv 2409.04431): the sigmoid with
    the paper's bias of -log n, without which the weights of a large map would sum to n / 2."""
    return torch.sigmoid(exact(scores) - math.log(scores.shape[-1]))


def softpick(scores: Tensor) -> Tensor:
    """Return `max(exp(s) - 1, 0) / (sum |exp(s) - 1| + eps)` (Zuhri et al., 2025, arXiv 2504.20966).

    Negative scores get no weight, and take some from the others.
    """
    scores = exact(scores)
    # Numerator and denominator times exp(-largest), eps too, which changes no value. `largest` is not below 0,
    # unlike that of the authors' code, where exp(-largest) overflows if all scores are far below 0.
    largest = scores.detach().amax(dim=-1, keepdim=True).clamp(min=0)
    one = torch.exp(-largest)
    raised = torch.exp(scores - largest) - one
    return F.relu(raised) / (raised.abs().sum(dim=-1, keepdim=True) + SOFTPICK_EPS * one)


def sparsemax(scores: Tensor) -> Tensor:
    """Return the point of the simplex nearest to the scores, `max(s - t, 0)` (Martins and Astudillo, 2016, arXiv
    1602.02068)."""
    weights: Tensor = Sparsemax.apply(exact(scores))
    return weights


def entmax(scores: Tensor) -> Tensor:
    """Return 1.5-entmax, `max(s / 2 - t, 0)^2`: between softmax and sparsemax (Peters et al., 2019, arXiv
    1905.05702)."""
    weights: Tensor = Entmax.apply(exact(scores))
    return weights


class Sparsemax(torch.autograd.Function):
    """sparsemax by sorting; keeps its weights alone for the gradient."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        scores = scores - scores.amax(dim=-1, keepdim=True)
        ranked = scores.sort(dim=-1, descending=True).values
        excess = ranked.cumsum(dim=-1) - 1
        kept = (counts(ranked) * ranked > excess).sum(dim=-1, keepdim=True)  # how many are above the threshold
        weights = F.relu(scores - excess.gather(-1, kept - 1) / kept)
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (weights,) = ctx.saved_tensors
        return through_threshold(gradients[0], (weights > 0).to(weights.dtype))


class Entmax(torch.autograd.Function):
    """1.5-entmax by sorting; keeps its weights alone for the gradient."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        halves = (scores - scores.amax(dim=-1, keepdim=True)) / 2
        ranked = halves.sort(dim=-1, descending=True).values
        count = counts(ranked)
        mean = ranked.cumsum(dim=-1) / count
        variance = ranked.square().cumsum(dim=-1) / count - mean.square()
        # If the k largest are those above the threshold, it is the k-th of these.
        thresholds = mean - (1 / count - variance).clamp(min=0).sqrt()
        kept = (thresholds <= ranked).sum(dim=-1, keepdim=True)
        weights = F.relu(halves - thresholds.gather(-1, kept - 1)).square()
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (weights,) = ctx.saved_tensors
        return through_threshold(gradients[0], weights.sqrt())


def counts(ranked: Tensor) -> Tensor:
    return torch.arange(1, ranked.shape[-1] + 1, device=ranked.device, dtype=ranked.dtype)


def through_threshold(gradient: Tensor, slopes: Tensor) -> Tensor:
    """Return the gradient of the scores, where a weight grows with its own score by `slopes` and the threshold follows
    so that the weights sum to one."""
    own = gradient * slopes
    return own - slopes * (own.sum(dim=-1, keepdim=True) / slopes.sum(dim=-1, keepdim=True))


NORMALIZERS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": sigmoid,
    "softpick": softpick,
    "sparsemax": sparsemax,
    "entmax": entmax,
}
