"""The journal that writes into a run's folder: checkpoints, metrics, and lines for the terminal."""

import logging
from pathlib import Path
from typing import Any

from attn_train.machine.interrupt import Stop
from attn_train.runs import checkpoint
from attn_train.runs.tracking import Bar, Tracker
from attn_train.training.journal import Epoch, Journal, Window
from attn_train.training.trainer import Trainer

log = logging.getLogger(__name__)


class FolderJournal(Journal):
    """Record the training of `trainer` in a run's folder, and end it after a signal.

    Args:
        checkpoints: the folder of the checkpoints.
        facts: what a checkpoint keeps besides the trainer's state.
        summary: what the JSON file beside it says besides step and epoch.
        epochs: their number in the whole run.
    """

    def __init__(
        self,
        trainer: Trainer,
        tracker: Tracker,
        stop: Stop,
        *,
        checkpoints: Path,
        facts: dict[str, Any],
        summary: dict[str, Any],
        epochs: int,
        batch_size: int,
    ) -> None:
        self.trainer, self.tracker, self.stop = trainer, tracker, stop
        self.checkpoints, self.facts, self.summary = checkpoints, facts, summary
        self.epochs, self.batch_size = epochs, batch_size
        self.bar: Bar | None = None

    def begin(self, steps: int) -> None:
        progress = self.trainer.progress
        self.bar = Bar(progress.epoch, self.epochs, steps, self.batch_size, progress.batch)

    def step(self, window: Window | None) -> None:
        assert self.bar is not None
        self.bar.show(self.trainer.progress.batch, window)
        if window is not None:
            self.tracker.train(window)

    def end(self, epoch: Epoch) -> None:
        self.close()
        line = (
            f"epoch {epoch.number + 1}/{self.epochs}  train loss {epoch.loss:.4f} accuracy {100 * epoch.accuracy:.2f} %"
        )
        if epoch.score is not None:
            score = epoch.score
            self.tracker.evaluation(score, epoch.step, epoch.number)
            line += f"  {score.split} loss {score.loss:.4f} accuracy {100 * score.accuracy:.2f} %"
            if score.memorisation is not None and score.memorisation.memorised is not None:
                line += f"  wrong labels memorised {100 * score.memorisation.memorised:.2f} %"
            line += f" at {score.image_size}x{score.image_size}" if not score.full_size else ""
        log.info("%s  %.0f images/s  %.0f s", line, epoch.images_per_second, epoch.train_seconds)

    def save(self, name: str) -> None:
        progress = self.trainer.progress
        summary = {"step": progress.step, "epoch": progress.epoch, **self.summary}
        checkpoint.save(self.checkpoints, name, {**self.trainer.state(), **self.facts}, summary)
        self.tracker.flush()

    def stopped(self) -> bool:
        return self.stop.signal is not None

    def close(self) -> None:
        """Remove the progress bar."""
        if self.bar is not None:
            self.bar.close()
