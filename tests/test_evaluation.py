"""attn-eval: the same figures as the run itself, other views and splits, and a person's own pictures."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from PIL import Image

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


def test_picture_without_attention(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 90, 10)).save(tmp_path / "mine.png")
    ended = evaluate(f"run={plain_run}", "image=mine.png")
    assert ended.code == 0, ended.err
    assert re.search(r"mine\.png: pattern_\d, [\d.]+ %$", ended.out, re.MULTILINE)


def test_a_picture_of_the_data_is_named_as_in_the_test(evaluate: Command, attention_run: Path, tmp_path: Path) -> None:
    """A test image saved as a file gets the class that predictions.npz gives it."""
    from attn_train.data.dataset import limit_per_class
    from attn_train.data.synthetic import Synthetic

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
