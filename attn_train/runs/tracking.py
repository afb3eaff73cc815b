"""Write a run's metrics while it trains: metrics.jsonl, which is the source of truth, TensorBoard, a progress bar."""

import json
import logging
import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.metadata import (
    NULL_TENSOR,
    SESSION_END_INFO_TAG,
    SESSION_START_INFO_TAG,
    create_summary_metadata,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from attn_train.training.journal import Score, Window
from attn_train.writing import durable
from attn_train.writing.best_effort import cause
from attn_train.writing.drawing import render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of a run's metrics.jsonl, without damaged lines, like an incomplete last one after a kill."""
    path = folder / "metrics.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if is_row(row):
            rows.append(row)
        else:
            log.warning("%s: left out a damaged line", path)
    return rows


def is_row(row: Any) -> bool:
    """Say whether a line of metrics.jsonl holds what every row does."""
    return (
        isinstance(row, dict)
        and isinstance(row.get("step"), int)
        and (row.get("kind") == "train" or (row.get("kind") == "evaluation" and "split" in row))
    )


def report_thread(arguments: threading.ExceptHookArgs) -> None:
    """Report an error that ended a thread, except one of writing the event file: that is raised again by the next
    write."""
    if not isinstance(arguments.exc_value, OSError):
        threading.__excepthook__(arguments)


def wait_for_another_second(folder: Path) -> None:
    """Wait, less than a second, until the name of a new event file sorts after those in `folder`.

    TensorBoard reads the files in the order of their names, which begin with the second in which they were made.
    """
    made = [path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*")]
    now = time.time()
    if f"{int(now):010d}" in made:
        time.sleep(int(now) + 1 - now)


def add_figures(folder: Path, figures: Mapping[str, "Figure"], step: int) -> None:
    """Write figures, by tag, to a further TensorBoard file of a finished run."""
    wait_for_another_second(folder)
    with closing(SummaryWriter(str(folder))) as writer:
        for tag, figure in figures.items():
            writer.add_image(tag, render(figure), step)


class Tracker:
    """Write a run's metrics to its folder.

    `step` is the one at which the run begins or resumes: rows of later steps, which will be trained again, are removed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / "metrics.jsonl"
        rows = [row for row in read_metrics(folder) if row["step"] <= step]
        self.tested = {(row["split"], row["step"]) for row in rows if row["kind"] == "evaluation"}
        durable.write_utf8(self.path, "".join(json.dumps(row) + "\n" for row in rows))
        self.file = self.path.open("a", encoding="utf-8")
        self.writer: SummaryWriter | None = None
        if threading.excepthook is threading.__excepthook__:
            threading.excepthook = report_thread
        wait_for_another_second(folder)
        with self.events():
            self.writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    @contextmanager
    def events(self) -> Iterator[None]:
        """Turn an error of writing TensorBoard's file into a warning, and write no more to it."""
        try:
            yield
        except Exception as error:
            log.warning(
                "TensorBoard's file cannot be written (%s); the run goes on without it, metrics.jsonl has everything",
                cause(error),
            )
            writer, self.writer = self.writer, None
            if writer is not None:
                with suppress(Exception):
                    writer.close()

    def row(self, kind: str, step: int, **values: Any) -> None:
        """Append a row to metrics.jsonl; raise ResourceError where it cannot be written."""
        try:
            self.path.stat()  # raises if the file was deleted, which writing to it would not
            self.file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
            self.file.flush()
        except OSError as error:
            raise durable.not_written(self.path, error) from error

    def train(self, window: Window) -> None:
        self.row(
            "train",
            window.step,
            epoch=window.epoch + 1,  # from 1, as on the terminal
            loss=window.loss,
            accuracy=window.accuracy,
            lr=window.lr,
            images_per_second=round(window.images_per_second, 1),
        )
        self.scalars(
            window.step,
            {
                "loss/train": window.loss,
                "accuracy/train": window.accuracy,
                "lr": window.lr,
                "speed/images_per_second": window.images_per_second,
            },
        )

    def evaluation(self, score: Score, step: int, epoch: int) -> None:
        """Write the score after `step` steps, in an epoch (from 0); only once, even if a run that was killed after its
        last evaluation repeats that."""
        split = score.split
        if (split, step) in self.tested:
            return
        self.tested.add((split, step))
        memorisation = {} if score.memorisation is None else asdict(score.memorisation)
        self.row(
            "evaluation",
            step,
            split=split,
            epoch=epoch + 1,
            loss=score.loss,
            accuracy=score.accuracy,
            views=score.views,
            image_size=score.image_size,
            brier=score.brier,
            ece=score.ece,
            **memorisation,
            **({"attention": score.health} if score.health else {}),
        )
        values = {"loss": score.loss, "accuracy": score.accuracy, "brier": score.brier, "ece": score.ece}
        noted = {f"noise/{name}": value for name, value in memorisation.items() if value is not None}
        health = {f"attention_{name}": value for name, value in score.health.items()}
        self.scalars(step, {f"{name}/{split}": value for name, value in values.items()} | noted | health)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for tag, value in values.items():
            if self.writer is not None and (value or not tag.startswith("speed")):
                with self.events():
                    self.writer.add_scalar(tag, value, step)

    def hyperparameters(self, values: dict[str, Any]) -> None:
        """Write the settings for TensorBoard's HPARAMS page into this run's own file.

        SummaryWriter.add_hparams would make a new folder. The page's metrics are the run's scalars. No list of columns
        is written: TensorBoard would use that of one run for all, and lose settings that are null there or of another
        type. Without a list it gathers them from all runs.
        """
        if self.writer is None:
            return
        with self.events():
            started = SessionStartInfo()
            for key, value in values.items():
                column = started.hparams[key]
                if isinstance(value, bool):
                    column.bool_value = value
                elif isinstance(value, int | float) and math.isfinite(value):
                    column.number_value = value
                else:  # TensorBoard has no type for null, lists and infinity, so they are written as text
                    column.string_value = value if isinstance(value, str) else json.dumps(value)
            ended = SessionEndInfo(status=Status.STATUS_SUCCESS)
            for tag, content in (
                (SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=started)),
                (SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=ended)),
            ):
                entry = Summary.Value(tag=tag, tensor=NULL_TENSOR, metadata=create_summary_metadata(content))
                self.writer.file_writer.add_summary(Summary(value=[entry]))  # type: ignore[attr-defined]

    def image(self, tag: str, image: Tensor | NDArray[np.uint8], step: int) -> None:
        """Write one image: uint8 (channels, height, width)."""
        if self.writer is not None:
            with self.events():
                self.writer.add_image(tag, image, step)

    def figure(self, tag: str, figure: "Figure", step: int) -> None:
        if self.writer is not None:
            self.image(tag, render(figure), step)

    def flush(self) -> None:
        self.file.flush()
        if self.writer is not None:
            with self.events():
                self.writer.flush()

    def close(self) -> None:
        # Each row was flushed when it was written, so an error here was reported then.
        with suppress(OSError):
            self.file.close()
        if self.writer is not None:
            with self.events():
                self.writer.close()


class Bar:
    """A progress bar over the steps of an epoch on a terminal; nothing elsewhere."""

    def __init__(self, epoch: int, epochs: int, steps: int, batch_size: int, done: int) -> None:
        self.batch_size = batch_size
        self.bar = tqdm(
            total=steps * batch_size,
            initial=done * batch_size,
            desc=f"epoch {epoch + 1}/{epochs}",
            unit=" images",
            unit_scale=True,
            leave=False,
            disable=None if sys.stderr is not None else True,
        )

    def show(self, batch: int, window: Window | None) -> None:
        self.bar.update(batch * self.batch_size - self.bar.n)
        if window is not None:
            self.bar.set_postfix(loss=f"{window.loss:.3f}", accuracy=f"{100 * window.accuracy:.1f} %")

    def close(self) -> None:
        self.bar.close()
