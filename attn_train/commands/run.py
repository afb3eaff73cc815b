"""One run, from a configuration to its folder: data, model, training, final evaluation, result."""

import logging
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attn_train import build
from attn_train.backbones.backbone import Backbone
from attn_train.commands.fit import finish_tracking, fit, track_test
from attn_train.cost import counting as cost
from attn_train.cost.matching import decide_control
from attn_train.data.batches import Normalization
from attn_train.data.dataset import Split
from attn_train.data.overview import describe
from attn_train.data.prune import ImageLosses
from attn_train.data.record import difference, follow, record
from attn_train.errors import ConfigError, NotFiniteError
from attn_train.machine import device as devices
from attn_train.machine.device import Device
from attn_train.machine.interrupt import stop_on_signals
from attn_train.machine.speed import Speed
from attn_train.optim import schedule
from attn_train.optim.average import WeightAverage
from attn_train.optim.optimizers import load_state
from attn_train.runs import checkpoint, failure, result
from attn_train.runs.lock import locked
from attn_train.runs.tracking import Tracker
from attn_train.settings import config as configuration, identity
from attn_train.settings.config import Config
from attn_train.training.inference import Evaluation, evaluate
from attn_train.training.loop import Progress

INITIALIZED_FROM = 5000  # training images that a backbone may look at before the first step

log = logging.getLogger(__name__)


class Run:
    """All that belongs to one run: what it trains, on what, with what, and where it writes."""

    def __init__(self, config: Config, folder: Path) -> None:
        config = decide_control(build.decide_resolution(config))
        source = build.make_source(config.dataset)
        torch.manual_seed(config.seed_for("init"))
        # Before the data, which may take long to come: a wrong option shows at once.
        self.model: Backbone = build.make_model(config, source.channels, len(source.classes))
        splits, self.dataset = build.load_splits(config.dataset)
        normalization = build.make_normalization(config.dataset, source.channels)
        self.batches = build.make_batches(config, splits["train"], normalization, len(source.classes))
        steps = self.batches.steps_at(config.train.epochs, config.train.max_steps)
        self.total_steps = sum(steps.values())
        self.device: Device = build.decide_device(config, self.total_steps // len(steps))
        devices.configure(self.device)
        devices.forget_peak_memory(self.device)  # of an earlier run in this process
        self.config = replace(
            config,
            device=configuration.DeviceConfig(
                self.device.kind,
                self.device.precision,
                self.device.channels_last,
                self.device.compile,
                config.device.cuda_graphs,
                self.device.threads,
            ),
        )
        self.folder = folder
        place = self.device.place
        self.splits = {name: Split(split.images.to(place), split.labels.to(place)) for name, split in splits.items()}
        self.normalization: Normalization = normalization.to(place)
        self.batches = replace(self.batches, split=self.splits["train"], normalization=self.normalization)
        # On the CPU: a run begins with the same weights on every device.
        self.model.initialize_from(normalization(splits["train"].images[:INITIALIZED_FROM]))
        self.model = self.model.to(place, memory_format=self.device.memory_format)  # type: ignore[call-overload]
        self.average: WeightAverage | None = None
        if config.train.ema_decay:
            self.average = WeightAverage(self.model, config.train.ema_decay)
        self.optimizer = build.make_optimizer_for(config, self.model)
        self.schedule = build.schedule_options(config)
        self.progress = Progress()
        self.trained_on = [record(self.dataset)]  # the latest data last
        self.image_losses: ImageLosses | None = None
        if config.train.prune:
            losses = torch.zeros(2, len(splits["train"].labels), device=place)
            self.image_losses = ImageLosses(*losses)
        self.best_accuracy = -1.0
        # Of a split, views and side: the step, the outcome.
        self.outcomes: dict[tuple[str, int, int], tuple[int, Evaluation]] = {}

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def lr_factor(self, step: int) -> float:
        name, warmup, options = self.schedule
        return schedule.lr_factor(name, step, self.total_steps, warmup, options)

    @property
    def channels(self) -> int:
        return self.dataset.train.images.shape[1]

    @property
    def evaluated(self) -> nn.Module:
        """The network that is tested: the moving average of the weights where there is one."""
        return self.model if self.average is None else self.average.model

    def evaluate(self, split: str, views: int, side: int | None = None) -> Evaluation:
        """Evaluate on a split, its images shrunk to `side`, None for whole ones; no step is evaluated twice."""
        side = self.config.dataset.image_size if side is None else side
        step, key = self.progress.step, (split, views, side)
        if key not in self.outcomes or self.outcomes[key][0] != step:
            outcome = evaluate(
                self.evaluated,
                self.splits[split],
                self.normalization,
                self.device,
                views,
                self.config.eval.batch_size,
                side,
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
        elif self.device.kind == "mps":
            rng["mps"] = torch.mps.get_rng_state()
        return {
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"name": self.config.schedule["name"], "total_steps": self.total_steps},
            "rng": rng,
            "step": self.progress.step,
            "epoch": self.progress.epoch,
            "progress": asdict(self.progress),
            "image_losses": None if self.image_losses is None else asdict(self.image_losses),
            "best_accuracy": self.best_accuracy,
            "classes": list(self.dataset.classes),
            "channels": self.channels,
            "data": [asdict(data) for data in self.trained_on],
            "device": asdict(self.device),
        }

    def save(self, name: str = "last") -> None:
        summary = {
            "step": self.progress.step,
            "epoch": self.progress.epoch,
            "model": self.config.model["name"],
            "control": self.config.control,
            "backbone": self.config.backbone["name"],
            "dataset": self.config.dataset.name,
            "config_digest": configuration.digest(asdict(self.config)),
        }
        checkpoint.save(self.checkpoints, name, self.state(), summary)

    def restore(self) -> bool:
        """Go on where the last sound checkpoint in the folder stood; say whether there was one."""
        checkpoint.clean(self.checkpoints)
        state = checkpoint.load(self.checkpoints)
        if state is None:
            return False
        with checkpoint.believed(self.checkpoints):
            self.take_over(state)
        return True

    def take_over(self, state: dict[str, Any]) -> None:
        """Become what the checkpoint `state` says; raise for anything in it that is not this run's."""
        self.trained_on = follow(state, self.dataset, self.config.dataset.allow_change, self.checkpoints)
        checkpoint.load_model(self.model, state["model"], self.checkpoints)
        if self.average is not None:
            checkpoint.load_model(self.average.model, state["average"], self.checkpoints)
        load_state(self.optimizer, state["optimizer"])
        torch.set_rng_state(state["rng"]["cpu"])
        if self.device.kind == "cuda" and "cuda" in state["rng"]:
            torch.cuda.set_rng_state(state["rng"]["cuda"])
        elif self.device.kind == "mps" and "mps" in state["rng"]:
            torch.mps.set_rng_state(state["rng"]["mps"])
        self.progress = Progress(**state["progress"])
        if difference(state, self.dataset):
            # Neither the images' losses nor an accuracy on others says anything about these.
            self.progress.begin_epoch(self.progress.epoch)
        else:
            self.best_accuracy = state["best_accuracy"]
            self.take_over_losses(state["image_losses"])
        self.total_steps = self.count_steps()
        devices.tell_changes(state.get("device", {}), self.device)

    def take_over_losses(self, kept: dict[str, torch.Tensor] | None) -> None:
        """Become what a checkpoint says of the training images' losses, where both have any, of as many images."""
        if self.image_losses is not None and kept is not None and len(kept["latest"]) == len(self.image_losses.latest):
            place = self.image_losses.latest.device
            self.image_losses = ImageLosses(**{name: losses.to(place) for name, losses in kept.items()})

    def count_steps(self) -> int:
        """Return the optimizer steps of the whole run: those done on earlier data, and those of the epochs since."""
        latest, train = self.trained_on[-1], self.config.train
        steps = latest.step + sum(map(self.batches.steps, range(latest.epoch, train.epochs)))
        return steps if train.max_steps is None else min(steps, train.max_steps)


def train(config: Config, folder: Path) -> dict[str, Any]:
    """Train as `config` says in `folder`, or go on there, or return at once what finished there; return the result."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        return train_alone(config, folder)


def keep_snapshot(folder: Path, files: dict[str, str]) -> None:
    """Write .hydra/, whole or not at all; a run that goes on keeps its first."""
    target, unfinished = folder / ".hydra", folder / ".hydra.tmp"
    if target.exists():
        return
    unfinished.mkdir(exist_ok=True)
    for name, text in files.items():
        (unfinished / name).write_text(text, encoding="utf-8")
    unfinished.rename(target)


def train_alone(
    config: Config, folder: Path, references: dict[str, str] | None = None, snapshot: dict[str, str] | None = None
) -> dict[str, Any]:
    """Do what `train` says, in a folder that this process holds.

    `references` are the settings that came from the environment (see config.write); `snapshot` are the files, by
    name, of .hydra/.
    """
    if snapshot is not None:
        keep_snapshot(folder, snapshot)
    failure.discard(folder)
    finished = result.read(folder)
    if finished is not None and finished["epochs"] >= config.train.epochs:
        log.info("already finished, after %d epochs: %s", finished["epochs"], folder)
        configuration.write_places(folder, config, references or {})
        result.report(finished, folder)
        return finished
    run = Run(config, folder)
    resumed = run.restore()
    if run.progress.step > run.total_steps:
        raise ConfigError(
            f"train.epochs={config.train.epochs} ends before step {run.progress.step}, where {folder} stands; "
            "give it more epochs, or start a new run"
        )
    announce(run, resumed)
    # First of all: a run whose metrics cannot be read stays as it is, its result included.
    tracker = Tracker(folder, run.progress.step)
    speed = Speed(run.device)
    try:
        configuration.write(folder, run.config, references)
        result.discard(folder)
        with stop_on_signals() as stop:
            fit(run, tracker, speed, stop)
        final = run.evaluate("test", config.eval.views)
        track_test(run, tracker, final)
        finished = result.write(folder, summary(run, final, speed), final)
        # With its result a run is finished: what fails or is stopped from here on is a picture.
        finish_tracking(run, tracker, final)
    finally:
        tracker.close()
    result.report(finished, folder)
    return finished


def summary(run: Run, final: Evaluation, speed: Speed) -> dict[str, Any]:
    """Return what the result of a finished run says of it."""
    config = run.config
    images = run.splits["test"].images
    found = {
        "model": config.model["name"],
        "control": config.control,
        "backbone": config.backbone["name"],
        "dataset": config.dataset.name,
        "seed": config.seed,
        "epochs": config.train.epochs,
        "test_accuracy": final.accuracy,
        "correct": final.correct,
        "total": final.total,
        "test_loss": final.loss,
        "parameters": cost.count_parameters(run.model),
        "macs": cost.count_macs(run.model, (images.shape[1], images.shape[2], images.shape[3])),
        "attention_places": [list(place) for place in run.model.attention_places],
        "train_seconds": round(run.progress.train_seconds, 3),
        "compile_seconds": round(speed.compile_seconds, 3) if run.device.compile else 0.0,
        "images_per_second": round(speed.steady_rate, 1),
        "peak_memory_bytes": devices.peak_memory_bytes(run.device),
        "device": run.device.kind,
        "precision": run.device.precision,
        "data_digest": run.dataset.digest,
        "config_digest": configuration.digest(asdict(config)),
        **identity.summary(asdict(config), run.device.precision),
    }
    if len(run.trained_on) > 1:
        found["data_digests"] = [data.digest for data in run.trained_on]  # it went on with other data
    if "val" in run.splits:
        validated = run.evaluate("val", config.eval.views)
        found |= {"val_accuracy": validated.accuracy, "val_total": validated.total}
    return found


def announce(run: Run, resumed: bool) -> None:
    config, device = run.config, run.device
    compiled = ", compiled" if device.compile else ""
    log.info("%s", describe(run.dataset.classes, run.splits, run.dataset.notes))
    log.info(
        "%s in %s on %s: %d training images, %d epochs, %d steps; %s, %s%s, %d threads",
        config.label,
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
