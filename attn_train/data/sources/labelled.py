"""Labelled pictures to test a trained network on, which need not be of all its classes."""

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attn_train.data.dataset import Split, check_arguments
from attn_train.data.overview import images_a_class
from attn_train.data.sources.division import find_parts
from attn_train.data.sources.folder import read_splits
from attn_train.data.sources.tree import Listing
from attn_train.data.sources.walk import class_folders, find_pictures, notes_of
from attn_train.errors import ConfigError, DataError


@dataclass(frozen=True)
class Labelled:
    """The pictures of one part of a folder, or of all of it where it is not divided."""

    split: Split
    folder: Path  # around their class folders
    is_divided: bool
    notes: tuple[str, ...]


def load_labelled(root: Path, part: str, classes: Sequence[str], image_size: int, channels: int) -> Labelled:
    """Load the labelled pictures in `root/<class>/`, or those of its `part` (train, val, test) where it is divided.

    Labels are the places of the folders' names among `classes`. Raises ConfigError for a part that does not exist, and
    DataError for a class that is not among `classes`, for no pictures at all and for damaged ones.

    Args:
        classes: those that the network was trained on.
        image_size: pixels a side.
        channels: 3, or 1 for grey.
    """
    check_arguments(root, image_size)
    names, passed_over = class_folders(root)
    parts = {
        kind: name
        for kind, name in find_parts(root, names).items()
        # A class may have the name of a part, and sub-folders.
        if name not in classes or set(class_folders(root / name)[0]) & set(classes)
    }
    notes: tuple[str, ...] = ()
    below = ""
    if parts:
        if part == "test" and "test" not in parts and "val" in parts:
            notes = (f"the test images are those of {parts['val']}/, since there is no test/",)
            part = "val"
        if part not in parts:
            raise ConfigError(f"split={part}: {root} has no folder of that name; choose from {', '.join(parts)}")
        below = parts[part]
        names, passed_over = class_folders(root / below)
    listing = _list_known(root, below, names, classes)
    listing.passed_over.update(passed_over)
    notes += notes_of(listing.passed_over)
    if not listing.stamps:
        raise DataError(
            f"{root / below}: no pictures in class folders ({'; '.join(notes) or 'nothing there'}); pictures without "
            "labels are named by attn-eval with image=FOLDER"
        )
    (split,) = read_splits([listing], image_size, channels)
    return Labelled(split, root / below, bool(parts), notes)


def describe(labelled: Labelled, tested: Split, classes: Sequence[str], limit: int | None) -> str:
    """Say in one line which pictures are tested: `tested`, those of each class up to `limit`."""
    extent = "all that are there" if limit is None else f"the first {limit} of each class"
    return "; ".join(
        [
            f"{labelled.folder}: tested on {len(tested.labels)} labelled pictures, {extent}, in "
            f"{len(tested.labels.unique())} of the {len(classes)} classes, {images_a_class(tested)} a class",
            *labelled.notes,
        ]
    )


def _list_known(root: Path, below: str, names: Sequence[str], classes: Sequence[str]) -> Listing:
    """List the pictures in the class folders `names` of `root/below`; raise DataError for an unknown class."""
    # Some systems write é as one letter, others as e and an accent.
    numbers = {unicodedata.normalize("NFC", name): number for number, name in enumerate(classes)}
    if len(numbers) < len(classes):
        numbers = {name: number for number, name in enumerate(classes)}
    listing = Listing(root, [], [], Counter())
    unknown = []
    for name in names:
        stamps, passed_over = find_pictures(root, os.path.join(below, name))
        listing.passed_over.update(passed_over)
        number = numbers.get(name, numbers.get(unicodedata.normalize("NFC", name)))
        if number is not None:
            listing.stamps.extend(stamps)
            listing.labels.extend([number] * len(stamps))
        elif stamps:
            unknown.append(name)
        else:
            listing.passed_over[f"folder {name}"] += 1
    if unknown:
        inside = class_folders(root / below / unknown[0])[0]
        around = f", or say dataset.root={root / below / unknown[0]}" if set(inside) & set(classes) else ""
        folded = {name.casefold() for name in classes}
        in_case = all(name.casefold() in folded for name in unknown)
        advice = "which differs in capital letters only: rename the folder" if in_case else "move the folder away"
        raise DataError(
            f"{root / below}: the model does not know the class {', '.join(unknown[:10])}; it was trained on "
            f"{', '.join(classes[:10])}; {advice}, or train with it{around}"
        )
    return listing
