"""The training loop against the plain one: order, rates, windows, averages, stops."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import CPU, Layers, batches, linear, sgd, weights_of
from torch import Tensor, nn

from attn_train.data.batches import TrainBatches
from attn_train.data.prune import ImageLosses
from attn_train.errors import NotFiniteError
from attn_train.machine.recorded import Step
from attn_train.machine.speed import Speed
from attn_train.optim.average import WeightAverage
from attn_train.training.journal import Epoch, Journal, Score, Window
from attn_train.training.loop import Schedule, fit
from attn_train.training.step import TrainingStep
from attn_train.training.trainer import Progress, Trainer

STEPS = 7  # in an epoch of the 40 images, six in a batch


class Told(Journal):
    """Remember all that the loop tells, with the progress at that moment; stop after `stop_after` steps."""

    def __init__(self, trainer: Trainer, stop_after: int | None = None) -> None:
        self.trainer, self.stop_after = trainer, stop_after
        self.windows: list[Window | None] = []
        self.progress: list[Progress] = []
        self.epochs: list[Epoch] = []
        self.saved: list[tuple[str, Progress]] = []

    def step(self, window: Window | None) -> None:
        self.windows.append(window)
        self.progress.append(copy.deepcopy(self.trainer.progress))

    def end(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)

    def save(self, name: str) -> None:
        self.saved.append((name, copy.deepcopy(self.trainer.progress)))

    def stopped(self) -> bool:
        return self.trainer.progress.step == self.stop_after


def constant(step: int) -> float:
    return 1.0


def train(
    trainer: Trainer,
    data: TrainBatches | None = None,
    *,
    total: int = STEPS,
    lr_factor: Callable[[int], float] = constant,
    log_every: int = 3,
    checkpoint_every: int = 100,
    stop_after: int | None = None,
    step: Step | None = None,
    evaluate: Callable[[int, bool], Score] | None = None,
) -> Told:
    """Train by the loop, one epoch unless `total` says otherwise; return what it told."""
    data = data or batches()
    told = Told(trainer, stop_after)
    schedule = Schedule(total, lr_factor, log_every, checkpoint_every, eval_every=2)
    step = step or TrainingStep(trainer.model, trainer.model, trainer.optimizer, CPU, data.batch_size, 1, None, 0.0)
    fit(trainer, schedule, data, step, evaluate=evaluate, journal=told, speed=Speed(CPU))
    return told


def trainer_of(model: Layers, average: WeightAverage | None = None, losses: ImageLosses | None = None) -> Trainer:
    return Trainer(model, sgd(model), CPU, average=average, image_losses=losses)


def test_an_epoch_is_the_plain_loop() -> None:
    def falling(step: int) -> float:
        return 1 / (1 + step)

    model = linear()
    told = train(trainer_of(model), lr_factor=falling)

    reference = linear()
    optimizer = torch.optim.SGD(reference.parameters(), 0.1, momentum=0.9)
    losses, correct, sizes = [], [], []
    for step, (images, labels) in enumerate(batches().epoch(0)):
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        logits = reference(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        correct.append(int((logits.argmax(dim=1) == labels).sum()))
        sizes.append(len(labels))
    assert torch.equal(weights_of(model), weights_of(reference))
    progress = told.progress[-1]
    assert progress.losses == pytest.approx(losses, rel=1e-6)
    assert (progress.correct, progress.sizes) == (correct, sizes)
    assert (progress.step, progress.batch, progress.epoch) == (STEPS, STEPS, 0)
    (epoch,) = told.epochs
    assert (epoch.step, epoch.number, epoch.score) == (STEPS, 0, None)
    assert epoch.loss == pytest.approx(np.average(losses, weights=sizes))
    assert epoch.accuracy == sum(correct) / sum(sizes)

    assert [number for number, window in enumerate(told.windows, start=1) if window] == [3, 6, 7]
    for window, steps in zip([one for one in told.windows if one], [(0, 3), (3, 6), (6, 7)], strict=True):
        own = slice(*steps)
        assert window.step == steps[1]
        assert window.lr == pytest.approx(0.1 / steps[1])
        assert window.loss == pytest.approx(np.average(losses[own], weights=sizes[own]))
        assert window.accuracy == sum(correct[own]) / sum(sizes[own])
        assert window.images_per_second > 0


@pytest.mark.parametrize("left_after", [1, 3, 6, 7, 8, 13])
def test_training_that_was_ended_goes_on_bit_for_bit(left_after: int) -> None:
    straight = trainer_of(linear())
    whole = train(straight, total=2 * STEPS)

    trainer = trainer_of(linear())
    told = train(trainer, total=2 * STEPS, stop_after=left_after)
    assert trainer.progress.step == left_after
    assert [name for name, _ in told.saved][-1] == "last"
    saved = told.saved[-1][1]
    assert len(saved.losses) == saved.batch
    rest = train(trainer, total=2 * STEPS)
    assert torch.equal(weights_of(trainer.model), weights_of(straight.model))
    for one in (trainer.progress, straight.progress):
        one.train_seconds = 0.0
    assert trainer.progress == straight.progress
    assert [(epoch.number, epoch.loss) for epoch in [*told.epochs, *rest.epochs]] == [
        (epoch.number, epoch.loss) for epoch in whole.epochs
    ]


def test_training_ends_at_the_total_number_of_steps() -> None:
    trainer = trainer_of(linear())
    told = train(trainer, total=4)
    assert trainer.progress.step == 4
    assert len(told.progress[-1].losses) == 4
    assert told.windows[-1] is not None


def test_progress_is_complete_in_every_checkpoint() -> None:
    told = train(trainer_of(linear()), total=2 * STEPS, log_every=5, checkpoint_every=2)
    assert [(name, progress.step) for name, progress in told.saved] == [
        ("last", step) for step in (2, 4, 6, 7, 8, 10, 12, 14)
    ]
    for _, progress in told.saved:
        assert len(progress.losses) == len(progress.correct) == len(progress.sizes) == progress.batch


def test_the_best_epoch_on_validation_images_has_a_checkpoint_of_its_own() -> None:
    asked = []

    def evaluate(epoch: int, last: bool) -> Score:
        asked.append((epoch, last))
        return Score("val", 1.0, {1: 0.5, 3: 0.7, 4: 0.6}[epoch], 1, 4, full_size=True, brier=0.5, ece=0.1)

    trainer = trainer_of(linear())
    told = train(trainer, total=5 * STEPS, evaluate=evaluate)
    assert asked == [(1, False), (3, False), (4, True)]  # every second epoch, and the last
    assert [epoch.score is not None for epoch in told.epochs] == [False, True, False, True, True]
    assert [progress.epoch for name, progress in told.saved if name == "best"] == [1, 3]
    assert trainer.best_accuracy == 0.7


@pytest.mark.parametrize(("split", "full_size"), [("test", True), ("val", False)])
def test_test_images_and_shrunk_ones_choose_nothing(split: str, full_size: bool) -> None:
    score = Score(split, 1.0, 0.9, 1, 4, full_size=full_size, brier=0.2, ece=0.1)
    told = train(trainer_of(linear()), evaluate=lambda epoch, last: score)
    assert [name for name, _ in told.saved] == ["last"]


def test_a_pruned_epoch_shows_the_images_that_it_kept_and_learns_their_losses() -> None:
    data = replace(batches(40, 6), prune=0.3, prune_from=1)
    losses = ImageLosses(*torch.zeros(2, 40))
    trainer = trainer_of(linear(), losses=losses)
    train(trainer, data)
    assert (losses.latest > 0).all()
    assert (losses.ranked == 0).all()
    first = losses.latest.clone()
    told = train(trainer, data, total=STEPS + 5)
    assert torch.equal(losses.ranked, first)
    shown = data.order(1, first).index
    assert told.progress[-1].sizes == [6, 6, 6, 6, 4]
    changed = (losses.latest != first).nonzero().flatten()
    assert set(changed.tolist()) == set(shown.tolist())
    assert 0 <= sum(told.progress[-1].correct) <= 28


def test_the_moving_average_is_that_of_the_weights_after_each_step() -> None:
    norm = nn.BatchNorm1d(3)
    model = Layers(nn.Flatten(), nn.Linear(16, 3), norm)
    average = WeightAverage(model, 0.6)
    trainer, seen, means = trainer_of(model, average), [], []
    step = TrainingStep(model, model, trainer.optimizer, CPU, 6, 1, None, 0.0)

    def watched(images: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        outcome = step(images, targets, weights)
        seen.append(weights_of(model).double())
        assert norm.running_mean is not None
        means.append(norm.running_mean.double())
        return outcome

    train(trainer, step=watched)
    decays = [min(0.6, step / (10 + step)) for step in range(2, 8)]
    assert decays == [2 / 12, 3 / 13, 4 / 14, 5 / 15, 6 / 16, 7 / 17]
    averaged = average.model
    assert isinstance(averaged, Layers)
    averaged_norm = averaged[2]
    assert isinstance(averaged_norm, nn.BatchNorm1d)
    assert averaged_norm.running_mean is not None
    for values, found in ((seen, weights_of(averaged)), (means, averaged_norm.running_mean)):
        expected = values[0]
        for decay, after in zip(decays, values[1:], strict=True):
            expected = decay * expected + (1 - decay) * after
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
        assert (expected - values[-1]).abs().max() > 1e-4
    assert averaged_norm.num_batches_tracked == 7


def test_the_decay_of_a_long_average_is_the_one_that_was_asked_for() -> None:
    model = linear()
    layer = model[1]
    assert isinstance(layer, nn.Linear)
    average = WeightAverage(model, 0.9)
    before = weights_of(model)
    with torch.no_grad():
        layer.weight.add_(1.0)
    average.update(model, step=10_000)
    torch.testing.assert_close(weights_of(average.model), 0.9 * before + 0.1 * weights_of(model))


def test_a_smaller_last_batch_does_not_run_compiled() -> None:
    """`forward` may be compiled for the shape of a full batch."""
    model, seen = linear(), []

    def forward(images: Tensor) -> Tensor:
        seen.append(len(images))
        return model(images)

    trainer = trainer_of(model)
    train(trainer, step=TrainingStep(model, forward, trainer.optimizer, CPU, 6, 1, None, 0.0))
    assert seen == [6] * 6


@pytest.mark.parametrize("log_every", [1, 3, 100])
def test_a_loss_that_is_not_finite_ends_training_and_names_its_step(log_every: int) -> None:
    def exploding(step: int) -> float:
        return math.inf if step == 3 else 1.0

    trainer = trainer_of(linear())
    with pytest.raises(NotFiniteError, match=r"at step 5 \(epoch 1\).*optimizer.lr.*train.clip_norm=1") as raised:
        train(trainer, lr_factor=exploding, log_every=log_every)
    assert raised.value.exit_code == 4
    assert len(trainer.progress.losses) < 5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_loss_that_is_not_finite_is_the_one_named(bad: float) -> None:
    pending = [(torch.tensor(loss), torch.tensor(0), 4) for loss in (0.5, 0.4, bad, math.nan, 0.1)]
    with pytest.raises(NotFiniteError, match=rf"became {bad} at step 18 \(epoch 3\)"):
        Progress(step=20, epoch=2).collect(pending)


def test_a_mean_is_over_the_last_batches_each_image_counting_once() -> None:
    progress = Progress(0, 0, 5, [1.0, 2.0, 3.0, 4.0, 10.0], [1, 1, 1, 1, 2], [4, 4, 4, 4, 2])
    assert progress.mean(1) == (10.0, 1.0)
    assert progress.mean(2) == ((4 * 4 + 2 * 10) / 6, 3 / 6)
    assert progress.mean() == progress.mean(100) == ((4 * 10 + 2 * 10) / 18, 6 / 18)


@pytest.mark.parametrize(("log_every", "expected"), [(2, [2, 2, 2, 1, 1]), (5, [5, 2, 3]), (100, [7])])
def test_a_window_reaches_back_to_the_last_one_or_the_start_of_the_epoch(log_every: int, expected: list[int]) -> None:
    told = train(trainer_of(linear()), total=10 if log_every == 5 else 8 if log_every == 2 else 7, log_every=log_every)
    seen = []
    for window, progress in zip(told.windows, told.progress, strict=True):
        if window is not None:
            (count,) = [n for n in range(1, 8) if n <= len(progress.sizes) and progress.mean(n)[0] == window.loss]
            seen.append(count)
    assert seen == expected


def test_what_is_written_between_steps_is_no_training_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    class Slow(Journal):
        def step(self, window: Window | None) -> None:
            if window is not None:
                now[0] += 50

        def save(self, name: str) -> None:
            now[0] += 50

    def step(images: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        now[0] += 2
        return torch.zeros(()), torch.zeros(()), torch.zeros(len(images))

    trainer, speed = trainer_of(linear()), Speed(CPU)
    schedule = Schedule(2 * STEPS, constant, log_every=3, checkpoint_every=2, eval_every=1)
    fit(trainer, schedule, batches(), step, evaluate=None, journal=Slow(), speed=speed)
    assert speed.seconds == trainer.progress.train_seconds == 2 * 2 * STEPS
