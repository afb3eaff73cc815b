"""One optimizer step against the formulas of its loss and gradient."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import CPU, batch, linear, sgd, weights_of
from torch import Tensor, nn

from attn_train.machine.device import Device
from attn_train.training.step import TrainingStep


def step_of(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    device: Device = CPU,
    accumulate: int = 1,
    clip_norm: float | None = None,
    label_smoothing: float = 0.0,
) -> TrainingStep:
    return TrainingStep(model, model, optimizer, device, 12, accumulate, clip_norm, label_smoothing)


def test_an_image_that_counts_double_is_as_good_as_two() -> None:
    images, labels = batch(6)
    weights = torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0, 1.0])
    twice = torch.tensor([0, 1, 1, 2, 3, 3, 4, 5])
    found = []
    for accumulate in (1, 3):
        model = linear(torch.float64)
        step = step_of(model, sgd(model), accumulate=accumulate, label_smoothing=0.2)
        loss, correct, losses = step(images, labels, weights)
        found.append((weights_of(model), loss.double(), correct * 8 / 6, losses))
    model = linear(torch.float64)
    loss, correct, losses = step_of(model, sgd(model), label_smoothing=0.2)(images[twice], labels[twice], None)
    for one in found:
        torch.testing.assert_close(one[0], weights_of(model), rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(one[1], loss.double())
        torch.testing.assert_close(one[2], correct)
        torch.testing.assert_close(one[3][[0, 1, 1, 2, 3, 3, 4, 5]], losses)


def one_step(count: int = 12, **options: Any) -> tuple[Tensor, Tensor, Tensor, nn.Module]:
    """Take a step in double precision; return the loss, the number correct, the change of the weights, the model."""
    model = linear(torch.float64)
    before = weights_of(model)
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    images, labels = batch(count)
    loss, correct, _ = step_of(model, optimizer, **options)(images, labels, None)
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
    layer = linear(torch.float64)[1]
    assert isinstance(layer, nn.Linear)
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
    step_of(model, optimizer, device=device)(images, labels, None)
    assert seen == [precision == "bfloat16"]


def test_bfloat16_takes_nearly_the_same_step() -> None:
    images, labels = batch(dtype=torch.float32)
    found = []
    for precision in ("float32", "bfloat16"):
        model = linear()
        before = weights_of(model)
        optimizer = torch.optim.SGD(model.parameters(), 1.0)
        step_of(model, optimizer, device=replace(CPU, precision=precision))(images, labels, None)
        assert all(value.dtype == torch.float32 for value in model.parameters())
        found.append(weights_of(model) - before)
    assert not torch.equal(*found)
    torch.testing.assert_close(found[1], found[0], rtol=0.05, atol=0.01)


def test_mixed_targets_give_the_weighted_loss_and_count_the_larger_share() -> None:
    images, labels = batch()
    other = labels.roll(1)
    mixed = 0.7 * F.one_hot(labels, 3) + 0.3 * F.one_hot(other, 3)
    model = linear(torch.float64)
    logits = model(images).detach()
    expected = -(mixed.double() * logits.log_softmax(dim=1)).sum(dim=1).mean()
    loss, correct, _ = step_of(model, sgd(model), accumulate=2)(images, mixed.float(), None)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert correct == (logits.argmax(dim=1) == labels).sum()
