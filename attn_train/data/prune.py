"""Leave easy images out of an epoch, without biasing the gradient (InfoBatch: Qin et al., 2023, arXiv 2303.04947)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Order:
    """The training images of one epoch in the order in which they are shown."""

    shown: Tensor  # int64 (shown,), on the CPU
    index: Tensor  # the same on the data's device
    weights: Tensor | None  # float32 (shown,): how many images each counts for; None: each for one


@dataclass(frozen=True)
class ImageLosses:
    """The loss that each training image had when it was last shown."""

    latest: Tensor  # float32 (n,)
    ranked: Tensor  # float32 (n,): as they were when the epoch began, from which its order follows


def pruned_count(count: int, share: float) -> int:
    """Return how many of `count` images an epoch leaves out."""
    return int(count * share)


def prune(losses: Tensor, share: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Leave out a random half of the images with the least losses, and count each of the other half twice.

    So the expectation of a weighted mean is the mean over all images. Returns, on the CPU, which are kept, bool (n,),
    and how many images each counts for, float32 (n,). The paper calls easy what is below the mean loss; here it is a
    fixed number, so that the length of every epoch, and with it the schedule, is known at the start.

    Args:
        losses: of all images, (n,).
        share: of the images that are left out; the easy ones are twice as many.
    """
    left_out = pruned_count(len(losses), share)
    easiest = losses.argsort(stable=True)[: 2 * left_out].cpu()
    chosen = easiest[torch.randperm(len(easiest), generator=random)]
    kept = torch.ones(len(losses), dtype=torch.bool)
    kept[chosen[:left_out]] = False
    weights = torch.ones(len(losses))
    weights[chosen[left_out:]] = 2.0
    return kept, weights
