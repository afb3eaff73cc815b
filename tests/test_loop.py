"""Training steps and evaluation against plain computations; losses, windows, signals."""

import itertools
import math
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.placebo_shuffled import PlaceboShuffled
from attn_train.data.augment import Augmentation
from attn_train.data.batches import Normalization, TrainBatches, shifted
from attn_train.data.dataset import Split
from attn_train.data.prune import ImageLosses
from attn_train.errors import NotFiniteError
from attn_train.machine.device import Device
from attn_train.machine.interrupt import Stop, stop_on_signals
from attn_train.machine.speed import Speed
from attn_train.optim.average import WeightAverage
from attn_train.training.inference import Evaluation, evaluate, infer
from attn_train.training.loop import Progress, Window, make_step, summarize, take_in, train_epoch, train_step

CPU = Device("cpu", "float32", channels_last=False, compile=False, cuda_graphs=False, threads=1)
HALF = Normalization(torch.tensor([0.5]), torch.tensor([0.25]))
STEP = {"accumulate": 1, "clip_norm": None, "label_smoothing": 0.0}


def split(count: int = 40) -> Split:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, 4, 4), generator=random).to(torch.uint8)
    return Split(images, torch.randint(0, 3, (count,), generator=random))


def linear(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).to(dtype)


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    for group in optimizer.param_groups:
        group["initial_lr"] = lr
    return optimizer


def weights_of(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def by_numpy(model: nn.Module, images: Tensor) -> Any:
    layer = model[1]  # type: ignore[index]
    flat = (images.double().numpy() / 255 - 0.5) / 0.25
    return flat.reshape(len(flat), -1) @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()


@pytest.mark.parametrize("batch_size", [7, 40, 100])
def test_inference_equals_a_direct_computation(batch_size: int) -> None:
    data, model = split(), linear()
    logits = infer(model, data.images, HALF, CPU, 1, batch_size, side=4)
    assert logits.dtype == torch.float32
    np.testing.assert_allclose(logits, by_numpy(model, data.images), rtol=1e-4, atol=1e-5)


def test_inference_shrinks_the_images() -> None:
    """Two pixels by two, averaged with weights that fall off in a straight line: 3 and 1 eighths at a border."""
    data = split()
    half = infer(nn.Flatten(), data.images, HALF, CPU, 1, 16, side=2).view(-1, 1, 2, 2)
    row = np.array([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7
    expected = row @ ((data.images.double().numpy() / 255 - 0.5) / 0.25) @ row.T
    np.testing.assert_allclose(half, expected, rtol=1e-4, atol=1e-5)


def test_views_are_averaged_with_their_weights() -> None:
    data, model = split(), linear()
    plain, mirrored = by_numpy(model, data.images), by_numpy(model, data.images.flip(-1))
    two = infer(model, data.images, HALF, CPU, 2, 16, side=4)
    np.testing.assert_allclose(two, (plain + mirrored) / 2, rtol=1e-4, atol=1e-5)
    moved = sum(
        by_numpy(model, view)
        for by in (-1, 1)
        for view in (shifted(data.images, by), shifted(data.images, by).flip(-1))
    )
    six = infer(model, data.images, HALF, CPU, 6, 16, side=4)
    np.testing.assert_allclose(six, (plain + mirrored) / 4 + moved / 8, rtol=1e-4, atol=1e-5)


def test_evaluation_counts_and_averages() -> None:
    data, model = split(), linear()
    found = evaluate(model, data, HALF, CPU, 1, 16, side=4)
    logits = by_numpy(model, data.images)
    labels = data.labels.numpy()
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found.loss == pytest.approx(-np.log(chances[np.arange(40), labels]).mean(), rel=1e-4)
    assert found.correct == int((logits.argmax(axis=1) == labels).sum())
    assert found.total == 40
    assert found.accuracy == found.correct / 40
    assert torch.equal(found.labels, data.labels)
    assert not found.logits.requires_grad


def test_evaluation_neither_trains_nor_drops() -> None:
    """Batch statistics and dropout would show in the model's buffers and in a second evaluation."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    first, second = (evaluate(model, split(), HALF, CPU, 2, size, side=4) for size in (8, 40))
    torch.testing.assert_close(first.logits, second.logits)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("count", [40, 39, 3, 1])
def test_images_are_paired_the_same_whatever_the_batch(count: int) -> None:
    """A mechanism that gives to its neighbour tests the same in any batch size, and by no neighbour of the split."""
    data = split()
    few = Split(data.images[:count], data.labels[:count])

    class Neighbour(nn.Module):
        pairs = True

        def forward(self, x: Tensor) -> Tensor:
            giver = PlaceboShuffled(1, (4, 4)).eval().givers(x)
            return x.flatten(1)[giver, :3]

    outcomes = [evaluate(Neighbour(), few, HALF, CPU, 1, size, side=4).logits for size in (1, 2, 7, 38, 100)]
    assert all(torch.equal(outcomes[0], other) for other in outcomes[1:])
    own = HALF(few.images).flatten(1)[:, :3]
    givers = [int((own == row).all(dim=1).nonzero()[0]) for row in outcomes[0]]
    assert sorted(givers) == list(range(count))
    assert count == 1 or all(giver != image for image, giver in enumerate(givers))
    assert count < 39 or sum(abs(giver - image) == 1 for image, giver in enumerate(givers)) < 12


def test_in_training_each_image_gives_to_one_other_that_changes() -> None:
    module, x = PlaceboShuffled(1, (4, 4)).train(), torch.zeros(9, 1, 4, 4)
    torch.manual_seed(0)
    rings = [module.givers(x) for _ in range(20)]
    for ring in rings:
        assert sorted(ring.tolist()) == list(range(9))
        assert (ring != torch.arange(9)).all()
    assert len({tuple(ring.tolist()) for ring in rings}) == 20


def test_an_image_that_counts_double_is_as_good_as_two() -> None:
    images, labels = batch(6)
    weights = torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0, 1.0])
    twice = torch.tensor([0, 1, 1, 2, 3, 3, 4, 5])
    found = []
    for accumulate in (1, 3):
        model = linear(torch.float64)
        arguments = (images, labels, weights, CPU, accumulate, None, 0.2)
        loss, correct, losses = train_step(model, model, sgd(model), *arguments)
        found.append((weights_of(model), loss.double(), correct * 8 / 6, losses))
    model = linear(torch.float64)
    loss, correct, losses = train_step(model, model, sgd(model), images[twice], labels[twice], None, CPU, 1, None, 0.2)
    for one in found:
        torch.testing.assert_close(one[0], weights_of(model), rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(one[1], loss.double())
        torch.testing.assert_close(one[2], correct)
        torch.testing.assert_close(one[3][[0, 1, 1, 2, 3, 3, 4, 5]], losses)


def test_a_pruned_epoch_shows_the_images_that_it_kept_and_learns_their_losses() -> None:
    data = replace(batches(40, 6), prune=0.3, prune_from=1)
    losses = ImageLosses(*torch.zeros(2, 40))
    model, progress = linear(), Progress()
    list(epoch(model, sgd(model), progress, data=data, image_losses=losses))
    assert (losses.latest > 0).all()
    assert (losses.ranked == 0).all()
    first = losses.latest.clone()
    progress = Progress(step=7, epoch=1)
    windows = [one for one in epoch(model, sgd(model), progress, data=data, image_losses=losses) if one is not None]
    assert torch.equal(losses.ranked, first)
    shown = data.order(1, first).index
    assert progress.sizes == [6, 6, 6, 6, 4]
    assert len(windows) == 2
    changed = (losses.latest != first).nonzero().flatten()
    assert set(changed.tolist()) == set(shown.tolist())
    assert 0 <= sum(progress.correct) <= 28


def batch(count: int = 12, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    images = torch.randn(count, 1, 4, 4, generator=random, dtype=dtype)
    return images, torch.randint(0, 3, (count,), generator=random)


def one_step(count: int = 12, **options: Any) -> tuple[Tensor, Tensor, Tensor, nn.Module]:
    """Take a step in double precision; return the loss, the number correct, the change of the weights, the model."""
    model = linear(torch.float64)
    before = weights_of(model)
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    images, labels = batch(count)
    loss, correct, _ = train_step(model, model, optimizer, images, labels, None, CPU, **(STEP | options))
    return loss, correct, weights_of(model) - before, model


@pytest.mark.parametrize("accumulate", [2, 3, 4, 12])
@pytest.mark.parametrize("count", [12, 10])  # 10: an epoch's last batch, which not every number of parts divides
def test_parts_add_up_to_the_whole_step(accumulate: int, count: int) -> None:
    loss, correct, change, _ = one_step(count)
    part_loss, part_correct, part_change, _ = one_step(count, accumulate=accumulate)
    # Logits are brought to float32 for the loss.
    torch.testing.assert_close(part_loss, loss, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(part_change, change, rtol=1e-5, atol=1e-7)
    assert part_correct == correct


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_loss_and_step_are_those_of_the_formulas(smoothing: float) -> None:
    images, labels = batch()
    layer = linear(torch.float64)[1]  # type: ignore[index]
    flat = images.flatten(1).numpy()
    logits = flat @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    # Of each label a share is spread evenly over all three classes.
    target = (1 - smoothing) * np.eye(3)[labels.numpy()] + smoothing / 3
    expected_loss = -(target * np.log(chances)).sum(axis=1).mean()
    error = (chances - target) / len(labels)
    gradient = np.concatenate([(error.T @ flat).ravel(), error.sum(axis=0)])

    loss, correct, change, _ = one_step(label_smoothing=smoothing)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-6)
    assert correct.item() == (logits.argmax(axis=1) == labels.numpy()).sum()
    np.testing.assert_allclose(change, -gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_the_whole_gradient_is_clipped_to_its_norm(accumulate: int) -> None:
    _, _, change, _ = one_step(accumulate=accumulate)
    norm = change.norm().item()
    _, _, clipped, _ = one_step(accumulate=accumulate, clip_norm=norm / 3)
    torch.testing.assert_close(clipped, change / 3, rtol=1e-4, atol=1e-7)
    _, _, untouched, _ = one_step(accumulate=accumulate, clip_norm=2 * norm)
    torch.testing.assert_close(untouched, change)


def test_a_step_leaves_no_gradient_behind() -> None:
    _, _, _, model = one_step(accumulate=2)
    assert all(value.grad is None for value in model.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_optimizer_steps_in_the_precision_of_the_run(precision: str) -> None:
    seen = []

    class Optimizer(torch.optim.SGD):
        def step(self, closure: None = None) -> None:  # type: ignore[override]
            seen.append(torch.is_autocast_enabled("cpu"))

    model, (images, labels) = linear(), batch(dtype=torch.float32)
    optimizer, device = Optimizer(model.parameters(), 1.0), replace(CPU, precision=precision)
    train_step(model, model, optimizer, images, labels, None, device, **STEP)  # type: ignore[arg-type]
    assert seen == [precision == "bfloat16"]


def test_bfloat16_takes_nearly_the_same_step() -> None:
    images, labels = batch(dtype=torch.float32)
    found = []
    for precision in ("float32", "bfloat16"):
        model = linear()
        before = weights_of(model)
        optimizer = torch.optim.SGD(model.parameters(), 1.0)
        train_step(model, model, optimizer, images, labels, None, replace(CPU, precision=precision), **STEP)  # type: ignore[arg-type]
        assert all(value.dtype == torch.float32 for value in model.parameters())
        found.append(weights_of(model) - before)
    assert not torch.equal(*found)
    torch.testing.assert_close(found[1], found[0], rtol=0.05, atol=0.01)


def batches(count: int = 40, batch_size: int = 6, drop_last: bool = False) -> TrainBatches:
    augmentation = Augmentation("random", 1, 1)
    data = split(count)
    sides = (data.images.shape[-1],) * 10
    return TrainBatches(
        data, batch_size, drop_last, augmentation, HALF, 3, sides, 0.0, 1, None, order_seed=2, augment_seed=2
    )


def constant(step: int) -> float:
    return 1.0


def epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    stop: Stop | None = None,
    total: int = 100,
    lr_factor: Callable[[int], float] = constant,
    log_every: int = 3,
    pause_every: int = 100,
    data: TrainBatches | None = None,
    average: WeightAverage | None = None,
    image_losses: ImageLosses | None = None,
) -> "itertools.chain[Window | None]":
    shown = batches() if data is None else data
    losses = ImageLosses(*torch.zeros(2, len(shown.split.labels))) if image_losses is None else image_losses
    step = make_step(model, model, optimizer, CPU, shown.batch_size, **STEP)  # type: ignore[arg-type]
    arguments = (losses, progress, total, lr_factor, log_every, pause_every, Speed(CPU), stop or Stop())
    return itertools.chain(train_epoch(model, step, average, optimizer, shown, *arguments))


def test_an_epoch_is_the_plain_loop() -> None:
    def falling(step: int) -> float:
        return 1 / (1 + step)

    model, progress = linear(), Progress()
    windows = list(epoch(model, sgd(model), progress, lr_factor=falling))

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
    assert progress.losses == pytest.approx(losses, rel=1e-6)
    assert (progress.correct, progress.sizes) == (correct, sizes)
    assert (progress.step, progress.batch, progress.epoch) == (7, 7, 0)

    assert [number for number, window in enumerate(windows, start=1) if window] == [3, 6, 7]
    for window, steps in zip([one for one in windows if one], [(0, 3), (3, 6), (6, 7)], strict=True):
        own = slice(*steps)
        assert window.step == steps[1]
        assert window.lr == pytest.approx(0.1 / steps[1])
        assert window.loss == pytest.approx(np.average(losses[own], weights=sizes[own]))
        assert window.accuracy == sum(correct[own]) / sum(sizes[own])
        assert window.images_per_second > 0


@pytest.mark.parametrize("left_after", [1, 3, 6])
def test_a_stopped_epoch_goes_on_bit_for_bit(left_after: int) -> None:
    straight, whole = linear(), Progress()
    list(epoch(straight, sgd(straight), whole))

    model, progress, stop = linear(), Progress(), Stop()
    optimizer = sgd(model)
    for number, _ in enumerate(epoch(model, optimizer, progress, stop), start=1):
        if number == left_after - 1:
            stop.signal = signal.SIGTERM
    if left_after == 1:  # a signal before the first step is heard after it
        model, progress, stop = linear(), Progress(), Stop()
        optimizer = sgd(model)
        stop.signal = signal.SIGTERM
        list(epoch(model, optimizer, progress, stop))
    assert progress.step == left_after
    assert len(progress.losses) == left_after
    list(epoch(model, optimizer, progress))
    assert torch.equal(weights_of(model), weights_of(straight))
    assert progress == whole


def test_training_ends_at_the_total_number_of_steps() -> None:
    model, progress = linear(), Progress()
    windows = list(epoch(model, sgd(model), progress, total=4))
    assert progress.step == 4
    assert len(progress.losses) == 4
    assert windows[-1] is not None


def test_progress_is_complete_whenever_a_checkpoint_may_be_written() -> None:
    model, progress = linear(), Progress()
    for number, window in enumerate(epoch(model, sgd(model), progress, log_every=5, pause_every=2), start=1):
        assert progress.step == progress.batch == number
        if window is not None or number % 2 == 0:
            assert len(progress.losses) == len(progress.correct) == len(progress.sizes) == number


def test_the_moving_average_is_that_of_the_weights_after_each_step() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.BatchNorm1d(3))
    average = WeightAverage(model, 0.6)
    optimizer, seen, means = sgd(model), [], []
    for _ in epoch(model, optimizer, Progress(), average=average):
        seen.append(weights_of(model).double())
        means.append(model[2].running_mean.double())  # type: ignore[union-attr,operator]
    decays = [min(0.6, step / (10 + step)) for step in range(2, 8)]
    assert decays == [2 / 12, 3 / 13, 4 / 14, 5 / 15, 6 / 16, 7 / 17]
    for values, found in ((seen, weights_of(average.model)), (means, average.model[2].running_mean)):  # type: ignore[index]
        expected = values[0]
        for decay, after in zip(decays, values[1:], strict=True):
            expected = decay * expected + (1 - decay) * after
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
        assert (expected - values[-1]).abs().max() > 1e-4
    assert average.model[2].num_batches_tracked == 7  # type: ignore[index]


def test_the_decay_of_a_long_average_is_the_one_that_was_asked_for() -> None:
    model = linear()
    average = WeightAverage(model, 0.9)
    before = weights_of(model)
    with torch.no_grad():
        model[1].weight.add_(1.0)  # type: ignore[index]
    average.update(model, step=10_000)
    torch.testing.assert_close(weights_of(average.model), 0.9 * before + 0.1 * weights_of(model))


def test_mixed_targets_give_the_weighted_loss_and_count_the_larger_share() -> None:
    images, labels = batch()
    other = labels.roll(1)
    mixed = 0.7 * F.one_hot(labels, 3) + 0.3 * F.one_hot(other, 3)
    model = linear(torch.float64)
    logits = model(images).detach()
    expected = -(mixed.double() * logits.log_softmax(dim=1)).sum(dim=1).mean()
    loss, correct, _ = train_step(model, model, sgd(model), images, mixed.float(), None, CPU, 2, None, 0.0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert correct == (logits.argmax(dim=1) == labels).sum()


def test_a_smaller_last_batch_does_not_run_compiled() -> None:
    """`forward` may be compiled for the shape of a full batch."""
    model, seen = linear(), []

    def forward(images: Tensor) -> Tensor:
        seen.append(len(images))
        return model(images)

    optimizer, shown = sgd(model), batches()
    step = make_step(model, forward, optimizer, CPU, shown.batch_size, **STEP)  # type: ignore[arg-type]
    list(train_epoch(model, step, None, optimizer, shown, None, Progress(), 100, constant, 3, 100, Speed(CPU), Stop()))
    assert seen == [6] * 6


@pytest.mark.parametrize("log_every", [1, 3, 100])
def test_a_loss_that_is_not_finite_ends_training_and_names_its_step(log_every: int) -> None:
    model = linear()

    def exploding(step: int) -> float:
        return math.inf if step == 3 else 1.0

    progress = Progress()
    with pytest.raises(NotFiniteError, match=r"at step 5 \(epoch 1\).*optimizer.lr.*train.clip_norm=1") as raised:
        list(epoch(model, sgd(model), progress, lr_factor=exploding, log_every=log_every))
    assert raised.value.exit_code == 4
    assert len(progress.losses) < 5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_loss_that_is_not_finite_is_the_one_named(bad: float) -> None:
    pending = [(torch.tensor(loss), torch.tensor(0), 4) for loss in (0.5, 0.4, bad, math.nan, 0.1)]
    with pytest.raises(NotFiniteError, match=rf"became {bad} at step 18 \(epoch 3\)"):
        take_in(Progress(step=20, epoch=2), pending)


def test_a_window_reaches_back_to_the_last_one_or_the_start_of_the_epoch() -> None:
    losses, correct, sizes = [1.0, 2.0, 3.0, 4.0, 10.0], [1, 1, 1, 1, 2], [4, 4, 4, 4, 2]

    def seen(step: int, log_every: int) -> tuple[float, float]:
        window = summarize(Progress(step, 0, 5, losses, correct, sizes), log_every, 0.1, 7.0)
        assert (window.step, window.lr, window.images_per_second) == (step, 0.1, 7.0)
        return window.loss, window.accuracy

    # Weighted by the images of each batch: the last one is half as large.
    assert seen(5, 1) == (10.0, 1.0)
    assert seen(12, 2) == ((4 * 4 + 2 * 10) / 6, 3 / 6)
    assert seen(11, 3) == ((4 * 4 + 2 * 10) / 6, 3 / 6)
    assert seen(5, 100) == ((4 * 10 + 2 * 10) / 18, 6 / 18)
    # The epoch began at step 7: what came before is of another epoch.
    assert seen(12, 10) == ((4 * 4 + 2 * 10) / 6, 3 / 6)
    assert seen(20, 10) == ((4 * 10 + 2 * 10) / 18, 6 / 18)


def test_an_evaluation_knows_its_accuracy() -> None:
    found = Evaluation(torch.eye(3), torch.tensor([0, 1, 0]), 0.5)
    assert (found.correct, found.total, found.accuracy) == (2, 3, 2 / 3)


def test_signals_ask_to_stop_and_are_given_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in (signal.SIGTERM, signal.SIGINT):
        with stop_on_signals() as stop:
            signal.raise_signal(number)
            assert stop.signal == number
        assert {one: signal.getsignal(one) for one in before} == before


def interrupt_twice() -> None:
    with stop_on_signals():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_a_second_interrupt_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupt_twice()
    assert signal.getsignal(signal.SIGINT) == before


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that a Speed sees; add to it."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_speed_counts_no_first_step_at_a_resolution_and_nothing_between_windows(clock: list[float]) -> None:
    speed = Speed(CPU)
    speed.start()
    clock[0] += 9  # compiles
    speed.count(10, side=16)
    assert speed.window() == 0.0
    assert speed.steady_rate == 0.0
    speed.resume()
    for _ in range(2):
        clock[0] += 2
        speed.count(10, side=16)
    assert speed.window() == pytest.approx(5.0)
    clock[0] += 50  # a checkpoint, say
    speed.resume()
    clock[0] += 3
    speed.count(10, side=16)
    assert speed.window() == pytest.approx(10 / 3)
    assert speed.seconds == pytest.approx(9 + 4 + 3)
    clock[0] += 70  # an evaluation
    speed.start()
    clock[0] += 7  # compiles for the other resolution
    speed.count(10, side=32)
    clock[0] += 6
    speed.count(10, side=32)
    assert speed.window() == pytest.approx(10 / 6)
    assert speed.seconds == pytest.approx(16 + 13)
    assert speed.steady_rate == pytest.approx(40 / 13)
    assert speed.compile_seconds == pytest.approx((9 - 7 / 3) + (7 - 6))


def test_steps_of_another_kind_are_first_steps_too(clock: list[float]) -> None:
    """A smaller batch is recorded for itself, and so is a step with another set of learning parameters."""
    speed = Speed(replace(CPU, cuda_graphs=True))
    for kind, seconds in (("whole", (5, 5, 5, 1, 1)), ("rest", (7, 7, 7)), ("whole", (1, 1, 1))):
        speed.start()
        for one in seconds:
            clock[0] += one
            speed.count(10, 16, kind)
        speed.window()
    assert speed.steady_rate == pytest.approx(10.0)
    assert speed.compile_seconds == pytest.approx(3 * (5 - 1) + 3 * (7 - 1))
    assert speed.seconds == pytest.approx(17 + 21 + 3)


def test_a_first_step_takes_those_before_it_out_of_the_throughput(clock: list[float]) -> None:
    speed = Speed(replace(CPU, compile=True))
    speed.start()
    steps = ((10, "whole", 5), (10, "whole", 1), (10, "whole", 1), (4, "rest", 8), (10, "whole", 1))
    for images, kind, seconds in steps:
        clock[0] += seconds
        speed.count(images, 16, kind)
    assert speed.window() == pytest.approx(10.0)
    assert speed.steady_rate == pytest.approx(10.0)
    assert speed.compile_seconds == pytest.approx((5 - 1) + (10 - 2.4))


def test_what_is_written_between_steps_is_no_training_time(clock: list[float]) -> None:
    model, progress, shown, speed = linear(), Progress(), batches(), Speed(CPU)
    optimizer = sgd(model)

    def step(images: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        clock[0] += 2
        return torch.zeros(()), torch.zeros(()), torch.zeros(len(images))

    for _ in train_epoch(model, step, None, optimizer, shown, None, progress, 100, constant, 3, 2, speed, Stop()):
        if progress.step in (2, 3, shown.steps(0)):  # a multiple of pause_every, of log_every, the end
            clock[0] += 50
    assert speed.seconds == 2 * shown.steps(0)
