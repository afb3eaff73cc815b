"""One run, from a configuration to its folder: data, model, training, final evaluation, result."""

import logging
import math
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attn_train import build, checkpoint, config as configuration, device as devices, pictures, result, schedule
from attn_train.average import WeightAverage
from attn_train.backbones.backbone import Backbone
from attn_train.compiled import compile_model
from attn_train.config import Config
from attn_train.data.batches import Normalization
from attn_train.data.dataset import Split
from attn_train.device import Device
from attn_train.errors import ConfigError, Interrupted, NotFiniteError
from attn_train.interrupt import Stop, stop_on_signals
from attn_train.lock import locked
from attn_train.loop import Evaluation, Progress, evaluate, train_epoch
from attn_train.speed import Speed
from attn_train.tracking import Bar, Tracker

INITIALIZED_FROM = 5000  # training images that a backbone may look at before the first step
PICTURED = 8  # test images whose attention is drawn

log = logging.getLogger(__name__)


class Run:
    """All that belongs to one run: what it trains, on what, with what, and where it writes."""

    def __init__(self, config: Config, folder: Path) -> None:
        config = build.decide_resolution(config)
        source = build.make_source(config.dataset)
        torch.manual_seed(config.seed_for("init"))
        # Before the data, which may take long to come: a wrong option shows at once.
        self.model: Backbone = build.make_model(config, source.channels, len(source.classes))
        splits, self.dataset = build.load_splits(config.dataset)
        normalization = build.make_normalization(config.dataset, source.channels)
        self.batches = build.make_batches(config, splits["train"], normalization, len(source.classes))
        self.total_steps = config.train.epochs * len(self.batches)
        if config.train.max_steps is not None:
            self.total_steps = min(self.total_steps, config.train.max_steps)

        epochs = -(-self.total_steps // len(self.batches))
        shapes = len(set(self.batches.sides[:epochs]))
        self.device: Device = build.decide_device(config, self.total_steps // max(1, shapes))
        devices.configure(self.device)
        self.config = replace(
            config,
            device=configuration.DeviceConfig(
                self.device.kind,
                self.device.precision,
                self.device.channels_last,
                self.device.compile,
                self.device.threads,
            ),
        )
        self.folder = folder
        place = self.device.place
        self.splits = {name: Split(split.images.to(place), split.labels.to(place)) for name, split in splits.items()}
        self.normalization: Normalization = normalization.to(place)
        self.batches = replace(self.batches, split=self.splits["train"], normalization=self.normalization)
        self.model.initialize_from(normalization(splits["train"].images[:INITIALIZED_FROM]))
        self.model = self.model.to(place, memory_format=self.device.memory_format)  # type: ignore[call-overload]
        self.average: WeightAverage | None = None
        if config.train.ema_decay:
            self.average = WeightAverage(self.model, config.train.ema_decay)
        self.optimizer = build.make_optimizer_for(config, self.model)
        self.schedule = build.schedule_options(config)
        self.progress = Progress()
        self.best_accuracy = -1.0
        self.outcomes: dict[tuple[str, int], tuple[int, Evaluation]] = {}  # of a split and views: the step, the outcome

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def lr_factor(self, step: int) -> float:
        name, warmup, options = self.schedule
        return schedule.lr_factor(name, step, self.total_steps, warmup, options)

    @property
    def evaluated(self) -> nn.Module:
        """The network that is tested: the moving average of the weights where there is one."""
        return self.model if self.average is None else self.average.model

    def evaluate(self, split: str, views: int) -> Evaluation:
        """Evaluate on a split; the same step is not evaluated twice."""
        step, key = self.progress.step, (split, views)
        if key not in self.outcomes or self.outcomes[key][0] != step:
            outcome = evaluate(
                self.evaluated,
                self.splits[split],
                self.normalization,
                self.device,
                views,
                self.config.eval.batch_size,
            )
            if not math.isfinite(outcome.loss):
                raise NotFiniteError(
                    f"the loss on the {split} images is {outcome.loss} after step {step}; "
                    "try a lower learning rate (optimizer.lr), or train.clip_norm=1"
                )
            self.outcomes[key] = (step, outcome)
        return self.outcomes[key][1]

    def state(self) -> dict[str, Any]:
        """Return everything a checkpoint keeps: tensors and plain values only."""
        rng = {"cpu": torch.get_rng_state()}
        if self.device.kind == "cuda":
            rng["cuda"] = torch.cuda.get_rng_state()
        return {
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"name": self.config.schedule["name"], "total_steps": self.total_steps},
            "rng": rng,
            "step": self.progress.step,
            "epoch": self.progress.epoch,
            "progress": asdict(self.progress),
            "best_accuracy": self.best_accuracy,
            "classes": list(self.dataset.classes),
            "channels": self.dataset.train.images.shape[1],
        }

    def save(self, name: str = "last") -> None:
        summary = {
            "step": self.progress.step,
            "epoch": self.progress.epoch,
            "model": self.config.model["name"],
            "backbone": self.config.backbone["name"],
            "dataset": self.config.dataset.name,
            "config_digest": configuration.digest(asdict(self.config)),
        }
        checkpoint.save(self.checkpoints, name, self.state(), summary)

    def restore(self) -> bool:
        """Go on where the last sound checkpoint in the folder stood; say whether there was one."""
        state = checkpoint.load(self.checkpoints)
        if state is None:
            return False
        checkpoint.load_model(self.model, state["model"], self.checkpoints)
        if self.average is not None:
            checkpoint.load_model(self.average.model, state["average"], self.checkpoints)
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"]["cpu"])
        if self.device.kind == "cuda" and "cuda" in state["rng"]:
            torch.cuda.set_rng_state(state["rng"]["cuda"])
        self.progress = Progress(**state["progress"])
        self.best_accuracy = state["best_accuracy"]
        return True


def train(config: Config, folder: Path) -> dict[str, Any]:
    """Train as `config` says in `folder`, or go on there, or return at once what finished there; return the result."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        return train_alone(config, folder)


def train_alone(config: Config, folder: Path) -> dict[str, Any]:
    """Do what `train` says, in a folder that no other process trains in."""
    finished = result.read(folder)
    if finished is not None and finished["epochs"] >= config.train.epochs:
        log.info("already finished, after %d epochs: %s", finished["epochs"], folder)
        result.report(finished, folder)
        return finished
    run = Run(config, folder)
    resumed = run.restore()
    if run.progress.step > run.total_steps:
        raise ConfigError(
            f"train.epochs={config.train.epochs} ends before step {run.progress.step}, where {folder} stands; "
            "give it more epochs, or start a new run"
        )
    configuration.write(folder, run.config)
    result.discard(folder)
    announce(run, resumed)
    tracker = Tracker(folder, run.progress.step)
    speed = Speed(run.device)
    try:
        with stop_on_signals() as stop:
            fit(run, tracker, speed, stop)
        final = run.evaluate("test", config.eval.views)
        finish_tracking(run, tracker, final)
    finally:
        tracker.close()
    finished = result.write(run, final, speed)
    result.report(finished, folder)
    return finished


def announce(run: Run, resumed: bool) -> None:
    config, device = run.config, run.device
    compiled = ", compiled" if device.compile else ""
    log.info(
        "%s in %s on %s: %d training images, %d epochs, %d steps; %s, %s%s, %d threads",
        config.model["name"],
        config.backbone["name"],
        config.dataset.name,
        len(run.splits["train"].labels),
        config.train.epochs,
        run.total_steps,
        device.kind,
        device.precision,
        compiled,
        device.threads,
    )
    log.info("%s %s", f"going on at step {run.progress.step} in" if resumed else "writing to", run.folder)


def fit(run: Run, tracker: Tracker, speed: Speed, stop: Stop) -> None:
    """Train to the last step, with checkpoints, evaluations and what the reader sees."""
    config, progress = run.config.train, run.progress
    before = progress.train_seconds
    forward = compile_model(run.model, build.architecture(run.config, run.dataset)) if run.device.compile else run.model
    while progress.step < run.total_steps:
        bar = Bar(progress.epoch, config.epochs, len(run.batches), config.batch_size, progress.batch)
        for window in train_epoch(
            run.model,
            forward,
            run.average,
            run.optimizer,
            run.batches,
            run.device,
            progress,
            run.total_steps,
            run.lr_factor,
            {
                "accumulate": config.accumulate,
                "clip_norm": config.clip_norm,
                "label_smoothing": config.label_smoothing,
            },
            config.log_every,
            config.checkpoint_every,
            speed,
            stop,
        ):
            bar.show(progress.batch, window)
            if window is not None:
                tracker.train(window)
            # The end of the epoch, or of the run, saves by itself.
            due = progress.step % config.checkpoint_every == 0
            if due and progress.batch < len(run.batches) and progress.step < run.total_steps:
                progress.train_seconds = before + speed.elapsed
                run.save()
        bar.close()
        progress.train_seconds = before + speed.seconds
        if stop.signal is not None and progress.step < run.total_steps:
            run.save()
            tracker.flush()
            name = signal.Signals(stop.signal).name
            raise Interrupted(
                f"stopped by {name} at step {progress.step} of {run.total_steps}; "
                f"go on with: attn-train resume={run.folder}",
                128 + stop.signal,
            )
        end_epoch(run, tracker, speed)


def end_epoch(run: Run, tracker: Tracker, speed: Speed) -> None:
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
        outcome = run.evaluate(split, views)
        tracker.evaluation(split, progress.step, progress.epoch, outcome.loss, outcome.accuracy, views)
        line += f"  {split} loss {outcome.loss:.4f} accuracy {100 * outcome.accuracy:.2f} %"
        if split == "val" and outcome.accuracy > run.best_accuracy:
            run.best_accuracy = outcome.accuracy
            run.save("best")
    log.info("%s  %.0f images/s  %.0f s", line, speed.steady_rate, progress.train_seconds)
    progress.epoch += 1
    progress.batch = 0
    for counted in (progress.losses, progress.correct, progress.sizes):
        counted.clear()
    run.save()
    tracker.flush()


def finish_tracking(run: Run, tracker: Tracker, final: Evaluation) -> None:
    """Write the final pictures and the hyperparameters with the figures they led to."""
    step, classes = run.progress.step, run.dataset.classes
    images = run.splits["test"].images
    tracker.image("images/samples", pictures.samples(run.batches), step)
    if "val" in run.splits:
        tracker.evaluation("test", step, run.progress.epoch - 1, final.loss, final.accuracy, run.config.eval.views)
    tracker.figure("images/misclassified", pictures.mistakes(images, final.logits, final.labels, classes), step)
    tracker.figure("images/confusion_matrix", pictures.confusion(final.logits, final.labels, classes), step)
    captions = [classes[label] for label in final.labels[:PICTURED].tolist()]
    attention = pictures.attention_on(run.evaluated, images[:PICTURED], run.normalization, captions)
    if attention is not None:
        tracker.figure("images/attention", attention, step)
    hyperparameters = configuration.identity(asdict(run.config))
    tracker.hyperparameters(
        {key: value for key, value in hyperparameters.items() if value is not None},
        {"accuracy/test": final.accuracy, "loss/test": final.loss},
    )
