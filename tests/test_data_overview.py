"""What a run says of its data before it trains: what they are, and what cannot be right about them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Command
from PIL import Image
from test_data_folder import fill

from attn_train import build
from attn_train.settings import compose
from attn_train.settings.schema import DatasetSettings


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user")))


@cache
def composed(*words: str) -> DatasetSettings:
    compose.register()
    given = ["dataset=image_folder", "dataset.image_size=16", *words]
    return compose.to_config(compose.compose(given, compose.parse([]))).dataset


def settings(root: Path, *words: str) -> DatasetSettings:
    return replace(composed(*words), root=str(root))


def said(root: Path, caplog: pytest.LogCaptureFixture, *words: str) -> str:
    """Load the pictures in `root` as a run does and return its warnings."""
    build.load_splits(settings(root, *words))
    return caplog.text


def divided(root: Path) -> None:
    for seed, part in enumerate(("train", "val", "test")):
        fill(root / part, {"a": 6, "b": 4}, seed)


def same_folder(root: Path) -> None:
    shutil.rmtree(root / "test")
    shutil.copytree(root / "train", root / "test")


def linked_folder(root: Path) -> None:
    shutil.rmtree(root / "test")
    (root / "test").symlink_to("train")


def another_form(root: Path) -> None:
    """The same pixels under another name in another file format."""
    Image.open(root / "train" / "a" / "3.png").save(root / "test" / "a" / "copy.bmp")


def in_validation(root: Path) -> None:
    shutil.copy(root / "train" / "b" / "1.png", root / "val" / "b" / "copy.png")
    shutil.copy(root / "test" / "a" / "1.png", root / "val" / "a" / "copy.png")


def in_two_classes(root: Path) -> None:
    shutil.copy(root / "train" / "a" / "1.png", root / "train" / "b" / "copy.png")


def scans(bits: int) -> Callable[[Path], None]:
    """Fill the set with scans of so many bits in files of 16."""

    def change(root: Path) -> None:
        for number, path in enumerate(sorted(root.rglob("*.png"))):
            values = np.random.default_rng(number).integers(0, 2**bits, (20, 20)).astype(np.uint16)
            Image.fromarray(values).save(path)

    return change


def one_dark_scan(root: Path) -> None:
    Image.fromarray(np.full((20, 20), 4095, np.uint16)).save(root / "train" / "a" / "2.png")


def plain(root: Path) -> None:
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        Image.new("L", (20, 20), 100 + number).save(path)


@pytest.mark.parametrize(
    ("change", "warnings"),
    [
        (same_folder, ["10 of the 10 test images are train images too (test/"]),
        (linked_folder, ["10 of the 10 test images are train images too (test/"]),
        (another_form, ["1 of the 11 test images are train images too (test/a/copy.bmp is train/a/3.png)"]),
        (
            in_validation,
            [
                "1 of the 12 val images are train images too (val/b/copy.png is train/b/1.png)",
                "1 of the 10 test images are val images too (test/a/1.png is val/a/copy.png)",
            ],
        ),
        (in_two_classes, ["1 of the 31 images stand in another class too (train/a/1.png is train/b/copy.png)"]),
        (scans(12), [f"{part} images are almost black (no value above 16 of 255" for part in ("train", "test", "val")]),
        (scans(10), ["10 of the 10 train images are almost black", "12-bit scans"]),
        (one_dark_scan, ["1 of the 10 train images are almost black (no value above 16 of 255, like train/a/2.png)"]),
        (plain, ["all 10 train images have one value everywhere"]),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_what_cannot_be_right_is_said(
    change: Callable[[Path], None], warnings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time, from the packed cache too."""
    divided(tmp_path)
    change(tmp_path)
    for _ in range(2):
        caplog.clear()
        text = said(tmp_path, caplog)
        assert all(warning in text for warning in warnings), text


def test_pictures_held_out_that_are_also_trained_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, {"a": 5, "b": 5})
    for name in "ab":
        for path in list((tmp_path / name).iterdir()):
            shutil.copytree(path.parent, tmp_path / name / "again", dirs_exist_ok=True)
    text = said(tmp_path, caplog, "dataset.val_size=0.4")
    assert "val images are train images too" in text
    assert "a/again/" in text or "b/again/" in text


@pytest.mark.parametrize("change", [lambda root: None, scans(16), scans(13)], ids=["none", "16 bits", "13 bits"])
def test_nothing_is_said_of_good_pictures(
    change: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    divided(tmp_path)
    change(tmp_path)
    assert said(tmp_path, caplog) == ""


def test_validation_images_of_the_datas_own(train: Command, tmp_path: Path) -> None:
    """They are the validation split of a run; dataset.val_size beside them is refused. The first line of the run says
    what the data are."""
    divided(tmp_path / "mine")
    (tmp_path / "mine" / "train" / "a" / "notes.txt").write_text("no picture")
    words: tuple[str, ...]
    words = (*TINY, "model=none", "dataset=image_folder", f"dataset.root={tmp_path / 'mine'}", "dataset.limit=null")
    words = (*words, "train.batch_size=4", "train.max_steps=2", "hydra.run.dir=run")
    refused = train(*words, "dataset.val_size=2")
    assert refused.code == 2
    assert f"dataset.val_size=2: {tmp_path / 'mine'} brings validation images of its own" in refused.err
    assert not (tmp_path / "run").exists()
    ended = train(*words, "dataset.val_size=0")
    assert ended.code == 0, ended.err
    assert ended.out.startswith(
        "data: 2 classes, images a class: 4 to 6 train, 4 to 6 test, 4 to 6 val; passed over: 1 .txt\n"
    )
    assert "val_accuracy" in (tmp_path / "run" / "result.json").read_text()
    assert (tmp_path / "run" / "checkpoints" / "best.pt").exists()


def test_where_there_are_validation_images_to_tune_on(tmp_path: Path) -> None:
    fill(tmp_path / "flat", {"a": 2, "b": 2})
    divided(tmp_path / "divided")
    assert not build.has_validation(settings(tmp_path / "flat"))
    assert build.has_validation(settings(tmp_path / "flat", "dataset.val_size=0.5"))
    assert build.has_validation(settings(tmp_path / "divided"))


@pytest.mark.parametrize(
    ("run_name", "line"),
    [
        ("plain_run", "data: 10 classes, images a class: 16 train, 16 test"),
        ("attention_run", "data: 10 classes, images a class: 12 to 13 train, 16 test, 3 to 4 val"),
    ],
)
def test_every_run_says_what_its_data_are(run_name: str, line: str, request: pytest.FixtureRequest) -> None:
    log = request.getfixturevalue(run_name) / "attn-train.log"
    assert log.read_text().splitlines()[0].endswith(line)
