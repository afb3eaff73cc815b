"""Which test images the runs got right, and how sure they were: each run's predictions are read once, for all that
single images add to comparisons and to arms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from attn_train.comparison.analysis import Comparison
from attn_train.comparison.arms import Arm, Seeds
from attn_train.comparison.measures import ACCURACY, PREDICTIONS, UNUSABLE, Measure, load_predictions
from attn_train.errors import ConfigError
from attn_train.runs.finished import Run
from attn_train.statistics import images as by_image, resampling
from attn_train.statistics.calibration import Calibration, assess
from attn_train.statistics.images import Deviation, Right
from attn_train.statistics.intervals import ALPHA

# Below so many runs of an arm the test images are resampled where nothing else is asked for.
FEW = 5
# As much as 1,000 runs of 10,000 images and 10 classes leave, compressed, which is read in 3 s.
MOST_BYTES = 400_000_000


@dataclass(frozen=True)
class Predicted:
    """What the predictions of an arm's runs say, in the order of its runs."""

    right: Right  # which test images they got right, (runs, images)
    calibration: list[Calibration]


def add(
    comparisons: list[Comparison],
    against_controls: list[Comparison],
    arms: Sequence[Arm],
    images: Any,
    measure: Measure,
) -> tuple[dict[str, Deviation], dict[str, list[Calibration]], list[str]]:
    """Add in place to comparisons of accuracies what single images say of them; return by label how the arms' runs
    deviate, how well they are calibrated, and warnings. `images` is as of `read`."""
    predicted, problems = read(arms, images, measure)
    calibrations = {label: found.calibration for label, found in predicted.items()}
    if measure is not ACCURACY:
        return {}, calibrations, problems
    right = {label: found.right for label, found in predicted.items()}
    for family in (comparisons, against_controls):
        family[:] = [added(comparison, right, always=images is True) for comparison in family]
    of_arms = deviations(right)
    return of_arms, calibrations, problems + alarms(of_arms)


def read(arms: Sequence[Arm], images: Any, measure: Measure) -> tuple[dict[str, Predicted], list[str]]:
    """Return what the predictions of each arm's runs say, by label, and warnings.

    images: whether to read predictions, as asked for; auto: where test accuracies are compared, of at most MOST_BYTES,
    or what follows from predictions. Only arms are there of which the predictions of all runs can be used. Raises
    ConfigError where they are asked for, but runs are compared by something else than accuracy.
    """
    if images is False or (images == "auto" and measure is not ACCURACY and measure.of_predictions is None):
        return {}, []
    if images is True and measure is not ACCURACY:
        raise ConfigError(
            f"images=true resamples what is right on test images, but these runs are compared by {measure.words}; say "
            "images=auto, or metric=accuracy split=test"
        )
    folders = [run.folder for arm in arms for run in arm.runs.values()]
    # By predictions runs were compared already, whatever their size.
    if images == "auto" and measure is ACCURACY:
        # Runs that a file lists left no folder.
        if not any(folder.is_dir() for folder in folders):
            return {}, []
        if (size := sum(map(size_of, folders))) > MOST_BYTES:
            what = f"the predictions of {len(folders):,} runs ({size / 1e6:,.0f} MB) are read with images=true only"
            return {}, [f"{what}: it takes a while"]
    predicted, errors = {}, {}
    for arm in arms:
        try:
            right, calibration = zip(*map(read_run, arm.runs.values()), strict=True)
            predicted[arm.label] = Predicted(np.stack(right), list(calibration))
        except UNUSABLE as error:
            errors[arm.label] = str(error)
    if not errors:
        return predicted, []
    return predicted, [
        f"the predictions of {', '.join(errors)} cannot be used ({next(iter(errors.values()))}): nothing is said of "
        "them for other images, nor of their calibration"
    ]


def size_of(folder: Path) -> int:
    """Return how large the predictions of a run are on disk, in bytes."""
    try:
        return (folder / PREDICTIONS).stat().st_size
    except OSError:
        return 0


def read_run(run: Run) -> tuple[Right, Calibration]:
    """Return which test images a run got right, bool (images,), and how well it is calibrated, by its predictions.

    Raises ValueError where they do not agree with its result, or another of UNUSABLE where they cannot be read.
    """
    path, total, correct = run.folder / PREDICTIONS, run.result["total"], run.result["correct"]
    logits, labels = load_predictions(path)
    right: Right = logits.argmax(axis=1) == labels
    if right.shape != (total,) or int(right.sum()) != correct:
        raise ValueError(f"{path} does not agree with result.json ({correct} of {total} right)")
    return right, assess(logits, labels)


def added(comparison: Comparison, right: Mapping[str, Right], *, always: bool) -> Comparison:
    """Return a comparison with what is known by its single images; `always`: resample them whatever the number of
    seeds."""
    arm, reference = comparison.arm, comparison.reference
    if arm.label not in right or reference.label not in right:
        return comparison
    ours, theirs = right[arm.label], right[reference.label]
    if always or min(len(ours), len(theirs)) < FEW:
        comparison = replace(
            comparison,
            over_images=resampling.over_images(ours, theirs, 1 - ALPHA),
            mcnemar=resampling.mcnemar(ours[0], theirs[0]) if len(ours) == len(theirs) == 1 else None,
        )
    ours, theirs = rows(arm, ours, comparison.seeds), rows(reference, theirs, comparison.reference_seeds)
    return replace(comparison, new_images=by_image.new_images(comparison.difference, ours, theirs))


def rows(arm: Arm, right: Right, seeds: Sequence[Seeds]) -> Right:
    """Return the rows of an arm's runs with these seeds."""
    places = {own: place for place, own in enumerate(arm.runs)}
    return right[[places[own] for own in seeds]]


def deviations(right: Mapping[str, Right]) -> dict[str, Deviation]:
    """Return how the runs of each arm deviate, but of those with a single run."""
    every = {label: by_image.deviation(matrix) for label, matrix in right.items()}
    return {label: deviation for label, deviation in every.items() if deviation is not None}


def alarms(of_arms: Mapping[str, Deviation]) -> list[str]:
    """Return a warning that names the arms whose runs deviate by alarmingly more than by independent errors."""
    named = [
        f"{label} ({deviation.seen:.2f} points, {deviation.seen / deviation.independent:.1f} times)"
        for label, deviation in of_arms.items()
        if deviation.is_alarming
    ]
    if not named:
        return []
    return [
        f"runs deviate by more than independent errors would: {', '.join(named)}; the recipe is unstable or not "
        "trained out (Jordan, 2023): train longer, or steadier, before small differences are judged"
    ]
