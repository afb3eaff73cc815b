"""Time and memory of the arms' attention as attn-bench measured it: of the very mechanism, on the very maps."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from attn_train.comparison.arms import Arm, show
from attn_train.comparison.cost import DRIFT, Cost, of_runs
from attn_train.errors import ConfigError
from attn_train.runs.finished import Run, read_config
from attn_train.settings.bench import usual_options
from attn_train.settings.roles import flatten
from attn_train.writing.quoting import pasted, path_value

DEVICE = ("kind", "precision", "channels_last", "compile", "threads")


@dataclass(frozen=True)
class Bench:
    """What attn-bench left: its cells, each with its mechanism's `name` and all its `options`, and their device."""

    cells: list[dict[str, Any]]
    device: dict[str, Any]


def read_bench(folder: Path, conf: Path) -> Bench:
    """Return what attn-bench left in `folder`; raise ConfigError where nothing was measured.

    `conf` is the folder of the settings' files.
    """
    path = folder / "bench.json" if folder.is_dir() else folder
    try:
        left = json.loads(path.read_bytes())
        cells = [{**cell, **mechanism(cell, conf)} for cell in left["cells"]]
        measured = any(cell["status"] == "ok" and cell["training_seconds"] for cell in cells)
        device = dict(left.get("device") or {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ConfigError(f"bench={folder} has no readable bench.json; name a folder that attn-bench wrote") from error
    if not measured:
        raise ConfigError(f"bench={folder}: no cell of it was measured; run attn-bench again")
    return Bench(cells, device)


def costs(arms: Sequence[Arm], bench: str | None, conf: Path) -> tuple[dict[str, Cost], list[str]]:
    """Return what each arm costs, by its runs or by the results of attn-bench in the folder `bench`, and warnings."""
    if bench is not None:
        return with_bench(arms, read_bench(Path(bench), conf), conf)
    noted = {arm.label: of_runs(arm) for arm in arms}
    return noted, [DRIFT] if any(known.seconds is not None for known in noted.values()) else []


def mechanism(cell: dict[str, Any], conf: Path) -> dict[str, Any]:
    """Return the name and all options of a cell's mechanism.

    A bench of before cells said them has those that were given in the mechanism's label; the others were the usual.
    """
    name, *words = str(cell["model"]).split(" ")
    given = {key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in words)}
    return {"name": name, "options": flatten(usual_options(name, conf) | cell.get("options", given))}


@dataclass(frozen=True)
class Trained:
    """What passes through an arm's attention in a training step."""

    options: dict[str, Any]
    maps: Counter[tuple[int, int]]  # (channels, side), and how many attentions stand on such a map
    batch: int  # images at once
    parts: int  # that a step's batch is computed in


def read_trained(run: Run, conf: Path) -> Trained:
    """Read what a run trained; raise ValueError where it does not say."""
    own = {key.removeprefix("model."): value for key, value in run.arm.items() if key.startswith("model.")}
    options = flatten(usual_options(str(own.pop("name", "")), conf)) | own
    try:
        places = [(int(c), int(height), int(width)) for c, height, width in run.result["attention_places"]]
        settings = read_config(run.folder)["train"]
        batch, parts = int(settings["batch_size"]), int(settings["accumulate"])
        batch = -(-batch // parts)
    except (KeyError, ValueError, TypeError, OSError, ZeroDivisionError, yaml.YAMLError) as error:
        raise ValueError("its runs do not say on which maps they have attention, as this version's do") from error
    for _, height, width in places:
        if height != width:
            raise ValueError(f"its attention stands on a map of {height}x{width}, and attn-bench measures square ones")
    return Trained(options, Counter((channels, height) for channels, height, _ in places), batch, parts)


class LackingError(ValueError):
    """Cells that a bench could have, and does not."""


def with_bench(arms: Sequence[Arm], bench: Bench, conf: Path) -> tuple[dict[str, Cost], list[str]]:
    """Return the arms' costs with time and memory as attn-bench measured them, and warnings of what is not known."""
    costs: dict[str, Cost] = {}
    warnings, lacking = other_devices(arms, bench), []
    for arm in arms:
        seconds = peak = None
        try:
            seconds, peak = attention_cost(arm, bench, conf)
        except ValueError as error:
            warnings.append(f"time and memory of {arm.label} are not known: {error}")
            lacking += [path_value(representative(arm).folder)] if isinstance(error, LackingError) else []
        counted = of_runs(arm)
        costs[arm.label] = Cost(counted.parameters, counted.macs, seconds, peak)
    if lacking:
        command = pasted("attn-bench", f"runs=[{','.join(lacking)}]")
        warnings.append(f"measure what bench lacks with: {command}")
    return costs, warnings


def representative(arm: Arm) -> Run:
    """Return a run that says where an arm has attention, or where none does the first."""
    return next((run for run in arm.runs.values() if "attention_places" in run.result), arm.first)


def attention_cost(arm: Arm, bench: Bench, conf: Path) -> tuple[float, float]:
    """Return the seconds of a training step of an arm's attention alone, summed over all places where the network has
    it, and its largest peak of memory in bytes; no mechanism costs nothing.

    Raises LackingError naming the cells that are not in the bench, ValueError where no bench could tell.
    """
    if arm.is_plain:
        return 0.0, 0.0
    if arm.first.arm.get("control", "none") != "none":
        raise ValueError("it has no attention, and its network is not what attn-bench measures")
    trained = read_trained(representative(arm), conf)
    cells = {
        (cell["channels"], cell["size"]): cell
        for cell in bench.cells
        if cell["name"] == arm.first.arm.get("model.name")
        and cell["options"] == trained.options
        and cell.get("batch") == trained.batch
    }
    measured = {at: cell for at, cell in cells.items() if cell["status"] == "ok" and cell["training_seconds"]}
    lacking = [
        f"{at[0]}x{at[1]}x{at[1]}" + (f" ({cells[at]['status']})" if at in cells else "")
        for at in trained.maps
        if at not in measured
    ]
    if lacking:
        raise LackingError(f"bench has no cell of it at batch {trained.batch} on {', '.join(lacking)}")
    seconds = sum(times * measured[at]["training_seconds"] for at, times in trained.maps.items())
    return trained.parts * seconds, max((measured[at].get("training_bytes") or 0 for at in trained.maps), default=0)


def other_devices(arms: Sequence[Arm], bench: Bench) -> list[str]:
    """Return a warning where the runs were trained on another device, or by other settings of it, than was measured."""
    found: dict[str, set[str]] = {}
    for arm in arms:
        try:
            trained = read_config(arm.first.folder)["device"]
            for key in bench.device.keys() & trained.keys() & set(DEVICE):
                found.setdefault(key, set()).add(show(trained[key]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
            continue
    differing = [
        f"device.{key}={show(bench.device[key])}, not {' and '.join(sorted(found[key] - {show(bench.device[key])}))}"
        for key in DEVICE
        if found.get(key, set()) - {show(bench.device.get(key))}
    ]
    return [f"bench was measured with other settings than the runs' own: {'; '.join(differing)}"] if differing else []
