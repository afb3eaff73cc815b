"""Random resized crops: the boxes follow the paper's distribution, the pixels are torchvision's."""

import math

import pytest
import torch
from scipy import stats
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from attn_train.data.augment import Augmentation
from attn_train.data.resized_crop import crop_and_resize, draw_boxes

CROPS = Augmentation("none", 0, 0, resized_crop=0.08)


def test_the_pixels_are_torchvisions() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 24, 20), generator=random).to(torch.uint8)
    boxes = draw_boxes(CROPS, 40, (24, 20), seed=1, epoch=2)
    assert boxes is not None
    boxes[0], boxes[1] = torch.tensor([0, 0, 24, 20]), torch.tensor([23, 19, 1, 1])
    found = crop_and_resize(images, boxes)
    for image, box, ours in zip(images, boxes.tolist(), found, strict=True):
        theirs = functional.resized_crop(image.double(), *box, [24, 20], antialias=False)
        assert (ours - theirs).abs().max() <= 0.5 + 1e-3  # ours is rounded to whole numbers
    assert torch.equal(found[0], images[0])
    assert (found[1] == images[1, :, 23:, 19:]).all()


def test_the_boxes_are_distributed_as_torchvisions() -> None:
    count = 4000
    boxes = draw_boxes(CROPS, count, (64, 64), seed=0, epoch=0)
    assert boxes is not None
    top, left, height, width = boxes.double().unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 64).all()
    assert (left + width <= 64).all()
    torch.manual_seed(5)
    image = torch.zeros(1, 64, 64)
    crop = v2.RandomResizedCrop(64)
    drawn = [crop.make_params([image]) for _ in range(count)]
    theirs = torch.tensor([[box[key] for key in ("top", "left", "height", "width")] for box in drawn])
    for ours, other in ((height * width, theirs[:, 2] * theirs[:, 3]), (height / width, theirs[:, 2] / theirs[:, 3])):
        assert stats.ks_2samp(ours.numpy(), other.numpy()).pvalue > 0.01
    assert stats.ks_2samp(top.numpy(), theirs[:, 0].numpy()).pvalue > 0.01


def test_the_boxes_follow_from_seed_and_epoch() -> None:
    first, again = (draw_boxes(CROPS, 9, (16, 16), seed=3, epoch=1) for _ in range(2))
    other = draw_boxes(CROPS, 9, (16, 16), seed=3, epoch=2)
    assert first is not None
    assert again is not None
    assert other is not None
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert draw_boxes(Augmentation("none", 0, 0), 9, (16, 16), seed=3, epoch=1) is None


def test_where_no_box_fits_the_whole_image_is_taken() -> None:
    """An image so flat that no box of a ratio up to 4/3 has even a third of its area."""
    boxes = draw_boxes(Augmentation("none", 0, 0, resized_crop=0.9), 50, (4, 64), seed=0, epoch=0)
    assert boxes is not None
    assert boxes.tolist() == [[0, 0, 4, 64]] * 50


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_no_crop_is_smaller_than_the_least_share(share: float) -> None:
    boxes = draw_boxes(Augmentation("none", 0, 0, resized_crop=share), 500, (40, 40), seed=0, epoch=0)
    assert boxes is not None
    areas = boxes[:, 2] * boxes[:, 3]
    assert areas.min() >= share * 1600 - 40 * math.sqrt(2)  # sides are rounded
