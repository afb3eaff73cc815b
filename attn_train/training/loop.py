"""Train: the loop, top to bottom."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.data.batches import TrainBatches
from attn_train.data.prune import ImageLosses
from attn_train.errors import NotFiniteError
from attn_train.machine.device import Device
from attn_train.machine.interrupt import Stop
from attn_train.machine.recorded import RecordedStep, Step
from attn_train.machine.speed import Speed
from attn_train.optim.average import WeightAverage
from attn_train.optim.optimizers import set_lr


def train_step(
    model: nn.Module,
    forward: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    targets: Tensor,
    weights: Tensor | None,
    device: Device,
    accumulate: int,
    clip_norm: float | None,
    label_smoothing: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Take one optimizer step on a batch, computed in `accumulate` parts; return its mean loss, the number correct, and
    each image's loss (batch,).

    targets: int64 (batch,), or float32 (batch, classes) for mixed images, of which the largest share counts as right.
    weights: float32 (batch,), for how many images each counts in the mean and in the number, or None: each for itself.
    The results stay on the device: nothing here waits for it.
    """
    shares = (
        torch.ones(len(targets), device=targets.device) if weights is None else weights * (len(weights) / weights.sum())
    )
    losses, correct = [], torch.zeros((), device=targets.device)
    parts = zip(*(whole.chunk(accumulate) for whole in (images, targets, shares)), strict=True)
    for part_images, part_targets, part_shares in parts:
        part_images = part_images.to(memory_format=device.memory_format)
        with device.autocast():
            logits = forward(part_images)
        logits = logits.float()  # (batch / accumulate, classes)
        part_losses = F.cross_entropy(logits, part_targets, label_smoothing=label_smoothing, reduction="none")
        ((part_losses * part_shares).sum() / len(targets)).backward()
        losses.append(part_losses.detach())
        labels = part_targets if part_targets.ndim == 1 else part_targets.argmax(dim=1)
        correct += ((logits.detach().argmax(dim=1) == labels) * part_shares).sum()
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    with device.autocast():  # Muon multiplies matrices too
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    image_losses = torch.cat(losses)
    return (image_losses * shares).mean(), correct, image_losses


def make_step(
    model: nn.Module,
    forward: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    device: Device,
    batch_size: int,
    accumulate: int,
    clip_norm: float | None,
    label_smoothing: float,
) -> Step:
    """Return `train_step` as a function of (images, targets, weights), recorded where `device` says so."""

    def step(images: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        # torch.compile specialises on shapes: a smaller last batch runs uncompiled instead of compiling again.
        run = forward if len(targets) == batch_size else model
        return train_step(
            model, run, optimizer, images, targets, weights, device, accumulate, clip_norm, label_smoothing
        )

    return RecordedStep(step, model, optimizer) if device.cuda_graphs else step


@dataclass
class Progress:
    """How far a run has come; what a checkpoint keeps besides weights and random state."""

    step: int = 0  # optimizer steps done
    epoch: int = 0  # epochs done
    batch: int = 0  # batches of the current epoch done
    losses: list[float] = field(default_factory=list)  # of the current epoch's batches
    correct: list[float] = field(default_factory=list)  # where images stand for others, an estimate
    sizes: list[int] = field(default_factory=list)
    train_seconds: float = 0.0  # compilation included, evaluation and checkpoints not

    def begin_epoch(self, epoch: int) -> None:
        self.epoch, self.batch = epoch, 0
        for counted in (self.losses, self.correct, self.sizes):
            counted.clear()


@dataclass(frozen=True)
class Window:
    """What happened between two log steps."""

    step: int
    epoch: int
    loss: float
    accuracy: float
    lr: float
    images_per_second: float


def take_in(progress: Progress, pending: list[tuple[Tensor, Tensor, int]]) -> None:
    """Move the pending steps' losses and counts into `progress`: the one place where training waits for the device.

    Raises NotFiniteError naming the first step whose loss is NaN or infinite.
    """
    if not pending:
        return
    losses = torch.stack([loss for loss, _, _ in pending]).tolist()
    correct = torch.stack([count for _, count, _ in pending]).tolist()
    first = progress.step - len(pending) + 1
    for number, loss in enumerate(losses):
        if not -float("inf") < loss < float("inf"):
            raise NotFiniteError(
                f"the loss became {loss} at step {first + number} (epoch {progress.epoch + 1}); "
                "try a lower learning rate (optimizer.lr), or train.clip_norm=1"
            )
    progress.losses += losses
    progress.correct += correct
    progress.sizes += [size for _, _, size in pending]
    pending.clear()


def train_epoch(
    model: nn.Module,
    step: Step,
    average: WeightAverage | None,
    optimizer: torch.optim.Optimizer,
    batches: TrainBatches,
    image_losses: ImageLosses | None,
    progress: Progress,
    total_steps: int,
    lr_factor: Callable[[int], float],
    log_every: int,
    pause_every: int,
    speed: Speed,
    stop: Stop,
) -> Iterator[Window | None]:
    """Train to the end of the current epoch, or to `total_steps`, or until `stop`.

    Yields after each step: a window at a log step and at the end of the epoch, else None. `progress` counts along, and
    `image_losses` where there are any; at a window, at a multiple of `pause_every` steps and at a stop `progress` is
    complete, so that a checkpoint may be written.
    """
    speed.start()
    model.train()
    if image_losses is not None and progress.batch == 0:
        image_losses.ranked.copy_(image_losses.latest)
    order = batches.order(progress.epoch, None if image_losses is None else image_losses.ranked)
    steps = batches.steps(progress.epoch)
    pending: list[tuple[Tensor, Tensor, int]] = []
    learning = tuple(parameter.requires_grad for parameter in model.parameters())
    for images, targets in batches.epoch(progress.epoch, progress.batch, order):
        part = slice(progress.batch * batches.batch_size, (progress.batch + 1) * batches.batch_size)
        weights = None if order.weights is None else order.weights[part]
        lr = set_lr(optimizer, lr_factor(progress.step))
        loss, correct, losses = step(images, targets, weights)
        if image_losses is not None:
            image_losses.latest[order.index[part]] = losses
        if average is not None:
            average.update(model, progress.step + 1)
        pending.append((loss, correct, len(targets)))
        progress.step += 1
        progress.batch += 1
        speed.count(len(targets), images.shape[-1], (len(targets), weights is None, learning))
        ended = progress.batch == steps or progress.step == total_steps
        stopped = stop.signal is not None
        logged = progress.step % log_every == 0 or ended
        taken_in = logged or progress.step % pause_every == 0 or stopped
        window = None
        if taken_in:
            take_in(progress, pending)
            rate = speed.window()
            window = summarize(progress, log_every, lr, rate) if logged else None
        yield window
        if ended or stopped:
            break
        if taken_in:
            speed.resume()


def summarize(progress: Progress, log_every: int, lr: float, images_per_second: float) -> Window:
    """Return the window since the last log step or the start of the epoch."""
    start = -(progress.step % log_every or log_every)
    sizes = progress.sizes[start:]
    loss = sum(loss * size for loss, size in zip(progress.losses[start:], sizes, strict=True)) / sum(sizes)
    accuracy = sum(progress.correct[start:]) / sum(sizes)
    return Window(progress.step, progress.epoch, loss, accuracy, lr, images_per_second)
