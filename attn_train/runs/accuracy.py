"""The accuracy that a finished run is judged by: on validation images where some were held out, else on test images.

A choice by test accuracy makes that accuracy too good, so the test images are left for the final claim.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

Split = Literal["val", "test"]
WORDS: dict[Split, str] = {"val": "validation", "test": "test"}


def split_of(results: Iterable[Mapping[str, Any]]) -> Split:
    """Return the split that runs are judged by together, from their results: val where all have it, else test."""
    held_out = [result.get("val_accuracy") is not None for result in results]
    return "val" if held_out and all(held_out) else "test"


def accuracy(result: Mapping[str, Any], split: Split) -> float:
    """Return a run's accuracy at its final epoch, in per cent."""
    return 100 * float(result[f"{split}_accuracy"])


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean over runs and their standard deviation, None of a single run."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def image_count(result: Mapping[str, Any], split: Split) -> int | None:
    """Return how many images an accuracy is of; None for validation images in a result of an old version."""
    return result["total"] if split == "test" else result.get("val_total")
