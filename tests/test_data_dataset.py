"""Order, digest, limits and validation splits; digits and synthetic; what every named data set keeps to."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attn_train.data.dataset import (
    Dataset,
    ImageDataset,
    Split,
    canonical_order,
    checked_dataset,
    hold_out,
    limit_per_class,
)
from attn_train.data.sources import DATASETS
from attn_train.errors import ConfigError, DataError


def make(name: str, root: Path, image_size: int = 32) -> ImageDataset:
    return DATASETS[name](root=root, download=False, url=None, digest=None, image_size=image_size, time_limit=5.0)


def numbered(counts: list[int]) -> Split:
    """A split in mixed order whose images hold their own number."""
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))]
    numbers = torch.arange(len(labels))
    images = torch.stack([numbers // 256, numbers % 256], 1).to(torch.uint8)[:, :, None, None]
    return Split(images, labels)


def numbers(split: Split) -> list[int]:
    flat = split.images.long().flatten(1)
    return (flat[:, 0] * 256 + flat[:, 1]).tolist()


def test_the_canonical_order_is_that_of_the_content_alone() -> None:
    images = torch.randint(0, 256, (50, 3, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images[10] = images[20]
    labels = torch.arange(50) % 7
    shuffle = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    one, other = canonical_order(images, labels), canonical_order(images[shuffle], labels[shuffle])
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.labels, other.labels)
    assert not torch.equal(one.images, images)


def test_any_change_changes_the_digest() -> None:
    split, other = numbered([3, 3]), numbered([2, 2])
    classes = ("a", "b")
    digests = {checked_dataset(classes, split, other, "x").digest}
    digests.add(checked_dataset(("a", "c"), split, other, "x").digest)
    digests.add(checked_dataset(classes, other, split, "x").digest)
    digests.add(checked_dataset(classes, Split(split.images, split.labels.flip(0)), other, "x").digest)
    digests.add(checked_dataset(classes, Split(split.images ^ 1, split.labels), other, "x").digest)
    turned = [Split(one.images.mT.reshape(-1, 1, 2, 1), one.labels) for one in (split, other)]
    digests.add(checked_dataset(classes, turned[0], turned[1], "x").digest)
    assert len(digests) == 6


def test_validation_images_of_the_datas_own_belong_to_the_digest() -> None:
    """And without any the digest is what it is by its definition, for data sets whose digest is published."""
    train, test, val = numbered([3, 3]), numbered([2, 2]), numbered([1, 1])

    def expected(*splits: Split) -> str:
        header = json.dumps([["a", "b"], *(list(split.images.shape) for split in splits)]).encode()
        parts = [split.images.numpy().tobytes() + split.labels.numpy().tobytes() for split in splits]
        return hashlib.sha256(header + b"".join(parts)).hexdigest()

    assert checked_dataset(("a", "b"), train, test, "x").digest == expected(train, test)
    assert checked_dataset(("a", "b"), train, test, "x", val).digest == expected(train, test, val)


@pytest.mark.parametrize(
    ("images", "labels", "named"),
    [
        (torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64), "float32"),
        (torch.zeros(2, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), r"\(2, 4\)"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(2), "float32"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), "2 images"),
        (torch.zeros(0, 1, 2, 2, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), "0 images"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 2]), "label 2 at index 1"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([-1, 0]), "label -1 at index 0"),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.tensor([1, 0]), "make them equal"),
    ],
)
def test_wrong_tensors_are_named(images: torch.Tensor, labels: torch.Tensor, named: str) -> None:
    good = Split(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1]))
    with pytest.raises(DataError, match=named):
        checked_dataset(("a", "b"), good, Split(images, labels), "x")


def test_a_limit_keeps_the_first_of_each_class() -> None:
    split = numbered([5, 2, 9])
    limited = limit_per_class(split, 3)
    assert limited.labels.bincount().tolist() == [3, 2, 3]
    expected = sorted(n for label in range(3) for n in torch.nonzero(split.labels == label).flatten()[:3].tolist())
    assert numbers(limited) == expected
    with pytest.raises(ConfigError, match=r"dataset\.limit=0"):
        limit_per_class(split, 0)


@pytest.mark.parametrize("size", [0, 1, 7, 10, 55, 99, 150, 300, 396])
def test_a_validation_split_is_disjoint_and_balanced(size: int) -> None:
    split = numbered([100, 100, 100, 100])
    train, validation = hold_out(split, size)
    assert len(validation.labels) == size
    assert sorted(numbers(train) + numbers(validation)) == list(range(400))
    counts = validation.labels.bincount(minlength=4)
    assert counts.max() - counts.min() <= 1
    for part in (train, validation):
        assert torch.equal(split.labels[numbers(part)], part.labels)
    torch.manual_seed(size)
    assert numbers(hold_out(split, size)[1]) == numbers(validation)


@pytest.mark.parametrize(
    ("counts", "size", "held"),
    [
        ([1000, 10], 100, [99, 1]),
        ([1000, 10], 0.1, [100, 1]),
        ([4, 1], 3, [3, 0]),
        ([900, 90, 10], 100, [90, 9, 1]),
        ([900, 90, 10], 0.25, [225, 23, 2]),  # 225, 22.5 and 2.5 of 250; of equal remainders the first
        ([5, 5, 5], 4, [2, 1, 1]),
        ([7, 0, 3], 0.5, [4, 0, 1]),
        ([2, 2, 100], 101, [1, 1, 99]),
        ([1, 1, 1, 97], 0.5, [0, 0, 0, 50]),
        ([300, 30], 0.99, [298, 29]),
    ],
)
def test_each_class_gives_its_share(counts: list[int], size: int | float, held: list[int]) -> None:
    """And keeps one to be trained on. The first of each class are held out, in the split's own order."""
    split = numbered(counts)
    train, validation = hold_out(split, size)
    assert validation.labels.bincount(minlength=len(counts)).tolist() == held
    assert sorted(numbers(train) + numbers(validation)) == list(range(sum(counts)))
    for label, count in enumerate(held):
        first = torch.nonzero(split.labels == label).flatten()[:count].tolist()
        assert [n for n in numbers(validation) if split.labels[n] == label] == first


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (-1, "expected 0 to 18"),
        (19, "expected 0 to 18, since train has 20 images and keeps one of each class"),
        (21, "expected 0 to 18"),
        (0.96, "expected 0 to 18"),
        (0.02, "less than one of the 20 training images"),
    ],
)
def test_an_impossible_validation_size(size: int | float, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"dataset\.val_size={size}:? .*{message}"):
        hold_out(numbered([10, 10]), size)


def load(name: str, image_size: int = 32) -> Dataset:
    return make(name, Path("data"), image_size).load()


@pytest.mark.parametrize(("name", "counts"), [("digits", (1438, 359)), ("synthetic", (512, 256))])
@pytest.mark.parametrize("image_size", [8, 32])
def test_the_data_sets_without_files(name: str, counts: tuple[int, int], image_size: int, tmp_path: Path) -> None:
    source = make(name, tmp_path, image_size)
    dataset = source.load()
    assert dataset.classes == source.classes
    for split, count in ((dataset.train, counts[0]), (dataset.test, counts[1])):
        assert split.images.shape == (count, source.channels, image_size, image_size)
        assert split.images.dtype == torch.uint8
        assert split.labels.unique().tolist() == list(range(10))
    assert source.load().digest == dataset.digest
    assert not list(tmp_path.iterdir())


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    dataset = load("digits", 8)
    found = torch.cat([dataset.train.images, dataset.test.images]).flatten(1).tolist()
    labels = torch.cat([dataset.train.labels, dataset.test.labels]).tolist()
    scans = load_digits()
    expected = np.rint(scans.data * 255 / 16).astype(int).tolist()
    assert sorted(zip(found, labels, strict=True)) == sorted(zip(expected, scans.target.tolist(), strict=True))
    per_class = dataset.test.labels.bincount().numpy() / np.bincount(scans.target)
    assert np.abs(per_class - 0.2).max() < 0.005


def test_digits_are_split_the_same_at_every_size() -> None:
    small, large = load("digits", 8), load("digits", 32)
    assert torch.equal(small.test.labels, large.test.labels)
    image = Image.fromarray(small.test.images[0, 0].numpy()).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(np.array(image), large.test.images[0, 0].numpy())
    reference = torch.nn.functional.interpolate(small.test.images.float(), size=32, mode="bilinear")
    assert (reference - large.test.images).abs().max() <= 1


def test_synthetic_can_be_learnt_but_is_not_empty_noise() -> None:
    dataset = load("synthetic")
    train, test = (split.images.float().flatten(1) for split in (dataset.train, dataset.test))
    means = torch.stack([train[dataset.train.labels == label].mean(0) for label in range(10)])
    nearest = torch.cdist(test, means).argmin(1)
    assert (nearest == dataset.test.labels).float().mean() > 0.95


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "image_folder"])
def test_every_name_keeps_to_the_protocol(name: str, tmp_path: Path) -> None:
    source = make(name, tmp_path / "data", image_size=24)
    assert source.image_size == 24
    assert source.channels in (1, 3)
    assert len(source.classes) in (10, 100)
    assert not (tmp_path / "data").exists()
    for root, size in ((tmp_path / "no" / "parent", 32), (tmp_path, 0), (tmp_path, 10**6)):
        with pytest.raises(ConfigError):
            make(name, root, size)


def test_importing_the_data_does_not_import_what_is_slow() -> None:
    code = "import sys, attn_train.data; print([m for m in ('sklearn', 'torchvision') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
