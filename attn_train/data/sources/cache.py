"""The packed cache: a loaded data set in one file, so that the next start takes under a second.

Its key covers the names, sizes and times of the source files, so that a changed picture is never missed. Where it
cannot be written or read, the run goes on without it.
"""

import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from attn_train.data.dataset import Dataset, Split, checked_dataset
from attn_train.writing.durable import write_whole

log = logging.getLogger(__name__)

CACHE_FOLDER = ".attn-train"  # under the root
VERSION = 2
READABLE = (1, 2)  # version 1 has neither the files' names nor a validation split
LEFTOVER_SECONDS = 3600.0  # a temporary file older than this belongs to a process that was killed

Check = Callable[[Dataset], None]  # raises DataError for a data set that is not what it should be
Stamp = str  # a source file: its relative name, a zero byte, then what changes when the file changes


def stamp(name: str, status: os.stat_result) -> Stamp:
    """Describe a source file by its name, size and times.

    The modification time alone is not enough: `touch -r` and copying tools set it back, but not the status time.
    """
    return f"{name}\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def stamped_name(stamp: Stamp) -> str:
    """Return the relative name of a stamped file."""
    return stamp.partition("\0")[0]


@dataclass(frozen=True)
class Cache:
    """The packed files of one data set under one root."""

    root: Path
    name: str
    image_size: int

    def load(self, stamps: Iterable[Stamp], check: Check) -> Dataset | None:
        """Return the data set packed from the stamped files, or None; one that fails `check` is damaged."""
        file_name = self._file_name(stamps)
        for folder in self._folders():
            path = folder / file_name
            if path.is_file() and (dataset := self._read(path, check)):
                return dataset
        return None

    def load_newest(self, check: Check) -> Dataset | None:
        """Return the newest data set packed here, from whichever sources, or None; `check` as in `load`."""
        for folder in self._folders():
            for path in sorted(folder.glob(self._pattern), key=_modified, reverse=True):
                if dataset := self._read(path, check):
                    return dataset
        return None

    def save(self, dataset: Dataset, stamps: Iterable[Stamp]) -> Path | None:
        """Write the data set to the first folder that can be written and return the file, else None; never raise."""
        file_name = self._file_name(stamps)
        for folder in self._folders():
            try:
                # Make no root that does not exist: that is left to the user.
                folder.mkdir(parents=folder.parent != self.root, exist_ok=True)
                _write(folder / file_name, dataset)
            except OSError as error:
                log.info("no packed cache in %s: %s", folder, error)
                continue
            self._remove_stale(folder, file_name)
            return folder / file_name
        log.warning("%s is not cached: neither %s nor the user's cache folder can be written", self.name, self.root)
        return None

    @property
    def _pattern(self) -> str:
        return f"{self.name}-{self.image_size}-*.npz"

    def _file_name(self, stamps: Iterable[Stamp]) -> str:
        listing = "\n".join([f"{VERSION} {self.name} {self.image_size}", *sorted(stamps)])
        key = hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()
        return f"{self.name}-{self.image_size}-{key[:32]}.npz"

    def _folders(self) -> list[Path]:
        folders = [self.root / CACHE_FOLDER]
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):
            base = os.path.join(os.path.expanduser("~"), ".cache")
        if os.path.isabs(base):
            # Folders of pictures are all called image_folder, so each root has its own place.
            root = hashlib.sha256(os.fsencode(self.root.absolute())).hexdigest()
            folders.append(Path(base) / "attn-train" / root[:16])
        return folders

    def _read(self, path: Path, check: Check) -> Dataset | None:
        try:
            dataset = _read(path)
            check(dataset)
        except PermissionError as error:
            log.info("packed cache %s is not used: %s", path, error)
            return None
        # A damaged file can raise nearly any kind of error; packing the data again cures all of them.
        except Exception as error:
            log.warning("packed cache %s is damaged (%s): set aside and built again", path, error)
            _set_aside(path)
            return None
        log.info("loaded the packed cache %s", path)
        return dataset

    def _remove_stale(self, folder: Path, keep: str) -> None:
        old = [path for path in folder.glob(self._pattern) if path.name != keep]
        limit = time.time() - LEFTOVER_SECONDS
        old += [path for path in folder.glob(f"{self.name}-*.tmp") if _modified(path) < limit]
        for path in old:
            _unlink(path)


def _write(path: Path, dataset: Dataset) -> None:
    files = {part: split.files for part, split in dataset.splits.items()}
    header = json.dumps({"version": VERSION, "classes": dataset.classes, "digest": dataset.digest, "files": files})
    arrays = {"header": np.array(header)}
    for part, split in dataset.splits.items():
        arrays |= {f"{part}_images": split.images.numpy(), f"{part}_labels": split.labels.numpy()}
    # Several processes may pack the same data set at the same time.
    temporary = f"{path.stem}-{secrets.token_hex(4)}.tmp"
    write_whole(path, lambda file: np.savez(file, allow_pickle=False, **arrays), temporary=temporary, durable=True)


def _read(path: Path) -> Dataset:
    # Opened here because NumPy leaves a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        header = json.loads(str(arrays["header"][()]))
        files = header.get("files", {})
        splits = {
            part: Split(
                torch.from_numpy(arrays[f"{part}_images"]),
                torch.from_numpy(arrays[f"{part}_labels"]),
                tuple(files.get(part, ())),
            )
            for part in ("train", "test", "val")
            if f"{part}_images" in arrays
        }
    if header["version"] not in READABLE:
        raise ValueError(f"format version {header['version']}, expected {VERSION}")
    dataset = checked_dataset(header["classes"], splits["train"], splits["test"], path.name, splits.get("val"))
    if dataset.digest != header["digest"]:
        raise ValueError("its content does not match its digest")
    return dataset


def _set_aside(path: Path) -> None:
    try:
        os.replace(path, path.with_suffix(".damaged"))
    except OSError as error:
        log.info("cannot set %s aside: %s", path, error)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.info("cannot remove %s: %s", path, error)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
