"""What every data set becomes: splits of uint8 images in a canonical order, classes, and a digest."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from attn_train.errors import ConfigError, DataError

LARGEST_IMAGE_SIZE = 4096


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels."""

    images: torch.Tensor  # uint8 (n, channels, height, width)
    labels: torch.Tensor  # int64 (n,)
    files: tuple[str, ...] = ()  # of each image, below the data's root, where each has one


@dataclass(frozen=True, eq=False)
class Dataset:
    """A checked data set; two with the same digest hold the same bytes, whichever form they came in."""

    classes: tuple[str, ...]
    train: Split
    test: Split
    digest: str  # sha256 hex of classes, shapes, images, labels
    val: Split | None = None  # where the data come with validation images
    notes: tuple[str, ...] = ()  # of how it was read, for the log

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name."""
        splits = {"train": self.train, "test": self.test}
        return splits if self.val is None else splits | {"val": self.val}


@dataclass(kw_only=True, eq=False)
class ImageDataset(ABC):
    """A data set by name: what it will hold is known at once, its pixels only after `load`.

    Raises ConfigError for an impossible root folder or image size.
    """

    root: Path
    download: bool
    url: str | None  # None: the official address
    digest: str | None  # of the file at `url`, MD5 or SHA-256 in hex
    image_size: int  # pixels a side
    time_limit: float  # seconds for the download

    classes: tuple[str, ...] = field(init=False)
    channels: int = field(init=False)
    parts: tuple[str, ...] = field(init=False)  # the splits that it comes with

    def __post_init__(self) -> None:
        check_arguments(self.root, self.image_size)

    @abstractmethod
    def load(self) -> Dataset:
        """Load the images, uint8 (n, channels, image_size, image_size); raise DataError where any is missing or
        damaged."""


def check_arguments(root: Path, image_size: int) -> None:
    """Raise ConfigError for an impossible root folder or image size, before any work."""
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
    content, and mixes the classes, so that neighbours in a batch are of unrelated classes.
    """
    return pick(Split(images, labels), order_by(hashes_of(images), labels))


def hashes_of(images: torch.Tensor) -> list[bytes]:
    """Return a hash of the pixels of each image (n, ...)."""
    rows = images.reshape(len(images), -1).numpy()
    return [hashlib.blake2b(row.data, digest_size=16).digest() for row in rows]


def order_by(hashes: Sequence[bytes], labels: torch.Tensor) -> torch.Tensor:
    """Return the positions (n,) that sort by hash, ties by label."""
    keyed = sorted(zip(hashes, labels.tolist(), range(len(labels)), strict=True))
    return torch.tensor([position for _, _, position in keyed], dtype=torch.int64)


def pick(split: Split, index: torch.Tensor) -> Split:
    """Return the images at the positions `index` (m,), in that order."""
    files = tuple(split.files[position] for position in index.tolist()) if split.files else ()
    return Split(split.images[index], split.labels[index], files)


def checked_dataset(classes: Sequence[str], train: Split, test: Split, name: str, val: Split | None = None) -> Dataset:
    """Return a data set with its digest; raise DataError naming split and index for wrong types, shapes or labels."""
    dataset = Dataset(tuple(classes), train, test, digest="", val=val)
    for part, split in dataset.splits.items():
        _check_split(split, len(classes), f"{name} {part}")
        if split.images.shape[1:] != train.images.shape[1:]:
            raise DataError(
                f"{name}: train images are {tuple(train.images.shape[1:])} and {part} images "
                f"{tuple(split.images.shape[1:])} (channels, height, width); make them equal"
            )
    return replace(dataset, digest=content_digest(classes, list(dataset.splits.values())))


def content_digest(classes: Sequence[str], splits: Sequence[Split]) -> str:
    """Return the sha256 hex of classes, shapes, images and labels."""
    sha = hashlib.sha256()
    sha.update(json.dumps([list(classes), *(list(split.images.shape) for split in splits)]).encode())
    for split in splits:
        sha.update(split.images.reshape(-1).numpy().data)
        # Little-endian everywhere, so that the digest is a property of the data and not of the machine.
        sha.update(split.labels.numpy().astype("<i8").tobytes())
    return sha.hexdigest()


def limit_per_class(split: Split, limit: int) -> Split:
    """Keep the first `limit` images of each class, in canonical order; raises ConfigError if limit < 1."""
    if limit < 1:
        raise ConfigError(f"dataset.limit={limit}: expected at least 1 image a class; leave it null for all")
    return pick(split, torch.nonzero(rank_in_class(split.labels) < limit).flatten())


def hold_out(split: Split, size: int | float) -> tuple[Split, Split]:
    """Split off `size` images, or that share of them, for validation; returns (train without them, validation).

    Each class gives its share and keeps at least one image. The same images are chosen in every run, whatever the
    seed. Raises ConfigError for a size that is negative or not to be had.
    """
    counts = torch.bincount(split.labels)
    total, most = len(split.labels), int((counts - 1).clamp(min=0).sum())
    count = round(size * total) if isinstance(size, float) else size
    if not 0 <= count <= most:
        raise ConfigError(
            f"dataset.val_size={size}: expected 0 to {most}, since train has {total} images and keeps one of each class"
        )
    if size and not count:
        raise ConfigError(f"dataset.val_size={size} is less than one of the {total} training images; choose more")
    held = rank_in_class(split.labels) < apportion(counts, count)[split.labels]
    return pick(split, torch.nonzero(~held).flatten()), pick(split, torch.nonzero(held).flatten())


def apportion(counts: torch.Tensor, size: int) -> torch.Tensor:
    """Return how many of `size` images each class gives, in proportion to its `counts` (classes,), by the largest
    remainder; each keeps at least one."""
    total, most = int(counts.sum()), (counts - 1).clamp(min=0)
    quota = torch.minimum(counts * size // total, most)
    while left := size - int(quota.sum()):
        # How much each lacks, in parts of `total`: whole numbers, so that ties go to the first class everywhere.
        remainder = torch.where(quota < most, counts * size - quota * total, torch.iinfo(torch.int64).min)
        first = remainder.argsort(descending=True, stable=True)[: min(left, int((quota < most).sum()))]
        quota[first] += 1
    return quota


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
    if len(split.files) not in (0, len(images)):
        raise DataError(f"{name}: {len(images)} images of {len(split.files)} files; load them again from their source")
    wrong = torch.nonzero((labels < 0) | (labels >= classes)).flatten()
    if len(wrong):
        index = int(wrong[0])
        raise DataError(
            f"{name}: label {int(labels[index])} at index {index} is out of range; "
            f"expected 0 to {classes - 1}; load them again from their source"
        )
