"""Describe a data set before it is used: its classes, how many images each has, and what is likely wrong."""

from collections.abc import Iterator, Mapping, Sequence

import torch

from attn_train.data.dataset import Split, hashes_of

# A sixteenth of the range: 12-bit scans stored with 16 bits do not get beyond.
ALMOST_BLACK = 16
BRIGHTEN = "multiply 12-bit scans that are stored with 16 bits by 16, masks of small numbers by as much as fits"
# Splits that should share no image.
DISJOINT = (("test", "train"), ("val", "train"), ("test", "val"))


def describe(classes: Sequence[str], splits: Mapping[str, Split], notes: Sequence[str]) -> str:
    """Say in one line how many classes there are, how many images the least and the largest have, and the notes."""
    counts = ", ".join(f"{images_a_class(split)} {name}" for name, split in splits.items())
    return "; ".join([f"data: {len(classes)} classes, images a class: {counts}", *notes])


def images_a_class(split: Split) -> str:
    """Say how many images a class has of those that have any, as "40", or "12 to 40"."""
    counts = torch.bincount(split.labels)
    counts = counts[counts > 0]
    least, most = int(counts.min()), int(counts.max())
    return str(least) if least == most else f"{least} to {most}"


def suspicions(splits: Mapping[str, Split]) -> Iterator[str]:
    """Yield a line, with an example, for each thing that is likely wrong in a person's pictures: pictures in two splits
    or in two classes, almost black ones, and ones of a single value."""
    files = {name: split.files for name, split in splits.items()}
    hashes = {name: hashes_of(split.images) for name, split in splits.items()}
    for name, other in DISJOINT:
        if name not in splits or other not in splits:
            continue
        places = {pixels: place for place, pixels in enumerate(hashes[other])}
        shared = [(place, places[pixels]) for place, pixels in enumerate(hashes[name]) if pixels in places]
        if shared:
            place, other_place = shared[0]
            yield (
                f"{len(shared)} of the {len(hashes[name])} {name} images are {other} images too "
                f"({files[name][place]} is {files[other][other_place]}): the accuracy on them says little; "
                "keep each picture in one place"
            )
    yield from _two_classes(splits, hashes)
    for name, split in splits.items():
        yield from _dark(name, split)


def _two_classes(splits: Mapping[str, Split], hashes: Mapping[str, list[bytes]]) -> Iterator[str]:
    first: dict[bytes, tuple[int, str]] = {}
    conflicts = []
    for name, split in splits.items():
        for pixels, label, file in zip(hashes[name], split.labels.tolist(), split.files, strict=True):
            first_label, first_file = first.setdefault(pixels, (label, file))
            if label != first_label:
                conflicts.append(f"{first_file} is {file}")
    if conflicts:
        count = sum(len(split.labels) for split in splits.values())
        yield (
            f"{len(conflicts)} of the {count} images stand in another class too ({conflicts[0]}): remove the wrong one "
            "of each"
        )


def _dark(name: str, split: Split) -> Iterator[str]:
    flat = split.images.flatten(1)
    brightest, darkest = flat.amax(dim=1), flat.amin(dim=1)
    dark = torch.nonzero(brightest <= ALMOST_BLACK).flatten().tolist()
    if dark:
        yield (
            f"{len(dark)} of the {len(flat)} {name} images are almost black (no value above {ALMOST_BLACK} of 255, "
            f"like {split.files[dark[0]]}): {BRIGHTEN}"
        )
    elif bool((brightest == darkest).all()):
        yield f"all {len(flat)} {name} images have one value everywhere, like {split.files[0]}; look at them"
