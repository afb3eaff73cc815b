"""A person's own pictures, one folder a class, of any size and mode."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from attn_train.data.dataset import (
    Dataset,
    ImageDataset,
    Split,
    checked_dataset,
    content_digest,
    order_by,
    pick,
    split_off_test,
)
from attn_train.data.sources.cache import Cache
from attn_train.data.sources.division import divide
from attn_train.data.sources.picture import fit_square, open_picture, to_tensor
from attn_train.data.sources.tree import Listing, decode_images, enumerated, list_images
from attn_train.data.sources.walk import notes_of
from attn_train.errors import DataError

TEST_FRACTION = 0.2


def read_image(path: Path, image_size: int, channels: int) -> torch.Tensor:
    """Read one image file as uint8 (channels, image_size, image_size); raise DataError where it is unreadable.

    The image is turned upright by its EXIF tag and laid on white where it is transparent; its shorter side is brought
    to `image_size`, and its centre kept. `channels` is 3, or 1 for grey.
    """
    return _decode(path, image_size, channels)[1]


class ImageFolder(ImageDataset):
    """Pictures under `root/{train,val,test}/<class>/`, val being optional, or under `root/<class>/`.

    In the second form a fifth of each class is for the test. Which pictures that are depends on the pictures alone, not
    on their names or `image_size`.
    """

    channels = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.division = divide(self.root)
        self.classes = self.division.classes
        self.parts = tuple(self.division.parts) or ("train", "test")

    def load(self) -> Dataset:
        """Load the pictures, uint8 (n, 3, image_size, image_size); raise DataError naming the damaged ones."""
        folders = self.division.parts or {"": ""}
        listings = {part: list_images(self.root, name, self.classes) for part, name in folders.items()}
        passed_over = sum((listing.passed_over for listing in listings.values()), self.division.passed_over)
        notes = (*self.division.notes, *notes_of(passed_over))
        stamps = [stamp for listing in listings.values() for stamp in listing.stamps]
        cache = Cache(self.root, "image_folder", self.image_size)
        if dataset := cache.load(stamps, self._check):
            return replace(dataset, notes=notes)
        splits = dict(zip(listings, read_splits(list(listings.values()), self.image_size, self.channels), strict=True))
        if not self.division.parts:
            self._check_sizes(splits[""])
            splits["train"], splits["test"] = split_off_test(splits[""], TEST_FRACTION)
        dataset = checked_dataset(self.classes, splits["train"], splits["test"], "image_folder", splits.get("val"))
        cache.save(dataset, stamps)
        return replace(dataset, notes=notes)

    def _check(self, dataset: Dataset) -> None:
        expected = (self.channels, self.image_size, self.image_size)
        if dataset.classes != self.classes or dataset.train.images.shape[1:] != expected:
            raise DataError(f"classes {dataset.classes} of {tuple(dataset.train.images.shape[1:])}, not {expected}")

    def _check_sizes(self, split: Split) -> None:
        counts = torch.bincount(split.labels, minlength=len(self.classes)).tolist()
        small = [str(self.root / name) for name, count in zip(self.classes, counts, strict=True) if count < 2]
        if small:
            raise DataError(
                f"{enumerated(small)}: 1 image, which cannot be in both train and test; add another, "
                "or sort the pictures into train/ and test/ folders"
            )


def undivided_digest(pictures: Split, classes: Sequence[str]) -> str:
    """Return the digest of the data set of these pictures, where a fifth of each class is for the test."""
    return content_digest(classes, split_off_test(pictures, TEST_FRACTION))


def read_splits(listings: Sequence[Listing], image_size: int, channels: int) -> list[Split]:
    """Read the pictures of each listing, in an order that depends on their pixels alone; raise DataError naming all
    damaged ones."""
    paths = [path for listing in listings for path in listing.paths]
    decoded = decode_images(paths, lambda path: _decode(path, image_size, channels), "image_folder")
    splits = []
    for listing in listings:
        part, decoded = decoded[: len(listing.stamps)], decoded[len(listing.stamps) :]
        images, labels = torch.stack([pixels for _, pixels in part]), torch.tensor(listing.labels)
        order = order_by([hashed for hashed, _ in part], labels)
        splits.append(pick(Split(images, labels, tuple(listing.names)), order))
    return splits


def _decode(path: Path, image_size: int, channels: int) -> tuple[bytes, torch.Tensor]:
    """Return a hash of the whole picture and its square as uint8 (channels, image_size, image_size)."""
    picture = open_picture(path)
    # The order comes from the whole picture: one that changed with image_size would move pictures between train
    # and test.
    sha = hashlib.blake2b(repr(picture.size).encode(), digest_size=16)
    sha.update(picture.tobytes())
    square = fit_square(picture, image_size)
    return sha.digest(), to_tensor(square.convert("L") if channels == 1 else square)
