"""Figures that look the same everywhere: Matplotlib with its own settings, no display, and every text as it stands."""

import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from attn_train.errors import ConfigError
from attn_train.writing.durable import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG, HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


@contextmanager
def plain_settings() -> Iterator[None]:
    """Ignore, while the context lasts, what a matplotlibrc or a notebook set; read no text as a formula."""
    # Imported here: a matplotlibrc that cannot be read then costs the pictures, not the run.
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
    """Yield an empty figure of so many inches, to be filled while the context lasts."""
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


def as_svg(figure: "Figure", title: str, tips: Mapping[str, str], colours: Mapping[str, str]) -> str:
    """Return a figure as an SVG element of a page, which fills the page's width and uses its font.

    Args:
        title: what a screen reader says.
        tips: the tooltip of an artist, by its gid.
        colours: the page's colour for a colour of the figure, by its hex digits.
    """
    text = io.StringIO()
    with plain_settings():
        import matplotlib

        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "attn-train"})
        figure.savefig(text, format="svg", transparent=True)
    root = ElementTree.fromstring(text.getvalue())
    # Matplotlib's name, and a style, which would apply to the whole page.
    for extra in [*root.findall(f"{SVG}metadata"), *root.findall(f"{SVG}defs[{SVG}style]")]:
        root.remove(extra)
    for element in list(root.iter()):
        restyle(element, tips, colours)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": title}
    root.insert(0, title_element(title))
    return ElementTree.tostring(root, encoding="unicode")


def restyle(element: Element, tips: Mapping[str, str], colours: Mapping[str, str]) -> None:
    """Give an element of a figure HTML's names, the page's colours and font, and its tooltip."""
    element.tag = element.tag.removeprefix(SVG)
    if HREF in element.attrib:
        element.set("xlink:href", element.attrib.pop(HREF))  # HTML has no name spaces
    if "style" in element.attrib:
        style = re.sub(r"font-family: [^;]*; ", "", element.attrib["style"])
        element.set("style", re.sub(r"#[0-9a-f]{6}", lambda hexed: colours.get(hexed[0], hexed[0]), style))
    if element.tag == "g" and (tip := tips.get(element.attrib.pop("id", ""))) is not None:
        element.insert(0, title_element(tip))


def title_element(text: str) -> Element:
    title = Element("title")
    title.text = text
    return title


def save(figure: "Figure", path: Path) -> None:
    """Write a figure to the PNG file `path`, whole or not at all, and make its folder; raise OSError."""
    image = io.BytesIO()
    with plain_settings():
        figure.savefig(image, format="png", dpi=120)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A short temporary name, since that of the file may be as long as the file system takes.
    write_whole(path, lambda file: file.write(image.getvalue()), temporary=f".{os.getpid()}.tmp")
