"""What every data set becomes: two splits of uint8 images in a canonical order, classes, and a digest."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from attn_train.errors import ConfigError, DataError

LARGEST_IMAGE_SIZE = 4096


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels."""

    images: torch.Tensor  # uint8 (n, channels, height, width)
    labels: torch.Tensor  # int64 (n,)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A checked data set; two with the same digest hold the same bytes, whichever form they came in."""

    classes: tuple[str, ...]
    train: Split
    test: Split
    digest: str  # sha256 hex of classes, shapes, images, labels


class ImageDataset(Protocol):
    """A data set by name: what it will hold is known at once, its pixels only after `load`."""

    classes: tuple[str, ...]
    channels: int
    image_size: int

    def __init__(
        self,
        *,
        root: Path,
        download: bool,
        url: str | None,
        digest: str | None,
        image_size: int,
        time_limit: float,
    ) -> None: ...

    def load(self) -> Dataset:
        """Load the images; raises DataError where they are missing or damaged."""
        ...


def check_arguments(root: Path, image_size: int) -> None:
    """Refuse an impossible root folder or image size before any work; raises ConfigError."""
    if not 1 <= image_size <= LARGEST_IMAGE_SIZE:
        raise ConfigError(f"dataset.image_size={image_size}: expected 1 to {LARGEST_IMAGE_SIZE} pixels a side; try 32")
    parent = root.absolute().parent
    if not parent.is_dir():
        raise ConfigError(
            f"dataset.root={root}: its parent folder {parent} does not exist; create it or name another folder"
        )
    if root.exists() and not root.is_dir():
        raise ConfigError(f"dataset.root={root}: expected a folder and found a file; name the folder around it")


def canonical_order(images: torch.Tensor, labels: torch.Tensor) -> Split:
    """Sort images (n, channels, height, width) by a hash of their pixels, ties by label.

    Files, archives and class folders each have an order of their own. This one depends on nothing but the
    content, and mixes the classes, so that neighbours in a batch tell nothing of each other.
    """
    flat = images.reshape(len(images), -1).numpy()
    return pick(Split(images, labels), order_by([_hash(row) for row in flat], labels))


def order_by(hashes: Sequence[bytes], labels: torch.Tensor) -> torch.Tensor:
    """Return the positions (n,) that sort by hash, ties by label."""
    keyed = sorted(zip(hashes, labels.tolist(), range(len(labels)), strict=True))
    return torch.tensor([position for _, _, position in keyed], dtype=torch.int64)


def pick(split: Split, index: torch.Tensor) -> Split:
    """Return the images at the positions `index` (m,), in that order."""
    return Split(split.images[index], split.labels[index])


def checked_dataset(classes: Sequence[str], train: Split, test: Split, name: str) -> Dataset:
    """Check types, shapes and labels, and add the digest; raises DataError naming split and index."""
    for part, split in (("train", train), ("test", test)):
        _check_split(split, len(classes), f"{name} {part}")
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"{name}: train images are {tuple(train.images.shape[1:])} and test images "
            f"{tuple(test.images.shape[1:])} (channels, height, width); make them equal"
        )
    return Dataset(tuple(classes), train, test, content_digest(classes, train, test))


def content_digest(classes: Sequence[str], train: Split, test: Split) -> str:
    """Return the sha256 hex of classes, shapes, images and labels."""
    sha = hashlib.sha256()
    sha.update(json.dumps([list(classes), list(train.images.shape), list(test.images.shape)]).encode())
    for split in (train, test):
        sha.update(split.images.reshape(-1).numpy().data)
        # Little-endian everywhere, so that the digest is a property of the data and not of the machine.
        sha.update(split.labels.numpy().astype("<i8").tobytes())
    return sha.hexdigest()


def limit_per_class(split: Split, limit: int) -> Split:
    """Keep the first `limit` images of each class, in canonical order; raises ConfigError if limit < 1."""
    if limit < 1:
        raise ConfigError(f"dataset.limit={limit}: expected at least 1 image a class; leave it null for all")
    return pick(split, torch.nonzero(rank_in_class(split.labels) < limit).flatten())


def hold_out(split: Split, size: int) -> tuple[Split, Split]:
    """Split off `size` images, evenly over the classes; returns (train without them, validation).

    The same images are chosen in every run, whatever the seed. A small class gives half of its images and no
    more while others can still give theirs, and its last image last of all. Raises ConfigError for a size
    that is negative or leaves nothing to train on.
    """
    count = len(split.labels)
    if not 0 <= size < count:
        raise ConfigError(f"dataset.val_size={size}: expected 0 to {count - 1}, since train has {count} images")
    rank = rank_in_class(split.labels)
    in_class = torch.bincount(split.labels)[split.labels]
    reserve = (rank >= in_class // 2).long() + (rank == in_class - 1).long()
    order = np.lexsort((split.labels.numpy(), rank.numpy(), reserve.numpy()))
    held = torch.zeros(count, dtype=torch.bool)
    held[torch.from_numpy(order[:size])] = True
    return pick(split, torch.nonzero(~held).flatten()), pick(split, torch.nonzero(held).flatten())


def split_off_test(split: Split, fraction: float) -> tuple[Split, Split]:
    """Return (train, test): the first `fraction` of each class, at least one image, becomes test."""
    rank = rank_in_class(split.labels)
    share = (torch.bincount(split.labels) * fraction).round().clamp(min=1).long()
    is_test = rank < share[split.labels]
    return pick(split, torch.nonzero(~is_test).flatten()), pick(split, torch.nonzero(is_test).flatten())


def rank_in_class(labels: torch.Tensor) -> torch.Tensor:
    """Return for each image how many of its class stand before it (n,)."""
    rank = torch.empty_like(labels)
    for label in range(int(labels.max()) + 1 if len(labels) else 0):
        where = torch.nonzero(labels == label).flatten()
        rank[where] = torch.arange(len(where))
    return rank


def _hash(row: npt.NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(row.data, digest_size=16).digest()


def _check_split(split: Split, classes: int, name: str) -> None:
    images, labels = split.images, split.labels
    if images.dtype != torch.uint8 or images.ndim != 4 or labels.dtype != torch.int64:
        raise DataError(
            f"{name}: expected uint8 images (n, channels, height, width) and int64 labels, found "
            f"{images.dtype} {tuple(images.shape)} and {labels.dtype}; load them again from their source"
        )
    if len(images) == 0 or labels.shape != (len(images),):
        raise DataError(
            f"{name}: {len(images)} images and {tuple(labels.shape)} labels; expected at "
            "least one image and a label for each; load them again from their source"
        )
    wrong = torch.nonzero((labels < 0) | (labels >= classes)).flatten()
    if len(wrong):
        index = int(wrong[0])
        raise DataError(
            f"{name}: label {int(labels[index])} at index {index} is out of range; "
            f"expected 0 to {classes - 1}; load them again from their source"
        )
