"""The picture of a bench: lines that can be told apart, numbers to read them by, and names that are text."""

import json
from pathlib import Path
from typing import Any

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.text import Annotation

from attn_train.cost.bench import picture
from attn_train.cost.bench.cells import Arm, Cell
from attn_train.cost.bench.outcome import Outcome
from attn_train.writing import drawing


def made(labels: list[str], sides: list[int]) -> list[Outcome]:
    found = []
    for number, label in enumerate(labels):
        for side in sides:
            one: dict[str, Any] = {"forward_seconds": [1e-3], "training_seconds": [1e-6 * side**2 * (number + 1)]}
            one |= {"forward_bytes": [1], "training_bytes": 100 * side**2 + number, "status": "ok", "reason": ""}
            found.append(Outcome(Cell(Arm(label, {}), side, 64), 1, [one]))
    return found


@pytest.mark.slow
def test_thirty_lines_can_be_told_apart_and_their_legend_fits(tmp_path: Path) -> None:
    labels = [f"mechanism_with_a_name_{number}" for number in range(30)]
    outcomes = made(labels, [8, 16, 32])
    outcomes[-1].rounds[0] |= {"status": "out of memory"}
    figure = picture.draw(outcomes, [], "a title")
    time_axis, memory_axis = figure.axes
    assert len(time_axis.lines) == len(memory_axis.lines) == 30
    assert len({(matplotlib.colors.to_hex(line.get_color()), line.get_linestyle()) for line in time_axis.lines}) == 30
    assert np.asarray(time_axis.lines[2].get_ydata()) == pytest.approx([1e-3 * side**2 * 3 for side in (8, 16, 32)])
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    # In the order in which the lines end, with what went wrong.
    assert texts == ["mechanism_with_a_name_29 (out of memory at 32x32)", *reversed(labels[:29])]
    figure.savefig(tmp_path / "bench.png")
    box, page = legend.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 < box.x1 <= page.x1
    assert page.y0 <= box.y0 < box.y1 <= page.y1
    assert box.x0 >= memory_axis.get_window_extent().x1


@pytest.mark.parametrize("sides", [[8], [16, 20], [8, 16, 64]])
def test_a_picture_has_numbers_to_read_it_by(sides: list[int]) -> None:
    """A logarithmic axis within one power of ten has no tick of its own."""
    for axis in picture.draw(made(["gated"], sides), [], "a title").axes:
        low, high = axis.get_ylim()
        assert len([tick for tick in axis.get_yticks() if low <= tick <= high]) >= 2


def test_accuracy_of_finished_runs(tmp_path: Path) -> None:
    """Two seeds of one model are one point, with their mean."""
    common = {"backbone": "fast", "dataset": "digits", "epochs": 1, "macs": 10, "train_seconds": 2.0}
    runs = []
    for number, (model, accuracy) in enumerate((("gated", 0.5), ("gated", 0.7), ("none", 0.4))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps({"model": model, "test_accuracy": accuracy, **common}))
        runs.append(str(folder))
    figure = picture.draw(made(["gated", "none"], [8, 16]), picture.read_runs(runs), "a title")
    assert len(figure.axes) == 4
    for axis, cost in ((figure.axes[2], 10), (figure.axes[3], 2.0)):
        shown = {text.get_text(): text.xy for text in axis.texts if isinstance(text, Annotation)}
        assert shown["gated (2)"] == pytest.approx((cost, 60))
        assert shown["none (1)"] == pytest.approx((cost, 40))


@pytest.mark.slow
@pytest.mark.parametrize("label", ["gated x=$\\frac$", "gated x=$5-$10", "gated x=犬", "gated x=" + 200 * "y", "_x_"])
def test_a_label_is_text(label: str) -> None:
    """A warning would be an error; a formula that is none would raise."""
    outcomes = made([label, "none"], [8, 16])
    runs = [
        {"model": label, "backbone": "a", "dataset": "\ud8ff\x1b", "test_accuracy": 0.5, "macs": 1, "train_seconds": 2}
    ]
    figure = picture.draw(outcomes, [*runs, {**runs[0], "dataset": "b"}], label)
    assert drawing.render(figure).std() > 0
    (legend,) = figure.legends
    assert any(text.get_text().startswith(label[:50]) for text in legend.get_texts())
    assert not any(text.get_parse_math() for text in legend.get_texts())
