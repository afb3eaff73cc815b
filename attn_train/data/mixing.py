"""Mixup (Zhang et al., 2017, arXiv 1710.09412) and CutMix (Yun et al., 2019, arXiv 1905.04899): two images in one.

The draws follow from (seed, epoch, index) alone; which other image of its batch an image is mixed with also follows
from the batch.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attn_train.data.augment import Augmentation, box
from attn_train.seeds import generator


@dataclass(frozen=True)
class MixingDraws:
    """One epoch's draws; each tensor holds one entry for each training image."""

    share: Tensor  # float32 (n,): what mixup leaves of the image
    cut: Tensor  # bool (n,): cutmix, not mixup
    centre: Tensor  # int64 (n, 2): of the box that cutmix replaces
    length: Tensor  # int64 (n, 2): of its sides
    turn: Tensor  # int64 (n,): a permutation, which lays the images of a batch in a circle

    def to(self, device: torch.device) -> "MixingDraws":
        return MixingDraws(**{name: values.to(device) for name, values in vars(self).items()})


def draw_mixing(
    augmentation: Augmentation, count: int, size: tuple[int, int], seed: int, epoch: int
) -> MixingDraws | None:
    """Draw for `count` images of `size` (height, width) in `epoch` (from 0); None where nothing is mixed.

    With both mixup and cutmix each image is mixed by one of them, with probability 1/2.
    """
    if augmentation.mixup == 0 and augmentation.cutmix == 0:
        return None
    random = generator("mixing", seed, epoch)
    cut = torch.rand(count, generator=random) < 0.5
    if augmentation.mixup == 0 or augmentation.cutmix == 0:
        cut = torch.full((count,), augmentation.mixup == 0)
    # Torch has no public way of drawing from a beta distribution with a generator.
    alpha = np.where(cut.numpy(), augmentation.cutmix, augmentation.mixup)
    share = torch.from_numpy(np.random.default_rng(random.initial_seed()).beta(alpha, alpha))
    centre = torch.stack([torch.randint(0, side, (count,), generator=random) for side in size], dim=1)
    length = ((1 - share).sqrt()[:, None] * torch.tensor(size)).long()
    turn = torch.randperm(count, generator=random)
    return MixingDraws(share.float(), cut, centre, length, turn)


def mix(images: Tensor, labels: Tensor, index: Tensor, draws: MixingDraws, classes: int) -> tuple[Tensor, Tensor]:
    """Mix each image with another of its batch, and their labels in the same shares.

    Returns the mixed images and float32 targets (batch, classes), which sum to one.

    Args:
        images: float (batch, channels, height, width), normalised.
        labels: int64 (batch,).
        index: which of the n training images they are, int64 (batch,).
        draws: of all n training images; all on one device.
        classes: their number.
    """
    # Each image's partner is the one before it in the circle, so that each image is used twice.
    circle = draws.turn[index].argsort()
    partner = torch.empty_like(circle)
    partner[circle] = circle.roll(1)
    cut = draws.cut[index]
    outside = ~box(images, draws.centre[index], draws.length[index])
    share = torch.where(cut, outside.sum((1, 2, 3)) / outside[0].numel(), draws.share[index])  # (batch,)
    weight = torch.where(cut[:, None, None, None], outside, share[:, None, None, None])  # (batch, 1, height, width)
    mixed = torch.lerp(images[partner], images, weight.to(images.dtype).expand_as(images))
    one_hot = F.one_hot(labels, classes)
    return mixed, share[:, None] * one_hot + (1 - share[:, None]) * one_hot[partner]
