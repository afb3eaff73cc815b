"""Draws follow from (seed, epoch, index) alone; what they do to an image equals numpy's padding and slicing."""

import itertools
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from attn_train.data.augment import Augmentation, Draws, cut_out, draw, gather
from attn_train.seeds import generator

COUNT, SIZE = 60, (9, 12)
FILL = torch.tensor([7, 70, 200], dtype=torch.uint8)
PLAIN = Augmentation("none", 0, 0)
ALL = Augmentation("random", 3, 4)


def pictures(count: int = COUNT, size: tuple[int, int] = SIZE) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, *size), generator=random).to(torch.uint8)


def drawn(augmentation: Augmentation, seed: int = 1, epoch: int = 0) -> Draws:
    return draw(augmentation, COUNT, SIZE, seed, epoch)


def augmented(images: Tensor, index: Tensor, draws: Draws, augmentation: Augmentation) -> Tensor:
    batch = gather(images, index, draws, augmentation)
    return cut_out(batch, draws.hole[index], augmentation.cutout, FILL)


def same(one: Draws, other: Draws) -> bool:
    pairs = ((one.flip, other.flip), (one.shift, other.shift), (one.hole, other.hole))
    return all(torch.equal(a, b) for a, b in pairs)


def by_numpy(image: Tensor, flip: bool, shift: list[int], hole: list[int], augmentation: Augmentation) -> Any:
    """Augment one image (channels, height, width): a padded crop, its mirror, then the hole."""
    height, width = image.shape[1:]
    reach = augmentation.crop
    padded = np.pad(image.numpy(), ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    top, left = reach + shift[0], reach + shift[1]
    out = padded[:, top : top + height, left : left + width].copy()
    if flip:
        out = out[:, :, ::-1].copy()
    side = augmentation.cutout
    for row in range(hole[0] - side // 2, hole[0] - side // 2 + side):
        for column in range(hole[1] - side // 2, hole[1] - side // 2 + side):
            if 0 <= row < height and 0 <= column < width:
                out[:, row, column] = FILL.numpy()
    return out


@pytest.mark.parametrize("flip", ["none", "random", "alternating"])
@pytest.mark.parametrize(("crop", "cutout"), [(0, 0), (2, 0), (0, 3), (3, 4), (8, 9)])
def test_each_image_is_padded_cropped_mirrored_and_cut(
    flip: Literal["none", "random", "alternating"], crop: int, cutout: int
) -> None:
    augmentation = Augmentation(flip, crop, cutout)
    images, draws = pictures(), drawn(augmentation)
    batch = augmented(images, torch.arange(COUNT), draws, augmentation)
    assert batch.dtype == torch.uint8
    for number in range(COUNT):
        shift, hole = draws.shift[number].tolist(), draws.hole[number].tolist()
        expected = by_numpy(images[number], bool(draws.flip[number]), shift, hole, augmentation)
        np.testing.assert_array_equal(batch[number].numpy(), expected)


def test_neither_company_nor_order_changes_an_image() -> None:
    images, draws = pictures(), drawn(ALL)
    whole = augmented(images, torch.arange(COUNT), draws, ALL)
    for index in (torch.tensor([5]), torch.tensor([40, 3, 3, 59]), torch.randperm(COUNT)):
        assert torch.equal(augmented(images, index, draws, ALL), whole[index])


def test_draws_are_repeatable_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = drawn(ALL, 5, 2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(17)
    drawn(ALL, 4, 1)
    assert same(drawn(ALL, 5, 2), first)


def test_seed_and_epoch_both_matter() -> None:
    chosen = [drawn(ALL, seed, epoch) for seed in (0, 1, 12) for epoch in (0, 1, 2, 21)]
    for number, one in enumerate(chosen):
        for other in chosen[:number]:
            assert not torch.equal(one.flip, other.flip)
            assert not torch.equal(one.shift, other.shift)
            assert not torch.equal(one.hole, other.hole)


def test_images_of_one_batch_are_drawn_apart() -> None:
    draws = drawn(ALL)
    assert 0 < draws.flip.sum() < COUNT
    assert len({tuple(one) for one in draws.shift.tolist()}) > 25  # of 49
    assert len({tuple(one) for one in draws.hole.tolist()}) > 25  # of 108


def test_every_value_is_drawn_about_equally_often() -> None:
    draws = draw(Augmentation("random", 2, 3), 20000, (4, 6), seed=0, epoch=0)
    assert draws.flip.float().mean().item() == pytest.approx(0.5, abs=0.02)
    for counts, expected in (
        (torch.bincount(draws.shift[:, 0] + 2, minlength=5), 4000),
        (torch.bincount(draws.shift[:, 1] + 2, minlength=5), 4000),
        (torch.bincount(draws.hole[:, 0], minlength=4), 5000),
        (torch.bincount(draws.hole[:, 1], minlength=6), 3333),
    ):
        assert torch.all((counts - expected).abs() < 300)


def test_alternating_shows_both_sides_in_successive_epochs() -> None:
    augmentation = Augmentation("alternating", 0, 0)
    images, index = pictures(), torch.arange(COUNT)
    shown = [augmented(images, index, drawn(augmentation, 3, epoch), augmentation) for epoch in range(5)]
    for now, later in itertools.pairwise(shown):
        assert torch.equal(later, now.flip(-1))
    mirrored = (shown[0] != images).flatten(1).any(dim=1)
    assert 15 < mirrored.sum() < 45
    # Another seed shows other images first from their mirrored side.
    assert not torch.equal(drawn(augmentation, 4).flip, drawn(augmentation, 3).flip)


def test_a_flip_is_exact_and_none_is_none() -> None:
    images, draws = pictures(), drawn(Augmentation("random", 0, 0))
    batch = augmented(images, torch.arange(COUNT), draws, Augmentation("random", 0, 0))
    assert torch.equal(batch[draws.flip], images[draws.flip].flip(-1))
    assert torch.equal(batch[~draws.flip], images[~draws.flip])
    assert not drawn(PLAIN).flip.any()
    assert torch.equal(augmented(images, torch.arange(COUNT), drawn(PLAIN), PLAIN), images)


@pytest.mark.parametrize("cutout", [1, 2, 3, 4])
def test_a_hole_has_its_size_and_colour_and_is_cut_off_at_the_edge(cutout: int) -> None:
    augmentation = Augmentation("none", 0, cutout)
    images = torch.zeros(COUNT, 3, *SIZE, dtype=torch.uint8)
    draws = drawn(augmentation)
    batch = augmented(images, torch.arange(COUNT), draws, augmentation)
    holes = batch[:, 0] == FILL[0]
    assert torch.equal(batch, torch.where(holes[:, None], FILL[:, None, None], images))
    areas = holes.flatten(1).sum(dim=1)
    assert areas.max() == cutout**2
    assert areas.min() >= (cutout // 2) ** 2
    whole = torch.tensor(
        [all(cutout <= at < side - cutout for at, side in zip(hole, SIZE, strict=True)) for hole in draws.hole.tolist()]
    )
    assert whole.any()
    assert torch.all(areas[whole] == cutout**2)


def test_generators_of_different_purpose_and_numbers_differ() -> None:
    keys: list[tuple[Any, ...]] = [("a", 1, 23), ("a", 12, 3), ("a", 123), ("b", 1, 23), ("a", 1, 23, 0), ("a",)]
    streams = [tuple(torch.rand(4, generator=generator(*key)).tolist()) for key in keys]
    assert len(set(streams)) == len(keys)
    assert streams[0] == tuple(torch.rand(4, generator=generator("a", 1, 23)).tolist())
