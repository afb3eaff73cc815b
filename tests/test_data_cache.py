"""The packed cache: quick when nothing changed, never stale, never trusted when damaged, never in the way."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_data_samples import assert_is_small, binary_files, small, write_files, write_tree

from attn_train.data.dataset import Split, checked_dataset
from attn_train.data.sources import cache as module
from attn_train.data.sources.cifar_source import TreeSource
from attn_train.errors import DataError


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tree(tmp_path / "small")
    return tmp_path


def packed(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npz"))


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: TreeSource) -> None:
        raise AssertionError("the source was read although it is cached")

    monkeypatch.setattr(TreeSource, "read", read)


def test_the_second_load_reads_only_the_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = small(root).load()
    assert len(packed(root / ".attn-train")) == 1
    forbid_reading(monkeypatch)
    second = small(root, image_size=32).load()
    assert_is_small(second)
    assert second.digest == first.digest
    small(root, image_size=16).load()


def test_a_changed_picture_is_never_served_stale(root: Path) -> None:
    before = small(root).load()
    path = root / "small" / "train" / "bee" / "4.png"
    status = path.stat()
    pixels = np.array(Image.open(path))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    # As a tool does that keeps times; only the status time tells.
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = small(root).load()
    assert after.digest != before.digest
    assert len(packed(root)) == 1, "the stale cache is removed"


def test_a_renamed_picture_is_looked_at_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(root).load()
    (root / "small" / "train" / "bee" / "4.png").rename(root / "small" / "train" / "bee" / "new.png")
    forbid_reading(monkeypatch)
    with pytest.raises(AssertionError):
        small(root).load()


@pytest.mark.parametrize("damage", ["pixel", "label", "header", "cut", "empty", "text", "zip"])
def test_a_damaged_cache_is_set_aside_and_rebuilt(damage: str, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    small(root).load()
    (path,) = packed(root)
    content = bytearray(path.read_bytes())
    if damage == "pixel":
        content[len(content) // 2] ^= 1
    elif damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "empty":
        content = bytearray()
    elif damage == "text":
        content = bytearray(b"hello")
    elif damage == "zip":
        content = bytearray(b"PK\x05\x06" + bytes(18))
    path.write_bytes(content)
    if damage in ("label", "header"):
        rewrite(path, damage)
    assert_is_small(small(root).load())
    assert "set aside" in caplog.text
    assert len(list(path.parent.glob("*.damaged"))) == 1
    caplog.clear()
    assert_is_small(small(root).load())
    assert not caplog.records


def rewrite(path: Path, damage: str) -> None:
    """Change the content so that the checksums of the zip file hold and only the digest can tell."""
    with np.load(path) as arrays:
        content = dict(arrays)
    if damage == "label":
        content["train_labels"] = content["train_labels"][::-1]
    else:
        content["header"] = np.array("{}")
    np.savez(path, **content)


def test_a_cache_without_its_sources_is_used(root: Path) -> None:
    small(root).load()
    (root / "small").rename(root / "elsewhere")
    assert_is_small(small(root).load())


def test_a_cache_of_the_version_before_is_used_where_its_sources_are_gone(root: Path) -> None:
    small(root).load()
    (root / "small").rename(root / "elsewhere")
    (path,) = packed(root)
    with np.load(path) as arrays:
        content = dict(arrays)
    header = json.loads(str(content["header"]))
    del header["files"]
    content["header"] = np.array(json.dumps(header | {"version": 1}))
    np.savez(path, **content)
    assert_is_small(small(root).load())


def test_a_cache_without_sources_of_another_data_set_is_not(root: Path) -> None:
    small(root).load()
    (root / "small").rename(root / "elsewhere")
    (path,) = packed(root)
    with np.load(path) as arrays:
        content = dict(arrays)
    for part in ("images", "labels"):
        content[f"train_{part}"] = content[f"train_{part}"][:5]
    split = Split(torch.from_numpy(content["train_images"]), torch.from_numpy(content["train_labels"]))
    test = Split(torch.from_numpy(content["test_images"]), torch.from_numpy(content["test_labels"]))
    module._write(path, checked_dataset(("ant", "bee", "cat"), split, test, "small"))
    with pytest.raises(DataError, match="no small under"):
        small(root).load()


def test_a_root_that_cannot_be_written_falls_back_to_the_user(root: Path, user_cache: Path) -> None:
    # A file where the folder should be stops even the super-user, whom rights do not.
    (root / ".attn-train").write_bytes(b"")
    assert_is_small(small(root).load())
    assert len(packed(user_cache)) == 1
    assert_is_small(small(root).load())


@pytest.mark.skipif(os.geteuid() == 0, reason="rights do not hold for the super-user")
def test_a_read_only_root_falls_back_to_the_user(root: Path, user_cache: Path) -> None:
    root.chmod(0o555)
    try:
        assert_is_small(small(root).load())
    finally:
        root.chmod(0o755)
    assert len(packed(user_cache)) == 1


@pytest.mark.parametrize("home", ["nowhere", "a file", "relative"])
def test_without_any_place_it_goes_on(
    home: str, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (root / ".attn-train").write_bytes(b"")
    monkeypatch.setenv("HOME", str(root / ".attn-train"))
    monkeypatch.setenv("XDG_CACHE_HOME", "" if home == "nowhere" else "x" if home == "relative" else str(root))
    if home == "a file":
        (root / "attn-train").write_bytes(b"")
    assert_is_small(small(root).load())
    assert "not cached" in caplog.text
    assert not packed(root)


def test_a_full_disk_leaves_no_partial_file(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    resource = pytest.importorskip("resource", reason="needs limits on the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file that may not grow any more fails in the middle of the writing, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        assert_is_small(small(root).load())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "not cached" in caplog.text
    assert not list((root / ".attn-train").iterdir())


def test_what_a_killed_process_left_is_removed(root: Path) -> None:
    folder = root / ".attn-train"
    folder.mkdir()
    old, new, other = folder / "small-32-a.tmp", folder / "small-32-b.tmp", folder / "else-32-a.npz"
    for path in (old, new, other):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    small(root).load()
    assert not old.exists()
    assert new.exists()
    assert other.exists()


def test_archives_and_folders_are_keyed_too(tmp_path: Path) -> None:
    write_files(tmp_path, binary_files())
    before = small(tmp_path).load()
    path = tmp_path / "small-bin" / "test_batch.bin"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert small(tmp_path).load().digest != before.digest


def test_two_file_lists_never_share_a_key() -> None:
    one = module.Cache(Path(), "x", 32)
    lists = [["a\x001 1 1", "b\x001 1 1"], ["a\x001 1 1"], ["ab\x001 1 1"], ["a\x0011 1 1"], []]
    assert len({one._file_name(stamps) for stamps in lists}) == len(lists)
    assert one._file_name(lists[0]) == one._file_name(lists[0][::-1])
