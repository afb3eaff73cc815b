"""Train a run to its last step: epoch after epoch, with checkpoints, tests, and what the reader sees of them."""

import logging
import signal
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from attn_train import build
from attn_train.errors import Interrupted
from attn_train.machine.compiled import compile_model
from attn_train.machine.interrupt import Stop
from attn_train.machine.recorded import Step
from attn_train.machine.speed import Speed
from attn_train.runs import pictures
from attn_train.runs.tracking import Bar, Tracker
from attn_train.settings import config as configuration
from attn_train.training.inference import Evaluation
from attn_train.training.loop import Window, make_step, train_epoch
from attn_train.writing.best_effort import best_effort
from attn_train.writing.quoting import pasted, setting

if TYPE_CHECKING:
    from attn_train.commands.run import Run

PICTURED = 8  # test images whose attention is drawn

log = logging.getLogger(__name__)


def training_step(run: "Run") -> Step:
    """Return the run's training step, compiled and recorded as its device says."""
    config, forward = run.config.train, run.model.__call__
    if run.device.compile:
        forward = compile_model(run.model, build.architecture(run.config, run.dataset))
    return make_step(
        run.model,
        forward,
        run.optimizer,
        run.device,
        config.batch_size,
        config.accumulate,
        config.clip_norm,
        config.label_smoothing,
    )


def train_next_epoch(run: "Run", step: Step, speed: Speed, stop: Stop) -> Iterator[Window | None]:
    """Train to the end of the run's current epoch; see loop.train_epoch."""
    config = run.config.train
    run.model.begin_epoch(run.progress.epoch)
    return train_epoch(
        run.model,
        step,
        run.average,
        run.optimizer,
        run.batches,
        run.image_losses,
        run.progress,
        run.total_steps,
        run.lr_factor,
        config.log_every,
        config.checkpoint_every,
        speed,
        stop,
    )


def fit(run: "Run", tracker: Tracker, speed: Speed, stop: Stop) -> None:
    """Train to the last step, with checkpoints, evaluations and what the reader sees."""
    config, progress = run.config.train, run.progress
    before = progress.train_seconds
    step = training_step(run)
    while progress.step < run.total_steps:
        steps = run.batches.steps(progress.epoch)
        bar = Bar(progress.epoch, config.epochs, steps, config.batch_size, progress.batch)
        for window in train_next_epoch(run, step, speed, stop):
            bar.show(progress.batch, window)
            if window is not None:
                tracker.train(window)
            # The end of the epoch, or of the run, saves by itself.
            due = progress.step % config.checkpoint_every == 0
            if due and progress.batch < steps and progress.step < run.total_steps:
                progress.train_seconds = before + speed.seconds
                run.save()
        bar.close()
        progress.train_seconds = before + speed.seconds
        if stop.signal is not None and progress.step < run.total_steps:
            run.save()
            tracker.flush()
            name = signal.Signals(stop.signal).name
            raise Interrupted(
                f"stopped by {name} at step {progress.step} of {run.total_steps}; "
                f"go on with: {pasted('attn-train', setting('resume', run.folder))}",
                128 + stop.signal,
            )
        end_epoch(run, tracker, speed)


def end_epoch(run: "Run", tracker: Tracker, speed: Speed) -> None:
    """Evaluate where it is due, report the epoch, and save."""
    config, progress = run.config, run.progress
    images = sum(progress.sizes)
    loss = sum(a * b for a, b in zip(progress.losses, progress.sizes, strict=True)) / images
    line = (
        f"epoch {progress.epoch + 1}/{config.train.epochs}  train loss {loss:.4f} "
        f"accuracy {100 * sum(progress.correct) / images:.2f} %"
    )
    last = progress.step == run.total_steps
    split = "val" if "val" in run.splits else "test"
    if (progress.epoch + 1) % config.train.eval_every == 0 or last:
        # The curve's last point is the result. Validation chooses between epochs, so each gets the same single view.
        views = config.eval.views if last and split == "test" else 1
        # What has been trained at a low resolution is at home there, and tested there for less.
        full = config.dataset.image_size
        side = full if last else run.batches.sides[progress.epoch]
        outcome = run.evaluate(split, views, side)
        tracker.evaluation(split, progress.step, progress.epoch, outcome.loss, outcome.accuracy, views, side)
        line += f"  {split} loss {outcome.loss:.4f} accuracy {100 * outcome.accuracy:.2f} %"
        line += f" at {side}x{side}" if side < full else ""
        if split == "val" and side == full and outcome.accuracy > run.best_accuracy:
            run.best_accuracy = outcome.accuracy
            run.save("best")
    log.info("%s  %.0f images/s  %.0f s", line, speed.steady_rate, progress.train_seconds)
    progress.begin_epoch(progress.epoch + 1)
    run.save()
    tracker.flush()


def track_test(run: "Run", tracker: Tracker, final: Evaluation) -> None:
    """Write what the final test found; without validation images the last epoch's test was that one."""
    config = run.config
    if "val" in run.splits:
        step, epoch = run.progress.step, run.progress.epoch - 1
        side = config.dataset.image_size
        tracker.evaluation("test", step, epoch, final.loss, final.accuracy, config.eval.views, side)


def finish_tracking(run: "Run", tracker: Tracker, final: Evaluation) -> None:
    """Write the final pictures and the hyperparameters; what fails costs a warning."""
    step, classes = run.progress.step, run.dataset.classes
    images, logits, labels = run.splits["test"].images, final.logits, final.labels
    with best_effort() as attempt:
        with attempt("images/samples") as tag:
            tracker.image(tag, pictures.samples(run.batches), step)
        with attempt("images/misclassified") as tag:
            tracker.figure(tag, pictures.mistakes(images, logits, labels, classes), step)
        with attempt("images/confusion_matrix") as tag:
            tracker.figure(tag, pictures.confusion(logits, labels, classes), step)
        with attempt("images/attention") as tag:
            captions = [pictures.label(classes[label]) for label in labels[:PICTURED].tolist()]
            attention = pictures.attention_on(run.evaluated, images[:PICTURED], run.normalization, captions)
            if attention is not None:
                tracker.figure(tag, attention, step)
    tracker.hyperparameters(configuration.identity(asdict(run.config)))
