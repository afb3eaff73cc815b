"""Leaving easy images out: what is kept, and that the weighted mean has no bias."""

from dataclasses import replace

import pytest
import torch
from test_batches import make

from attn_train.data.prune import prune
from attn_train.seeds import generator


@pytest.mark.parametrize(("count", "share", "left_out"), [(100, 0.375, 37), (100, 0.0, 0), (7, 0.49, 3), (1, 0.4, 0)])
def test_a_random_half_of_the_easiest_goes_and_the_other_half_counts_double(
    count: int, share: float, left_out: int
) -> None:
    losses = torch.rand(count, generator=torch.Generator().manual_seed(0))
    kept, weights = prune(losses, share, generator("prune", 0))
    assert int((~kept).sum()) == left_out
    assert float(weights[kept].sum()) == count  # every image is stood for
    touched = ~kept | (weights == 2)
    assert int(touched.sum()) == 2 * left_out
    assert left_out in (0, count) or losses[touched].max() < losses[~touched].min()


def test_the_weighted_mean_is_the_mean_over_all_on_average() -> None:
    losses = torch.rand(200, generator=torch.Generator().manual_seed(0)) ** 3
    values = torch.randn(200, generator=torch.Generator().manual_seed(1)) - losses
    means = []
    for seed in range(4000):
        kept, weights = prune(losses, 0.35, generator("prune", seed))
        means.append((values * weights)[kept].sum() / 200)
    spread = torch.stack(means).std() / 4000**0.5
    assert abs(torch.stack(means).mean() - values.mean()) < 4 * spread
    assert spread > 0


@pytest.mark.parametrize("until", [3, -2])
def test_the_last_epochs_are_of_all_images_again(until: int) -> None:
    batches = replace(make(50, 8), sides=(4,) * 5, prune=0.3, prune_from=1, prune_until=until)
    assert [batches.steps(epoch) for epoch in range(5)] == [7, 5, 5, 7, 7]
    assert batches.order(3, torch.arange(50.0)).weights is None


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_run_too_short_to_prune_before_its_last_epochs_does_not(epochs: int) -> None:
    batches = replace(make(50, 8), sides=(4,) * epochs, prune=0.3, prune_from=2, prune_until=-1)
    assert [batches.steps(epoch) for epoch in range(epochs)] == [7] * epochs


def test_a_pruned_epoch_is_shorter_and_goes_on_where_it_was_left() -> None:
    batches = replace(make(50, 8), prune=0.3, prune_from=2)
    losses = torch.arange(50.0)
    assert [batches.steps(epoch) for epoch in range(4)] == [7, 7, 5, 5]
    orders = {epoch: batches.order(epoch, losses) for epoch in (2, 3)}
    for epoch, order in orders.items():
        assert order.weights is not None
        assert len(order.index) == 35
        assert torch.equal(order.weights == 2, order.index < 30)
        found = [int(label) for _, labels in batches.epoch(epoch, 0, order) for label in labels]
        assert found == order.index.tolist()
        rest = [int(label) for _, labels in batches.epoch(epoch, 2, order) for label in labels]
        assert rest == found[16:]
    assert set(orders[2].index.tolist()) != set(orders[3].index.tolist())
    assert batches.order(1).weights is None
    with pytest.raises(ValueError, match="needs their losses"):
        batches.order(2)
