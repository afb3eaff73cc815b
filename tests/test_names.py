"""Classes and pictures may be called anything that a file system takes: a run, its evaluation and its report go on, and
no name is markup or steers a terminal."""

import json
import os
import re
from pathlib import Path

import pytest
from conftest import TINY, Command, Outcome, run_here
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attn_train.commands import export
from attn_train.writing.text import columns

NAMES = [
    b"caf\xe9",
    b"caf\xe8",
    rb"a$\frac$",
    b"$5-$10",
    b"\x1b[31mred",
    b"a\nAccuracy of the model on the 9 test images: 99.99 %",
    b"a\rb\x07\x7f",
    b"<script>alert(1)<",
    b"a|b `c` *d*",
    b"100%s %(x)d",
    b"{x}${y}",
    b"#1",
    b"_x_",
    b"^~\\\\",
    "\u202etac\u2066".encode(),
    b"l" + b"o" * 240 + b"ng",
    b" ",
    "\U0001f600 \u72ac".encode(),
    b"=key='value'",
    b"--help",
]
STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def make_pictures(root: Path, names: list[bytes] = NAMES, count: int = 5) -> None:
    """Make a folder of pictures for each name."""
    for number, name in enumerate(names):
        folder = os.path.join(os.fsencode(root), name)
        os.makedirs(folder)
        for shade in range(count):
            picture = Image.new("RGB", (16, 16), (50 * shade, 10 * number, 255 - 10 * number))
            with open(os.path.join(folder, b"%d.png" % shade), "wb") as file:
                picture.save(file, "PNG")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The folder with the data and the run, and how the run ended."""
    folder = tmp_path_factory.mktemp("names")
    make_pictures(folder / "data")
    words = ("dataset=image_folder", "dataset.root=data", "train.batch_size=20", "model=self_attention")
    more = ("dataset.limit=null", "dataset.val_size=0", "hydra.run.dir=run")
    return folder, run_here(folder, *TINY, *words, *more, pictures=True)


def assert_plain(text: str) -> None:
    assert not STEERING.search(text), STEERING.search(text)
    text.encode()


@pytest.mark.slow
def test_a_run(trained: tuple[Path, Outcome]) -> None:
    folder, ended = trained
    run = folder / "run"
    assert ended.code == 0, ended.err
    assert ended.err == ""
    assert_plain(ended.out)
    assert_plain((run / "attn-train.log").read_text(encoding="utf-8"))
    assert json.loads((run / "result.json").read_text())["total"] == len(NAMES)
    events = EventAccumulator(str(run))
    events.Reload()
    names = ("samples", "misclassified", "confusion_matrix", "reliability", "attention")
    pictures = {f"images/{name}" for name in names}
    assert set(events.Tags()["images"]) == pictures
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_the_table_of_classes(trained: tuple[Path, Outcome]) -> None:
    """A line a class, each name another, and what follows the names below each other."""
    ended = run_here(trained[0], "run=run", command="evaluate")
    assert ended.code == 0, ended.err
    assert_plain(ended.out)
    lines = [line for line in ended.out.splitlines() if line.startswith("  ")]
    assert len(lines) == len(NAMES)
    parts = [re.fullmatch(r"  (.*?) +([\d.]+ %)  \d of 1", line) for line in lines]
    names = [part.group(1) for part in parts if part]
    assert len(set(names)) == len(NAMES)
    assert {r"caf\xe9", r"caf\xe8", r"\x1b[31mred", r"\u202etac\u2066", r"a$\frac$"} <= set(names)
    assert len({columns(line[: part.end(2)]) for line, part in zip(lines, parts, strict=True) if part}) == 1


def test_naming_pictures(trained: tuple[Path, Outcome]) -> None:
    folder, _ = trained
    make_pictures(folder / "mine", NAMES[:8:2], count=1)
    ended = run_here(folder, "run=run", "image=mine", command="evaluate")
    assert ended.code == 0, ended.err
    assert ended.err == ""
    assert_plain(ended.out)
    head, *answers = ended.out.splitlines()
    assert head == "mine: 4 pictures"
    assert len(answers) == 4
    assert all("run/attention/" in answer for answer in answers)
    below = os.path.join(os.fsencode(folder), b"run", b"attention")
    assert sorted(os.listdir(below)) == sorted(NAMES[:8:2])
    assert all(os.listdir(os.path.join(below, name)) == [b"0.png.png"] for name in NAMES[:8:2])


def test_an_exported_network(trained: tuple[Path, Outcome]) -> None:
    ended = run_here(trained[0], "run=run", "export=net.safetensors", command="evaluate")
    assert ended.code == 0, ended.err
    assert sorted(map(os.fsencode, export.load(trained[0] / "net.safetensors").classes)) == sorted(NAMES)


def test_a_damaged_picture_is_named(train: Command, tmp_path: Path) -> None:
    name = b"a\rb\x07\x7f\x1b[2J"
    make_pictures(tmp_path / "mine", [name, b"other"])
    with open(os.path.join(os.fsencode(tmp_path), b"mine", name, b"0.png"), "wb"):
        pass
    words = ("dataset=image_folder", "dataset.root=mine", "dataset.val_size=0", "train.batch_size=4")
    refused = train(*TINY, *words)
    assert refused.code == 3
    assert len(refused.err.splitlines()) == 1
    assert r"mine/a\rb\x07\x7f\x1b[2J/0.png" in refused.err
    assert_plain(refused.out + refused.err)


@pytest.mark.slow
def test_a_root_that_is_no_utf8(train: Command, tmp_path: Path) -> None:
    """Its runs can be resumed, evaluated and compared, with all that they left."""
    root = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"r\xe9")))
    make_pictures(root, [b"cat", b"dog"])
    words = (*TINY, "dataset=image_folder", f"dataset.root='{root}'", "dataset.val_size=0", "train.batch_size=4")
    ended = train("-m", *words, "model=none,se", "sweep=two")
    assert ended.code == 0, ended.err
    assert_plain(ended.out)
    run = next((tmp_path / "outputs" / "two").glob("none*"))
    for command, given in (("train", "resume"), ("evaluate", "run")):
        again = run_here(tmp_path, f"{given}={run}", command=command)
        assert again.code == 0, again.err
        assert_plain(again.out)
    compared = run_here(tmp_path, "outputs/two", "output=out", command="compare")
    assert compared.code == 0, compared.err
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "What all runs share" in report
    assert report.count("attn-train -m ") == 2
