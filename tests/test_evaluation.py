"""attn-eval: the same figures as the run itself, other views and splits, and a person's own pictures."""

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Command, finished_run, run_here
from PIL import Image
from scipy.special import softmax
from sklearn.metrics import log_loss
from test_data_folder import fill

SUMMARY = re.compile(r"^(\d+) of (\d+) right, loss ([\d.]+), after step (\d+)$", re.MULTILINE)
CLASS = re.compile(r"^ +(\S+) +([\d.]+) %  (\d+) of (\d+)$", re.MULTILINE)


def summary(out: str) -> tuple[int, int, float]:
    match = SUMMARY.search(out)
    assert match is not None, out
    return int(match.group(1)), int(match.group(2)), float(match.group(3))


@pytest.mark.parametrize("run_name", ["attention_run", "plain_run"])
def test_reproduces_the_result(evaluate: Command, request: pytest.FixtureRequest, run_name: str) -> None:
    run = request.getfixturevalue(run_name)
    ended = evaluate(f"run={run}")
    assert ended.code == 0, ended.err
    found = json.loads((run / "result.json").read_text())
    correct, total, loss = summary(ended.out)
    assert (correct, total) == (found["correct"], found["total"])
    assert loss == pytest.approx(found["test_loss"], abs=5e-5)
    assert f"Accuracy of the model on the 160 test images: {100 * found['test_accuracy']:.2f} %" in ended.out
    assert "the same" in ended.out
    assert "not the same" not in ended.out


def test_classes_add_up(evaluate: Command, attention_run: Path) -> None:
    out = evaluate(f"run={attention_run}").out
    lines = CLASS.findall(out)
    with np.load(attention_run / "predictions.npz") as saved:
        right, labels = saved["logits"].argmax(axis=1) == saved["labels"], saved["labels"]
    expected = [
        (f"pattern_{n}", f"{100 * right[labels == n].mean():.2f}", str(right[labels == n].sum()), "16")
        for n in range(10)
    ]
    assert lines == expected
    assert sum(int(correct) for _, _, correct, _ in lines) == summary(out)[0]


def test_probabilities_are_scored_with_a_temperature_of_the_validation_images(
    evaluate: Command, attention_run: Path, plain_run: Path, tmp_path: Path
) -> None:
    """The best of many temperatures, tried one by one in float64."""
    from attn_train import evaluate as tested

    held_out = tested(f"run={attention_run}", "split=val")
    with np.load(attention_run / "predictions.npz") as saved:
        logits, labels = saved["logits"].astype(float), saved["labels"]
    tried = np.geomspace(0.02, 50, 4001)
    losses = [log_loss(held_out.labels, softmax(held_out.logits.double().numpy() / by, axis=1)) for by in tried]
    best = tried[int(np.argmin(losses))]
    found = json.loads((attention_run / "result.json").read_text())
    assert found["temperature"] == pytest.approx(best, rel=2e-3)
    assert found["nll_scaled"] == pytest.approx(log_loss(labels, softmax(logits / best, axis=1)), rel=1e-3)
    out = evaluate(f"run={attention_run}").out
    scores = ", ".join(f"{name} {found[name]:.4f}" for name in ("nll", "brier", "ece"))
    direction = "over" if found["overconfidence"] > 0 else "under"
    assert f"{scores} (a share, 15 bins), {direction}-confident by {abs(found['overconfidence']):.4f}" in out
    scaled = f"nll {found['nll_scaled']:.4f}, ece {found['ece_scaled']:.4f}"
    assert f"with the temperature {found['temperature']:.3f} of the 32 validation images: {scaled}" in out
    assert "follow from train.label_smoothing=0.1 and eval.views=6, whose logits are averaged" in out
    assert "reliability diagram" not in out
    drawn = evaluate(f"run={plain_run}", "output=drawn").out
    assert "reliability diagram: drawn/reliability.png" in drawn
    with Image.open(tmp_path / "drawn" / "reliability.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 10
    # Of images that were trained on none is fitted.
    assert "temperature" not in evaluate(f"run={plain_run}", "dataset.val_size=32").out


@pytest.mark.slow
def test_other_splits(evaluate: Command, attention_run: Path) -> None:
    val = summary(evaluate(f"run={attention_run}", "split=val").out)
    assert val[1] == 32
    assert val[0] / val[1] == json.loads((attention_run / "result.json").read_text())["val_accuracy"]
    train = summary(evaluate(f"run={attention_run}", "split=train").out)
    assert train[1] == 128
    assert len({val[2], train[2], summary(evaluate(f"run={attention_run}").out)[2]}) == 3


def test_best_checkpoint(evaluate: Command, attention_run: Path) -> None:
    """The best one has the highest of the validation accuracies that training wrote, of epochs at the full size."""
    ended = evaluate(f"run={attention_run}", "split=val", "checkpoint=best", "eval.views=1")
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in (attention_run / "metrics.jsonl").read_text().splitlines()]
    best = max(row["accuracy"] for row in rows if row.get("split") == "val" and row["image_size"] == 16)
    correct, total, _ = summary(ended.out)
    assert correct / total == best


@pytest.mark.slow
def test_views_change_the_outcome(evaluate: Command, attention_run: Path) -> None:
    """The run's own views are six; the loss of each number is its own."""
    losses = [summary(evaluate(f"run={attention_run}", f"eval.views={n}").out)[2] for n in (1, 2, 6)]
    assert len(set(losses)) == 3
    assert losses[2] == summary(evaluate(f"run={attention_run}").out)[2]


def test_falls_back_to_the_previous_checkpoint(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(plain_run, tmp_path / "run")
    last = run / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:-1])
    previous = json.loads((run / "checkpoints" / "previous.json").read_text())["step"]
    ended = evaluate(f"run={run}")
    assert ended.code == 0, ended.err
    assert "DAMAGED" in ended.out
    assert f"after step {previous}" in ended.out


def test_says_that_the_result_differs(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(plain_run, tmp_path / "run")
    found = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**found, "correct": found["correct"] + 1}))
    assert "not the same" in evaluate(f"run={run}").out


def test_names_a_picture(evaluate: Command, attention_run: Path, tmp_path: Path) -> None:
    # Of another size than the data, and grey.
    Image.new("L", (40, 30), 90).save(tmp_path / "mine.png")
    ended = evaluate(f"run={attention_run}", "image=mine.png")
    assert ended.code == 0, ended.err
    match = re.search(r"mine\.png: (pattern_\d), ([\d.]+) %  (\S+)", ended.out)
    assert match is not None, ended.out
    assert 10 <= float(match.group(2)) <= 100  # the likeliest of ten
    with Image.open(match.group(3)) as drawn:
        drawn.load()
        assert drawn.format == "PNG"
        assert len(drawn.convert("RGB").getcolors(1 << 20) or []) > 10  # not a blank page


def test_names_each_picture_of_a_folder(evaluate: Command, attention_run: Path, tmp_path: Path) -> None:
    """Two pictures with one name in two folders keep a drawing each."""
    for number, name in enumerate(("a.png", "b.jpg", "deeper/a.png", "deeper/c.bmp")):
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (60 * number, 90, 10)).save(path)
    (tmp_path / "mine" / "notes.txt").write_text("not a picture")
    ended = evaluate(f"run={attention_run}", "image=mine")
    assert ended.code == 0, ended.err
    found = re.findall(r"(\S+): (pattern_\d), [\d.]+ %  (\S+)", ended.out)
    names = {str(Path(path).relative_to("mine")) for path, _, _ in found}
    assert names == {"a.png", "b.jpg", "deeper/a.png", "deeper/c.bmp"}
    drawings = {target for _, _, target in found}
    assert len(drawings) == 4
    for target in drawings:
        with Image.open(target) as drawn:
            drawn.load()


def test_picture_without_attention_has_grad_cam(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 90, 10)).save(tmp_path / "mine.png")
    ended = evaluate(f"run={plain_run}", "image=mine.png")
    assert ended.code == 0, ended.err
    (drawing,) = re.findall(r"mine\.png: pattern_\d, [\d.]+ %  (\S+)$", ended.out, re.MULTILINE)
    with Image.open(drawing) as drawn:
        drawn.load()


def test_a_picture_of_the_data_is_named_as_in_the_test(evaluate: Command, attention_run: Path, tmp_path: Path) -> None:
    """A test image saved as a file gets the class that predictions.npz gives it."""
    from attn_train.data.dataset import limit_per_class
    from attn_train.data.sources.synthetic import Synthetic

    data = Synthetic(root=tmp_path, download=False, url=None, digest=None, image_size=16, time_limit=1.0).load()
    images = limit_per_class(data.test, 16).images
    with np.load(attention_run / "predictions.npz") as saved:
        said = saved["logits"].argmax(axis=1)
    for number in (0, 50, 100):
        Image.fromarray(images[number].permute(1, 2, 0).numpy()).save(tmp_path / f"{number:03}.png")
    out = evaluate(f"run={attention_run}", f"image={tmp_path}").out
    assert re.findall(r"\d+\.png: (\S+),", out) == [f"pattern_{said[number]}" for number in (0, 50, 100)]


def test_other_classes_are_refused(evaluate: Command, attention_run: Path) -> None:
    ended = evaluate(f"run={attention_run}", "dataset=digits")
    assert ended.code == 3
    assert len(ended.err.splitlines()) == 1, ended.err
    assert "digits" in ended.err
    assert "pattern_0" in ended.err


@pytest.fixture(scope="module")
def folder_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a folder of pictures, in three classes and undivided; the pictures lie in `own` beside it."""
    folder = tmp_path_factory.mktemp("pictures")
    fill(folder / "own", {"ant": 10, "bee": 10, "cat": 12})
    words = ("dataset=image_folder", f"dataset.root={folder / 'own'}", "dataset.limit=4", "dataset.val_size=2")
    return finished_run(folder, "model=none", *words, "train.batch_size=4", "train.max_steps=2")


def images_of_each(out: str) -> dict[str, int]:
    """How many pictures of each class were tested."""
    return {name: int(total) for name, _, _, total in CLASS.findall(out)}


@pytest.mark.slow
def test_the_own_pictures_of_a_run_are_split_as_in_training(
    evaluate: Command, folder_run: Path, tmp_path: Path
) -> None:
    """By whichever path, and where they have moved to."""
    own = folder_run.parent / "own"
    (tmp_path / "link").symlink_to(own)
    moved = shutil.copytree(own, tmp_path / "moved", ignore=shutil.ignore_patterns(".attn-train"))
    for words in ((), (f"dataset.root={own}",), (f"dataset.root={tmp_path / 'link'}",), (f"dataset.root={moved}",)):
        ended = evaluate(f"run={folder_run}", *words)
        assert ended.code == 0, ended.err
        assert images_of_each(ended.out) == {"ant": 2, "bee": 2, "cat": 2}
        assert ended.out.rstrip().endswith(": the same"), ended.out
    assert summary(evaluate(f"run={folder_run}", f"dataset.root={moved}", "split=val").out)[1] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pictures", "words", "expected"),
    [
        ({"ant": 10, "bee": 7, "cat": 29}, (), {"ant": 10, "bee": 7, "cat": 29}),
        ({"cat": 9}, (), {"cat": 9}),
        ({"ant": 1, "cat": 5}, (), {"ant": 1, "cat": 5}),
        ({"bee/2025/may": 3, "bee": 2, "ant": 0, ".git": 1, "__MACOSX": 1}, (), {"bee": 5}),
        ({"ant": 3, "bee": 8}, ("dataset.limit=4",), {"ant": 3, "bee": 4}),
        ({"train/ant": 4, "train/bee": 4, "test/ant": 1, "test/bee": 3}, (), {"ant": 1, "bee": 3}),
        ({"train/ant": 4, "train/bee": 5, "test/ant": 1}, ("split=train",), {"ant": 4, "bee": 5}),
        ({"Testing/cat": 6}, (), {"cat": 6}),
        ({"train/cat": 6, "validation/cat": 2}, (), {"cat": 2}),
        ({"train/cat": 6, "validation/cat": 2, "test/bee": 1}, ("split=val",), {"cat": 2}),
    ],
    ids=str,
)
def test_all_labelled_pictures_of_another_folder_are_tested(
    pictures: dict[str, int],
    words: tuple[str, ...],
    expected: dict[str, int],
    evaluate: Command,
    folder_run: Path,
    tmp_path: Path,
) -> None:
    fill(tmp_path / "new", pictures, seed=1)
    ended = evaluate(f"run={folder_run}", f"dataset.root={tmp_path / 'new'}", *words)
    assert ended.code == 0, ended.err
    assert images_of_each(ended.out) == expected
    count, some = sum(expected.values()), f"{len(expected)} of the 3 classes"
    assert re.search(rf"new\S*: tested on {count} labelled pictures, .* in {some}, ", ended.out, re.MULTILINE), (
        ended.out
    )


@pytest.mark.slow
def test_a_class_is_known_in_another_form_of_unicode(evaluate: Command, tmp_path: Path) -> None:
    """One system writes é as a letter, another as e and an accent."""
    for root, name, count in (("data", "\u00e9mu", 4), ("new", "e\u0301mu", 3), ("moved", "e\u0301mu", 4)):
        fill(tmp_path / root, {name: count, "ant": count})
    words = ("dataset=image_folder", "dataset.root=data", "dataset.val_size=0", "train.batch_size=4")
    trained = run_here(tmp_path, *TINY, *words, "hydra.run.dir=run")
    assert trained.code == 0, trained.err
    ended = evaluate("run=run", "dataset.root=new")
    assert ended.code == 0, ended.err
    assert "tested on 6 labelled pictures" in ended.out
    assert "in 2 of the 2 classes" in ended.out
    moved = evaluate("run=run", "dataset.root=moved")
    assert moved.code == 3
    assert "form of Unicode" in moved.err


@pytest.mark.parametrize(
    ("pictures", "words", "code", "named"),
    [
        ({"ant": 2, "dog": 2, "emu": 1}, (), 3, ("dog, emu", "ant, bee, cat")),
        ({"Ant": 2, "bee": 2}, (), 3, ("the class Ant", "capital letters", "rename")),
        ({"around/ant": 2, "around/bee": 2}, (), 3, ("the class around", "dataset.root=", "new/around")),
        ({"test/ant": 2, "test/dog": 2}, (), 3, ("new/test", "dog", "ant, bee, cat")),
        ({"train/ant": 2}, (), 2, ("split=test", "choose from train")),
        ({"ant": 2, "bee": 2}, ("split=train",), 2, ("split=train", "not divided")),
        ({"ant": 2, "bee": 2}, ("dataset.val_size=1",), 2, ("dataset.val_size=1",)),
        ({"ant": 0, "bee": 0}, (), 3, ("no pictures", "image=")),
        ({".": 3}, (), 3, ("3 pictures outside the class folders", "image=")),
        ({}, (), 3, ("new",)),
    ],
    ids=str,
)
def test_a_folder_that_cannot_be_tested(
    pictures: dict[str, int],
    words: tuple[str, ...],
    code: int,
    named: tuple[str, ...],
    evaluate: Command,
    folder_run: Path,
    tmp_path: Path,
) -> None:
    fill(tmp_path / "new", pictures)
    ended = evaluate(f"run={folder_run}", f"dataset.root={tmp_path / 'new'}", *words)
    assert ended.code == code, ended
    assert len(ended.err.splitlines()) == 1, ended.err
    assert all(word in ended.err for word in named), ended.err


@pytest.mark.slow
def test_labels_go_by_the_names_of_the_classes(evaluate: Command, attention_run: Path, tmp_path: Path) -> None:
    """Test images of the data itself, as files: right and wrong as predictions.npz has it, with classes missing."""
    from attn_train.data.dataset import limit_per_class
    from attn_train.data.sources.synthetic import Synthetic

    data = Synthetic(root=tmp_path, download=False, url=None, digest=None, image_size=16, time_limit=1.0).load()
    split = limit_per_class(data.test, 16)
    with np.load(attention_run / "predictions.npz") as saved:
        right = saved["logits"].argmax(axis=1) == saved["labels"]
    chosen = [number for number, label in enumerate(split.labels.tolist()) if label in (2, 7)]
    for number in chosen:
        folder = tmp_path / "new" / f"pattern_{split.labels[number]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(split.images[number].permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    ended = evaluate(f"run={attention_run}", "dataset=image_folder", f"dataset.root={tmp_path / 'new'}")
    assert ended.code == 0, ended.err
    assert summary(ended.out)[:2] == (right[chosen].sum(), len(chosen))
    assert set(images_of_each(ended.out)) == {"pattern_2", "pattern_7"}


@pytest.mark.slow
def test_prediction_reads_the_same_files_as_training(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.jfif", "c.PGM", "deeper/d.ppm", "deeper/e.webp", ".git/no.png", "__MACOSX/no.png"):
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            Image.new("RGB", (16, 16), (200, 90, 10)).save(file, Image.registered_extensions()[path.suffix.lower()])
    for name in ("._a.png", "deeper/.DS_Store", "notes.txt", "film.mpg", "page.eps"):
        (tmp_path / "mine" / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    (tmp_path / "mine" / "deeper" / "loop").symlink_to("..")
    Image.fromarray(np.full((16, 16), 3000, np.uint16)).save(tmp_path / "mine" / "deeper" / "f.tif")
    ended = evaluate(f"run={plain_run}", "image=mine")
    assert ended.code == 0, ended.err
    named = re.findall(r"^mine/(\S+): pattern_\d, ", ended.out, re.MULTILINE)
    assert named == ["a.png", "b.jfif", "c.PGM", "deeper/d.ppm", "deeper/e.webp", "deeper/f.tif"]
    assert "mine/deeper/f.tif is almost black" in ended.out
    assert "mine: 6 pictures (passed over: 2 hidden files, 1 .eps, 1 .mpg, 1 .txt, 1 __MACOSX, " in ended.out


# Where the attention is drawn


def picture(path: Path, red: int = 200) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        Image.new("RGB", (16, 16), (red, 90, 10)).save(file, "PNG")
    return path


@pytest.fixture
def read_only(attention_run: Path, tmp_path: Path) -> Iterator[Path]:
    """Somebody else's run, where nothing can be written, and whose last checkpoint is damaged."""
    run, place = shutil.copytree(attention_run, tmp_path / "run"), tmp_path / "theirs"
    last = run / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:-1])
    place.mkdir()
    for words in (["--bind", str(run), str(place)], ["-o", "remount,ro,bind", str(place)]):
        if subprocess.run(["mount", *words], capture_output=True).returncode:
            pytest.skip("no right to mount a folder read-only")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_run_that_can_only_be_read_answers(evaluate: Command, tmp_path: Path, read_only: Path) -> None:
    for name in ("a.png", "b.png", "deeper/a.png"):
        picture(tmp_path / "mine" / name)
    ended = evaluate(f"run={read_only}", "image=mine")
    assert ended.code == 0, ended.err
    assert len(re.findall(r"^mine/\S+: pattern_\d, [\d.]+ %$", ended.out, re.MULTILINE)) == 3
    (said,) = [line for line in ended.out.splitlines() if "could not" in line]
    assert "Read-only file system" in said
    assert "output=FOLDER" in said
    ended = evaluate(f"run={read_only}", "image=mine", "output=drawn/here")
    assert ended.code == 0, ended.err
    assert "could not" not in ended.out
    names = {str(path.relative_to(tmp_path)) for path in (tmp_path / "drawn").rglob("*.png")}
    assert names == {f"drawn/here/{name}.png" for name in ("a.png", "b.png", "deeper/a.png")}
    assert summary(evaluate(f"run={read_only}").out)[1] == 160


def test_a_file_in_the_way_of_the_pictures_costs_a_warning(
    evaluate: Command, attention_run: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(attention_run, tmp_path / "run", ignore=shutil.ignore_patterns("attention"))
    (run / "attention").touch()
    picture(tmp_path / "mine.png")
    ended = evaluate("run=run", "image=mine.png")
    assert ended.code == 0, ended.err
    assert re.search(r"^mine\.png: pattern_\d, [\d.]+ %$", ended.out, re.MULTILINE)
    (said,) = [line for line in ended.out.splitlines() if "could not" in line]
    assert "mine.png" in said
    assert "File exists" in said


def test_a_drawing_replaces_no_picture_that_was_given(evaluate: Command, attention_run: Path, tmp_path: Path) -> None:
    given = [picture(tmp_path / "mine" / name, red=40 * number) for number, name in enumerate(("a.png", "a.png.png"))]
    before = [path.read_bytes() for path in given]
    ended = evaluate(f"run={attention_run}", "image=mine", "output=mine")
    assert ended.code == 0, ended.err
    assert [path.read_bytes() for path in given] == before
    assert "would replace" in ended.out
    assert (tmp_path / "mine" / "a.png.png.png").is_file()


@pytest.mark.parametrize("letter", ["x", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\N{CJK UNIFIED IDEOGRAPH-72AC}"])
def test_names_too_long_for_a_suffix_keep_a_drawing_each(
    evaluate: Command, attention_run: Path, tmp_path: Path, letter: str
) -> None:
    """Two names of as many bytes as a file system takes, the same but for their last letter."""
    size = len(letter.encode())
    stem = letter * ((250 - size) // size)
    for last in "ab":
        picture(tmp_path / "mine" / f"{stem}{last}.png")
    ended = evaluate(f"run={attention_run}", "image=mine", "output=out")
    assert ended.code == 0, ended.err
    assert "could not" not in ended.out
    drawn = list((tmp_path / "out").iterdir())
    assert len(drawn) == 2
    for path in drawn:
        assert path.name.startswith(letter * 60)
        assert path.suffix == ".png"
        with Image.open(path) as image:
            image.load()


@pytest.mark.parametrize(
    ("words", "named"), [(("output=out", "export=net"), "draws nothing"), (("output=/proc/out",), "/proc/out")]
)
def test_no_place_for_a_drawing(
    evaluate: Command, attention_run: Path, tmp_path: Path, words: tuple[str, ...], named: str
) -> None:
    picture(tmp_path / "mine.png")
    refused = evaluate(f"run={attention_run}", *words)
    assert refused.code == 2
    assert len(refused.err.splitlines()) == 1
    assert named in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_predictions_of_the_test_images_as_a_table(evaluate: Command, attention_run: Path, tmp_path: Path) -> None:
    ended = evaluate(f"run={attention_run}", "predictions=all.csv")
    assert ended.code == 0, ended.err
    rows = table_of(tmp_path / "all.csv")
    with np.load(attention_run / "predictions.npz") as saved:
        expected, labels = softmax(saved["logits"].astype(np.float64), axis=1), saved["labels"]
    found = np.array([[float(row[f"p(pattern_{n})"]) for n in range(10)] for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert [row["class"] for row in rows] == [f"pattern_{label}" for label in labels]
    assert [row["predicted"] for row in rows] == [f"pattern_{n}" for n in expected.argmax(axis=1)]
    assert [row["right"] for row in rows] == [str(int(right)) for right in expected.argmax(axis=1) == labels]
    assert rows[3]["file"] == "3"


def test_predictions_of_pictures_have_their_files(evaluate: Command, attention_run: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "my, pictures"
    pictures.mkdir()
    for shade in (20, 200):
        Image.new("RGB", (20, 20), (shade, 90, 90)).save(pictures / f"{shade}.png")
    ended = evaluate(f"run={attention_run}", f"image={pictures}", "predictions=named.csv")
    assert ended.code == 0, ended.err
    rows = table_of(tmp_path / "named.csv")
    assert [row["file"] for row in rows] == [str(pictures / f"{shade}.png") for shade in (20, 200)]
    assert "class" not in rows[0]
    for row in rows:
        assert f"{row['file']}: {row['predicted']}, {100 * float(row['probability']):.1f} %" in ended.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("predictions=a.txt",), "predictions=a.txt must end in .csv"),
        (("predictions=no/a.csv",), "there is no folder no"),
        (("predictions=there.csv",), "predictions=there.csv exists already"),
        (("predictions=a.csv", "export=b.safetensors"), "leave export= out"),
        (("predictions=a.csv", "corruptions=all"), "leave corruptions= out"),
    ],
)
def test_a_table_that_cannot_be_written_is_told_before(
    evaluate: Command, attention_run: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    (tmp_path / "there.csv").write_text("mine")
    ended = evaluate(f"run={attention_run}", *words)
    assert ended.code == 2
    assert says in ended.err
    assert ended.err.count("\n") == 1
    assert (tmp_path / "there.csv").read_text() == "mine"
