"""Figures look the same whatever Matplotlib was told before, and their texts are no formulas."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from attn_train.writing.drawing import new_figure, render, save

NAMES = [
    "a$\\frac$",
    "$5-$10",
    "$x",
    "$$",
    "100%",
    "_x_",
    "^",
    "\\\\",
    "#1 {x} ~",
    "犬 😀",
    "x" * 300,
    " ",
]


def draw(name: str) -> Figure:
    with new_figure(1.2, 1) as figure:
        axis = figure.subplots()
        axis.imshow(np.arange(4).reshape(2, 2))
        axis.set_title(name)
        axis.set_xticks([0, 1], ["-1", name])
        axis.set_ylabel(name)
        axis.plot([0, 1], [0, 1], label=f"of {name}")
        axis.legend()
    return figure


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_drawn_letter_by_letter(name: str) -> None:
    """A warning would be an error here; where a name is a formula for Matplotlib, `$` is not among what is drawn."""
    figure = draw(name)
    assert render(figure).std() > 0
    assert figure.axes[0].get_title() == name
    assert not figure.axes[0].title.get_parse_math()


def test_dollars_are_drawn() -> None:
    """As a formula `$x$` would be an italic x alone."""
    assert not np.array_equal(render(draw("$x$")), render(draw("x")))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, bytes]:
    """The picture, as pixels and as a file, with nothing set."""
    path = tmp_path_factory.mktemp("expected") / "picture.png"
    save(draw("plain"), path)
    return render(draw("plain")), path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "rc",
    [
        {"text.usetex": True},
        {"font.family": ["No Such Font"], "font.size": 30},
        {"axes.unicode_minus": False, "image.cmap": "gray", "figure.dpi": 30, "figure.facecolor": "red"},
        {"savefig.format": "pdf", "savefig.dpi": 9, "savefig.bbox": "tight", "savefig.transparent": True},
        {"text.parse_math": True, "text.hinting": "none", "path.sketch": (5, 20, 2), "lines.antialiased": False},
    ],
)
def test_a_persons_settings_change_no_picture_and_stay(
    tmp_path: Path, expected: tuple[np.ndarray, bytes], rc: dict[str, Any]
) -> None:
    with matplotlib.rc_context(rc):
        before = dict(matplotlib.rcParams)
        np.testing.assert_array_equal(render(draw("plain")), expected[0])
        save(draw("plain"), tmp_path / "found.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "found.png").read_bytes() == expected[1]


def test_a_figure_is_saved_where_it_is_told(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "one.png"
    save(draw("one"), target)
    with Image.open(target) as saved:
        assert saved.format == "PNG"
        assert np.asarray(saved).std() > 0


def test_what_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "one.png").mkdir()
    with pytest.raises(OSError, match="directory"):
        save(draw("one"), tmp_path / "one.png")
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]


def test_a_matplotlibrc_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"font.family: \xff\xfe")
    program = "from attn_train.writing.drawing import new_figure\nwith new_figure(1, 1): pass"
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "ConfigError: Matplotlib cannot read its matplotlibrc" in ended.stderr.splitlines()[-1]
