"""The training loop."""

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
    """The length of training, its learning rates, and how often it logs, saves and evaluates."""

    total_steps: int  # of the whole run, including those before a resume
    lr_factor: Callable[[int], float]  # from a step (from 0) to what multiplies the learning rates
    log_every: int  # optimizer steps; also at the end of each epoch
    checkpoint_every: int  # optimizer steps; also at the end of each epoch
    eval_every: int  # epochs; also at the end


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
    """Train from the step that `trainer.progress` has reached to the last one, or until the journal stops it.

    Raises NotFiniteError for a loss that is NaN or infinite.

    Args:
        step: takes one optimizer step on (images, targets, weights); perhaps compiled or recorded.
        evaluate: evaluates the network, given the epoch (from 0) and whether it is the last; None: no evaluation.
    """
    model, average, progress = trainer.model, trainer.average, trainer.progress
    earlier_seconds = progress.train_seconds  # of training before a resume, in other processes
    stopped = False
    while progress.step < schedule.total_steps:
        steps = batches.steps(progress.epoch)
        journal.begin(steps)
        speed.start()
        model.begin_epoch(progress.epoch)
        model.train()
        trainable = tuple(parameter.requires_grad for parameter in model.parameters())

        # Order and augmentation follow from the seed and the epoch; which images are left out follows from their losses
        # when the epoch began. So a run that resumes within an epoch sees the same batches.
        losses = trainer.image_losses
        if losses is not None and progress.batch == 0:
            losses.ranked.copy_(losses.latest)
        order = batches.order(progress.epoch, None if losses is None else losses.ranked)

        pending: list[tuple[Tensor, Tensor, int]] = []
        for images, targets in batches.epoch(progress.epoch, progress.batch, order):
            shown = slice(progress.batch * batches.batch_size, (progress.batch + 1) * batches.batch_size)
            weights = None if order.weights is None else order.weights[shown]

            # The rate follows from the step alone, so that interruptions do not change it.
            lr = set_lr(trainer.optimizer, schedule.lr_factor(progress.step))

            # Forward, backward, update. The results stay on the device, which may not have computed them yet.
            loss, correct, image_losses = step(images, targets, weights)
            pending.append((loss, correct, len(targets)))

            # Update what follows the weights, and the losses by which the next epoch chooses its images.
            if average is not None:
                average.update(model, progress.step + 1)
            if losses is not None:
                losses.latest[order.index[shown]] = image_losses

            progress.step += 1
            progress.batch += 1
            # Steps that differ in shape, in weights or in what is trained are compiled or recorded separately.
            speed.count(len(targets), images.shape[-1], (len(targets), weights is None, trainable))
            ended = progress.batch == steps or progress.step == schedule.total_steps
            stopped = journal.stopped()
            logged = ended or progress.step % schedule.log_every == 0
            saved = not ended and progress.step % schedule.checkpoint_every == 0

            # The only place that waits for the device: if every step did, the device would idle between steps.
            window = None
            if logged or saved or stopped:
                progress.collect(pending)
                rate = speed.window()
                progress.train_seconds = earlier_seconds + speed.seconds
                if logged:
                    # Over the batches since the last log step, or since the epoch began.
                    mean_loss, accuracy = progress.mean(last=progress.step % schedule.log_every or schedule.log_every)
                    window = Window(progress.step, progress.epoch, mean_loss, accuracy, lr, rate)
            journal.step(window)
            if saved or (stopped and progress.step < schedule.total_steps):
                journal.save("last")
            if ended or stopped:
                break
            if logged or saved:
                speed.resume()  # the time to write files is no training time
        if stopped and progress.step < schedule.total_steps:
            return

        # Between epochs: evaluate, report, save.
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
