"""Wrong labels for training images: each name of the `noise` group is a key of NOISES.

What symmetric and pair noise draw for an image follows from the seed and its pixels alone. So every form and every
order of a data set gives the same wrong labels, whichever other images are there, and the images that are wrong at a
small share are wrong at a larger one too. (At another dataset.image_size they are other pixels, and so other draws.)
"""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from attn_train.data.dataset import ImageDataset, Split, hashes_of
from attn_train.data.labels.human import ARRAYS, HumanLabels, read_labels
from attn_train.data.sources.cifar import Cifar
from attn_train.data.sources.cifar_spec import CIFAR10
from attn_train.errors import ConfigError
from attn_train.settings.bounds import one_of, within

SHARE = within(0, 1, " (a share of the images)")

# Of CIFAR-10, what is customarily taken for what (Patrini et al., 2017, arXiv 1609.03683, section 6).
CIFAR10_PAIRS = {"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}


class LabelNoise(ABC):
    """A way in which training images come to wrong labels."""

    def check(self, source: ImageDataset) -> None:
        """Raise for what can be seen to be wrong with the images' source before they are loaded."""
        return

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


class Human(LabelNoise):
    """Labels that people gave to the training images of CIFAR; see human."""

    def __init__(self, *, file: str | None, labels: Annotated[str, one_of(*ARRAYS)]) -> None:
        self.file, self.kind = file, labels

    def check(self, source: ImageDataset) -> None:
        cifar = self.cifar(source)
        self.read(cifar)
        cifar.check_order()

    def labels(self, split: Split, source: ImageDataset, seed: int) -> Tensor:
        cifar = self.cifar(source)
        human, published = self.read(cifar), cifar.published_train()
        human.check(published.labels, len(cifar.classes), self.path)
        # CIFAR-10 has no two equal images; of such ones each gets the label of the last.
        given = dict(zip(hashes_of(published.images), human.given.tolist(), strict=True))
        return torch.tensor([given[pixels] for pixels in hashes_of(split.images)], dtype=torch.int64)

    @property
    def path(self) -> Path:
        if self.file is None:
            raise ConfigError(
                "noise=human needs a file of labels: noise.file=CIFAR-10_human.pt, from "
                "github.com/UCSC-REAL/cifar-10-100n (CC BY-NC 4.0)"
            )
        return Path(self.file)

    def read(self, cifar: Cifar) -> HumanLabels:
        return read_labels(self.path, self.kind, cifar.spec.train_count, len(cifar.classes))

    @staticmethod
    def cifar(source: ImageDataset) -> Cifar:
        if not isinstance(source, Cifar):
            raise ConfigError(
                "noise=human is of CIFAR only: say dataset=cifar10 or dataset=cifar100, or noise=symmetric"
            )
        return source


NOISES: dict[str, type[LabelNoise]] = {"none": NoNoise, "symmetric": Symmetric, "pair": Pair, "human": Human}
