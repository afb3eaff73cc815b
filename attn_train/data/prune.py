"""Leave out of an epoch what the network already knows, without a bias (InfoBatch: Qin et al., 2023, arXiv
2303.04947)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Order:
    """The training images of one epoch in the order in which they are shown."""

    shown: Tensor  # int64 (shown,), on the CPU
    index: Tensor  # the same on the data's device
    weights: Tensor | None  # float32 (shown,): for how many images each stands; None: each for itself


@dataclass(frozen=True)
class ImageLosses:
    """The loss that each training image had when it was last shown."""

    latest: Tensor  # float32 (n,)
    ranked: Tensor  # float32 (n,): as they were when the epoch began, from which its order follows


def pruned_count(count: int, share: float) -> int:
    """Return how many of `count` images an epoch leaves out."""
    return int(count * share)


def prune(losses: Tensor, share: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Choose the images of an epoch by their losses (n,): a random half of the easiest 2 x `share` are left out, and
    each of the other half counts for two.

    Returns, on the CPU, which are kept, bool (n,), and for how many images each stands, float32 (n,). So the
    expectation of a weighted mean is the mean over all. (The paper takes those below the mean loss for easy. A fixed
    number makes the length of every epoch known at the start, and with it the schedule.)
    """
    left_out = pruned_count(len(losses), share)
    easiest = losses.argsort(stable=True)[: 2 * left_out].cpu()
    chosen = easiest[torch.randperm(len(easiest), generator=random)]
    kept = torch.ones(len(losses), dtype=torch.bool)
    kept[chosen[:left_out]] = False
    weights = torch.ones(len(losses))
    weights[chosen[left_out:]] = 2.0
    return kept, weights
