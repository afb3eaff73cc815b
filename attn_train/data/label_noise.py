"""Wrong labels for training images: each name of the `noise` group is a key of NOISES.

What is drawn for an image follows from the seed and its pixels alone. So every form and every order of a data set gives
the same wrong labels, whichever other images are there, and the images that are wrong at a small share are wrong at a
larger one too. (At another dataset.image_size they are other pixels, and so other draws.)
"""

import hashlib
from abc import ABC, abstractmethod
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from attn_train.data.dataset import ImageDataset, Split, hashes_of
from attn_train.data.sources.cifar_spec import CIFAR10
from attn_train.settings.bounds import within

SHARE = within(0, 1, " (a share of the images)")

# Of CIFAR-10, what is customarily taken for what (Patrini et al., 2017, arXiv 1609.03683, section 6).
CIFAR10_PAIRS = {"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}


class LabelNoise(ABC):
    """A way in which training images come to wrong labels."""

    @abstractmethod
    def labels(self, split: Split, source: ImageDataset, seed: int) -> Tensor:
        """Return the labels, int64 (n,), that training is given for the images of `split`, which are of `source`."""


class NoNoise(LabelNoise):
    """All labels are right."""

    def labels(self, split: Split, source: ImageDataset, seed: int) -> Tensor:
        return split.labels


class Symmetric(LabelNoise):
    """A share of the images, each with the same probability, is labelled as one of the other classes, each alike.

    So the share of wrong labels is `share`; where a class is drawn among all, as some papers do, it is less.
    """

    def __init__(self, *, share: Annotated[float, SHARE]) -> None:
        self.share = share

    def labels(self, split: Split, source: ImageDataset, seed: int) -> Tensor:
        chance, other = draw_by_content(split.images, seed)
        classes = len(source.classes)
        wrong = (split.labels + 1 + (other * (classes - 1)).long()) % classes
        return torch.where(chance < self.share, wrong, split.labels)


class Pair(LabelNoise):
    """A share of each class is labelled as one other class, always the same.

    On CIFAR-10 the pairs are truck to automobile, bird to airplane, deer to horse, cat to dog and dog to cat; the other
    five classes stay right, so that half of `share` of all labels are wrong. Elsewhere each class is taken for the
    next, and the last for the first.
    """

    def __init__(self, *, share: Annotated[float, SHARE]) -> None:
        self.share = share

    def labels(self, split: Split, source: ImageDataset, seed: int) -> Tensor:
        chance, _ = draw_by_content(split.images, seed)
        return torch.where(chance < self.share, partners(source.classes)[split.labels], split.labels)


def partners(classes: tuple[str, ...]) -> Tensor:
    """Return what each class is taken for: int64 (classes,)."""
    if classes == CIFAR10.classes:
        return torch.tensor([classes.index(CIFAR10_PAIRS.get(name, name)) for name in classes])
    return torch.arange(len(classes)).roll(-1)


def draw_by_content(images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draw two numbers from 0 to below 1 for each of the images (n, ...): float64 (n,) each."""
    key = f"label noise/{seed}".encode()
    drawn = [hashlib.blake2b(pixels, digest_size=8, key=key).digest() for pixels in hashes_of(images)]
    numbers = np.frombuffer(b"".join(drawn), "<u4").reshape(-1, 2) / 2**32
    first, second = torch.from_numpy(numbers).unbind(dim=1)
    return first, second


NOISES: dict[str, type[LabelNoise]] = {"none": NoNoise, "symmetric": Symmetric, "pair": Pair}
