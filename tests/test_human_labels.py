"""Labels that people gave, from a file of somebody's: each image gets its own, and whatever is wrong is one line."""

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import Command
from test_data_samples import TRAIN, TRAIN_LABELS, python_files, small, write_files, write_tree

from attn_train.data.labels.human import read_labels
from attn_train.data.labels.noise import Human
from attn_train.data.sources.cifar import Cifar
from attn_train.errors import ConfigError, DataError
from attn_train.settings import compose, saved
from attn_train.settings.words import readable

WORSE = [0, 1, 2, 1, 1, 2, 0, 2, 2, 0]  # two of TRAIN_LABELS, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0], are others


@pytest.fixture
def source(tmp_path: Path) -> Cifar:
    write_files(tmp_path / "data", python_files())
    return small(tmp_path / "data")


def archive(path: Path, **arrays: Any) -> Path:
    """Write what the publishers wrote; `arrays` change it."""
    labels = {
        "clean_label": np.array(TRAIN_LABELS),
        "worse_label": np.array(WORSE),
        "aggre_label": np.array(TRAIN_LABELS),
    }
    torch.save({key: value for key, value in (labels | arrays).items() if value is not None}, path)
    return path


def array(path: Path, labels: Any) -> Path:
    with path.open("wb") as file:
        np.save(file, np.array(labels))
    return path


def assert_each_image_has_its_own(noise: Human, source: Cifar) -> None:
    train = source.load().train
    given = noise.labels(train, source, 0)
    assert given.dtype == torch.int64
    for image, label in zip(train.images.numpy(), given.tolist(), strict=True):
        place = next(place for place, other in enumerate(TRAIN) if np.array_equal(image, other))
        assert label == WORSE[place]


@pytest.mark.parametrize("kind", ["archive", "array"])
def test_each_image_gets_the_label_that_people_gave_it(kind: str, source: Cifar, tmp_path: Path) -> None:
    path = archive(tmp_path / "human.pt") if kind == "archive" else array(tmp_path / "human.npy", WORSE)
    assert_each_image_has_its_own(Human(file=str(path), labels="worse"), source)


def test_another_kind_of_labels_is_another_array(source: Cifar, tmp_path: Path) -> None:
    noise = Human(file=str(archive(tmp_path / "human.pt")), labels="aggre")
    train = source.load().train
    assert torch.equal(noise.labels(train, source, 0), train.labels)


def test_a_packed_copy_beside_its_source_changes_nothing(source: Cifar, tmp_path: Path) -> None:
    """The second start reads the packed cache, which is in an order of its own."""
    noise = Human(file=str(archive(tmp_path / "human.pt")), labels="worse")
    source.load()
    assert_each_image_has_its_own(noise, source)


def test_images_of_another_size_get_the_same_labels(source: Cifar, tmp_path: Path) -> None:
    noise = Human(file=str(archive(tmp_path / "human.pt")), labels="worse")
    larger = small(tmp_path / "data", image_size=48)
    given = [noise.labels(of.load().train, of, 0) for of in (source, larger)]
    assert torch.equal(*given)


class Code:
    """A pickle that runs a command where it is read without care."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch was_here",)


def with_code(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("archive/data.pkl", pickle.dumps({"worse_label": Code()}, 2))
    return path


def cut_off(path: Path) -> Path:
    path.write_bytes(archive(path).read_bytes()[:300])
    return path


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def other_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("hello.txt", "hello")
    return path


def objects(path: Path) -> Path:
    buffer = io.BytesIO()
    np.save(buffer, np.array({"worse_label": WORSE}, dtype=object))
    path.write_bytes(buffer.getvalue())
    return path


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing there": (lambda path: path, "cannot be read (No such file or directory)"),
    "folder": (folder, "cannot be read (Is a directory)"),
    "empty": (empty, "is empty: its download broke off"),
    "cut off": (cut_off, "neither an archive of torch.save nor an array of numpy.save"),
    "other zip": (other_zip, "holds no data.pkl"),
    "code": (with_code, "refused or damaged (it asks for posix.system, which an array never needs)"),
    "tensors": (lambda path: archive(path, worse_label=torch.tensor(WORSE)), "refused or damaged"),
    "lacks its array": (lambda path: archive(path, worse_label=None), "has no 'worse_label', but aggre_label, clean"),
    "lacks the true ones": (lambda path: archive(path, clean_label=None), "has no 'clean_label'"),
    "short": (
        lambda path: archive(path, worse_label=np.array(WORSE[:9])),
        "expected 10 whole numbers, found int64 (9,)",
    ),
    "no numbers": (lambda path: archive(path, worse_label=np.array(list("0120120120"))), "expected 10 whole numbers"),
    "text": (lambda path: archive(path, worse_label="0120120120"), "expected 10 whole numbers, found str"),
    "no class": (lambda path: archive(path, worse_label=np.array([*WORSE[:9], 3])), "labels 0 to 3, expected 0 to 2"),
    "short array": (lambda path: array(path, WORSE[:9]), "expected 10 whole numbers, found int64 (9,)"),
    "objects": (objects, "refused or damaged (Object arrays cannot be loaded"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_that_names_it(
    name: str, source: Cifar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, named = BAD[name]
    path = make(tmp_path / "human.pt")
    with pytest.raises(DataError) as raised:
        Human(file=str(path), labels="worse").check(source)
    message = str(raised.value)
    assert named in message
    assert str(path) in message
    assert "\n" not in message
    assert not (tmp_path / "was_here").exists()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (
            lambda path: archive(path, clean_label=np.array(TRAIN_LABELS[::-1]), worse_label=np.array(WORSE[::-1])),
            "its clean_label is not that of the images: 6 of 10 differ, the first at index 1",
        ),
        (
            lambda path: array(path, [(label + 1) % 3 for label in TRAIN_LABELS]),
            "0.0 % of its labels are the images' own",
        ),
    ],
)
def test_labels_in_another_order_are_refused(
    make: Callable[[Path], Path], named: str, source: Cifar, tmp_path: Path
) -> None:
    noise = Human(file=str(make(tmp_path / "human.pt")), labels="worse")
    with pytest.raises(DataError, match=named.replace("(", r"\(")):
        noise.labels(source.load().train, source, 0)


def test_pictures_in_no_published_order_are_refused(tmp_path: Path) -> None:
    noise = Human(file=str(archive(tmp_path / "human.pt")), labels="worse")
    write_tree(tmp_path / "tree" / "small")
    with pytest.raises(DataError, match=r"needs the order .* put small-python.tar.gz or small-binary.tar.gz there"):
        noise.check(small(tmp_path / "tree"))
    write_files(tmp_path / "packed", python_files())
    source = small(tmp_path / "packed")
    train = source.load().train
    for path in (tmp_path / "packed" / "small-py").iterdir():
        path.unlink()
    (tmp_path / "packed" / "small-py").rmdir()
    with pytest.raises(DataError, match="only a packed copy is there"):
        noise.labels(train, source, 0)


def test_the_pickles_of_older_numpy_are_read(tmp_path: Path) -> None:
    """The published files name modules as they were called then."""
    path, old = archive(tmp_path / "human.pt"), tmp_path / "old.pt"
    with zipfile.ZipFile(path) as new, zipfile.ZipFile(old, "w") as packed:
        content = new.read("human/data.pkl")
        assert b"numpy._core" in content
        packed.writestr("archive/data.pkl", content.replace(b"numpy._core", b"numpy.core"))
    assert read_labels(old, "worse", 10, 3).given.tolist() == WORSE


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["dataset=cifar10"], 2, "noise=human needs a file of labels: noise.file=CIFAR-10_human.pt"),
        (["noise.file=nowhere.pt"], 2, "noise=human is of CIFAR only"),
        (["dataset=cifar10", "noise.file=nowhere (1).pt"], 3, "noise.file=nowhere (1).pt: cannot be read"),
        (["noise.labels=worst"], 2, "noise.labels=worst is not a choice; choose from worse, aggre, random1"),
        (["noise.share=0.4"], 2, "unknown setting 'noise.share'"),
    ],
)
def test_a_bad_command_line_is_one_line_and_writes_nothing(
    train: Command, tmp_path: Path, words: list[str], code: int, named: str
) -> None:
    ended = train("noise=human", *words)
    assert ended.code == code
    assert named in ended.err
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_run_goes_on_with_its_file_of_labels_in_another_place(plain_run: Path, tmp_path: Path) -> None:
    """The choice of the group says what is there; another one, or another setting of it, is refused."""
    run = shutil.copytree(plain_run, tmp_path / "run")
    values = yaml.safe_load((run / "config.yaml").read_text())
    values["noise"] = {"name": "human", "file": "there.pt", "labels": "worse"}
    (run / "config.yaml").write_text(yaml.safe_dump(values))

    def resumed(*words: str) -> dict[str, Any]:
        words = tuple(readable(["resume=run", *words]))
        composed = compose.compose(list(words), compose.parse([]))
        return dict(saved.resumed(run, list(words), composed).noise)

    assert resumed() == values["noise"]
    assert resumed("noise=human", "noise.file=here.pt") == values["noise"] | {"file": "here.pt"}
    with pytest.raises(
        ConfigError, match=r"^noise.labels=aggre cannot be changed in this run, where noise.labels is wor"
    ):
        resumed("noise=human", "noise.labels=aggre")
    with pytest.raises(ConfigError, match=r"^noise=pair cannot be changed in this run"):
        resumed("noise=pair")


def test_a_file_of_labels_is_looked_for_from_where_the_run_began(
    plain_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = yaml.safe_load((plain_run / ".hydra" / "hydra.yaml").read_text())["hydra"]["runtime"]["cwd"]
    run = shutil.copytree(plain_run, tmp_path / "run")
    labels = Path(began) / "labels.pt"
    monkeypatch.chdir(tmp_path)
    values = yaml.safe_load((run / "config.yaml").read_text())
    values["noise"] = {"name": "human", "file": "labels.pt", "labels": "worse"}
    (run / "config.yaml").write_text(yaml.safe_dump(values))
    assert saved.read(run).noise.file == "labels.pt"
    labels.write_bytes(b"")
    try:
        assert saved.read(run).noise.file == str(labels)
    finally:
        labels.unlink()
