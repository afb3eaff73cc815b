"""Train: the loop, top to bottom."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from attn_train.data.prune import Order
from attn_train.machine.recorded import Step
from attn_train.machine.speed import Speed
from attn_train.optim.optimizers import set_lr
from attn_train.training.journal import Epoch, Journal, Score, Window
from attn_train.training.trainer import Trainer


@dataclass(frozen=True)
class Schedule:
    """How long training lasts, at which rates, and after how much of it something else is done."""

    total_steps: int  # of the whole run, those done before included
    lr_factor: Callable[[int], float]  # of a step (from 0): what multiplies the learning rates
    log_every: int  # optimizer steps
    checkpoint_every: int  # optimizer steps; besides, at the end of each epoch
    eval_every: int  # epochs; besides, at the end


class Batches(Protocol):
    """The batches of each epoch; see data.batches.TrainBatches."""

    @property
    def batch_size(self) -> int: ...
    def steps(self, epoch: int) -> int: ...
    def order(self, epoch: int, losses: Tensor | None = None) -> Order: ...
    def epoch(self, epoch: int, start: int, order: Order) -> Iterator[tuple[Tensor, Tensor]]: ...


def fit(
    trainer: Trainer,
    schedule: Schedule,
    batches: Batches,
    step: Step,
    *,
    evaluate: Callable[[int, bool], Score] | None,
    journal: Journal,
    speed: Speed,
) -> None:
    """Train from where `trainer` stands to the last step, or until the journal ends it: `trainer.progress` says which.

    step: takes one optimizer step on (images, targets, weights); compiled or recorded perhaps.
    evaluate: tests the network after an epoch, given that (from 0) and whether it is the last; None: nothing is tested.
    Raises NotFiniteError for a loss that is NaN or infinite.
    """
    model, average, progress = trainer.model, trainer.average, trainer.progress
    before = progress.train_seconds  # of what was trained before, in other processes
    stopped = False
    while progress.step < schedule.total_steps:
        steps = batches.steps(progress.epoch)
        journal.begin(steps)
        speed.start()
        model.begin_epoch(progress.epoch)
        model.train()
        learning = tuple(parameter.requires_grad for parameter in model.parameters())

        # Order and augmentation follow from the seed and the epoch, and the images left out from the losses as they
        # were when the epoch began: a run that goes on in its middle sees the same.
        losses = trainer.image_losses
        if losses is not None and progress.batch == 0:
            losses.ranked.copy_(losses.latest)
        order = batches.order(progress.epoch, None if losses is None else losses.ranked)

        pending: list[tuple[Tensor, Tensor, int]] = []
        for images, targets in batches.epoch(progress.epoch, progress.batch, order):
            shown = slice(progress.batch * batches.batch_size, (progress.batch + 1) * batches.batch_size)
            weights = None if order.weights is None else order.weights[shown]

            # The rate follows from the step alone, so that it is the same however often the run was cut off.
            lr = set_lr(trainer.optimizer, schedule.lr_factor(progress.step))

            # Forward, backward, update. What it returns stays on the device, which need not have come to it yet.
            loss, correct, image_losses = step(images, targets, weights)
            pending.append((loss, correct, len(targets)))

            # What follows the weights, and what the next epoch chooses its images by.
            if average is not None:
                average.update(model, progress.step + 1)
            if losses is not None:
                losses.latest[order.index[shown]] = image_losses

            progress.step += 1
            progress.batch += 1
            # Steps that differ in shape, weights or in what learns are compiled or recorded each for themselves.
            speed.count(len(targets), images.shape[-1], (len(targets), weights is None, learning))
            ended = progress.batch == steps or progress.step == schedule.total_steps
            stopped = journal.stopped()
            logged = ended or progress.step % schedule.log_every == 0
            saved = not ended and progress.step % schedule.checkpoint_every == 0

            # The one place that waits for the device: at every step it would stand still between two of them.
            window = None
            if logged or saved or stopped:
                progress.collect(pending)
                rate = speed.window()
                progress.train_seconds = before + speed.seconds
                if logged:
                    # Since the last log step, or since the epoch began.
                    mean_loss, accuracy = progress.mean(last=progress.step % schedule.log_every or schedule.log_every)
                    window = Window(progress.step, progress.epoch, mean_loss, accuracy, lr, rate)
            journal.step(window)
            if saved or (stopped and progress.step < schedule.total_steps):
                journal.save("last")
            if ended or stopped:
                break
            if logged or saved:
                speed.resume()  # what was written meanwhile is no training time
        if stopped and progress.step < schedule.total_steps:
            return

        # Between epochs: test, tell, save.
        last = progress.step == schedule.total_steps
        due = last or (progress.epoch + 1) % schedule.eval_every == 0
        score = evaluate(progress.epoch, last) if due and evaluate is not None else None
        mean_loss, accuracy = progress.mean()
        seconds = progress.train_seconds
        journal.end(Epoch(progress.step, progress.epoch, mean_loss, accuracy, speed.steady_rate, seconds, score))
        if score is not None and score.chooses and score.accuracy > trainer.best_accuracy:
            trainer.best_accuracy = score.accuracy
            journal.save("best")
        progress.begin_epoch(progress.epoch + 1)
        journal.save("last")
