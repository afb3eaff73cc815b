"""A section of settings against the signature of what it configures."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from attn_train.errors import ConfigError
from attn_train.settings.options import bind, convert, describe

Choice = Literal["sqrt", "none"]
Depth = Literal[18, 20, 56]


@dataclass(frozen=True)
class Part:
    stages: Literal["all"] | list[int]
    rate: float


def target(
    model: object,
    *,
    lr: float,
    steps: int = 3,
    betas: list[float],
    scale: Choice = "sqrt",
    width: int | None,
    on: bool = False,
    part: Part | None = None,
) -> None:
    """Take one keyword of each kind."""


class Target:
    def __init__(self, channels: int, size: tuple[int, int], *, heads: int, name: str = "x") -> None:
        self.heads = heads


GOOD: list[tuple[Any, Any, Any]] = [
    (3, int, 3),
    (3, float, 3.0),
    (2.5, float, 2.5),
    (True, bool, True),
    (False, bool, False),
    ("a", str, "a"),
    ("sqrt", Choice, "sqrt"),
    (20, Depth, 20),
    (None, int | None, None),
    (4, int | None, 4),
    ([1, 2], list[int], [1, 2]),
    ([1, 0.5], list[float], [1.0, 0.5]),
    ([], list[int], []),
    ("all", Literal["all"] | list[int], "all"),
    ([1, 3], Literal["all"] | list[int], [1, 3]),
    ({"stages": [2], "rate": 1}, Part, Part([2], 1.0)),
]


@pytest.mark.parametrize(("value", "hint", "expected"), GOOD)
def test_a_value_that_fits_is_taken(value: Any, hint: Any, expected: Any) -> None:
    found = convert("x.y", value, hint)
    assert found == expected
    assert type(found) is type(expected)
    if isinstance(expected, list):
        assert [type(one) for one in found] == [type(one) for one in expected]


WRONG: list[tuple[Any, Any, str]] = [
    (2.5, int, "an integer"),
    (3.0, int, "an integer"),
    ("3", int, "an integer"),
    (True, int, "an integer"),
    (None, int, "an integer"),
    ("abc", float, "a number"),
    (True, float, "a number"),
    (1, bool, "true or false"),
    ("true", bool, "true or false"),
    (7, str, "a text"),
    ("none of it", Choice, "one of sqrt, none"),
    (None, Choice, "one of sqrt, none"),
    (34, Depth, "one of 18, 20, 56"),
    ("20", Depth, "one of 18, 20, 56"),
    (20.0, Depth, "one of 18, 20, 56"),
    (True, Literal[1, 2], "one of 1, 2"),
    ("4", int | None, "an integer or null"),
    (True, int | None, "an integer or null"),
    (5, list[int], "a list of an integer"),
    ("some", Literal["all"] | list[int], "one of all or a list of an integer"),
    (["1"], Literal["all"] | list[int], "one of all or a list of an integer"),
]


@pytest.mark.parametrize(("value", "hint", "words"), WRONG)
def test_a_value_of_another_type_is_refused_by_name_and_choices(value: Any, hint: Any, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        convert("model.x", value, hint)
    shown = "null" if value is None else value
    assert str(refused.value) == f"model.x={shown} does not fit; it takes {words}"
    assert describe(hint) == words


def test_an_item_of_a_list_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"optimizer.betas=x does not fit; it takes a number"):
        convert("optimizer.betas", [0.9, "x"], list[float])


def test_a_section_within_a_section_is_checked_by_its_fields() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting x.part.stage; x.part takes rate, stages"):
        convert("x.part", {"stage": [1], "rate": 1.0}, Part)
    with pytest.raises(ConfigError, match=r"x.part.rate is missing"):
        convert("x.part", {"stages": "all"}, Part)
    with pytest.raises(ConfigError, match=r"x.part.rate=high does not fit; it takes a number"):
        convert("x.part", {"stages": "all", "rate": "high"}, Part)
    with pytest.raises(ConfigError, match=r"x.part=3 must be a section with stages, rate"):
        convert("x.part", 3, Part)


def test_bind_returns_keyword_arguments_and_leaves_defaults_to_the_function() -> None:
    given = {"lr": 1, "betas": [0, 0.9], "width": None, "scale": "none"}
    assert bind("optimizer", target, given) == {"lr": 1.0, "betas": [0.0, 0.9], "width": None, "scale": "none"}
    assert bind("model", Target, {"heads": 2}) == {"heads": 2}
    assert bind("model", object, {}) == {}


@pytest.mark.parametrize("name", ["rate", "model", "channels", "self"])
def test_an_unknown_setting_is_refused_with_the_known_ones(name: str) -> None:
    """The positional arguments are the program's to give, not settings."""
    with pytest.raises(ConfigError, match=rf"unknown setting model.{name}; model takes heads, name$"):
        bind("model", Target, {"heads": 1, name: 3})


def test_a_section_that_takes_nothing_says_so() -> None:
    def plain(progress: float) -> None: ...

    with pytest.raises(ConfigError, match=r"unknown setting schedule.final; schedule takes nothing"):
        bind("schedule", plain, {"final": 0})


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(ConfigError, match=r"model.heads is missing"):
        bind("model", Target, {})


def test_a_wrong_value_is_named_with_its_section() -> None:
    with pytest.raises(ConfigError, match=r"optimizer.steps=2.5 does not fit; it takes an integer") as refused:
        bind("optimizer", target, {"lr": 1, "betas": [], "width": 1, "steps": 2.5})
    assert refused.value.exit_code == 2
