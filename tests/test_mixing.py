"""Mixed images and targets against the papers' formulas, one image at a time in numpy."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from attn_train.data.augment import Augmentation
from attn_train.data.mixing import MixingDraws, draw_mixing, mix

COUNT, SIZE, CLASSES = 60, (9, 12), 7
MIXUP = Augmentation("none", 0, 0, mixup=0.4)
CUTMIX = Augmentation("none", 0, 0, cutmix=1.0)
BOTH = Augmentation("none", 0, 0, mixup=0.8, cutmix=0.5)
ALL = [MIXUP, CUTMIX, BOTH]
NAMES = ["mixup", "cutmix", "both"]


def batch(count: int = COUNT, channels: int = 3) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(count, channels, *SIZE, generator=random)
    return images, torch.randint(0, CLASSES, (count,), generator=random)


def drawn(augmentation: Augmentation, seed: int = 1, epoch: int = 0, count: int = COUNT) -> MixingDraws:
    draws = draw_mixing(augmentation, count, SIZE, seed, epoch)
    assert draws is not None
    return draws


def partners(index: Tensor, draws: MixingDraws) -> list[int]:
    """Lay the batch in a circle by its draws; each image's partner is the one before it."""
    circle = sorted(range(len(index)), key=lambda place: int(draws.turn[index[place]]))
    return [circle[circle.index(place) - 1] for place in range(len(index))]


def one_hot(label: Tensor) -> Any:
    return np.eye(CLASSES)[int(label)]


def by_numpy(images: Tensor, labels: Tensor, number: int, partner: int, draws: MixingDraws) -> tuple[Any, Any, float]:
    """Mix images[number] with images[partner] by the entry `number` of the draws; its share comes last."""
    mine, other = images[number].double().numpy(), images[partner].double().numpy()
    if draws.cut[number]:
        mixed = mine.copy()
        replaced = 0
        height, width = draws.length[number].tolist()
        top, left = (draws.centre[number] - draws.length[number] // 2).tolist()
        for row in range(max(0, top), min(SIZE[0], top + height)):
            for column in range(max(0, left), min(SIZE[1], left + width)):
                mixed[:, row, column] = other[:, row, column]
                replaced += 1
        share = 1 - replaced / (SIZE[0] * SIZE[1])
    else:
        share = float(draws.share[number])
        mixed = share * mine + (1 - share) * other
    return mixed, share * one_hot(labels[number]) + (1 - share) * one_hot(labels[partner]), share


@pytest.mark.parametrize("augmentation", ALL, ids=NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_targets_are_the_papers(augmentation: Augmentation, channels: int) -> None:
    images, labels = batch(channels=channels)
    draws, index = drawn(augmentation), torch.arange(COUNT)
    mixed, targets = mix(images, labels, index, draws, CLASSES)
    assert (mixed.dtype, targets.dtype) == (torch.float32, torch.float32)
    assert (mixed.shape, targets.shape) == (images.shape, (COUNT, CLASSES))
    for number, partner in enumerate(partners(index, draws)):
        expected, target, _ = by_numpy(images, labels, number, partner, draws)
        np.testing.assert_allclose(mixed[number], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(targets[number], target, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(COUNT))
    assert torch.all(targets >= 0)


def test_cutmix_gives_the_share_of_the_pixels_that_are_left() -> None:
    """Counted in what comes out: every image holds its own number, every label is a class of its own."""
    labels = torch.arange(COUNT)
    images = labels.float()[:, None, None, None].expand(-1, 2, *SIZE)
    mixed, targets = mix(images, labels, labels, drawn(CUTMIX), COUNT)
    for number in range(COUNT):
        shown = torch.bincount(mixed[number, 0].long().flatten(), minlength=COUNT)
        assert torch.equal(mixed[number, 0], mixed[number, 1])
        np.testing.assert_allclose(targets[number], shown / (SIZE[0] * SIZE[1]), atol=1e-7)
    shares = targets.diagonal()
    assert shares.min() < 0.4
    assert len(set(shares.tolist())) > 20


@pytest.mark.parametrize("augmentation", ALL, ids=NAMES)
def test_each_image_is_mixed_with_another_one_of_its_batch_each_once(augmentation: Augmentation) -> None:
    labels = torch.arange(COUNT)
    images = torch.zeros(COUNT, 1, *SIZE)
    chosen = set()
    for first in range(0, COUNT, 12):
        index = torch.arange(first, first + 12)
        _, targets = mix(images[:12], labels[:12], index, drawn(augmentation), 12)
        pairs = [set(torch.nonzero(row).flatten().tolist()) - {number} for number, row in enumerate(targets)]
        # A share can be so near 0 or 1 that nothing is seen of the other image.
        partner = [next(iter(pair)) for pair in pairs if pair]
        assert len(set(partner)) == len(partner) > 6
        assert all(len(pair) <= 1 for pair in pairs)
        chosen.add(tuple(map(tuple, pairs)))
    assert len(chosen) == 5


def test_an_image_alone_stays_what_it_is() -> None:
    images, labels = batch(1)
    mixed, targets = mix(images, labels, torch.tensor([3]), drawn(BOTH), CLASSES)
    torch.testing.assert_close(mixed, images)
    np.testing.assert_allclose(targets[0], one_hot(labels[0]), atol=1e-7)


def test_shares_are_beta_and_boxes_have_the_area_that_they_leave() -> None:
    """The first two moments of Beta(alpha, alpha): mean 1/2, variance 1 / (4 (2 alpha + 1))."""
    for augmentation, alpha in ((MIXUP, 0.4), (CUTMIX, 1.0)):
        draws = drawn(augmentation, count=20000)
        assert draws.share.mean().item() == pytest.approx(0.5, abs=0.01)
        assert draws.share.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.005)
        assert bool(draws.cut.all()) is (augmentation is CUTMIX)
        assert bool(draws.cut.any()) is (augmentation is CUTMIX)
        # Sides are in proportion to the image's, cut off to whole pixels; the centre is any pixel.
        side = (1 - draws.share.double()).sqrt()[:, None] * torch.tensor(SIZE)
        assert torch.all((draws.length <= side + 1e-4) & (draws.length > side - 1 - 1e-4))
        for axis, length in enumerate(SIZE):
            counts = torch.bincount(draws.centre[:, axis], minlength=length)
            assert torch.all((counts - 20000 / length).abs() < 200)


def test_with_both_on_each_image_takes_one_of_them_by_its_own_alpha() -> None:
    draws = drawn(BOTH, count=20000)
    assert draws.cut.float().mean().item() == pytest.approx(0.5, abs=0.02)
    for cut, alpha in ((False, 0.8), (True, 0.5)):
        shares = draws.share[draws.cut == cut]
        assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.005)


@pytest.mark.parametrize("alpha", [1e-3, 0.1, 50.0])
def test_any_alpha_gives_finite_shares(alpha: float) -> None:
    draws = drawn(Augmentation("none", 0, 0, mixup=alpha, cutmix=alpha), count=5000)
    assert torch.all((draws.share >= 0) & (draws.share <= 1))
    assert torch.all((draws.length >= 0) & (draws.length <= torch.tensor(SIZE)))


def entries(draws: MixingDraws) -> list[Tensor]:
    return [draws.share, draws.cut, draws.centre, draws.length, draws.turn]


def test_draws_are_repeatable_and_seed_and_epoch_both_matter() -> None:
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    chosen = [drawn(BOTH, seed, epoch) for seed in (0, 1, 12) for epoch in (0, 1, 2, 21)]
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], before_numpy)  # type: ignore[index]
    for number, one in enumerate(chosen):
        for other in chosen[:number]:
            assert not any(torch.equal(a, b) for a, b in zip(entries(one), entries(other), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(entries(drawn(BOTH, 0, 1)), entries(chosen[1]), strict=True))


def test_without_mixing_nothing_is_drawn() -> None:
    assert draw_mixing(Augmentation("random", 2, 2), COUNT, SIZE, 0, 0) is None
