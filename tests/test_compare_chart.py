"""The pictures of the page: all that is known is in them, in the page's own colours, every name letter by letter."""

import math
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from attn_train.comparison.calibrated import Pooled
from attn_train.comparison.chart import BASELINE, PAINT, Effect, Spot, curves, forest, scatter
from attn_train.comparison.curves import Point
from attn_train.comparison.diagram import reliability

EVIL = "<script>alert(1)</script>\"'&{{7*7}} $x$ \x1b[2J\u202e #fe0000"
SHOWN = "<script>alert(1)</script>\"'&{{7*7}} $x$ \\x1b[2J\\u202e #fe0000"

EFFECTS = [
    Effect("none", 0.0, 0.0, 0.0, BASELINE, "its own", [-0.3, 0.1, 0.2]),
    Effect(EVIL, 0.5, 0.1, 0.9, "helps", "+0.50 [+0.10, +0.90], helps", [0.4, 0.5, 0.5, 1.7], [-2.0]),
    Effect("se", -0.5, -0.9, -0.1, "hurts", "hurts"),
    Effect("eca", 0.0, -0.1, 0.1, "equivalent", "equivalent"),
    Effect("one seed", 0.2, -math.inf, math.inf, "undecided", "[not known]"),
]
SPOTS = [
    Spot("none", 0, 1.0, 90.0, 0.0, True),
    Spot(EVIL, 1, 1.2, 89.0, 0.5, False),
    Spot("se", 9, 1.4, 91.0, 0.5, True),
]
# Three bins hold images, one of them a single one of two runs.
HELD = {4: (10.0, 0.3, 0.2), 9: (0.5, 0.65, 1.0), 14: (1000.0, 0.99, 0.97)}
BINS_OF_15 = Pooled(
    *(list(row) for row in zip(*(HELD.get(n, (0.0, math.nan, math.nan)) for n in range(15)), strict=True))
)
POINTS = [Point(10, 1.0, 0.5, 0.01, 5), Point(20, 2.0, 0.9, 0.0, 5)]


def effects() -> Markup:
    return forest(EFFECTS, 0.2, f"of {EVIL}", "percentage points")


def costs() -> Markup:
    return scatter(SPOTS, "parameters, millions", f"of {EVIL}")


def learning() -> Markup:
    return curves([("none", 0, POINTS), (EVIL, 1, POINTS[:1])], f"of {EVIL}")


def calibration() -> Markup:
    return reliability([("none", 0, BINS_OF_15), (EVIL, 1, BINS_OF_15)], f"of {EVIL}")


DRAWINGS = [effects, costs, learning, calibration]


def words(drawn: Markup, tag: str) -> list[str]:
    return [element.text or "" for element in parsed(drawn).iter(tag)]


def parsed(drawn: Markup) -> ElementTree.Element:
    """Read a drawing as XML, in which the link's prefix needs a name space."""
    return ElementTree.fromstring(drawn.replace("xlink:href", "link"))


@pytest.mark.parametrize("draw", DRAWINGS)
def test_names_are_shown_letter_by_letter(draw: Callable[[], Markup]) -> None:
    drawn = parsed(draw())
    assert drawn.get("aria-label") == f"of {SHOWN}"
    assert words(draw(), "title")[0] == f"of {SHOWN}"
    assert "http" not in draw()
    assert "font-family" not in draw()


def test_what_stands_in_the_pictures() -> None:
    shown = [SHOWN[:49] + "…", "se", "eca", "one seed"]
    assert [word for word in words(effects(), "text") if word in shown] == shown
    assert {"[not known]", "percentage points", "0"} <= set(words(effects(), "text"))
    assert sorted(words(costs(), "title")[1:]) == [SHOWN, "none", "se"]
    assert words(learning(), "title")[1:] == ["none", SHOWN]


def test_each_bin_that_holds_images_is_a_dot_at_its_confidence_and_accuracy() -> None:
    (group, _) = [group for group in parsed(calibration()).iter("g") if len(group) and group[0].text in ("none", SHOWN)]
    dots = [(float(use.attrib["x"]), float(use.attrib["y"])) for use in group.iter("use")]
    (_, confidence, accuracy) = zip(*HELD.values(), strict=True)
    for places, values in zip(zip(*dots, strict=True), (confidence, accuracy), strict=True):
        scale = (places[-1] - places[0]) / (values[-1] - values[0])
        assert places == pytest.approx([places[0] + scale * (value - values[0]) for value in values], abs=1e-3)


def test_every_run_of_a_forest_is_a_dot_in_its_place() -> None:
    """Where two values lie says where all others must: also the ends of intervals, on whose axis the dots are."""
    marks = {
        group[0].text: [float(use.attrib["x"]) for use in group.iter("use")]
        for group in parsed(effects()).iter("g")
        if len(group) and group[0].tag == "title"
    }
    base, ours = marks["none: 3 runs"], marks[f"{SHOWN}: 4 runs"]
    assert {text for text, places in marks.items() if not places} == {
        f"{arm}: 0 runs" for arm in ("se", "eca", "one seed")
    }
    scale = (base[2] - base[0]) / 0.5
    for places, values in ((base, [-0.3, 0.1, 0.2]), (ours, [0.4, 0.5, 0.5, 1.7])):
        assert places == pytest.approx([base[0] + scale * (value + 0.3) for value in values], abs=1e-3)
    every = [float(use.attrib["x"]) for use in parsed(effects()).iter("use")]
    for value in (-2.0, 0.5, 0.1, 0.9):  # the ring, the mean and the ends of its interval
        assert any(place == pytest.approx(base[0] + scale * (value + 0.3), abs=1e-3) for place in every)


@pytest.mark.parametrize("draw", DRAWINGS)
def test_every_colour_is_the_pages(draw: Callable[[], Markup]) -> None:
    """A colour of its own would be unreadable on a light page or on a dark one."""
    styles = " ".join(element.get("style", "") for element in parsed(draw()).iter())
    used = set(re.findall(r"(?:fill|stroke): ([^;\s]+)", styles))
    assert used <= {"none", *(f"var(--{name})" for name in PAINT)}
    assert len(used) > 2


@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_picture_is_the_same_each_time(draw: Callable[[], Markup]) -> None:
    assert draw() == draw()


def test_costs_far_apart_are_on_a_logarithmic_axis() -> None:
    spots = [Spot(str(cost), 0, cost, 90.0 + cost, 0.1, True) for cost in (0.01, 0.1, 1.0)]
    assert {"0.01", "0.03", "0.1", "0.3", "1"} <= set(words(scatter(spots, "cost", "title"), "text"))


def test_one_epoch_and_equal_accuracies_are_drawn() -> None:
    drawn = curves([("none", 0, POINTS[:1])], "title")
    assert "1" in words(drawn, "text")
    assert "nan" not in drawn
