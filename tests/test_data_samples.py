"""A small data set in every form that CIFAR comes in, for the other tests of the data, and a test of it."""

import hashlib
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from attn_train.data.dataset import Dataset
from attn_train.data.sources.archive import BinaryForm, PythonForm
from attn_train.data.sources.cifar import Cifar
from attn_train.data.sources.cifar_spec import CifarSpec

CLASSES = ("ant", "bee", "cat")
random = np.random.default_rng(7)
TRAIN = random.integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
TRAIN_LABELS = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
TEST = random.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
TEST_LABELS = [2, 1, 0, 1]


def python2_batch(images: np.ndarray, labels: list[int]) -> bytes:
    """The opcodes that Python 2 and its NumPy wrote, as they stand in the published files."""
    pixels = images.tobytes()
    shape = b"K" + bytes([len(images)]) + b"M" + struct.pack("<H", images[0].size) + b"\x86"
    array = b"".join(
        (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01",
            shape,
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            b"T" + struct.pack("<i", len(pixels)) + pixels + b"tb",
        )
    )
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels](" + numbers + b"eu."


def binary_batch(images: np.ndarray, labels: list[int], before: bytes = b"") -> bytes:
    return b"".join(before + bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True))


def python_files() -> dict[str, bytes]:
    return {
        "small-py/batches.meta": pickle.dumps({b"label_names": [name.encode() for name in CLASSES]}, protocol=2),
        "small-py/data_batch_1": python2_batch(TRAIN[:5], TRAIN_LABELS[:5]),
        "small-py/data_batch_2": python2_batch(TRAIN[5:], TRAIN_LABELS[5:]),
        "small-py/test_batch": python2_batch(TEST, TEST_LABELS),
        "small-py/readme.html": b"hello",
    }


def binary_files() -> dict[str, bytes]:
    return {
        "small-bin/batches.meta.txt": b"ant\nbee\ncat\n\n",
        "small-bin/data_batch_1.bin": binary_batch(TRAIN[:5], TRAIN_LABELS[:5]),
        "small-bin/data_batch_2.bin": binary_batch(TRAIN[5:], TRAIN_LABELS[5:]),
        "small-bin/test_batch.bin": binary_batch(TEST, TEST_LABELS),
    }


def tar_gz(files: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return buffer.getvalue()


def small_spec(python: bytes = b"", binary: bytes = b"", home: str = "https://127.0.0.1:9/") -> CifarSpec:
    """A spec whose archives have the digests of the given bytes."""
    batches = ("data_batch_1", "data_batch_2")
    return CifarSpec(
        name="small",
        classes=CLASSES,
        train_count=10,
        test_count=4,
        home=home,
        forms=(
            PythonForm(
                "small-python.tar.gz", hashlib.md5(python).hexdigest(), "small-py", batches, ("test_batch",),
                "batches.meta", "labels", "label_names",
            ),
            BinaryForm(
                "small-binary.tar.gz", hashlib.md5(binary).hexdigest(), "small-bin",
                tuple(f"{name}.bin" for name in batches), ("test_batch.bin",), "batches.meta.txt", 1,
            ),
        ),
    )  # fmt: skip


def small(root: Path, spec: CifarSpec | None = None, **options: object) -> Cifar:
    settings = {"download": False, "url": None, "digest": None, "image_size": 32, "time_limit": 5.0} | options
    kind = type("Small", (Cifar,), {"spec": spec or small_spec()})
    return kind(root=root, **settings)


def write_files(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def write_tree(tree: Path, suffix: str = "png") -> None:
    for part, images, labels in (("train", TRAIN, TRAIN_LABELS), ("test", TEST, TEST_LABELS)):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = tree / part / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{number}.{suffix}", lossless=True)


def expected(images: np.ndarray, labels: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    order = sorted(
        range(len(images)),
        key=lambda i: (hashlib.blake2b(images[i].tobytes(), digest_size=16).digest(), labels[i]),
    )
    return torch.from_numpy(images[order]), torch.tensor([labels[i] for i in order])


def assert_is_small(dataset: Dataset) -> None:
    for split, images, labels in ((dataset.train, TRAIN, TRAIN_LABELS), (dataset.test, TEST, TEST_LABELS)):
        pixels, numbers = expected(images, labels)
        assert split.images.dtype == torch.uint8
        assert split.labels.dtype == torch.int64
        assert torch.equal(split.images, pixels)
        assert torch.equal(split.labels, numbers)
    assert dataset.classes == CLASSES


def test_the_hand_written_pickle_is_what_python_reads() -> None:
    batch = pickle.loads(python2_batch(TEST, TEST_LABELS), encoding="bytes")
    assert batch[b"labels"] == TEST_LABELS
    assert np.array_equal(batch[b"data"].reshape(TEST.shape), TEST)
