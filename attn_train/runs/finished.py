"""Find run folders and read their results; say why one cannot be used.

No run is changed, and every value is checked: a folder may be damaged, or come from another person.
"""

import json
import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from attn_train.errors import ConfigError
from attn_train.runs import failure
from attn_train.runs.accuracy import Split
from attn_train.settings import identity
from attn_train.writing.quoting import pasted, setting

# A run folder has at least one of these from the start.
MARKS = ("result.json", "config.yaml", "metrics.jsonl")
NUMBERS = (
    *("test_loss", "parameters", "macs", "train_seconds", "images_per_second", "peak_memory_bytes"),
    *("nll", "brier", "ece", "overconfidence", "temperature", "nll_scaled", "ece_scaled"),
)

# libyaml's parser is ten times as fast, where PyYAML has it.
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, what its result.json says, and its identity."""

    folder: Path
    result: dict[str, Any]
    arm: dict[str, Any]
    arm_digest: str
    recipe_digest: str
    seeds: tuple[int, ...]  # of initialisation, order, augmentation, wrong labels: what runs of two arms are paired by
    split: Split = "test"  # whose images it is judged by
    value: float = math.nan  # the number that it is compared by
    step: float = 0.0  # what one image counts in that, where it is a share of images

    @property
    def name(self) -> str:
        """The model, and what it is a control of."""
        model, control = self.arm.get("model.name", "?"), self.arm.get("control", "none")
        return str(model) if control == "none" else f"{model}-control-{control}"


@dataclass(frozen=True)
class LeftOut:
    """A run folder that was not used, and why.

    A run that failed by itself has the digests of its arm and of its recipe: it counts among the runs of these.
    """

    folder: Path
    reason: str
    failed: tuple[str, str] | None = None


def find(paths: Sequence[str]) -> list[Path]:
    """Return every run folder at or below `paths`, each once, sorted by name.

    Links to folders are followed; a folder has the name by which it is reached first. Folders that cannot be read,
    broken links and links to a folder around them are returned too, so that `read` says what is wrong. Raises
    ConfigError for a path that is no folder, or where there is no run.
    """
    folders: list[Path] = []
    seen: set[str] = set()
    for path in paths:
        if not os.path.isdir(path):
            lost = f", but a link to {os.readlink(path)}" if os.path.islink(path) else ""
            raise ConfigError(f"{path} is no folder{lost}; name run folders, sweeps' folders or a folder of those")
        folders += below(path, seen)
    if not folders:
        raise ConfigError(f"no run in {', '.join(paths)}; name folders that attn-train wrote, like outputs/SWEEP")
    return sorted(folders)


def below(top: str, seen: set[str]) -> Iterator[Path]:
    """Yield what `find` returns for the path `top`, the nearest folders first; a run has no runs in it.

    `seen` are the real paths of the folders visited so far; it grows.
    """
    folders = deque([(top, os.path.realpath(top))])
    while folders:
        folder, real = folders.popleft()
        if real in seen:
            continue
        seen.add(real)
        if folder != top and leads_back(Path(folder)):
            yield Path(folder)
            continue
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            yield Path(folder)
            continue
        names = {entry.name for entry in entries}
        if names.intersection(MARKS) or (".hydra" in names and "multirun.yaml" not in names):
            yield Path(folder)
            continue
        shown = [entry for entry in entries if not entry.name.startswith(".")]
        folders += [(entry.path, real_path(entry, real)) for entry in shown if is_folder(entry)]
        yield from (Path(entry.path) for entry in shown if entry.is_symlink() and not os.path.exists(entry.path))


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Say whether what is in a folder is one too, or a link to one; of what is no link, without a look."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir(follow_symlinks=False)


def real_path(entry: "os.DirEntry[str]", folder: str) -> str:
    """Return the real path of what is in a folder whose real path is known: of what is no link, without a look."""
    return os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(folder, entry.name)


def leads_back(folder: Path) -> bool:
    """Say whether a folder is a link to a folder around it; to follow it would find runs outside the path searched."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def read_all(folders: Sequence[Path]) -> tuple[list[Run], list[LeftOut]]:
    """Read the results of run folders; return the finished runs, and the folders left out."""
    runs, left_out = [], []
    for folder in folders:
        try:
            runs.append(read(folder))
        except (ValueError, TypeError, KeyError, OSError, yaml.YAMLError, RecursionError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            left_out.append(LeftOut(folder, reason, failed_as(folder)))
    return runs, left_out


def failed_as(folder: Path) -> tuple[str, str] | None:
    """Return the digests of arm and recipe of a run that failed by itself: it left no result, but why, or one whose
    accuracy or loss is no number. None for any other, like one that was stopped or lacks its data."""
    try:
        result = load_result(folder)
        values = [result.get(key) for key in ("test_accuracy", "test_loss")]
        failed = any(type(value) is float and not math.isfinite(value) for value in values)
    except (OSError, ValueError):
        result, left = {}, failure.read(folder)
        failed = left is not None and left.exit_code in failure.OWN
    if not failed:
        return None
    try:
        if not {"arm_digest", "recipe_digest"} <= result.keys():
            config = read_config(folder)
            result = identity.summary(config, config["device"]["precision"])
        return str(result["arm_digest"]), str(result["recipe_digest"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        return None


def load_result(folder: Path) -> dict[str, Any]:
    """Return the values of result.json in `folder`; raise OSError where it cannot be read, ValueError where it is
    damaged."""
    try:
        result = json.loads((folder / "result.json").read_bytes())
    except ValueError as error:
        raise ValueError(f"damaged: result.json is no JSON ({error})") from error
    if not isinstance(result, dict):
        raise ValueError("damaged: result.json is no dict")
    return result


def read(folder: Path) -> Run:
    """Read the result of one run; raise ValueError where the run has not finished, or its values are impossible."""
    if not folder.exists():
        raise ValueError(f"a link to {os.readlink(folder)}, where nothing is")
    if leads_back(folder):
        raise ValueError(f"a link back to {os.readlink(folder)}, which holds it: it is not followed")
    try:
        result = load_result(folder)
    except FileNotFoundError:
        raise ValueError(unfinished(folder)) from None
    check(result)
    if not {"arm", "arm_digest", "recipe_digest", "seeds"} <= result.keys():
        # The result of an old version lacks them; they follow from the run's configuration.
        try:
            result = result | identity.summary(read_config(folder), result["precision"])
        except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"damaged: its config.yaml does not say what it is ({type(error).__name__})") from error
    if not isinstance(result["arm"], dict):
        raise ValueError("damaged: result.json has an arm that is no list of settings")
    seeds = tuple(int(seed) for seed in result["seeds"])
    arm = identity.completed(result["arm"])
    return Run(folder, result, arm, str(result["arm_digest"]), str(result["recipe_digest"]), seeds)


def check(result: dict[str, Any]) -> None:
    """Raise ValueError for a result with impossible numbers."""
    lacking = [
        key for key in ("test_accuracy", "correct", "total", "seed", "precision", "data_digest") if key not in result
    ]
    if lacking:
        raise ValueError(f"damaged: result.json lacks {', '.join(lacking)}")
    share, correct, total = (result[key] for key in ("test_accuracy", "correct", "total"))
    counts = all(type(number) is int for number in (correct, total, result["seed"]))
    if not counts or type(share) not in (int, float) or total < 1 or not 0 <= correct <= total:
        raise ValueError(f"damaged: {correct} of {total} images with an accuracy of {share} cannot be")
    if not abs(share - correct / total) < 1e-6:
        raise ValueError(f"damaged: {correct} of {total} images are not an accuracy of {share}")
    validated, held_out = result.get("val_accuracy", 0.0), result.get("val_total", 1)
    if type(validated) not in (int, float) or not 0 <= validated <= 1 or type(held_out) is not int or held_out < 1:
        raise ValueError(f"damaged: an accuracy of {validated} on {held_out} validation images cannot be")
    for key in NUMBERS:
        value = result.get(key)
        if value is not None and (type(value) not in (int, float) or not math.isfinite(value)):
            raise ValueError(f"damaged: {key} is {value}")
    temperature = result.get("temperature")
    if temperature is not None and temperature <= 0:
        raise ValueError(f"damaged: a temperature of {temperature} cannot be")


def unfinished(folder: Path) -> str:
    """Say why a run has no result: it failed, or it has not finished."""
    if recorded := failure.read(folder):
        return f"failed: {recorded.reason}"
    return f"not finished; go on with: {pasted('attn-train', setting('resume', folder))}"


def read_config(folder: Path) -> dict[str, Any]:
    """Return the settings of a run's config.yaml as nested plain values; nothing in it is instantiated or resolved."""
    values = load_yaml(folder / "config.yaml")
    if not isinstance(values, dict):
        raise ValueError(f"{folder / 'config.yaml'} holds no settings")
    return values


def load_yaml(path: Path) -> Any:
    """Return the content of a YAML file as plain values."""
    text = path.read_bytes()
    try:
        return yaml.load(text, Loader=Loader)
    except yaml.scanner.ScannerError:
        # A path that is no UTF-8, which only PyYAML's own parser accepts.
        return yaml.load(text, Loader=yaml.SafeLoader)
