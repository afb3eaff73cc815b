"""Hostile and damaged archives and batches: refused by name, nothing runs, nothing is written."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data_samples import (
    TEST,
    TEST_LABELS,
    TRAIN,
    binary_batch,
    binary_files,
    python2_batch,
    python_files,
    small,
    small_spec,
    tar_gz,
    write_files,
    write_tree,
)

from attn_train.data.sources.unpickle import read_pickle
from attn_train.errors import DataError


class Payload:
    """Leaves a file behind when it is unpickled carelessly."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, target
    return info


HOSTILE = {
    "above": member("../evil"),
    "above inside": member("small-bin/../../evil"),
    "absolute": member("/tmp/evil"),
    "symlink": member("small-bin/link", tarfile.SYMTYPE, target="/etc/passwd"),
    "hardlink": member("small-bin/link", tarfile.LNKTYPE, target="small-bin/test_batch.bin"),
    "character device": member("small-bin/null", tarfile.CHRTYPE),
    "block device": member("small-bin/disk", tarfile.BLKTYPE),
    "fifo": member("small-bin/pipe", tarfile.FIFOTYPE),
    "oversize": member("small-bin/other", size=(1 << 20) + 1),
    "twice": member("small-bin/test_batch.bin"),
}


def load_packed(root: Path, packed: bytes) -> None:
    (root / "small-binary.tar.gz").write_bytes(packed)
    small(root, small_spec(binary=packed)).load()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_member_condemns_the_archive(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="small-binary") as caught:
        load_packed(tmp_path, tar_gz(binary_files(), extra=(HOSTILE[name],)))
    assert caught.value.exit_code == 3
    assert [path.name for path in tmp_path.rglob("*")] == ["small-binary.tar.gz"]


def test_an_archive_that_unpacks_to_far_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="far too large"):
        load_packed(tmp_path, gzip.compress(bytes(32 << 20), 1))


def test_a_header_that_claims_more_than_there_is(tmp_path: Path) -> None:
    header = member("small-bin/test_batch.bin", size=1 << 40).tobuf()
    with pytest.raises(DataError, match=r"far too large|not a whole tar"):
        load_packed(tmp_path, gzip.compress(header + bytes(1024)))


def test_an_unchecked_archive_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "small-binary.tar.gz").write_bytes(tar_gz(binary_files()))
    with pytest.raises(DataError, match=r"small-binary\.tar\.gz: digest"):
        small(tmp_path, small_spec(binary=b"something else")).load()
    (tmp_path / "small-binary.tar.gz").rename(tmp_path / "small-mirror.tar.gz")
    with pytest.raises(DataError, match="digest is not known"):
        small(tmp_path).load()


@pytest.mark.parametrize("kept", [0, 10, 1000, -1])
def test_a_truncated_archive(kept: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="small-binary"):
        load_packed(tmp_path, tar_gz(binary_files())[:kept])


def damaged(name: str, content: bytes | None) -> dict[str, bytes]:
    files = binary_files() if name.startswith("small-bin") else python_files()
    files[name] = content or b""
    if content is None:
        del files[name]
    return files


BAD_LABELS = [2, 1, 3, 1]
DAMAGED = {
    "member missing": ("small-bin/test_batch.bin", None),
    "names missing": ("small-bin/batches.meta.txt", None),
    "record cut": ("small-bin/test_batch.bin", binary_batch(TEST, TEST_LABELS)[:-1]),
    "record more": ("small-bin/data_batch_1.bin", binary_batch(TRAIN[:6], [0] * 6)),
    "label in binary": ("small-bin/test_batch.bin", binary_batch(TEST, BAD_LABELS)),
    "other classes": ("small-bin/batches.meta.txt", b"ant\nbee\ndog\n"),
    "label in pickle": ("small-py/test_batch", python2_batch(TEST, BAD_LABELS)),
    "pickle cut": ("small-py/test_batch", python2_batch(TEST, TEST_LABELS)[:-100]),
    "pickle empty": ("small-py/test_batch", b""),
    "no dict": ("small-py/test_batch", pickle.dumps([1, 2])),
    "wrong shape": ("small-py/test_batch", pickle.dumps({"data": TEST, "labels": TEST_LABELS})),
    "wrong type": (
        "small-py/test_batch",
        pickle.dumps({"data": TEST.reshape(4, -1).astype("int16"), "labels": TEST_LABELS}),
    ),
    "label missing": (
        "small-py/test_batch",
        pickle.dumps({"data": TEST.reshape(4, -1), "labels": TEST_LABELS[1:]}),
    ),
    "label of text": (
        "small-py/test_batch",
        pickle.dumps({"data": TEST.reshape(4, -1), "labels": ["2", "1", "0", "1"]}),
    ),
    "names of pickle": ("small-py/batches.meta", pickle.dumps({"label_names": ["ant"]})),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    file, content = DAMAGED[name]
    write_files(tmp_path, damaged(file, content))
    with pytest.raises(DataError) as caught:
        small(tmp_path).load()
    message = str(caught.value)
    assert file in message
    assert "\n" not in message
    if name.startswith("label in"):
        assert "label 3 at index 2" in message


def test_the_payload_of_a_pickle_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    hostile = pickle.dumps({"data": Payload(mark), "labels": []})
    pickle.loads(hostile)
    assert mark.exists(), "the payload of this test must work against a careless reader"
    mark.unlink()
    write_files(tmp_path, damaged("small-py/data_batch_1", hostile))
    with pytest.raises(DataError, match=r"data_batch_1.*system"):
        small(tmp_path).load()
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(V1+1\ntR.",
        b"c__builtin__\neval\n(V1+1\ntR.",
        b"cnumpy\nload\n(Vx\ntR.",
        b"cnumpy.core.multiarray\n__builtins__\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__class__\x93.",
        b"ios\nsystem\n(Vtrue\n.",
        # A dict put in place of a function's default arguments.
        b"cnumpy._core.numeric\n_frombuffer\nN}(V__defaults__\nNs\x86b.",
        b"cnumpy\nndarray\n(I1000000000000\ntR.",
    ],
)
def test_other_ways_through_a_pickle_are_closed(content: bytes) -> None:
    with pytest.raises(DataError):
        read_pickle(content, "batch")


def test_an_unpacked_file_that_is_far_too_large(tmp_path: Path) -> None:
    write_files(tmp_path, damaged("small-bin/test_batch.bin", bytes(3 << 20)))
    with pytest.raises(DataError, match=r"test_batch\.bin.*far too large"):
        small(tmp_path).load()


def test_trees_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    tree = tmp_path / "small"
    (tree / "train" / "ant").mkdir(parents=True)
    with pytest.raises(DataError, match="missing: bee, cat"):
        small(tmp_path).load()
    (tree / "train" / "ant").rmdir()
    write_tree(tree)
    (tree / "test" / "dog").mkdir()
    with pytest.raises(DataError, match="unexpected: dog"):
        small(tmp_path).load()
    (tree / "test" / "dog").rmdir()
    (tree / "train" / "ant" / "0.png").rename(tmp_path / "kept.png")
    with pytest.raises(DataError, match="9 images, expected 10"):
        small(tmp_path).load()


@pytest.mark.parametrize("content", [b"", b"no image", "half", "large", "clear", "deep"])
def test_a_bad_image_in_a_tree_is_named(content: bytes | str, tmp_path: Path) -> None:
    write_tree(tmp_path / "small")
    path = tmp_path / "small" / "train" / "bee" / "4.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "half":
        path.write_bytes(path.read_bytes()[:1500])
    elif content == "large":
        Image.new("RGB", (33, 32)).save(path)
    elif content == "clear":
        Image.new("RGBA", (32, 32), (1, 2, 3, 254)).save(path)
    else:
        Image.fromarray(np.full((32, 32), 300, np.uint16)).save(path)
    with pytest.raises(DataError) as caught:
        small(tmp_path).load()
    assert str(path) in str(caught.value)


def test_the_reader_looks_at_sha256_too(tmp_path: Path) -> None:
    packed = tar_gz(binary_files())
    (tmp_path / "small-mirror.tar.gz").write_bytes(packed)
    dataset = small(tmp_path, digest=hashlib.sha256(packed).hexdigest().upper()).load()
    assert len(dataset.train.labels) == 10


def test_numpy_agrees_that_the_oracle_is_a_tar() -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_gz(binary_files()))) as tar:
        content = tar.extractfile("small-bin/test_batch.bin")
        assert content is not None
        assert np.frombuffer(content.read(), np.uint8).reshape(4, 3073)[:, 0].tolist() == TEST_LABELS
