"""CIFAR in every form: python and binary archive, unpacked folder, image tree, all the same bits."""

import dataclasses
import logging
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_data_samples import (
    TEST,
    TEST_LABELS,
    TRAIN,
    TRAIN_LABELS,
    assert_is_small,
    binary_batch,
    binary_files,
    python_files,
    small,
    small_spec,
    tar_gz,
    write_files,
    write_tree,
)

from attn_train.data.dataset import Dataset
from attn_train.data.sources.cifar import Cifar10
from attn_train.data.sources.cifar_spec import CIFAR10, CIFAR100
from attn_train.errors import ConfigError, DataError

FORMS = (
    "python archive",
    "binary archive",
    "python folder",
    "binary folder",
    "tree",
    "webp tree",
    "root is tree",
)


def load_form(form: str, root: Path) -> Dataset:
    packed = tar_gz(python_files() if "python" in form else binary_files())
    if "archive" in form:
        (root / f"small-{form.split()[0]}.tar.gz").write_bytes(packed)
    elif "folder" in form:
        write_files(root, python_files() if "python" in form else binary_files())
    else:
        write_tree(root if form == "root is tree" else root / "small", "webp" if "webp" in form else "png")
    return small(root, small_spec(packed, packed)).load()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_tensors_order_and_digest(form: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    dataset = load_form(form, tmp_path)
    assert_is_small(dataset)
    assert dataset.digest == load_form("tree", tmp_path / "other").digest


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_batches_pickled_by_any_python_3_are_read(protocol: int, tmp_path: Path) -> None:
    files = python_files()
    for name, images, labels in (
        ("data_batch_1", TRAIN[:5], TRAIN_LABELS[:5]),
        ("data_batch_2", TRAIN[5:], np.array(TRAIN_LABELS[5:])),
        ("test_batch", TEST, TEST_LABELS),
    ):
        files[f"small-py/{name}"] = pickle.dumps({"data": images.reshape(-1, 3072), "labels": labels}, protocol)
    write_files(tmp_path, files)
    assert_is_small(small(tmp_path).load())


def test_the_fine_label_counts_where_a_record_has_two(tmp_path: Path) -> None:
    files = binary_files()
    for name, images, labels in (
        ("data_batch_1", TRAIN[:5], TRAIN_LABELS[:5]),
        ("data_batch_2", TRAIN[5:], TRAIN_LABELS[5:]),
        ("test_batch", TEST, TEST_LABELS),
    ):
        files[f"small-bin/{name}.bin"] = binary_batch(images, labels, before=b"\x13")
    write_files(tmp_path, files)
    spec = small_spec()
    form = dataclasses.replace(spec.forms[1], label_bytes=2)  # type: ignore[call-arg]
    assert_is_small(small(tmp_path, dataclasses.replace(spec, forms=(form,))).load())


GREY = Image.fromarray(TRAIN[0, 0])
FEW_COLOURS = Image.fromarray(TRAIN[0].transpose(1, 2, 0)).quantize(8).convert("RGB")
FROM_OPTIMISERS = {
    "L": (GREY, GREY),
    "LA": (GREY, GREY.convert("LA")),
    "1": (GREY.convert("1"), GREY.convert("1")),
    "P": (FEW_COLOURS, FEW_COLOURS.quantize(8)),
    "P of grey": (GREY, GREY.convert("P")),
    "RGBA": (FEW_COLOURS, FEW_COLOURS.convert("RGBA")),
}


@pytest.mark.parametrize("mode", FROM_OPTIMISERS)
def test_a_smaller_mode_with_the_same_pixels_is_the_same_data(mode: str, tmp_path: Path) -> None:
    """What an optimiser of PNG files makes of an image with few colours."""
    published, optimised = FROM_OPTIMISERS[mode]
    digests = []
    for number, image in enumerate((published.convert("RGB"), optimised)):
        write_tree(tmp_path / str(number) / "small")
        image.save(tmp_path / str(number) / "small" / "train" / "ant" / "0.png")
        digests.append(small(tmp_path / str(number)).load().digest)
    assert digests[0] == digests[1]


def test_what_lies_beside_the_images_of_a_tree(tmp_path: Path) -> None:
    """Entries of systems and archivers are no classes and no images; they are counted, and class folders may have
    sub-folders."""
    tree = tmp_path / "small"
    write_tree(tree)
    for name in ("train/__MACOSX/ant/._0.png", "train/ant/.DS_Store", "test/@eaDir/x.png", "test/bee/Thumbs.db"):
        write_files(tree, {name: b"x"})
    (tree / "train" / "ant" / "more").mkdir()
    (tree / "train" / "ant" / "0.png").rename(tree / "train" / "ant" / "more" / "0.png")
    dataset = small(tmp_path).load()
    assert_is_small(dataset)
    assert dataset.notes == ("passed over: 1 @eaDir, 1 Thumbs.db, 1 __MACOSX, 1 hidden file",)
    assert small(tmp_path).load().notes == dataset.notes, "also from the packed cache"


def test_another_image_size_keeps_order_and_labels(tmp_path: Path) -> None:
    write_tree(tmp_path / "small")
    native, larger = small(tmp_path).load(), small(tmp_path, image_size=48).load()
    assert larger.train.images.shape == (10, 3, 48, 48)
    assert torch.equal(larger.train.labels, native.train.labels)
    flat = native.train.images.double().mean((2, 3)) - larger.train.images.double().mean((2, 3))
    assert flat.abs().max() < 2
    assert larger.digest != native.digest


def test_pixels_that_are_not_the_published_ones_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tree(tmp_path / "small")
    digest = small(tmp_path).load().digest
    small(tmp_path, dataclasses.replace(small_spec(), published=digest)).load()
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        small(tmp_path, dataclasses.replace(small_spec(), published="0" * 64)).load()
    assert "not the published ones" in caplog.text


def test_the_official_specs_are_whole() -> None:
    assert CIFAR10.published != CIFAR100.published
    assert (len(CIFAR10.classes), len(set(CIFAR100.classes))) == (10, 100)
    for spec in (CIFAR10, CIFAR100):
        assert list(spec.classes) == sorted(spec.classes)
        assert spec.train_count == 50_000
        assert spec.test_count == 10_000
        assert len({form.md5 for form in spec.forms}) == 2


def test_no_data_and_no_download_says_the_ways(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"small-binary\.tar\.gz.*image tree.*dataset\.url") as caught:
        small(tmp_path).load()
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"image_size": 0}, "dataset.image_size=0"),
        ({"time_limit": 0.0}, "dataset.time_limit=0"),
        ({"time_limit": float("nan")}, "dataset.time_limit=nan"),
        ({"url": "http://example.org/small-binary.tar.gz"}, "http://example.org"),
        ({"url": "file:///etc/passwd", "digest": "0" * 64}, "file:///etc/passwd"),
        ({"url": "https://example.org/other.tar.gz"}, "other.tar.gz"),
        ({"digest": "xyz"}, "dataset.digest=xyz"),
        ({"digest": "z" * 64}, "dataset.digest=zzz"),
    ],
)
def test_impossible_arguments_are_refused_at_once(options: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        small(tmp_path, **options)
    assert named in str(caught.value)


def test_a_root_without_a_parent_or_that_is_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.root=.*parent folder"):
        small(tmp_path / "nowhere" / "at" / "all")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="found a file"):
        small(tmp_path / "file")


@pytest.mark.slow
def test_the_real_tree_has_the_published_channel_means() -> None:
    tree = os.environ.get("ATTN_TRAIN_CIFAR10")
    if not tree:
        pytest.skip("set ATTN_TRAIN_CIFAR10 to a folder that holds cifar10/{train,test}/<class>/*")
    dataset = Cifar10(root=Path(tree), download=False, url=None, digest=None, image_size=32, time_limit=60).load()
    means = [dataset.train.images[:, channel].double().mean().item() / 255 for channel in range(3)]
    assert means == pytest.approx([0.49139968, 0.48215841, 0.44653091], abs=1e-7)
    assert dataset.train.labels.bincount().tolist() == [5000] * 10
    assert dataset.test.labels.bincount().tolist() == [1000] * 10
    assert dataset.digest == CIFAR10.published
