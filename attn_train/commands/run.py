"""Train one run in its folder: from a configuration to a result, or on from where an earlier process left it."""

import logging
import signal
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from attn_train import build
from attn_train.build import Training
from attn_train.commands import outcome, plugged
from attn_train.cost.matching import decide_control
from attn_train.data.batches import resize
from attn_train.data.overview import describe
from attn_train.data.record import DataRecord, difference, follow, record
from attn_train.errors import CheckpointError, ConfigError, Interrupted
from attn_train.machine import device as devices
from attn_train.machine.interrupt import stop_on_signals
from attn_train.machine.speed import Speed
from attn_train.runs import checkpoint, failure, result
from attn_train.runs.journal import FolderJournal
from attn_train.runs.lock import locked
from attn_train.runs.tracking import Tracker
from attn_train.settings import identity, written
from attn_train.settings.schema import Decided, Settings
from attn_train.training.health import attention_health
from attn_train.training.inference import Evaluation, Evaluator
from attn_train.training.journal import Score
from attn_train.training.loop import fit
from attn_train.writing.quoting import pasted, setting

LOOKED_AT = 16  # images whose attention is followed: for each of them all pairs of pixels are weighed

log = logging.getLogger(__name__)


def train(settings: Settings, folder: Path) -> dict[str, Any]:
    """Train as `settings` say in `folder`, or go on there, or return at once what finished there; return the result."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        return train_alone(settings, folder)


def train_alone(
    settings: Settings, folder: Path, references: dict[str, str] | None = None, snapshot: dict[str, str] | None = None
) -> dict[str, Any]:
    """Do what `train` says, in a folder that this process holds.

    `references` are the settings that came from the environment (see written.write); `snapshot` are the files, by
    name, of .hydra/.
    """
    if snapshot is not None:
        keep_snapshot(folder, snapshot)
    failure.discard(folder)
    finished = result.read(folder)
    if finished is not None and finished["epochs"] >= settings.train.epochs:
        log.info("already finished, after %d epochs: %s", finished["epochs"], folder)
        if settings.eval.corruptions == "all" and "corruption_accuracy" not in finished:
            log.info(
                "not tested on corrupted images; do it: %s",
                pasted("attn-eval", setting("run", folder), "corruptions=all"),
            )
        written.write_places(folder, settings, references or {})
        result.report(finished, folder)
        return finished
    training = build.make_training(decide_control(settings))
    decided, dataset, batches, trainer = training.decided, training.dataset, training.batches, training.trainer

    # Where the run began before, it goes on from the last sound checkpoint.
    checkpoints = folder / "checkpoints"
    trained_on = restore(training, checkpoints)
    resumed = trained_on is not None
    trained_on = trained_on or [record(dataset)]
    epochs = range(trained_on[-1].epoch, decided.train.epochs)  # on the data as it is now
    total_steps = trained_on[-1].step + sum(map(batches.steps, epochs))
    total_steps = min(total_steps, decided.train.max_steps or total_steps)
    progress, schedule = trainer.progress, build.make_schedule(decided, total_steps)
    if progress.step > total_steps:
        raise ConfigError(
            f"train.epochs={decided.train.epochs} ends before step {progress.step}, where {folder} stands; "
            "give it more epochs, or start a new run"
        )
    if finished is not None and progress.step == total_steps:
        raise ConfigError(
            f"train.epochs={decided.train.epochs} would change nothing: train.max_steps={decided.train.max_steps} "
            f"ended {folder}, and stays as it is; leave it out, or start a new run"
        )
    log.info("%s", describe(dataset.classes, training.splits, dataset.notes))
    if training.wrong is not None:
        log.info("%s", training.wrong)
    log.info("%s", summary_line(decided, len(batches.split.labels), total_steps))
    log.info("%s %s", f"going on at step {progress.step} in" if resumed else "writing to", folder)

    evaluate = Evaluator(trainer, training.evaluated, batches.normalization, decided.eval.batch_size)
    speed = Speed(trainer.device)
    # First of all: a run whose metrics cannot be read stays as it is, its result included.
    tracker = Tracker(folder, progress.step)
    try:
        written.write(folder, decided, references)
        plugged.keep(decided.plugins, folder)
        result.discard(folder)
        with stop_on_signals() as stop:
            journal = FolderJournal(
                trainer,
                tracker,
                stop,
                checkpoints=checkpoints,
                facts=checkpoint_facts(training, trained_on, total_steps),
                summary=checkpoint_summary(decided),
                epochs=decided.train.epochs,
                batch_size=decided.train.batch_size,
            )
            try:
                test = partial(test_epoch, evaluate, training)
                fit(trainer, schedule, batches, training.step, evaluate=test, journal=journal, speed=speed)
            finally:
                journal.close()
        if stop.signal is not None and progress.step < total_steps:
            raise Interrupted(
                f"stopped by {signal.Signals(stop.signal).name} at step {progress.step} of {total_steps}; "
                f"go on with: {pasted('attn-train', setting('resume', folder))}",
                128 + stop.signal,
            )

        # The test at the end; without validation images the last epoch's was that one.
        final = evaluate("test", decided.eval.views, decided.dataset.image_size)
        if "val" in training.splits:
            score = score_of(final, "test", decided.eval.views, decided.dataset.image_size, full_size=True)
            tracker.evaluation(score, progress.step, progress.epoch - 1)
        images, classes = training.splits["test"].images, dataset.classes
        channels, height, width = images.shape[1:]
        values = outcome.described(decided, trainer.device) | outcome.scored(final, decided, evaluate)
        values |= outcome.memorised(evaluate, training.wrong, decided.dataset.image_size)
        values |= outcome.costs(trainer, speed, (channels, height, width))
        values |= outcome.corrupted(training, tracker)
        values |= outcome.data_used(trained_on) | identity.summary(asdict(decided), trainer.device.precision)
        finished = result.write(folder, values, final)

        # With its result a run is finished: what fails or is stopped from here on is a picture.
        outcome.draw(tracker, progress.step, trainer.tested, batches, images, final, classes)
        tracker.hyperparameters(identity.identity(asdict(decided)))
    finally:
        tracker.close()
    result.report(finished, folder)
    return finished


def keep_snapshot(folder: Path, files: dict[str, str]) -> None:
    """Write .hydra/, whole or not at all; a run that goes on keeps its first."""
    target, unfinished = folder / ".hydra", folder / ".hydra.tmp"
    if target.exists():
        return
    unfinished.mkdir(exist_ok=True)
    for name, text in files.items():
        (unfinished / name).write_text(text, encoding="utf-8")
    unfinished.rename(target)


def restore(training: Training, checkpoints: Path) -> list[DataRecord] | None:
    """Let the trainer go on where the last sound checkpoint in the folder stood; return what the run was trained on,
    the latest data last, or None where there is no checkpoint.

    Raises CheckpointError for anything in it that is not this run's, and for other data unless that is allowed.
    """
    trainer, dataset, allow_change = training.trainer, training.dataset, training.decided.dataset.allow_change
    checkpoint.clean(checkpoints)
    state = checkpoint.load(checkpoints)
    if state is None:
        return None
    with checkpoint.refusing_misfits(checkpoints):
        trained_on = follow(state, dataset, allow_change, checkpoints)
        same_data = not difference(state, dataset)
        if same_data and state.get("labels_digest") != training.labels_digest:
            raise CheckpointError(
                f"the wrong labels are not those that the run in {checkpoints} was trained on: bring their file back, "
                "say where it lies with noise=human noise.file=FILE, or start a new run"
            )
        trainer.restore(state, checkpoints, same_data)
        devices.warn_of_changes(state.get("device", {}), trainer.device)
    return trained_on


def checkpoint_facts(training: Training, trained_on: list[DataRecord], total_steps: int) -> dict[str, Any]:
    """Return what a checkpoint keeps besides the trainer: what it takes to use the network, and to go on."""
    return {
        "schedule": {"name": training.decided.schedule["name"], "total_steps": total_steps},
        "classes": list(training.dataset.classes),
        "channels": training.dataset.train.images.shape[1],
        "data": [asdict(data) for data in trained_on],
        "labels_digest": training.labels_digest,
        "device": asdict(training.trainer.device),
    }


def checkpoint_summary(decided: Decided) -> dict[str, Any]:
    """Return what the readable file beside a checkpoint says of its run."""
    return {
        "model": decided.model["name"],
        "control": decided.control,
        "backbone": decided.backbone["name"],
        "dataset": decided.dataset.name,
        "config_digest": identity.digest(asdict(decided)),
    }


def test_epoch(evaluate: Evaluator, training: Training, epoch: int, last: bool) -> Score:
    """Test the network after an epoch (from 0), on validation images where there are some.

    What has been trained at a low resolution is at home there, and tested there for less. The curve's last point is the
    result, with its views. Validation chooses between epochs, so that each gets the same single view.
    """
    decided, wrong = training.decided, training.wrong
    full = decided.dataset.image_size
    split = "val" if "val" in evaluate.splits else "test"
    views = decided.eval.views if last and split == "test" else 1
    side = full if last else training.batches.sides[epoch]
    score = score_of(evaluate(split, views, side), split, views, side, full_size=side == full)
    shown = training.batches.normalization(training.splits[split].images[:LOOKED_AT])
    score = replace(score, health=attention_health(training.trainer.tested, resize(shown, side)))
    return score if wrong is None else replace(score, memorisation=wrong.measure(evaluate("sample", 1, side)))


def score_of(outcome: Evaluation, split: str, views: int, side: int, *, full_size: bool) -> Score:
    """Return what the metrics keep of a test on images of side x side."""
    found = outcome.calibration
    return Score(split, outcome.loss, outcome.accuracy, views, side, full_size, brier=found.brier, ece=found.ece)


def summary_line(decided: Decided, images: int, steps: int) -> str:
    """Say in a line what is trained, on what, and where."""
    device, compiled = decided.device, ", compiled" if decided.device.compile else ""
    return (
        f"{decided.label} in {decided.backbone['name']} on {decided.dataset.name}: {images} training images, "
        f"{decided.train.epochs} epochs, {steps} steps; {device.kind}, {device.precision}{compiled}, "
        f"{device.threads} threads"
    )
