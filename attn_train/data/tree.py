"""Class folders full of image files: find them, list them for the cache key, decode them on all cores."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image
from tqdm import tqdm

from attn_train.data.cache import Stamp, stamp, stamped_name
from attn_train.errors import DataError

CHUNK = 128

T = TypeVar("T")


@dataclass(frozen=True)
class Listing:
    """The image files of one split, in the order of their names."""

    base: Path
    stamps: list[Stamp]
    labels: list[int]
    ignored: int  # entries that are no image files

    @property
    def paths(self) -> list[Path]:
        """The files; made when asked for, since making 60,000 takes longer than loading the packed cache."""
        return [self.base / stamped_name(stamp) for stamp in self.stamps]


def class_folders(folder: Path) -> tuple[str, ...]:
    """Return the sorted names of the visible sub-folders; raises DataError for an unreadable `folder`."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(e.name for e in entries if e.is_dir() and not e.name.startswith(".")))
    except OSError as error:
        raise DataError(
            f"{folder}: cannot list the folder ({error.strerror}); check the path and its rights"
        ) from error


def list_images(base: Path, part: str, classes: Sequence[str], extensions: tuple[str, ...]) -> Listing:
    """List the image files of `base/part/<class>/`; raises DataError naming an empty or unreadable folder."""
    stamps: list[Stamp] = []
    labels: list[int] = []
    ignored = 0
    for label, name in enumerate(classes):
        found, others = _scan(base / part / name, os.path.join(part, name, ""), extensions)
        if not found:
            raise DataError(
                f"{base / part / name}: no image files in this class folder; add some "
                f"({', '.join(extensions)}) or remove the folder"
            )
        stamps += found
        labels += [label] * len(found)
        ignored += others
    return Listing(base, stamps, labels, ignored)


def _scan(folder: Path, prefix: str, extensions: tuple[str, ...]) -> tuple[list[Stamp], int]:
    """Return the sorted stamps of the image files in `folder`, and the number of other entries."""
    found = []
    ignored = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.lower().endswith(extensions) and not name.startswith("."):
                    found.append(stamp(prefix + name, entry.stat()))
                else:
                    ignored += 1
    except OSError as error:
        raise DataError(
            f"{error.filename or folder}: cannot be read ({error.strerror}); check the path and its rights"
        ) from error
    return sorted(found), ignored


def decode_images(paths: Sequence[Path], decode: Callable[[Path], T], title: str) -> list[T]:
    """Apply `decode` to every file on all usable cores, with a progress bar; keeps the order of `paths`."""
    # Loading Pillow's plugins once beforehand keeps the threads from racing for it.
    Image.init()
    results: list[T] = []
    pool = ThreadPoolExecutor(usable_cores())
    try:
        chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
        with tqdm(total=len(paths), desc=title, unit="image", disable=None) as bar:
            for decoded in pool.map(lambda chunk: [decode(path) for path in chunk], chunks):
                results += decoded
                bar.update(len(decoded))
    finally:
        # After the first damaged file the others need not be read.
        pool.shutdown(cancel_futures=True)
    return results


def usable_cores() -> int:
    """Return the number of cores this process may use, which a container can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
