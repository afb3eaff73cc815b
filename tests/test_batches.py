"""The order of training images, resuming inside an epoch, normalisation, and the views of an evaluation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

from attn_train.data.augment import Augmentation, cut_out, draw, gather
from attn_train.data.batches import Normalization, TrainBatches, shifted, views
from attn_train.data.dataset import Split
from attn_train.data.mixing import draw_mixing, mix
from attn_train.data.policy import apply, draw_policy, plan

UNIT = Normalization(torch.zeros(1), torch.full((1,), 1 / 255))  # shows the pixel values themselves
SIDES = (4,) * 8  # of each epoch's images
# Everything that can be drawn.
ALL = Augmentation("random", 2, 3, "randaugment", policy_ops=2, policy_magnitude=20, mixup=0.5, cutmix=1.0)


def numbered(count: int) -> Split:
    """Images of 4x4 pixels that all hold the image's number, which is its label too."""
    numbers = torch.arange(count)
    return Split(numbers.to(torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous(), numbers)


def make(count: int = 50, batch_size: int = 8, drop_last: bool = False) -> TrainBatches:
    return TrainBatches(
        numbered(count), batch_size, drop_last, Augmentation("none", 0, 0), UNIT, count, SIDES, 0.0, 1, None, 0, 0
    )


def order(batches: TrainBatches, epoch: int) -> list[int]:
    return [int(label) for _, labels in batches.epoch(epoch) for label in labels]


def test_an_epoch_shows_every_image_once_with_its_label() -> None:
    for epoch in range(3):
        batches = list(make().epoch(epoch))
        assert [len(labels) for _, labels in batches] == [8] * 6 + [2]
        assert sorted(int(label) for _, labels in batches for label in labels) == list(range(50))
        for images, labels in batches:
            assert images.dtype == torch.float32
            torch.testing.assert_close(images[:, 0, 0, 0], labels.float())


def test_the_order_follows_from_seed_and_epoch() -> None:
    batches = make()
    orders = [tuple(order(replace(batches, order_seed=seed), epoch)) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len({*orders, tuple(range(50))}) == 7
    torch.rand(3)
    assert tuple(order(batches, 0)) == orders[0]
    assert tuple(order(replace(batches, augment_seed=9), 0)) == orders[0]


def test_the_batch_size_does_not_change_the_order() -> None:
    assert order(make(batch_size=8), 1) == order(make(batch_size=13), 1)


@pytest.mark.parametrize(
    ("count", "drop_last", "sizes"),
    [(50, True, [8] * 6), (50, False, [8] * 6 + [2]), (48, True, [8] * 6), (48, False, [8] * 6), (5, True, [])],
)
def test_an_unfilled_last_batch_is_dropped_on_request(count: int, drop_last: bool, sizes: list[int]) -> None:
    batches = make(count, 8, drop_last)
    assert batches.steps(0) == len(sizes)
    assert [len(labels) for _, labels in batches.epoch(0)] == sizes


@pytest.mark.parametrize("start", [0, 1, 4, 6, 7])
def test_an_epoch_goes_on_exactly_where_it_was_left(start: int) -> None:
    batches = replace(make(), augmentation=ALL)
    whole, rest = list(batches.epoch(3)), list(batches.epoch(3, start=start))
    assert len(rest) == len(whole) - start
    for (images, labels), (expected_images, expected_labels) in zip(rest, whole[start:], strict=True):
        assert torch.equal(images, expected_images)
        assert torch.equal(labels, expected_labels)


def colours(augmentation: Augmentation, device: str = "cpu") -> TrainBatches:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 3, 6, 6), generator=random).to(torch.uint8)
    split = Split(images.to(device), torch.arange(20).to(device))
    normalization = Normalization(torch.tensor([0.2, 0.5, 0.9]), torch.tensor([0.1, 0.2, 0.3]))
    normalization = normalization.to(torch.device(device))
    return TrainBatches(
        split, 7, False, augmentation, normalization, 20, (6,) * 3, 0.0, 1, None, order_seed=1, augment_seed=4
    )


FILL = torch.tensor([51, 128, 230], dtype=torch.uint8)  # the mean of `colours`, in steps of 1/255


def test_images_are_augmented_by_their_own_draws_and_filled_with_the_mean() -> None:
    augmentation = Augmentation("random", 2, 3)
    batches = colours(augmentation)
    draws = draw(augmentation, 20, (6, 6), seed=4, epoch=2)
    for batch, labels in batches.epoch(2):
        assert labels.dtype == torch.int64
        expected = cut_out(gather(batches.split.images, labels, draws, augmentation), draws.hole[labels], 3, FILL)
        assert torch.equal(batch, batches.normalization(expected))


def test_flip_and_shift_come_before_the_policy_and_cutout_and_mixing_after_it() -> None:
    batches = colours(ALL)
    images = batches.split.images
    draws = draw(ALL, 20, (6, 6), seed=4, epoch=2)
    operations, mixing = draw_policy(ALL, 20, (6, 6), seed=4, epoch=2), draw_mixing(ALL, 20, (6, 6), seed=4, epoch=2)
    assert operations is not None
    assert mixing is not None
    shown = torch.tensor(order(replace(batches, augmentation=Augmentation("none", 0, 0)), 2))
    # In one batch of all images, in their own order: only the mixing knows of batches.
    whole = torch.arange(20)
    made = plan(operations, whole, 20, torch.device("cpu"))
    expected = apply(gather(images, whole, draws, ALL), made, 0, FILL)
    expected = batches.normalization(cut_out(expected, draws.hole, 3, FILL))
    found = list(batches.epoch(2))
    assert [len(targets) for _, targets in found] == [7, 7, 6]
    for (batch, targets), index in zip(found, shown.split(7), strict=True):
        mixed, shares = mix(expected[index], index, index, mixing, 20)
        assert torch.equal(batch, mixed)
        assert torch.equal(targets, shares)
        assert targets.dtype == torch.float32


@pytest.mark.parametrize(
    "augmentation",
    [Augmentation("alternating", 2, 3), ALL, replace(ALL, policy="trivialaugment")],
    ids=lambda one: one.policy,
)
def test_no_batch_waits_for_the_device(augmentation: Augmentation) -> None:
    """On the meta device, which holds no values, whatever would read one back fails."""
    for (batch, targets), (like, targets_like) in zip(
        colours(augmentation, "meta").epoch(1), colours(augmentation).epoch(1), strict=True
    ):
        assert (batch.shape, batch.dtype, batch.device.type) == (like.shape, like.dtype, "meta")
        assert (targets.shape, targets.dtype, targets.device.type) == (targets_like.shape, targets_like.dtype, "meta")


@pytest.mark.parametrize("channels", [1, 3])
def test_normalisation_is_torchvisions(channels: int) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (4, 5, 6, channels), dtype=np.uint8)
    mean, deviation = [0.4914, 0.4822, 0.4465][:channels], [0.2470, 0.2435, 0.2616][:channels]
    reference = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, deviation)])
    expected = torch.stack([reference(image) for image in pixels])
    own = Normalization(torch.tensor(mean), torch.tensor(deviation))
    found = own(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("count", [1, 2, 6])
def test_views_are_whole_and_their_weights_sum_to_one(count: int) -> None:
    images = torch.randn(3, 2, 5, 7)
    found = views(images, count)
    assert len(found) == count
    assert sum(weight for weight, _ in found) == 1
    assert torch.equal(found[0][1], images)
    assert all(view.shape == images.shape for _, view in found)
    distinct = [view for _, view in found]
    assert not any(torch.equal(a, b) for number, a in enumerate(distinct) for b in distinct[:number])


def test_the_second_view_is_the_mirror_image() -> None:
    images = torch.randn(3, 2, 5, 7)
    for count in (2, 6):
        assert np.array_equal(views(images, count)[1][1], images.numpy()[..., ::-1])


def pad_shift(images: Tensor, shift: int) -> Tensor:
    reach = abs(shift)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="reflect")
    height, width = images.shape[-2:]
    start = reach - shift
    return torch.from_numpy(padded[..., start : start + height, start : start + width].copy())


@pytest.mark.parametrize("shift", [-3, -1, 0, 1, 2])
def test_a_shift_is_numpys_reflected_padding(shift: int) -> None:
    images = torch.randn(3, 2, 5, 7)
    assert torch.equal(shifted(images, shift), pad_shift(images, shift))


def test_the_six_views_are_those_of_the_paper() -> None:
    images = torch.randn(3, 2, 5, 7)
    expected = [(0.25, images), (0.25, images.flip(-1))]
    for shift in (-1, 1):
        moved = pad_shift(images, shift)
        expected += [(0.125, moved), (0.125, moved.flip(-1))]
    for (weight, view), (expected_weight, expected_view) in zip(views(images, 6), expected, strict=True):
        assert weight == expected_weight
        assert torch.equal(view, expected_view)


def test_an_epoch_has_the_resolution_that_its_side_says() -> None:
    """Held against Pillow, whose bilinear reduction weighs all pixels that a new one covers, too."""
    random = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (6, 3, 12, 12), generator=random).to(torch.uint8)
    split = Split(images, torch.arange(6))
    plain = Augmentation("none", 0, 0)
    unit = Normalization(torch.zeros(3), torch.full((3,), 1 / 255))
    batches = TrainBatches(split, 6, False, plain, unit, 6, (5, 8, 12), 0.0, 1, None, 0, 0)
    for epoch, side in enumerate((5, 8, 12)):
        ((shown, labels),) = batches.epoch(epoch)
        assert shown.shape == (6, 3, side, side)
        for image, label in zip(shown, labels, strict=True):
            pictures = [Image.fromarray(channel.numpy()) for channel in images[label]]
            expected = [
                np.asarray(one.convert("F").resize((side, side), Image.Resampling.BILINEAR)) for one in pictures
            ]
            np.testing.assert_allclose(image.numpy(), np.stack(expected), atol=1e-2)
