"""Each setting has a role, and changing it changes exactly what its role says."""

import copy
import inspect
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, get_type_hints

import pytest

from attn_train.attention import ATTENTION
from attn_train.settings import compose, identity
from attn_train.settings.bounds import extras
from attn_train.settings.roles import RECIPE, Role, flatten, nested
from attn_train.settings.schema import Settings


def fields(schema: type, prefix: str = "") -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the dotted name of each field that is no section of the schema, and what stands beside its type."""
    hints = get_type_hints(schema)
    for name, beside in extras(schema).items():
        if is_dataclass(hints[name]):
            yield from fields(hints[name], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", beside


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    compose.register()
    return compose.plain(compose.compose(["model=gated", "control=macs", "control_width=2"], compose.parse([])))


@pytest.mark.parametrize(("name", "beside"), list(fields(Settings)))
def test_every_field_has_one_role(name: str, beside: tuple[Any, ...]) -> None:
    assert sum(isinstance(one, Role) for one in beside) == 1


def changed(values: dict[str, Any], key: str) -> dict[str, Any]:
    """The same settings with another value of one of them."""
    values = copy.deepcopy(values)
    *sections, last = key.split(".")
    section = values
    for name in sections:
        section = section[name]
    section[last] = f"not {section[last]}"
    return values


def digests(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "identity": identity.digest(values),
        "arm": identity.short_digest(identity.arm(values)),
        "recipe": identity.short_digest(identity.recipe(values, values["device"]["precision"])),
    }


def test_changing_a_setting_changes_exactly_the_digests_that_its_role_says(settings: dict[str, Any]) -> None:
    before = digests(settings)
    for key in flatten(settings):
        role, now = identity.role(key), digests(changed(settings, key))
        assert {name for name in before if before[name] != now[name]} == {
            name for name in before if getattr(role, name)
        }, key


def test_a_setting_counts_as_arm_or_recipe_only_where_it_makes_another_run(settings: dict[str, Any]) -> None:
    for key in flatten(settings):
        role = identity.role(key)
        assert role.identity or not (role.arm or role.recipe), key
        assert not (role.arm and role.recipe), key


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("model.anything", "mechanism"),
        ("backbone.placement.stages", "placement"),
        ("backbone.widths", "recipe"),
        ("optimizer.lr", "recipe"),
        ("dataset.augment.crop", "recipe"),
        ("dataset.root", "place"),
        ("seeds.order", "seed of one purpose"),
    ],
)
def test_the_parts_of_a_section_have_its_role(key: str, name: str) -> None:
    assert identity.role(key).name == name


def test_a_setting_of_another_version_is_part_of_the_recipe() -> None:
    assert identity.role("train.forgotten") is RECIPE


def test_seeds_pair_the_runs_of_two_arms(settings: dict[str, Any]) -> None:
    assert identity.seeds(settings) == [0, 0, 0]
    given = {**settings, "seed": 4, "seeds": {"init": None, "order": 7, "augment": None, "noise": 9}}
    assert identity.seeds(given) == [4, 7, 4]
    # Runs that differ in their wrong labels alone are no repetitions of each other.
    assert identity.seeds({**given, "noise": {"name": "symmetric", "share": 0.4}}) == [4, 7, 4, 9]


def test_settings_that_are_as_before_they_could_be_chosen_change_no_digest(settings: dict[str, Any]) -> None:
    """So a sweep of an earlier version, given again, finds its jobs' folders."""
    lacking = nested({key: value for key, value in flatten(settings).items() if key not in identity.FORMER})
    assert lacking != settings
    assert digests(lacking) == digests(settings)


@pytest.mark.parametrize(("name", "choice", "values"), identity.FORMER_OF_CHOICES)
def test_what_a_mechanism_did_before_it_could_be_chosen_is_its_default(
    name: str, choice: str, values: dict[str, Any]
) -> None:
    assert name == "model.name"
    parameters = inspect.signature(ATTENTION[choice]).parameters
    for key, value in values.items():
        assert parameters[key.removeprefix("model.")].default == value, key


def composed(*words: str) -> dict[str, Any]:
    compose.register()
    return compose.plain(compose.compose(list(words), compose.parse([])))


@pytest.mark.parametrize("control", [(), ("control=macs", "control_width=2")])
def test_a_mechanism_without_its_later_options_is_the_same_run_and_arm(control: tuple[str, ...]) -> None:
    now, gated = (composed("model=self_attention", *control, f"model.gate={gate}") for gate in ("none", "head"))
    before = copy.deepcopy(now)
    before["model"] = {key: now["model"][key] for key in ("name", "heads", "scale", "residual", "position")}
    assert before != now
    assert digests(before) == digests(now)
    assert identity.arm(before) == identity.arm(now)
    same = {key for key, value in digests(gated).items() if value == digests(now)[key]}
    assert same == {"recipe"}


def test_a_mechanism_gets_no_option_of_another(settings: dict[str, Any]) -> None:
    assert identity.completed(flatten(settings)) == flatten(settings)


def test_nested_is_the_inverse_of_flatten(settings: dict[str, Any]) -> None:
    assert nested(flatten(settings)) == settings
