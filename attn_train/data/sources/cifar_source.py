"""The places where CIFAR can lie under one root: archive, unpacked folder, image tree."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from attn_train.data.dataset import Split
from attn_train.data.sources.archive import AGAIN, Form, file_digest, read_archive, read_folder
from attn_train.data.sources.cache import Stamp, stamp
from attn_train.data.sources.cifar_spec import CifarSpec
from attn_train.data.sources.download import algorithm_of
from attn_train.data.sources.picture import exact_rgb, to_tensor
from attn_train.data.sources.tree import decode_images, list_images
from attn_train.data.sources.walk import class_folders
from attn_train.errors import DataError

PARTS = ("train", "test")


class Source(Protocol):
    """Where the images are."""

    @property
    def passed_over(self) -> Counter[str]:
        """Entries beside the images that are no images, by kind."""
        ...

    def stamps(self) -> list[Stamp]:
        """List the files for the key of the cache, without reading them."""
        ...

    def read(self) -> tuple[Split, Split]:
        """Return train and test, each in any order; raise DataError where they are not what the spec says."""
        ...


def mirror_archive(spec: CifarSpec) -> str:
    """Return the file name of a download whose form and digest are not the official ones."""
    return f"{spec.name}-mirror.tar.gz"


def find_source(spec: CifarSpec, root: Path, digest: str | None) -> Source | None:
    """Return the first source under `root` in the order archive, unpacked folder, image tree, or None."""
    for form in spec.forms:
        if (path := root / form.archive).is_file():
            return ArchiveSource(spec, path, (form,), tuple(filter(None, (form.md5, digest))))
    if (path := root / mirror_archive(spec)).is_file():
        return ArchiveSource(spec, path, spec.forms, (digest,) if digest else ())
    for form in spec.forms:
        if (folder := root / form.folder).is_dir():
            return FolderSource(spec, folder, form)
    if (tree := root / spec.name).is_dir():
        return TreeSource(spec, tree)
    # The root may be the tree itself; a class name sets it apart from other pictures sorted into train and test.
    if any((root / "train" / name).is_dir() for name in spec.classes):
        return TreeSource(spec, root)
    return None


@dataclass(frozen=True)
class ArchiveSource:
    """A packed archive with one of the `digests`, holding one of the `forms`."""

    spec: CifarSpec
    path: Path
    forms: tuple[Form, ...]
    digests: tuple[str, ...]
    passed_over: Counter[str] = field(default_factory=Counter)

    def stamps(self) -> list[Stamp]:
        return _stamps([self.path])

    def read(self) -> tuple[Split, Split]:
        self._check_digest()
        sizes: dict[str, int] = {}
        for form in self.forms:
            sizes |= _sizes(self.spec, form)
        contents = read_archive(self.path, sizes)
        # A mirror's archive does not say its form; the first file of one does.
        form = next((form for form in self.forms if f"{form.folder}/{form.train[0]}" in contents), self.forms[0])
        return _decode(self.spec, form, contents, str(self.path))

    def _check_digest(self) -> None:
        if not self.digests:
            raise DataError(
                f"{self.path}: its digest is not known, and no archive is read unchecked; give dataset.digest=SHA256"
            )
        actual = [file_digest(self.path, algorithm_of(digest)) for digest in self.digests]
        if not any(digest.lower() == other for digest, other in zip(self.digests, actual, strict=True)):
            raise DataError(
                f"{self.path}: digest {actual[0]}, expected {self.digests[0]}; the file is damaged or not the "
                "official one: remove it and fetch it again"
            )


@dataclass(frozen=True)
class FolderSource:
    """An official archive, unpacked."""

    spec: CifarSpec
    folder: Path
    form: Form
    passed_over: Counter[str] = field(default_factory=Counter)

    def stamps(self) -> list[Stamp]:
        names = (*self.form.train, *self.form.test, self.form.meta)
        return _stamps([path for name in names if (path := self.folder / name).is_file()])

    def read(self) -> tuple[Split, Split]:
        contents = read_folder(self.folder, _sizes(self.spec, self.form))
        return _decode(self.spec, self.form, contents, str(self.folder.parent))


class TreeSource:
    """One folder a class under train/ and test/, as mirrors hand the images out."""

    def __init__(self, spec: CifarSpec, tree: Path) -> None:
        self.spec = spec
        self.tree = tree
        self.listings = []
        self.passed_over: Counter[str] = Counter()
        for part, count in zip(PARTS, (spec.train_count, spec.test_count), strict=True):
            folders, passed_over = class_folders(tree / part)
            _check_folders(folders, spec.classes, tree / part)
            listing = list_images(tree, part, spec.classes)
            if len(listing.stamps) != count:
                raise DataError(f"{tree / part}: {len(listing.stamps)} images, expected {count}; copy the tree again")
            self.listings.append(listing)
            self.passed_over += passed_over + listing.passed_over

    def stamps(self) -> list[Stamp]:
        return [stamp for listing in self.listings for stamp in listing.stamps]

    def read(self) -> tuple[Split, Split]:
        paths = [path for listing in self.listings for path in listing.paths]
        images = torch.stack(decode_images(paths, self._decode, self.spec.name))
        train, test = self.listings
        parts = images.split([len(train.stamps), len(test.stamps)])
        return Split(parts[0], torch.tensor(train.labels)), Split(parts[1], torch.tensor(test.labels))

    def _decode(self, path: Path) -> torch.Tensor:
        side = self.spec.image_size
        image = exact_rgb(path)
        if image.size != (side, side):
            raise DataError(f"{path}: {image.size[0]}x{image.size[1]} pixels; expected {side}x{side}; restore the file")
        return to_tensor(image)


def _stamps(paths: Sequence[Path]) -> list[Stamp]:
    return [stamp(f"{path.parent.name}/{path.name}", path.stat()) for path in paths]


def _sizes(spec: CifarSpec, form: Form) -> dict[str, int]:
    """Return the most bytes that each file of a form may have."""
    pixels = spec.channels * spec.image_size**2
    sizes = {form.meta: 1 << 20}
    for names, count in ((form.train, spec.train_count), (form.test, spec.test_count)):
        sizes |= dict.fromkeys(names, form.largest_file(count // len(names), pixels))
    return {f"{form.folder}/{name}": size for name, size in sizes.items()}


def _decode(spec: CifarSpec, form: Form, contents: dict[str, bytes], where: str) -> tuple[Split, Split]:
    """Turn the files of one form into train and test; `where` is the archive or the folder around them."""
    for name in (form.meta, *form.train, *form.test):
        if f"{form.folder}/{name}" not in contents:
            raise DataError(f"{where}: {form.folder}/{name} is missing; {AGAIN}")
    meta = f"{where}: {form.folder}/{form.meta}"
    _check_names(form.class_names(contents[f"{form.folder}/{form.meta}"], meta), spec.classes, meta)
    splits = []
    for names, total in ((form.train, spec.train_count), (form.test, spec.test_count)):
        count = total // len(names)
        images, labels = [], []
        for name in names:
            member = f"{form.folder}/{name}"
            part, part_labels = form.decode(
                contents[member], count, spec.channels * spec.image_size**2, f"{where}: {member}"
            )
            _check_labels(part_labels, len(spec.classes), f"{where}: {member}")
            images.append(part)
            labels += part_labels
        shape = (-1, spec.channels, spec.image_size, spec.image_size)
        splits.append(Split(torch.from_numpy(np.concatenate(images).reshape(shape)), torch.tensor(labels)))
    return splits[0], splits[1]


def _check_labels(labels: list[int], classes: int, where: str) -> None:
    for index, label in enumerate(labels):
        if not 0 <= label < classes:
            raise DataError(f"{where}: label {label} at index {index}; expected 0 to {classes - 1}; {AGAIN}")


def _check_names(names: Sequence[str], expected: Sequence[str], where: str) -> None:
    if list(names) != list(expected):
        wrong = next((a for a, b in zip(names, expected, strict=False) if a != b), f"{len(names)} names")
        raise DataError(
            f"{where}: found '{wrong}'; expected the {len(expected)} classes {expected[0]} to {expected[-1]}; {AGAIN}"
        )


def _check_folders(names: Sequence[str], expected: Sequence[str], folder: Path) -> None:
    missing, strange = sorted(set(expected) - set(names)), sorted(set(names) - set(expected))
    if missing or strange:
        raise DataError(
            f"{folder}: class folders missing: {', '.join(missing) or 'none'}; unexpected: "
            f"{', '.join(strange) or 'none'}; make them the {len(expected)} official ones"
        )
