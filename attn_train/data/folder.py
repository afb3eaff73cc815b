"""A person's own pictures, one folder a class, of any size and mode."""

import hashlib
import logging
from pathlib import Path

import torch

from attn_train.data.cache import Cache
from attn_train.data.dataset import Dataset, Split, check_arguments, checked_dataset, order_by, pick, split_off_test
from attn_train.data.picture import fit_square, open_picture, to_tensor
from attn_train.data.tree import Listing, class_folders, decode_images, list_images
from attn_train.errors import DataError

log = logging.getLogger(__name__)

EXTENSIONS = (".png", ".webp", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
PARTS = ("train", "test")
TEST_FRACTION = 0.2


def read_image(path: Path, image_size: int, channels: int) -> torch.Tensor:
    """Read one image file as uint8 (channels, image_size, image_size).

    It is turned upright by its EXIF tag, laid on white where transparent, its shorter side brought to
    `image_size` and its centre kept. `channels` is 3, or 1 for grey. Raises DataError for an unreadable file.
    """
    square = fit_square(open_picture(path), image_size)
    return to_tensor(square.convert("L") if channels == 1 else square)


class ImageFolder:
    """Pictures under `root/{train,test}/<class>/`, or `root/<class>/`, where a fifth of each is for the test.

    Which pictures are in that fifth depends on the pictures alone, not on their names or `image_size`.
    """

    channels: int = 3

    def __init__(
        self,
        *,
        root: Path,
        download: bool,
        url: str | None,
        digest: str | None,
        image_size: int,
        time_limit: float,
    ) -> None:
        check_arguments(root, image_size)
        self.root = root
        self.image_size = image_size
        self.is_split, self.classes = _find_classes(root)

    def load(self) -> Dataset:
        """Load the pictures, uint8 (n, 3, image_size, image_size); raises DataError naming a damaged one."""
        parts = PARTS if self.is_split else ("",)
        listings = [list_images(self.root, part, self.classes, EXTENSIONS) for part in parts]
        if ignored := sum(listing.ignored for listing in listings):
            log.info(
                "%s: ignored %d entries that are no image files (%s)",
                self.root,
                ignored,
                ", ".join(EXTENSIONS),
            )
        stamps = [stamp for listing in listings for stamp in listing.stamps]
        cache = Cache(self.root, "image_folder", self.image_size)
        if dataset := cache.load(stamps, self._check):
            return dataset
        splits = [self._decode(listing) for listing in listings]
        if not self.is_split:
            self._check_sizes(splits[0])
            splits = list(split_off_test(splits[0], TEST_FRACTION))
        dataset = checked_dataset(self.classes, splits[0], splits[1], "image_folder")
        cache.save(dataset, stamps)
        return dataset

    def _decode(self, listing: Listing) -> Split:
        def decode(path: Path) -> tuple[bytes, torch.Tensor]:
            picture = open_picture(path)
            # The order comes from the whole picture: one that changed with image_size would move pictures
            # between train and test.
            sha = hashlib.blake2b(repr(picture.size).encode(), digest_size=16)
            sha.update(picture.tobytes())
            return sha.digest(), to_tensor(fit_square(picture, self.image_size))

        decoded = decode_images(listing.paths, decode, "image_folder")
        split = Split(torch.stack([pixels for _, pixels in decoded]), torch.tensor(listing.labels))
        return pick(split, order_by([hashed for hashed, _ in decoded], split.labels))

    def _check(self, dataset: Dataset) -> None:
        expected = (self.channels, self.image_size, self.image_size)
        if dataset.classes != self.classes or dataset.train.images.shape[1:] != expected:
            raise DataError(f"classes {dataset.classes} of {tuple(dataset.train.images.shape[1:])}, not {expected}")

    def _check_sizes(self, split: Split) -> None:
        counts = torch.bincount(split.labels, minlength=len(self.classes)).tolist()
        for name, count in zip(self.classes, counts, strict=True):
            if count < 2:
                raise DataError(
                    f"{self.root / name}: 1 image, which cannot be in both train and test; add another, "
                    "or sort the pictures into train/ and test/ folders"
                )


def _find_classes(root: Path) -> tuple[bool, tuple[str, ...]]:
    """Return whether `root` is divided into train and test, and the class names."""
    if not root.is_dir():
        raise DataError(
            f"dataset.root={root}: no such folder; expected pictures in train/<class>/ and "
            "test/<class>/ or in <class>/ under it"
        )
    names = class_folders(root)
    present = [part for part in PARTS if part in names]
    if len(present) == 1:
        missing = PARTS[1 - PARTS.index(present[0])]
        raise DataError(
            f"{root / missing}: no such folder beside {present[0]}/; add it, or put the class folders "
            f"directly into {root}"
        )
    if not present:
        return False, _at_least_two(names, root)
    train, test = (class_folders(root / part) for part in PARTS)
    if differing := sorted(set(train) ^ set(test)):
        raise DataError(
            f"{root}: classes {', '.join(differing[:5])} are not in both train/ and test/; give both the same folders"
        )
    return True, _at_least_two(train, root / "train")


def _at_least_two(classes: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    if len(classes) < 2:
        found = f"only {classes[0]}" if classes else "none"
        raise DataError(f"{folder}: expected at least 2 class folders, found {found}; put each class into a folder")
    return classes
