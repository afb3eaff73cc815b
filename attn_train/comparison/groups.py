"""From the paths of a command line to runs: all of them, or in groups that are compared each by itself."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_train.comparison.arms import differences, recipe_of, show, varied
from attn_train.errors import ConfigError
from attn_train.runs import finished as reading
from attn_train.runs.finished import LeftOut, Run
from attn_train.runs.listed import read_listed

# Of a run without its configuration these settings are known from its result.
KNOWN = {"dataset.name": "dataset", "backbone.name": "backbone", "train.epochs": "epochs"}


@dataclass(frozen=True)
class Group:
    """Runs that are compared with each other; `recipe` are their settings, as far as they are known."""

    name: str
    runs: list[Run]
    left_out: list[LeftOut]
    recipe: dict[str, Any]


def read_runs(paths: Sequence[str]) -> tuple[list[Run], list[LeftOut]]:
    """Return the runs in folders, or those that CSV files list, and what was left out; raise ConfigError for both at
    once, and where no run has finished."""
    files = list_files(paths)
    lists = [read_listed(Path(file)) for file in files] or [reading.read_all(reading.find(paths))]
    runs, left_out = [run for each, _ in lists for run in each], [run for _, each in lists for run in each]
    if not runs:
        raise ConfigError(f"no finished run in {', '.join(paths)}{passed_over(left_out)}")
    return runs, left_out


def list_files(paths: Sequence[str]) -> list[str]:
    """Return the paths where all are files that list runs of elsewhere, nothing where all are folders; raise
    ConfigError for both at once."""
    files = list(filter(is_list, paths))
    if files and len(files) < len(paths):
        folder = next(path for path in paths if path not in files)
        raise ConfigError(f"{files[0]} lists runs of elsewhere, and {folder} is a folder; compare them apart")
    return files


def is_list(path: str) -> bool:
    """Say whether a path is a file that lists runs of elsewhere."""
    return path.endswith(".csv") and Path(path).is_file()


def passed_over(left_out: Sequence[LeftOut]) -> str:
    """Say at the end of an error which runs were named and could not be used."""
    if not left_out:
        return ""
    more = f", and {len(left_out) - 1} more" if len(left_out) > 1 else ""
    return f"; left out: {left_out[0].folder}: {left_out[0].reason}{more}"


def by_recipe(paths: Sequence[str]) -> tuple[list[Group], list[LeftOut]]:
    """Return the runs at `paths` by their recipe and data, and what is of none of these; each CSV file is taken for one
    recipe. Raises ConfigError where all are of one."""
    files, folders = ([path for path in paths if is_list(path) is listed] for listed in (True, False))
    read, left_out = read_runs(folders) if folders else ([], [])
    alike = same_recipe(read)
    digests = [{run.recipe_digest for run in runs} for runs in alike]
    # What failed has no data: of one recipe on several data it counts in the first.
    places = [next((at for at, of in enumerate(digests) if run.failed and run.failed[1] in of), -1) for run in left_out]
    groups = [
        Group(name, runs, [run for run, of in zip(left_out, places, strict=True) if of == at], settings_of(runs[0]))
        for at, (name, runs) in enumerate(zip(names(alike), alike, strict=True))
    ]
    groups = sorted(groups, key=lambda group: group.name) + [Group(file, *read_runs([file]), {}) for file in files]
    if len(groups) < 2:
        raise ConfigError("combine=recipes, but all runs are of one recipe and data set; leave it out")
    return groups, [run for run, of in zip(left_out, places, strict=True) if of < 0]


def by_folder(paths: Sequence[str]) -> list[Group]:
    """Return the runs of each folder or CSV file at `paths`, as studies that add up; a run that is named itself is of
    the folder that it lies in.

    A run that repeats the arm and the seeds of another study's is left out: it says nothing new. Raises ConfigError
    where there is a single folder, where one has no run of its own, and for studies of different data.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        is_run = not is_list(path) and reading.find([path]) == [Path(path)]
        folders[str(Path(path).parent) if is_run else path].append(path)
    if len(folders) < 2:
        raise ConfigError(
            f"combine=studies adds up several folders, and {next(iter(folders))} is one; name another too"
        )
    used: dict[tuple[str, ...], tuple[str, Path]] = {}  # the study and folder of each run
    groups = []
    for name, within in folders.items():
        read, left_out = read_runs(within)
        runs = []
        for run in read:
            key = (run.arm_digest, run.recipe_digest, *data_of(run), str(run.seeds))
            study, first = used.setdefault(key, (name, run.folder))
            if study == name:
                runs.append(run)
            else:
                left_out.append(LeftOut(run.folder, f"repeats the arm and the seed of {first}, which is used"))
        if not runs:
            raise ConfigError(
                f"{name} has no run of its own: studies add up where their seeds differ{passed_over(left_out)}"
            )
        groups.append(Group(name, runs, left_out, settings_of(runs[0])))
    check_data(groups)
    return groups


def check_data(groups: Sequence[Group]) -> None:
    """Raise ConfigError where studies are of different data, as far as they say."""
    data = {data_of(group.runs[0]): group.name for group in groups if "data_digest" in group.runs[0].result}
    if len(data) > 1:
        raise ConfigError(
            f"combine=studies adds up what is of the same data, and {' and '.join(list(data.values())[:2])} are not; "
            "over data sets say combine=recipes"
        )


def same_recipe(runs: Sequence[Run]) -> list[list[Run]]:
    """Return runs in groups, each of one recipe and data; settings that only another version has make none of its
    own."""
    equal: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in runs:
        equal[run.recipe_digest, *data_of(run)].append(run)
    groups: list[list[Run]] = []
    for found in sorted(equal.values(), key=len, reverse=True):
        group = next((group for group in groups if is_same(group[0], found[0])), None)
        if group is None:
            groups.append(list(found))
        else:
            group += found
    return groups


def data_of(run: Run) -> tuple[str, str]:
    return str(run.result.get("data_digest")), str(run.result.get("total"))


def is_same(run: Run, other: Run) -> bool:
    """Say whether two runs are of the same data and differ at most by settings that one's version lacks."""
    if data_of(run) != data_of(other):
        return False
    differing, added = differences(run, other)
    return not differing and bool(added)


def settings_of(run: Run) -> dict[str, Any]:
    """Return what is known of a run's recipe."""
    found = recipe_of(run)
    return found or {key: run.result[name] for key, name in KNOWN.items() if run.result.get(name) is not None}


def names(groups: Sequence[Sequence[Run]]) -> list[str]:
    """Name groups by the data set and the like where these differ, and by so many other settings that no two have the
    same name."""
    settings = [settings_of(group[0]) for group in groups]
    keys = [key for key in varied(settings) if all(key in one for one in settings)]
    chosen = [key for key in keys if key.endswith(".name")]

    def named(by: Sequence[str]) -> list[str]:
        return [" ".join(f"{key.removesuffix('.name')}={show(one[key])}" for key in by) for one in settings]

    def told_apart(by: Sequence[str]) -> int:
        return len(set(named(by)))

    while told_apart(chosen) < len(groups) and set(keys) - set(chosen):
        best = max(keys, key=lambda key: told_apart([*chosen, key]))
        if told_apart([*chosen, best]) == told_apart(chosen):
            break
        chosen.append(best)
    labels = named(chosen)
    if len(set(labels)) < len(labels):
        labels = [f"{label} data={data_of(of[0])[0][:8]}".strip() for label, of in zip(labels, groups, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{label} like {of[0].folder}" for label, of in zip(labels, groups, strict=True)]
    return labels


def arm_settings(groups: Sequence[Group]) -> dict[str, list[str]]:
    """Return by mechanism the settings that its arms are named by in all groups: those in which they differ within a
    group, and what a mechanism itself is set to where that differs between groups. A setting that another version lacks
    makes no difference."""
    by_mechanism: dict[str, list[list[Mapping[str, Any]]]] = defaultdict(list)
    for group in groups:
        here: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for run in group.runs:
            here[run.name].append(run.arm)
        for mechanism, arms in here.items():
            by_mechanism[mechanism].append(arms)
    found = {}
    for mechanism, each in by_mechanism.items():
        within = {key for arms in each for key in varied(arms)}
        everywhere = [arm for arms in each for arm in arms]
        between = {key for key in varied(everywhere) if is_of_mechanism(key) and all(key in arm for arm in everywhere)}
        found[mechanism] = sorted(within | between)
    return found


def is_of_mechanism(key: str) -> bool:
    """Say whether a setting of an arm is the mechanism's own; where it stands, and how wide a control is, may follow
    from the recipe."""
    return not key.startswith("backbone.") and key != "control_width"


def placed_apart(groups: Sequence[Group], named_by: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a warning for each mechanism whose place in the network is not the same in all groups."""
    warnings = []
    for mechanism, keys in named_by.items():
        arms = {group.name: run.arm for group in groups for run in group.runs if run.name == mechanism}
        for key in varied(list(arms.values())):
            if key.startswith("backbone.") and key not in keys:
                said = "; ".join(f"{show(arm.get(key))} in {name}" for name, arm in arms.items())
                warnings.append(f"{mechanism} has not the same {key} everywhere, and is taken for one arm: {said}")
    return warnings
