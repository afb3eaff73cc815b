"""Figures that look the same everywhere: Matplotlib with its own settings, no display, and every text as it stands."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from attn_train.errors import ConfigError
from attn_train.writing.durable import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def plain_settings() -> Iterator[None]:
    """Set aside, while the context lasts, what a matplotlibrc or a notebook set; read no text as a formula."""
    # Here and not above: where somebody's matplotlibrc cannot be read, it costs the pictures and not the run.
    try:
        import matplotlib
    except ImportError:
        raise
    except Exception as error:
        named = os.environ.get("MATPLOTLIBRC") or "the one in the working folder, or in the home folder"
        raise ConfigError(f"Matplotlib cannot read its matplotlibrc, {named}: {error}") from error

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams["text.parse_math"] = False
        # Of letters that the font lacks, which are drawn as boxes, and of names too long for the layout.
        warnings.simplefilter("ignore")
        yield


@contextmanager
def new_figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Iterator["Figure"]:
    """Give an empty figure of so many inches, to be filled while the context lasts."""
    with plain_settings():
        from matplotlib.figure import Figure

        yield Figure(figsize=(width, height), layout=layout)


def render(figure: "Figure") -> NDArray[np.uint8]:
    """Return the pixels of a figure: uint8 (3, height, width)."""
    with plain_settings():
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[:, :, :3].transpose(2, 0, 1).copy()


def save(figure: "Figure", path: Path) -> None:
    """Write a figure to the PNG file `path`, whole or not at all; make its folder. Raises OSError."""
    image = io.BytesIO()
    with plain_settings():
        figure.savefig(image, format="png", dpi=120)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A short name beside one that may be as long as the file system takes.
    write_whole(path, lambda file: file.write(image.getvalue()), temporary=f".{os.getpid()}.tmp")
