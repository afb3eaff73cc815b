"""A run knows what it was trained on: it goes on with other data only where a word says so."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Command, Outcome, run_here
from PIL import Image

from attn_train.runs import checkpoint
from attn_train.runs.journal import FolderJournal
from attn_train.runs.tracking import Tracker
from attn_train.training.journal import Window

WORDS = (
    "dataset=image_folder",
    "dataset.image_size=16",
    "backbone.widths=[8,8,8]",
    "model=none",
    "device=cpu",
    "device.precision=float32",
    "device.threads=1",
    "train.batch_size=8",
    "train.epochs=2",
    "train.prune=0.25",  # whose losses belong to the images that they were measured on
    "train.prune_from=1",
)
COUNT = 20  # pictures of each class
MEANT = "dataset.allow_change=true"


def draw(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (7 * number % 256, 200 if path.parent.name == "cat" else 30, number)).save(path)


def add(data: Path) -> None:
    draw(data / "train" / "cat" / "new.png", 99)


def delete(data: Path) -> None:
    for number in range(8):
        (data / "train" / "dog" / f"{number}.png").unlink()


def repaint(data: Path) -> None:
    draw(data / "train" / "cat" / "3.png", 150)


def swap(data: Path) -> None:
    """Move a test picture to the training images, and one the other way: as many as before."""
    here, there = data / "train" / "dog" / "0.png", data / "test" / "dog" / "0.png"
    kept = here.read_bytes()
    there.rename(here)
    there.write_bytes(kept)


def relabel(data: Path) -> None:
    (data / "train" / "dog" / "1.png").rename(data / "train" / "cat" / "dog.png")


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw them takes more than half of the time of a run."""
    monkeypatch.setattr(Tracker, "figure", lambda *_: None)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures in data/ and a finished run on them; copied before anything changes."""
    folder = tmp_path_factory.mktemp("begun")
    for number in range(COUNT):
        for name in ("cat", "dog"):
            draw(folder / "data" / "train" / name / f"{number}.png", number + COUNT * (name == "dog"))
            if number < 4:
                draw(folder / "data" / "test" / name / f"{number}.png", number + 60 + 4 * (name == "dog"))
    ended = run_here(folder, *WORDS, "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def place(begun: Path, tmp_path: Path) -> Path:
    """A copy of it, in which the run says that it began here."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    snapshot = tmp_path / "run" / ".hydra" / "hydra.yaml"
    values = yaml.safe_load(snapshot.read_text())
    values["hydra"]["runtime"]["cwd"] = str(tmp_path)
    snapshot.write_text(yaml.safe_dump(values))
    return tmp_path


def result_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "result.json").read_text())


def digest_here(run: Path, evaluated: Outcome) -> str:
    """The digest of the data as attn-eval names it, beside that of the run."""
    match = re.search(
        r"the data is not that of the run: digest (\w{12}) \((\d+) images\) there, (\w{12}) ", evaluated.out
    )
    assert match is not None, evaluated.out
    assert match.group(1) == result_of(run)["data_digest"][:12]
    assert int(match.group(2)) == 2 * COUNT + 8
    return match.group(3)


@pytest.mark.slow
@pytest.mark.parametrize("change", [add, delete, repaint, swap, relabel])
def test_other_data_is_refused_with_both_digests(
    train: Command, evaluate: Command, place: Path, change: Callable[[Path], None]
) -> None:
    before = {
        path: path.read_bytes() for path in (place / "run").rglob("*") if path.is_file() and path.suffix != ".log"
    }
    change(place / "data")
    count = len(list((place / "data").rglob("*.png")))
    ended = train("resume=run", "train.epochs=3")
    assert ended.code == 5
    assert len(ended.err.splitlines()) == 1, ended.err
    now = digest_here(place / "run", evaluate("run=run"))
    for named in (result_of(place / "run")["data_digest"][:12], f"{now} ({count} images)", MEANT, "dataset.root="):
        assert named in ended.err
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_other_data_is_taken_by_a_word_for_once(train: Command, place: Path) -> None:
    first = result_of(place / "run")["data_digest"]
    delete(place / "data")
    ended = train("resume=run", "train.epochs=3", MEANT)
    assert ended.code == 0, ended.err
    assert "DATA CHANGED" in ended.out
    found = result_of(place / "run")
    assert found["epochs"] == 3
    assert found["data_digests"] == [first, found["data_digest"]]
    assert found["data_digest"] != first
    # From here on this is the run's data, and the word said nothing about a further change.
    assert train("resume=run", "train.epochs=4").code == 0
    assert result_of(place / "run")["data_digests"] == found["data_digests"]
    repaint(place / "data")
    ended = train("resume=run", "train.epochs=5")
    assert ended.code == 5
    assert found["data_digest"][:12] in ended.err


def test_the_command_again_is_a_resume_too(train: Command, place: Path) -> None:
    (place / "run" / "result.json").unlink()
    repaint(place / "data")
    ended = train(*WORDS, "hydra.run.dir=run")
    assert ended.code == 5
    assert MEANT in ended.err


@pytest.mark.slow
def test_a_sweep_again_is_a_resume_of_its_jobs(train: Command, place: Path) -> None:
    """With the word it goes on in the same sweep, although nobody named it."""
    command = ["-m", *WORDS, "train.epochs=1"]
    assert train(*command).code == 0
    (sweep,) = (place / "outputs").iterdir()
    (job,) = (path.parent for path in sweep.glob("*/result.json"))
    (job / "result.json").unlink()
    repaint(place / "data")
    ended = train(*command)
    assert ended.code == 5
    assert MEANT in ended.out
    ended = train(*command, MEANT)
    assert ended.code == 0, ended.err
    assert "1 runs finished, 0 failed" in ended.out
    assert list((place / "outputs").iterdir()) == [sweep]
    assert len(result_of(job)["data_digests"]) == 2


class Killed(BaseException):
    """Ends a run without its saving anything."""


@pytest.mark.slow
def test_other_data_in_the_middle_of_an_epoch(train: Command, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That epoch begins anew, and the schedule ends where the epochs of the new data do."""
    steps = iter(range(7))  # five in an epoch of all 40 images, three in one that leaves a quarter out

    step = FolderJournal.step

    def cut(journal: FolderJournal, window: Window | None) -> None:
        if next(steps, None) is None:
            raise Killed
        step(journal, window)

    command = [*WORDS, "train.epochs=4", "train.checkpoint_every=1", "train.log_every=1", "hydra.run.dir=cut"]
    with monkeypatch.context() as patch:
        patch.setattr(FolderJournal, "step", cut)
        with pytest.raises(Killed):
            train(*command)
    state = checkpoint.load(place / "cut" / "checkpoints")
    assert state is not None
    assert (state["step"], state["epoch"], state["progress"]["batch"]) == (7, 1, 2)
    delete(place / "data")
    ended = train("resume=cut", MEANT)
    assert ended.code == 0, ended.err
    assert "from the start of epoch 2" in ended.out
    kept = len(list((place / "data" / "train").rglob("*.png")))
    expected = 7 + 3 * ((kept - int(kept * 0.25)) // 8)
    rows = [json.loads(line) for line in (place / "cut" / "metrics.jsonl").read_text().splitlines()]
    shown = [row for row in rows if row["kind"] == "train"]
    assert [row["step"] for row in shown] == list(range(1, expected + 1))
    assert shown[-1]["epoch"] == 4
    assert shown[-1]["lr"] == pytest.approx(min(row["lr"] for row in shown[2:]))


@pytest.mark.slow
def test_a_checkpoint_of_before_is_read_and_says_that_nothing_was_compared(train: Command, place: Path) -> None:
    folder = place / "run" / "checkpoints"
    state = checkpoint.load(folder)
    assert state is not None
    for key in ("data", "device"):
        state.pop(key, None)
    checkpoint.save(folder, "last", state, {})
    repaint(place / "data")
    ended = train("resume=run", "train.epochs=3")
    assert ended.code == 0, ended.err
    assert "the data is not compared" in ended.out
    written = torch.load(folder / "last.pt", weights_only=True)
    assert written["version"] == checkpoint.VERSION == 3
    assert written["data"][0]["digest"] == result_of(place / "run")["data_digest"]


def test_other_classes_are_refused_whatever_a_word_says(train: Command, place: Path) -> None:
    for split in ("train", "test"):
        draw(place / "data" / split / "emu" / "0.png", 7)
    ended = train("resume=run", "train.epochs=3", MEANT)
    assert ended.code == 5
    assert len(ended.err.splitlines()) == 1, ended.err
    for named in ("2 classes and 3 channels there", "3 classes (with emu) and 3 channels here"):
        assert named in ended.err


# Where a run lies, and where its data.


def root_of(run: Path) -> str:
    return str(yaml.safe_load((run / "config.yaml").read_text())["dataset"]["root"])


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [2, 3], ids=["finished", "goes on"])
def test_data_that_moved(train: Command, evaluate: Command, place: Path, epochs: int) -> None:
    moved = (place / "data").rename(place / "elsewhere")
    words = [] if epochs == 2 else [f"train.epochs={epochs}"]
    ended = train("resume=run", *words)
    if words:
        assert ended.code == 3
        assert "dataset.root=" in ended.err
    ended = train("resume=run", f"dataset.root={moved}", *words)
    assert ended.code == 0, ended.err
    assert result_of(place / "run")["epochs"] == epochs
    assert root_of(place / "run") == str(moved)
    assert "the same" in evaluate("run=run").out


@pytest.mark.slow
def test_a_root_from_the_environment_gives_way(train: Command, place: Path) -> None:
    path = place / "run" / "config.yaml"
    values = yaml.safe_load(path.read_text())
    values["dataset"]["root"] = "${oc.env:NO_SUCH_VARIABLE}"
    path.write_text(yaml.safe_dump(values))
    assert train("resume=run").code == 2
    ended = train("resume=run", "dataset.root=./data")
    assert ended.code == 0, ended.err
    assert root_of(place / "run") == "./data"


@pytest.mark.slow
def test_a_run_that_moved_with_pictures_by_other_names(train: Command, place: Path) -> None:
    """What they show is the data, not how they are called."""
    for path in (place / "data" / "train" / "cat").iterdir():
        path.rename(path.with_name(f"renamed-{path.name}"))
    (place / "moved").mkdir()
    run = (place / "run").rename(place / "moved" / "there")
    ended = train("resume=moved/there", "train.epochs=3")
    assert ended.code == 0, ended.err
    assert "run folder: moved/there\n" in ended.out
    assert result_of(run)["epochs"] == 3
    assert "data_digests" not in result_of(run)
    assert not (place / "run").exists()


@pytest.mark.slow
def test_a_relative_root_from_another_working_folder(place: Path) -> None:
    """It is as seen from where the run began."""
    (place / "deeper").mkdir()
    ended = run_here(place / "deeper", "run=../run", command="evaluate")
    assert "the same" in ended.out, ended.err
    ended = run_here(place / "deeper", "resume=../run")
    assert ended.code == 0, ended.err
    assert root_of(place / "run") == str(place / "data")


@pytest.mark.slow
def test_where_hydra_would_work_changes_nothing(train: Command, place: Path) -> None:
    chdir = "hydra.job.chdir=true"
    ended = train(*WORDS, "train.epochs=1", "hydra.run.dir=inner/run", chdir)
    assert ended.code == 0, ended.err
    assert "run folder: inner/run\n" in ended.out
    assert sorted(path.name for path in place.iterdir()) == ["data", "inner", "run"]
    ended = train("resume=inner/run", chdir)
    assert ended.code == 0, ended.err
    assert "run folder: inner/run\n" in ended.out
    ended = train("-m", *WORDS, "train.epochs=1", "sweep=mine", chdir)
    assert ended.code == 0, ended.err
    (job,) = (place / "outputs" / "mine").glob("*/result.json")
    digests = {result_of(run)["data_digest"] for run in (job.parent, place / "inner" / "run", place / "run")}
    assert len(digests) == 1
