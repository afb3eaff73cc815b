"""Evaluation against plain computations."""

from typing import Any

import numpy as np
import pytest
import torch
from small import CPU, HALF, linear, split
from torch import Tensor, nn

from attn_train.attention.placebo_shuffled import PlaceboShuffled
from attn_train.data.batches import shifted
from attn_train.data.dataset import Split
from attn_train.training.inference import Evaluation, evaluate, infer


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
            giver = PlaceboShuffled(1, (4, 4)).eval().permutation(x)
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
    rings = [module.permutation(x) for _ in range(20)]
    for ring in rings:
        assert sorted(ring.tolist()) == list(range(9))
        assert (ring != torch.arange(9)).all()
    assert len({tuple(ring.tolist()) for ring in rings}) == 20


def test_an_evaluation_knows_its_accuracy() -> None:
    found = Evaluation(torch.eye(3), torch.tensor([0, 1, 0]), 0.5)
    assert (found.correct, found.total, found.accuracy) == (2, 3, 2 / 3)
