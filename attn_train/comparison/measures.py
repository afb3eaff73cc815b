"""What arms are compared by: a number of each run, its direction and scale, and the margin that counts as nothing.

A measure on a logarithmic scale is compared by ratios: its differences are in per cent, and an arm's mean stays that of
the numbers themselves.
"""

import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from attn_train.comparison import robustness
from attn_train.errors import ConfigError
from attn_train.runs import accuracy
from attn_train.runs.accuracy import Split
from attn_train.runs.finished import LeftOut, Run
from attn_train.statistics import calibration
from attn_train.statistics.calibration import Array, Labels
from attn_train.statistics.intervals import Difference


@dataclass(frozen=True)
class Measure:
    """A number of a finished run, as its result.json has it under `key`, or as its predictions have it."""

    name: str  # as it is typed
    words: str
    key: str
    margin: float  # in percentage points, in per cent where logarithmic, else in the measure's own unit
    better: int = 1  # -1: less is better
    factor: float = 1.0
    logarithmic: bool = False
    digits: int = 2
    of_predictions: Callable[[Array, Labels], float] | None = None
    of_corruptions: tuple[str, ...] | None = None  # where robustness.json has it

    @property
    def is_accuracy(self) -> bool:
        """Whether it is the share of test or validation images that is right."""
        return self.key in ("test_accuracy", "val_accuracy")

    @property
    def split(self) -> Split:
        """Whose images the number is of."""
        return "val" if self.key.startswith("val_") else "test"

    @property
    def unit(self) -> str:
        """The unit of differences."""
        return "%" if self.logarithmic else "points" if self.factor == 100 else ""

    @property
    def places(self) -> int:
        """The digits after the point of a difference."""
        return 2 if self.logarithmic or self.factor == 100 else self.digits

    @property
    def differences(self) -> str:
        """What differences are in, in words."""
        if self.logarithmic:
            return f"per cent of {self.words}"
        return f"percentage points of {self.words}" if self.factor == 100 else self.words

    def of(self, result: Mapping[str, Any], folder: Path) -> float:
        """Return the number of the run in `folder` with this result; raise ValueError where it has none."""
        if self.of_predictions is not None:
            return self.of_predictions(*read_predictions(folder))
        if self.of_corruptions is not None:
            return self.factor * robustness.number(folder, self.of_corruptions)
        value = result.get(self.key)
        if value is None:
            raise ValueError(f"its result.json has no {self.key}")
        return self.factor * float(value)

    def scaled(self, value: float) -> float:
        """Return a run's number on the scale on which runs are compared; raise ValueError for one that has no
        logarithm."""
        if self.logarithmic and value <= 0:
            raise ValueError(f"{self.words} of {value:g} has no logarithm")
        return 100 * math.log(value) if self.logarithmic else value

    def gain(self, value: float) -> float:
        """Return a run's number on that scale, more the better."""
        return self.better * self.scaled(value)

    def step(self, result: Mapping[str, Any]) -> float:
        """Return what one image counts in the number of a run; 0 where that is not known, or no count of images."""
        count = accuracy.image_count(result, self.split) if self.factor == 100 else None
        return 100 / count if count else 0.0

    def scaled_margin(self, margin: float) -> float:
        return 100 * math.log1p(margin / 100) if self.logarithmic else margin

    def shown(self, difference: float) -> float:
        """Return a difference on that scale as a reader gets it."""
        return 100 * math.expm1(difference / 100) if self.logarithmic and math.isfinite(difference) else difference

    def in_unit(self, difference: Difference) -> Difference:
        """Return a difference on that scale, or a gain, in the unit of the measure; its error stays on the scale."""
        ends = {end: self.shown(getattr(difference, end)) for end in ("mean", "low", "high", "least", "most")}
        return replace(difference, **ends)  # type: ignore[arg-type]

    def written(self, value: float) -> str:
        """Write a run's number."""
        return f"{value:,.{self.digits}f}{' %' if self.factor == 100 else ''}"

    def amount(self, margin: float) -> str:
        """Write a margin with its unit."""
        return f"{margin:g} {self.unit}".rstrip()

    def unscaled(self, value: float) -> float:
        """Return the number that is `value` on that scale."""
        return math.exp(value / 100) if self.logarithmic else value

    def moved(self, value: float, difference: float) -> float:
        """Return a number that differs from `value` by a difference on that scale."""
        return value * math.exp(difference / 100) if self.logarithmic else value + difference


PREDICTIONS = "predictions.npz"
UNUSABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)  # errors of a file that is not as it should be


def read_predictions(folder: Path) -> tuple[Array, Labels]:
    """Return the logits and labels of a run's test images; raise ValueError where they cannot be used."""
    try:
        return load_predictions(folder / PREDICTIONS)
    except UNUSABLE as error:
        raise ValueError(f"its predictions cannot be used ({error})") from error


def load_predictions(path: Path) -> tuple[Array, Labels]:
    """Return the logits (n, classes) and labels (n,) in a file; raise UNUSABLE where they cannot be used."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        logits, labels = np.asarray(arrays["logits"], dtype=float), np.asarray(arrays["labels"], dtype=np.int64)
    sound = logits.ndim == 2 and logits.size and labels.shape == logits.shape[:1] and np.isfinite(logits).all()
    if not sound or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"{path} holds no finite logits with the label of a class each")
    return logits, labels


ACCURACY = Measure("accuracy", "test accuracy", "test_accuracy", margin=0.2, factor=100)
VALIDATED = Measure("val_accuracy", "validation accuracy", "val_accuracy", margin=0.2, factor=100)
# Of the accuracy on corrupted images, by what robustness.json calls it: all fifteen, and each group.
CORRUPTED = {
    "corruption_accuracy": ("accuracy under corruption", ("corruption_accuracy",)),
    "noise_accuracy": ("accuracy under noise", ("groups", "noise", "accuracy")),
    "blur_accuracy": ("accuracy under blur", ("groups", "blur", "accuracy")),
    "weather_accuracy": ("accuracy under weather", ("groups", "weather", "accuracy")),
    "digital_accuracy": ("accuracy under digital corruptions", ("groups", "digital", "accuracy")),
}
MEASURES = {
    measure.name: measure
    for measure in (
        ACCURACY,
        VALIDATED,
        Measure("loss", "test loss", "test_loss", margin=1, better=-1, logarithmic=True, digits=4),
        Measure(
            "nll",
            "negative log-likelihood",
            "nll",
            margin=1,
            better=-1,
            logarithmic=True,
            digits=4,
            of_predictions=calibration.negative_log_likelihood,
        ),
        Measure("brier", "Brier score", "brier", 0.002, better=-1, digits=4, of_predictions=calibration.brier),
        Measure(
            "ece",
            "calibration error (ECE)",
            "ece",
            margin=0.005,
            better=-1,
            digits=4,
            of_predictions=calibration.expected_calibration_error,
        ),
        Measure("ece_scaled", "calibration error (ECE) with a temperature", "ece_scaled", 0.005, better=-1, digits=4),
        *(
            Measure(name, words, name, margin=0.5, factor=100, of_corruptions=path)
            for name, (words, path) in CORRUPTED.items()
        ),
        Measure(
            "corruption_drop", "drop under corruption", "drop", 0.5, better=-1, factor=100, of_corruptions=("drop",)
        ),
        Measure("train_seconds", "training seconds", "train_seconds", margin=5, better=-1, logarithmic=True, digits=1),
        Measure("images_per_second", "training images per second", "images_per_second", margin=5, logarithmic=True),
        Measure("peak_memory_bytes", "peak memory in bytes", "peak_memory_bytes", 5, -1, logarithmic=True, digits=0),
    )
}


def named(name: str) -> Measure:
    """Return the measure of a name; raise ConfigError where there is none."""
    if name not in MEASURES:
        raise ConfigError(f"metric={name} is not a choice; choose from {', '.join(MEASURES)}")
    return MEASURES[name]


def choose(runs: Sequence[Run], name: str, split: str) -> tuple[Measure, list[str]]:
    """Return what runs are compared by, and warnings. By accuracy it is that of `split` (auto, val or test): on auto
    that on validation images where all runs held some out.

    Raises ConfigError for a measure that does not exist, or that not all runs have because they held no images out.
    """
    measure = named(name)
    if measure is not ACCURACY or split == "test":
        return measure, []
    without = [run for run in runs if "val_accuracy" not in run.result]
    if not without:
        return VALIDATED, []
    if split == "val":
        raise ConfigError(
            f"split=val: {len(without)} of {len(runs)} runs, like {without[0].folder}, held no images out "
            "(dataset.val_size); say split=test, or leave them out"
        )
    warning = (
        f"{len(without)} of {len(runs)} runs, like {without[0].folder}, have no validation accuracy: all are "
        "compared by test accuracy"
    )
    return ACCURACY, [warning] if len(without) < len(runs) else []


def measured(runs: Sequence[Run], measure: Measure) -> tuple[list[Run], list[LeftOut]]:
    """Return the runs with the numbers that they are compared by, and those that have none; raise ConfigError where
    those numbers are not of the same corrupted images."""
    known, left_out = [], []
    for run in runs:
        try:
            value = measure.of(run.result, run.folder)
            measure.scaled(value)
        except ValueError as error:
            left_out.append(LeftOut(run.folder, str(error)))
            continue
        known.append(replace(run, split=measure.split, value=value, step=measure.step(run.result)))
    if measure.of_corruptions is not None:
        robustness.check_alike((run.folder, robustness.read(run.folder)) for run in known)
    return known, left_out
