"""The two official forms of CIFAR, pickled and binary, read out of the archive or from its unpacked folder.

Nothing is unpacked to disk, and no archive is read before its digest is checked.
"""

import gzip
import hashlib
import io
import tarfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from attn_train.data.sources.unpickle import read_pickle, text_list
from attn_train.errors import DataError

AGAIN = "fetch the official archive again"
EXTRA_BYTES = 1 << 20  # room for readme, class names and tar headers
LARGEST_OTHER = 1 << 20  # of a member that is none of the expected ones
MOST_MEMBERS = 100

Arrays = tuple["np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", list[int]]  # (n, bytes of an image), labels


@dataclass(frozen=True)
class Form(ABC):
    """One of the forms in which the data set is published."""

    archive: str  # its file name
    md5: str  # of the archive
    folder: str  # that the archive unpacks to
    train: tuple[str, ...]  # names of files
    test: tuple[str, ...]
    meta: str  # the file with the class names

    @abstractmethod
    def largest_file(self, count: int, pixels: int) -> int:
        """Return the most bytes that a file of `count` images, each of so many values, can have."""

    @abstractmethod
    def decode(self, content: bytes, count: int, pixels: int, where: str) -> Arrays:
        """Return images uint8 (count, pixels) and labels; raise DataError naming the file, `where`."""

    @abstractmethod
    def class_names(self, content: bytes, where: str) -> list[str]:
        """Return the class names in the order of the labels."""


@dataclass(frozen=True)
class PythonForm(Form):
    """Pickled batches: a dict with an array of pixels and a list of labels."""

    label_key: str
    names_key: str

    def largest_file(self, count: int, pixels: int) -> int:
        # Python 3 writes bytes into old pickles as text, where half of them take two bytes.
        return count * (2 * pixels + 256) + EXTRA_BYTES

    def decode(self, content: bytes, count: int, pixels: int, where: str) -> Arrays:
        batch = read_pickle(content, where)
        images, labels = batch.get("data"), batch.get(self.label_key)
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != (count, pixels):
            actual = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
            raise DataError(f"{where}: expected images uint8 ({count}, {pixels}), found {actual}; {AGAIN}")
        if isinstance(labels, np.ndarray):
            labels = labels.tolist()
        if not isinstance(labels, list) or len(labels) != count or not all(type(label) is int for label in labels):
            raise DataError(f"{where}: expected {count} whole numbers under '{self.label_key}'; {AGAIN}")
        return images, labels

    def class_names(self, content: bytes, where: str) -> list[str]:
        return text_list(read_pickle(content, where).get(self.names_key))


@dataclass(frozen=True)
class BinaryForm(Form):
    """Records of fixed length: label bytes, of which the last one counts, then the pixels."""

    label_bytes: int

    def largest_file(self, count: int, pixels: int) -> int:
        return count * (self.label_bytes + pixels) + EXTRA_BYTES

    def decode(self, content: bytes, count: int, pixels: int, where: str) -> Arrays:
        record = self.label_bytes + pixels
        if len(content) != count * record:
            raise DataError(f"{where}: {len(content)} bytes; expected {count} records of {record} bytes; {AGAIN}")
        records = np.frombuffer(content, dtype=np.uint8).reshape(count, record)
        return records[:, self.label_bytes :], records[:, self.label_bytes - 1].tolist()

    def class_names(self, content: bytes, where: str) -> list[str]:
        return content.decode("utf-8", "replace").split()


def file_digest(path: Path, algorithm: str) -> str:
    """Return the hex digest of a file; raise DataError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file and its rights") from error


def read_archive(path: Path, sizes: dict[str, int]) -> dict[str, bytes]:
    """Return the contents of the members named in `sizes`, which states the most bytes of each.

    Raises DataError before any is read where any member of the archive is a link, a device or too large, or leads out
    of its folder.
    """
    limit = sum(sizes.values()) + EXTRA_BYTES
    try:
        with gzip.open(path) as packed:
            content = packed.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip archive ({error}); {AGAIN}") from error
    if len(content) > limit:
        raise DataError(f"{path}: unpacks to more than {limit} bytes, far too large; {AGAIN}")
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            members = {_checked_name(member, path, sizes): member for member in _members(tar, path)}
            for name in members.keys() & sizes.keys():
                file = tar.extractfile(members[name])
                contents[name] = file.read() if file else b""
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a whole tar archive ({error}); {AGAIN}") from error
    return contents


def read_folder(folder: Path, sizes: dict[str, int]) -> dict[str, bytes]:
    """Return the contents of the files named in `sizes`, those that exist; raise DataError where one is too large."""
    contents = {}
    for name, limit in sizes.items():
        path = folder / PurePosixPath(name).name
        try:
            if not path.is_file():
                continue
            with path.open("rb") as file:
                contents[name] = file.read(limit + 1)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); check the file and its rights") from error
        if len(contents[name]) > limit:
            raise DataError(f"{path}: more than {limit} bytes, far too large; {AGAIN}")
    return contents


def _members(tar: tarfile.TarFile, path: Path) -> Sequence[tarfile.TarInfo]:
    members = []
    for member in tar:
        members.append(member)
        if len(members) > MOST_MEMBERS:
            raise DataError(f"{path}: more than {MOST_MEMBERS} members; {AGAIN}")
    if len({member.name for member in members}) < len(members):
        raise DataError(f"{path}: holds a member twice; {AGAIN}")
    return members


def _checked_name(member: tarfile.TarInfo, path: Path, sizes: dict[str, int]) -> str:
    name = PurePosixPath(member.name)
    label = f"{path}: member '{member.name}'"
    if name.is_absolute() or ".." in name.parts:
        raise DataError(f"{label} points outside of the archive; {AGAIN}")
    if member.isdir():
        return f"{name}/"
    if not member.isreg() or member.issparse():
        raise DataError(f"{label} is a link, a device or another special file; {AGAIN}")
    if member.size > sizes.get(str(name), LARGEST_OTHER):
        raise DataError(f"{label} has {member.size} bytes, far too large; {AGAIN}")
    return str(name)
