"""Sort runs into arms, name the arms, and refuse a comparison that would not be one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from attn_train.errors import ConfigError
from attn_train.runs.finished import LeftOut, Run, read_config
from attn_train.settings import identity

Seeds = tuple[int, ...]


@dataclass
class Arm:
    """The runs of one arm, by their seeds."""

    label: str
    runs: dict[Seeds, Run] = field(default_factory=dict)
    failed: int = 0  # runs without a result, or with one that is no number

    @property
    def first(self) -> Run:
        return next(iter(self.runs.values()))

    @property
    def values(self) -> list[float]:
        return self.over(list(self.runs))

    def over(self, seeds: Sequence[Seeds]) -> list[float]:
        """Return the numbers that the runs with these seeds are compared by."""
        return [self.runs[of_run].value for of_run in seeds]

    @property
    def started(self) -> int:
        """How many runs have ended, well or not."""
        return len(self.runs) + self.failed

    @property
    def is_plain(self) -> bool:
        """Without a mechanism, and no control of one."""
        return self.first.name == "none"


def sort(
    runs: Sequence[Run], failures: Sequence[LeftOut] = (), named_by: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[Arm], list[LeftOut]]:
    """Return the arms, the plain one first, and the runs that repeat another's arm and seed.

    `failures` are what else was found: of these, runs that failed are counted for the arm and the recipe that they are
    of. `named_by`: the settings that the arms of a mechanism are named by; None: those in which they differ.

    Of such runs the first by name of folder is used, whatever their accuracies: names begin with date and time.
    """
    by_digest: dict[str, Arm] = {}
    left_out = []
    for run in runs:
        arm = by_digest.setdefault(run.arm_digest, Arm(run.name))
        if (first := arm.runs.setdefault(run.seeds, run)) is not run:
            left_out.append(LeftOut(run.folder, f"repeats the arm and the seed of {first.folder}, which is used"))
    arms = list(by_digest.values())
    for arm in arms:
        arm.runs = dict(sorted(arm.runs.items()))
        kinds = {(run.arm_digest, run.recipe_digest) for run in arm.runs.values()}
        arm.failed = sum(failure.failed in kinds for failure in failures)
    name(arms, named_by)
    return sorted(arms, key=lambda arm: (not arm.is_plain, arm.label)), left_out


def name(arms: Sequence[Arm], named_by: Mapping[str, Sequence[str]] | None = None) -> None:
    """Name each arm by its mechanism, and by the settings that `named_by` has for it; None: those in which arms of the
    same mechanism differ."""
    same: dict[str, list[Arm]] = defaultdict(list)
    for arm in arms:
        same[arm.first.name].append(arm)
    for mechanism, group in same.items():
        keys = varied([arm.first.arm for arm in group]) if named_by is None else named_by[mechanism]
        for arm in group:
            words = [f"{key.removeprefix('backbone.')}={show(arm.first.arm.get(key))}" for key in keys]
            arm.label = " ".join([arm.first.name, *(word.removeprefix("model.") for word in words)])


def varied(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the settings that have not the same value everywhere."""
    keys = sorted({key for of_arm in settings for key in of_arm})
    return [key for key in keys if len({repr(of_arm.get(key)) for of_arm in settings}) > 1]


def show(value: Any) -> str:
    """Return a setting's value as it would be typed."""
    if isinstance(value, list):
        return f"[{','.join(map(show, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def choose_baseline(arms: Sequence[Arm], wanted: str | None) -> Arm:
    """Return the arm that others are compared with: the one named, else the plain one; raise ConfigError for none."""
    labels = ", ".join(arm.label for arm in arms)
    if wanted is not None:
        named = [arm for arm in arms if arm.label == wanted]
        if not named:
            raise ConfigError(f"baseline={wanted} is none of the arms; choose from {labels}")
        return named[0]
    plain = [arm for arm in arms if arm.is_plain]
    if not plain:
        raise ConfigError(
            f"no run without attention (model=none); name what to compare with, baseline=NAME of {labels}"
        )
    return plain[0]


def check_recipe(runs: Sequence[Run]) -> list[str]:
    """Return warnings about runs that other versions or machines made; raise ConfigError where runs differ in more than
    arm and seed, naming in what."""
    by_recipe: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_recipe[run.recipe_digest].append(run)
    groups = sorted(by_recipe.values(), key=len, reverse=True)
    warnings = []
    for group in groups[1:]:
        differing, added = differences(groups[0][0], group[0])
        if differing or not added:
            raise ConfigError(
                f"these runs differ in more than arm and seed, so comparing them says nothing about either: "
                f"{'; '.join(differing[:6]) or 'they do not say in what'}{' and more' if len(differing) > 6 else ''} "
                f"({len(groups[0])} runs like {groups[0][0].folder}, {len(group)} like {group[0].folder}); compare "
                "those of one recipe, by naming their folders, or each recipe and then all together: combine=recipes"
            )
        warnings.append(
            f"{len(group)} runs, like {group[0].folder}, come from another version, whose settings differ by "
            f"{', '.join(added)}"
        )
    data = by_value(runs, "data_digest", "total")
    if len(data) > 1:
        one, other = list(data.values())[:2]
        raise ConfigError(
            f"these runs were tested on different data: {one[0].folder} (data_digest {clip(one[0])}) and "
            f"{other[0].folder} ({clip(other[0])}); compare runs of the same data, or each data set and then all "
            "together: combine=recipes"
        )
    return warnings + [
        f"the runs come from different {what}: {'; '.join(f'{len(of)} with {value}' for value, of in found.items())}"
        for what, key in (("versions", "versions"), ("commits", "commit"), ("devices", "device"))
        if len(found := by_value(runs, key)) > 1
    ]


def clip(run: Run) -> str:
    return f"{str(run.result['data_digest'])[:12]}, {run.result['total']} images"


def by_value(runs: Sequence[Run], *keys: str) -> dict[str, list[Run]]:
    """Return runs by what their results say of `keys`."""
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        found[", ".join(words_of(run.result.get(key)) for key in keys)].append(run)
    return dict(found)


def words_of(value: Any) -> str:
    return " ".join(f"{key} {entry}" for key, entry in value.items()) if isinstance(value, dict) else str(value)


def differences(one: Run, other: Run) -> tuple[list[str], list[str]]:
    """Return the settings in which two recipes differ, with both values, and those that only one of them has."""
    first, second = map(recipe_of, (one, other))
    if not first or not second:
        return [], []
    differing = [
        f"{key}={show(first[key])} and {show(second[key])}"
        for key in sorted(first.keys() & second.keys())
        if first[key] != second[key]
    ]
    added = [f"{key}={show((first | second)[key])}" for key in sorted(first.keys() ^ second.keys())]
    # Of another backbone, optimizer or data set all settings are others.
    names = [setting for setting in differing if setting.split("=")[0].endswith(".name")]
    return names or differing, added


def recipe_of(run: Run) -> dict[str, Any]:
    """Return the settings of a run's recipe, flat, or nothing where no configuration is left."""
    try:
        return identity.recipe(read_config(run.folder), run.result["precision"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return {}
