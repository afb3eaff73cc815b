"""Labels that people gave to the training images of CIFAR, from a person's own file, whose pickle is not trusted.

The files of CIFAR-N (Wei et al., 2022, arXiv 2110.12088), CIFAR-10_human.pt and CIFAR-100_human.pt, are archives of
torch.save that hold a dict of arrays. Their licence, CC BY-NC 4.0, does not let them come with this program.
"""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attn_train.data.sources.unpickle import read_pickle
from attn_train.errors import DataError

# What noise.labels may be, with the name of that array in the file.
ARRAYS = {
    "worse": "worse_label",
    "aggre": "aggre_label",
    "random1": "random_label1",
    "random2": "random_label2",
    "random3": "random_label3",
    "noisy": "noisy_label",
}
TRUE = "clean_label"
LARGEST = 1 << 24  # bytes: six times what the file of CIFAR-10 has
ADVICE = "fetch CIFAR-10_human.pt (or CIFAR-100_human.pt) from github.com/UCSC-REAL/cifar-10-100n again"


@dataclass(frozen=True)
class HumanLabels:
    """Labels of the training images in their published order."""

    given: Tensor  # int64 (n,)
    true: Tensor | None  # int64 (n,): the images' own, where the file has them too

    def check(self, labels: Tensor, classes: int, path: Path) -> None:
        """Raise DataError where they do not belong to images that have these labels, int64 (n,)."""
        if self.true is not None:
            differ = torch.nonzero(self.true != labels).flatten()
            if len(differ):
                raise DataError(
                    f"{path}: its {TRUE} is not that of the images: {len(differ)} of {len(labels)} differ, the first "
                    f"at index {int(differ[0])}; it is of other data, or in another order than their official archive"
                )
        agree = (self.given == labels).double().mean().item()
        if agree < 1.5 / classes:
            raise DataError(
                f"{path}: {100 * agree:.1f} % of its labels are the images' own, as by chance; bring them into the "
                "order of the official archive's training images"
            )


def read_labels(path: Path, name: str, count: int, classes: int) -> HumanLabels:
    """Read the labels `name`, a key of ARRAYS, of `count` images of so many classes; raise DataError naming the file
    for anything else.

    A file of numpy.save holds one array, which is taken whatever `name` is.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        reason = f"noise.file={path}: cannot be read ({error.strerror})"
        raise DataError(f"{reason}; say where it lies with noise=human noise.file=FILE") from error
    if not content:
        raise DataError(f"{path} is empty: its download broke off; {ADVICE}")
    if len(content) > LARGEST:
        raise DataError(f"{path}: more than {LARGEST} bytes, far too large; {ADVICE}")
    if content.startswith(b"\x93NUMPY"):
        return HumanLabels(checked(read_array(content, path), count, classes, str(path)), None)
    arrays = read_pickle(pickle_in(content, path), str(path), ADVICE)
    wanted = ARRAYS[name]
    for key in (wanted, TRUE):
        if key not in arrays:
            has = ", ".join(sorted(arrays)[:10]) or "nothing"
            raise DataError(f"{path}: has no '{key}', but {has}; choose by noise.labels among these, or {ADVICE}")
    given, true = (checked(arrays[key], count, classes, f"{path}: '{key}'") for key in (wanted, TRUE))
    return HumanLabels(given, true)


def read_array(content: bytes, path: Path) -> Any:
    """Return the array in a file of numpy.save that holds no pickle."""
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # of a damaged file nearly any
        raise DataError(f"{path}: refused or damaged ({error}); save whole numbers by numpy.save") from error


def pickle_in(content: bytes, path: Path) -> bytes:
    """Return the pickle in an archive of torch.save."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            member = next((entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl")), None)
            if member is None or member.file_size > LARGEST:
                raise DataError(f"{path}: holds no data.pkl of a sound size; {ADVICE}")
            return archive.read(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise DataError(f"{path}: neither an archive of torch.save nor an array of numpy.save; {ADVICE}") from error


def checked(array: Any, count: int, classes: int, where: str) -> Tensor:
    """Return an array of labels as a tensor; raise DataError where it is none."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu" or array.shape != (count,):
        actual = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise DataError(f"{where}: expected {count} whole numbers, found {actual}; {ADVICE}")
    if not 0 <= array.min() <= array.max() < classes:
        raise DataError(f"{where}: labels {array.min()} to {array.max()}, expected 0 to {classes - 1}; {ADVICE}")
    return torch.from_numpy(array.astype(np.int64))
