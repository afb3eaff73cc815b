"""Class folders full of picture files: list them for the cache key, decode them on all cores."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from attn_train.data.sources.cache import Stamp, stamped_name
from attn_train.data.sources.walk import count_kinds, find_pictures, picture_formats
from attn_train.errors import DataError
from attn_train.machine.cores import usable_cores

CHUNK = 128
MOST_NAMED = 10  # damaged pictures, or classes, in one message

T = TypeVar("T")


@dataclass(frozen=True)
class Listing:
    """The pictures of one split, class by class in the order of their names."""

    base: Path
    stamps: list[Stamp]
    labels: list[int]
    passed_over: Counter[str]  # entries by kind

    @property
    def names(self) -> list[str]:
        """The files, relative to `base`."""
        return [stamped_name(stamp) for stamp in self.stamps]

    @property
    def paths(self) -> list[Path]:
        """The files, made on demand: to make 60,000 paths takes longer than to load the packed cache."""
        return [self.base / name for name in self.names]


def list_images(base: Path, part: str, classes: Sequence[str]) -> Listing:
    """List the pictures in and below `base/part/<class>/`; raise DataError naming an empty or unreadable folder."""
    listing = Listing(base, [], [], Counter())
    empty = []
    for label, name in enumerate(classes):
        stamps, passed_over = find_pictures(base, os.path.join(part, name))
        if not stamps:
            others = f" (passed over: {count_kinds(passed_over)})" if passed_over else ""
            empty.append(f"{base / part / name}{others}")
        listing.stamps.extend(stamps)
        listing.labels.extend([label] * len(stamps))
        listing.passed_over.update(passed_over)
    if empty:
        raise DataError(
            f"{enumerated(empty)}: no image files in this class folder; add some, like .png or .jpg, or remove the "
            "folder"
        )
    return listing


def enumerated(names: Sequence[str]) -> str:
    """Return names in one line, the first MOST_NAMED of them."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def decode_images(paths: Sequence[Path], decode: Callable[[Path], T], title: str) -> list[T]:
    """Apply `decode` to every file on all usable cores, with a progress bar; keeps the order of `paths`.

    Raises one DataError for all the files for which `decode` raises one.
    """
    picture_formats()  # loads Pillow's plugins, for which the threads would race
    results: list[T] = []
    damaged: list[DataError] = []

    def decode_chunk(chunk: Sequence[Path]) -> list[T]:
        decoded = []
        for path in chunk:
            try:
                decoded.append(decode(path))
            except DataError as error:
                damaged.append(error)
        return decoded

    pool = ThreadPoolExecutor(usable_cores())
    try:
        chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
        with tqdm(total=len(paths), desc=title, unit="image", disable=None) as bar:
            for chunk, decoded in zip(chunks, pool.map(decode_chunk, chunks), strict=True):
                results += decoded
                bar.update(len(chunk))
    finally:
        # After an unexpected error the files still waiting need not be read.
        pool.shutdown(cancel_futures=True)
    if damaged:
        raise _all_damaged(damaged, len(paths))
    return results


def _all_damaged(damaged: list[DataError], count: int) -> DataError:
    if len(damaged) == 1:
        return damaged[0]
    named = sorted(map(str, damaged))
    more = f"; and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return DataError(f"{len(named)} of {count} pictures cannot be used: {'; '.join(named[:MOST_NAMED])}{more}")
