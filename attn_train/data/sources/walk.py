"""Which files of a folder are pictures, and what is passed over: one rule for training, test and prediction."""

import os
import re
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image, ImageFile

from attn_train.data.sources.cache import CACHE_FOLDER, Stamp, stamp
from attn_train.errors import DataError

# What operating systems, archivers and network drives leave between pictures; hidden entries need no name here.
SYSTEM_NAMES = frozenset(
    {
        "__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "@recycle", "#recycle",
        "$recycle.bin", "system volume information", "lost+found",
    }
)  # fmt: skip
# Pillow hands EPS to another program, Ghostscript, and knows MPEG without decoding it.
NO_PICTURES = ("EPS", "MPEG")
HIDDEN_FILE, HIDDEN_FOLDER = "hidden file", "hidden folder"
NO_SUFFIX, OTHER_SUFFIX = "file without suffix", "file of another kind"
SPECIAL_FILE, BROKEN_LINK, READ_BEFORE = "special file", "broken link", "link to a folder that is read already"
OUTSIDE = "picture outside the class folders"
PLURALS = {
    HIDDEN_FILE: "hidden files",
    HIDDEN_FOLDER: "hidden folders",
    NO_SUFFIX: "files without suffix",
    OTHER_SUFFIX: "files of another kind",
    SPECIAL_FILE: "special files",
    BROKEN_LINK: "broken links",
    READ_BEFORE: "links to folders that are read already",
    OUTSIDE: "pictures outside the class folders",
}
MOST_KINDS = 20  # that are named in one line


@cache
def picture_formats() -> tuple[str, ...]:
    """Return the names of the formats that Pillow decodes by itself."""
    Image.init()
    return tuple(
        name
        for name, (factory, _) in Image.OPEN.items()
        if name not in NO_PICTURES
        # A stub only passes the file to a decoder that another package registers.
        and not (isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile))
    )


@cache
def picture_suffixes() -> frozenset[str]:
    """Return the lower-case suffixes of these formats, like .png."""
    formats = {*picture_formats(), "MPO"}  # several JPEGs in a file, of which Pillow's JPEG decoder reads the first
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


@dataclass(frozen=True)
class Contents:
    """What lies directly in one folder, in any order; `passed_over` counts the rest by kind."""

    folders: list[os.DirEntry[str]] = field(default_factory=list)
    pictures: list[os.DirEntry[str]] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)


def contents(folder: Path) -> Contents:
    """Sort what lies in `folder` by kind; raise DataError where it cannot be listed."""
    listed = Contents()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name == CACHE_FOLDER:
                    continue
                is_folder = _is_folder(entry)
                kind = _passed_over(entry, is_folder)
                if kind is not None:
                    listed.passed_over[kind] += 1
                else:
                    (listed.folders if is_folder else listed.pictures).append(entry)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot list the folder ({error.strerror}); check the path and its rights"
        ) from error
    return listed


def find_pictures(base: Path, below: str = "") -> tuple[list[Stamp], Counter[str]]:
    """List the pictures in the folder `base/below` and in the folders below it, by the order of their names.

    Links are followed, and each folder is read once, so that a link to a folder above ends. Returns the stamps of the
    pictures, named relative to `base`, and the number of entries of each kind that are passed over. Raises DataError
    for a folder that cannot be listed.
    """
    stamps: list[Stamp] = []
    passed_over: Counter[str] = Counter()
    read = _above(base / below)
    pending = deque([below])
    while pending:
        name = pending.pop()
        if (identity := _identity(base / name)) in read:
            passed_over[READ_BEFORE] += 1
            continue
        if identity is not None:
            read.add(identity)
        listed = contents(base / name)
        passed_over += listed.passed_over
        prefix = os.path.join(name, "")
        stamps += [stamp(prefix + entry.name, _status(entry)) for entry in listed.pictures]
        for entry in sorted(listed.folders, key=lambda entry: entry.name):
            # Links last, so that a picture is known by the name of its own folder.
            add = pending.appendleft if entry.is_symlink() else pending.append
            add(prefix + entry.name)
    return sorted(stamps), passed_over


def class_folders(folder: Path) -> tuple[list[str], Counter[str]]:
    """Return the sorted names of the class folders in `folder`, and the number of its other entries by kind; raise
    DataError where it cannot be listed."""
    listed = contents(folder)
    read = {_identity(folder), *_above(folder)}
    names = sorted(
        entry.name for entry in listed.folders if not (entry.is_symlink() and _identity(Path(entry.path)) in read)
    )
    beside = {READ_BEFORE: len(listed.folders) - len(names), OUTSIDE: len(listed.pictures)}
    return names, listed.passed_over + Counter(beside)


def count_kinds(passed_over: Counter[str]) -> str:
    """Say how many entries of each kind are passed over: "3 hidden files, 2 .txt, 1 __MACOSX"."""
    kinds = sorted(passed_over.items(), key=lambda counted: (-counted[1], counted[0]))
    shown = [f"{count} {PLURALS.get(kind, kind) if count > 1 else kind}" for kind, count in kinds[:MOST_KINDS]]
    if rest := sum(count for _, count in kinds[MOST_KINDS:]):
        shown.append(f"{rest} more")
    return ", ".join(shown)


def notes_of(passed_over: Counter[str]) -> tuple[str, ...]:
    """Return what a data set says of entries that are passed over: nothing where there are none."""
    return (f"passed over: {count_kinds(passed_over)}",) if passed_over else ()


def _passed_over(entry: os.DirEntry[str], is_folder: bool) -> str | None:
    """Return the kind of what is passed over, None for a folder or a picture."""
    if entry.name.startswith("."):
        return HIDDEN_FOLDER if is_folder else HIDDEN_FILE
    if entry.name.lower() in SYSTEM_NAMES:
        return entry.name
    if is_folder:
        return None
    _, point, ending = entry.name.lower().rpartition(".")
    suffix = point + ending if point else ""
    if suffix in picture_suffixes():
        # A broken link stays: reading names it with the other damaged pictures. To read a pipe would wait for ever.
        return None if _is_file(entry) or _is_broken(entry) else SPECIAL_FILE
    if _is_broken(entry):
        return BROKEN_LINK
    if not suffix:
        return NO_SUFFIX
    return suffix if re.fullmatch(r"\.[a-z0-9_-]{1,10}", suffix) else OTHER_SUFFIX


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _is_broken(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not os.path.exists(entry.path)


def _above(folder: Path) -> set[tuple[int, int]]:
    """Identify all folders above `folder`, by the path that is given and by the one without links."""
    identities = {_identity(above) for path in (folder.absolute(), folder.resolve()) for above in path.parents}
    return {identity for identity in identities if identity is not None}


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    with suppress(OSError):  # a broken link
        return entry.stat()
    try:
        return entry.stat(follow_symlinks=False)
    except OSError as error:
        raise DataError(
            f"{entry.path}: cannot be read ({error.strerror}); do not change the folder meanwhile"
        ) from error


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
