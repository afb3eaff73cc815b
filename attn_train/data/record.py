"""What data a run was trained on: kept in its checkpoints, and compared when the run goes on or is tested again."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_train.data.dataset import Dataset
from attn_train.errors import CheckpointError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataRecord:
    """The data that a run was trained on from one of its epochs on."""

    digest: str  # of the whole data set: which of its images are trained on follows from the run's settings
    images: int  # in all its splits
    step: int  # optimizer steps done before, on other data
    epoch: int  # epochs done before, on other data

    def __str__(self) -> str:
        return f"{self.digest[:12]} ({self.images} images)"


def record(dataset: Dataset, step: int = 0, epoch: int = 0) -> DataRecord:
    """Return the record of a data set that a run is trained on after `step` steps and `epoch` epochs on others."""
    return DataRecord(dataset.digest, sum(len(split.labels) for split in dataset.splits.values()), step, epoch)


def records(state: dict[str, Any]) -> list[DataRecord]:
    """Return what the run of a checkpoint `state` was trained on, the latest last; nothing for an old checkpoint."""
    return [DataRecord(**values) for values in state.get("data", [])]


def difference(state: dict[str, Any], dataset: Dataset) -> str:
    """Say how `dataset` differs from the data of a checkpoint `state`; "" where it does not, or that is not known."""
    kept = records(state)
    if not kept or kept[-1].digest == dataset.digest:
        return ""
    return f"the data is not that of the run: digest {kept[-1]} there, {record(dataset)} here"


def follow(state: dict[str, Any], dataset: Dataset, allow_change: bool, folder: Path) -> list[DataRecord]:
    """Return the records of a run that goes on from the checkpoint `state` in `folder` with `dataset`.

    Raises CheckpointError where the network does not fit that data, or the data has changed without `allow_change`.
    """
    check_fits(state, dataset, folder)
    kept, changed = records(state), difference(state, dataset)
    if not kept:
        log.warning("the checkpoint in %s is of before the data's digest was kept: the data is not compared", folder)
        return [record(dataset)]
    if not changed:
        return kept
    if not allow_change:
        raise CheckpointError(
            f"{changed}; bring that data back, say where it lies with dataset.root=FOLDER, or, if the change is meant, "
            "go on with dataset.allow_change=true"
        )
    log.warning("DATA CHANGED: %s; going on with it from the start of epoch %d", changed, state["epoch"] + 1)
    return [*kept, record(dataset, state["step"], state["epoch"])]


def check_fits(state: dict[str, Any], dataset: Dataset, folder: Path) -> None:
    """Raise CheckpointError where the network of the checkpoint `state` is for other classes or channels."""
    trained, classes = state["classes"], list(dataset.classes)
    channels = dataset.train.images.shape[1]
    if (trained, state["channels"]) == (classes, channels):
        return
    raise CheckpointError(
        f"the network in {folder} is for other data: {describe_classes(trained, classes)} and {state['channels']} "
        f"channels there, {describe_classes(classes, trained)} and {channels} channels here; bring that data back, or "
        "start a new run"
    )


def describe_classes(classes: Sequence[str], others: Sequence[str]) -> str:
    """Say how many classes there are, and which of them, the first five, are not among `others`."""
    only = [name for name in classes if name not in others][:5]
    return f"{len(classes)} classes" + (f" (with {', '.join(only)})" if only else "")
