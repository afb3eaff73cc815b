"""Every operation against Pillow or torchvision, one image at a time; whose draws follow from (seed, epoch, index)."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import atan, cos, degrees, floor, radians, sin
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ImageEnhance, ImageOps
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from attn_train.data.augment import Augmentation
from attn_train.data.policy import LEVELS, OPERATIONS, PolicyDraws, apply, draw_policy, max_magnitudes, plan

CPU = torch.device("cpu")
COUNT, SIZE = 400, (21, 18)
TRIVIAL = Augmentation("none", 0, 0, policy="trivialaugment")
RAND = Augmentation("none", 0, 0, policy="randaugment", policy_ops=3, policy_magnitude=20)
POLICIES = [TRIVIAL, RAND]
COLOUR = {
    "identity": lambda image, _: image,
    "auto_contrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "solarize": lambda image, amount: ImageOps.solarize(image, 256 - abs(amount)),
    "posterize": lambda image, amount: ImageOps.posterize(image, 8 - round(abs(amount))),
    "color": lambda image, amount: ImageEnhance.Color(image).enhance(1 + amount),
    "brightness": lambda image, amount: ImageEnhance.Brightness(image).enhance(1 + amount),
    "contrast": lambda image, amount: ImageEnhance.Contrast(image).enhance(1 + amount),
    "sharpness": lambda image, amount: ImageEnhance.Sharpness(image).enhance(1 + amount),
}


def affine(image: Tensor, fill: list[float], shift: list[float], shear: list[float]) -> Tensor:
    return functional.affine(image, 0, shift, 1.0, [degrees(atan(one)) for one in shear], fill=fill, center=[0, 0])


GEOMETRY: dict[str, Callable[[Tensor, float, list[float]], Tensor]] = {
    "rotate": lambda image, amount, fill: functional.rotate(image, amount, fill=fill),
    "shear_x": lambda image, amount, fill: affine(image, fill, [0, 0], [amount, 0]),
    "shear_y": lambda image, amount, fill: affine(image, fill, [0, 0], [0, amount]),
    "translate_x": lambda image, amount, fill: affine(image, fill, [int(amount), 0], [0, 0]),
    "translate_y": lambda image, amount, fill: affine(image, fill, [0, int(amount)], [0, 0]),
}


def pictures(count: int, channels: int = 3, size: tuple[int, int] = SIZE, seed: int = 0) -> Tensor:
    """Images of all kinds of range: dull and bright, with and without noise, of one grey level."""
    random = torch.Generator().manual_seed(seed)
    low = torch.rand(count, channels, 1, 1, generator=random)
    high = torch.rand(count, channels, 1, 1, generator=random)
    ramp = torch.linspace(0, 1, size[1]) * torch.linspace(0.2, 1, size[0])[:, None]
    noise = torch.rand(count, channels, *size, generator=random)
    mixed = torch.where(torch.arange(count)[:, None, None, None] % 2 == 0, noise, ramp.expand_as(noise))
    images = (low + (high - low) * mixed) * 255.999
    images[0], images[1], images[2] = 0, 255, 100
    images[3] = noise[3] * 255.999
    return images.to(torch.uint8)


def fill_for(channels: int) -> Tensor:
    return torch.tensor([7, 70, 200, 9], dtype=torch.uint8)[:channels]


def magnitudes(name: str, policy: str, size: tuple[int, int] = SIZE) -> Tensor:
    """Every magnitude of an operation, either way: float32 (2 * LEVELS + 1,)."""
    return torch.arange(-LEVELS, LEVELS + 1) / LEVELS * max_magnitudes(policy, size).get(name, 0.0)


def perform(name: str, images: Tensor, magnitude: Tensor) -> Tensor:
    before = images.clone()
    found = OPERATIONS[name](images, magnitude[:, None, None, None], fill_for(images.shape[1]))
    assert torch.equal(images, before)
    assert found.dtype == torch.uint8
    assert found.shape == images.shape
    return found


def test_the_peers_are_those_of_all_operations() -> None:
    assert {*COLOUR, *GEOMETRY} == set(OPERATIONS)
    assert len(OPERATIONS) == 14


@pytest.mark.parametrize("size", [SIZE, (4, 5), (33, 47)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
@pytest.mark.parametrize("name", COLOUR)
def test_a_colour_operation_is_pillows(name: str, policy: str, channels: int, size: tuple[int, int]) -> None:
    """But for a level, seldom: compilers round Pillow's blends differently, and its auto contrast, in floating point,
    falls short of the exact quotient in 0.9 % of all cases."""
    magnitude = magnitudes(name, policy, size)
    images = pictures(len(magnitude), channels, size)
    found = perform(name, images, magnitude)
    expected = []
    for image, amount in zip(images, magnitude.tolist(), strict=True):
        picture = functional.to_pil_image(image)
        expected.append(functional.pil_to_tensor(COLOUR[name](picture, amount)))
    difference = (found.int() - torch.stack(expected).int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < (0.02 if name == "auto_contrast" else 0.001)


def source(name: str, amount: float, size: tuple[int, int]) -> Any:
    """Where each pixel's centre comes from, by inverting the matrix that says where it goes: float64 (2, h, w)."""
    height, width = size
    matrix, centre = np.eye(2), np.zeros((2, 1))
    shift = np.zeros((2, 1))
    if name == "rotate":
        angle = radians(-amount)  # y points down
        matrix, centre = (
            np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]]),
            np.array([[width], [height]]) / 2,
        )
    elif name.startswith("shear"):
        matrix["xy".index(name[-1]), "yx".index(name[-1])] = -amount
    else:
        shift["xy".index(name[-1])] = int(amount)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    there = np.stack([x.ravel(), y.ravel()]) - centre - shift
    return (np.linalg.inv(matrix) @ there + centre).reshape(2, height, width)


@pytest.mark.slow
@pytest.mark.parametrize("size", [SIZE, (32, 32), (7, 40)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
@pytest.mark.parametrize("name", GEOMETRY)
def test_a_geometric_operation_is_torchvisions(name: str, policy: str, channels: int, size: tuple[int, int]) -> None:
    """Exactly, but for points within a five-thousandth of a pixel of the line between two: torchvision leaves these to
    the rounding of its float32, this program does not."""
    magnitude = magnitudes(name, policy, size)
    images = pictures(len(magnitude), channels, size)
    found = perform(name, images, magnitude)
    left_out = 0
    for number, amount in enumerate(magnitude.tolist()):
        fill = [float(one) for one in fill_for(channels)]
        expected = GEOMETRY[name](images[number], amount, fill)
        places = source(name, amount, size)
        near = torch.from_numpy((np.abs(places - np.round(places)) < 2e-4).any(axis=0))
        left_out += int(near.sum())
        assert torch.equal(torch.where(near, 0, found[number]), torch.where(near, 0, expected)), amount
    assert left_out < (0 if name.startswith("translate") else 0.08) * magnitude.numel() * size[0] * size[1] + 1


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "reach"), [("randaugment", Fraction(3, 10)), ("trivialaugment", Fraction(99, 100))])
def test_a_point_between_two_pixels_takes_the_one_to_the_right_or_below(policy: str, reach: Fraction) -> None:
    """In exact fractions: RandAugment's shears often hit the line between two pixels, TrivialAugment's the vicinity."""
    images = pictures(2 * LEVELS + 1, 1)
    height, width = SIZE
    across = perform("shear_x", images, magnitudes("shear_x", policy))
    down = perform("shear_y", images, magnitudes("shear_y", policy))
    ties = 0
    for number in range(2 * LEVELS + 1):
        amount = reach * (number - LEVELS) / LEVELS
        for row in range(height):
            for column in range(width):
                x, y = column + Fraction(1, 2), row + Fraction(1, 2)
                at_x, at_y = x + amount * y, y + amount * x
                ties += (at_x.denominator == 1) + (at_y.denominator == 1)
                expected = images[number, 0, row, floor(at_x)] if 0 <= at_x < width else fill_for(1)[0]
                assert across[number, 0, row, column] == expected
                expected = images[number, 0, floor(at_y), column] if 0 <= at_y < height else fill_for(1)[0]
                assert down[number, 0, row, column] == expected
    assert (ties > 100) is (policy == "randaugment")


def test_turns_by_right_angles_move_every_pixel() -> None:
    images = pictures(4, 3, (9, 9))
    found = perform("rotate", images, torch.tensor([0.0, 90.0, -90.0, 180.0]))
    assert torch.equal(
        found, torch.stack([torch.rot90(image, k, (1, 2)) for image, k in zip(images, (0, 1, 3, 2), strict=True)])
    )


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"auto_contrast", "equalize"}))
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_no_magnitude_is_no_change(name: str, channels: int) -> None:
    images = pictures(9, channels)
    assert torch.equal(perform(name, images, torch.zeros(9)), images)


@pytest.mark.parametrize("name", OPERATIONS)
def test_any_number_of_channels_goes(name: str) -> None:
    """What is not about colour as a whole does to each channel what it does to it alone."""
    magnitude = magnitudes(name, "trivialaugment")
    images = pictures(len(magnitude), 4)
    found = perform(name, images, magnitude)
    if name in ("color", "contrast"):
        return
    for channel in range(4):
        fill = fill_for(4)[channel : channel + 1]
        alone = OPERATIONS[name](images[:, channel : channel + 1], magnitude[:, None, None, None], fill)
        assert torch.equal(found[:, channel : channel + 1], alone)


def test_color_leaves_grey_images_alone() -> None:
    magnitude = magnitudes("color", "trivialaugment")
    for channels in (1, 2, 3, 4):
        images = pictures(len(magnitude), 1).expand(-1, channels, -1, -1)
        assert torch.equal(perform("color", images, magnitude), images)


PEER_SPACES = {
    "randaugment": v2.RandAugment._AUGMENTATION_SPACE,
    "trivialaugment": v2.TrivialAugmentWide._AUGMENTATION_SPACE,
}


@pytest.mark.parametrize("policy", PEER_SPACES)
def test_the_ranges_are_torchvisions(policy: str) -> None:
    space = {name.lower(): entry for name, entry in PEER_SPACES[policy].items()}
    assert set(space) == {name.replace("_", "") for name in OPERATIONS}
    limits = max_magnitudes(policy, SIZE)
    for name in OPERATIONS:
        expected = space[name.replace("_", "")][0](LEVELS + 1, *SIZE)
        found = magnitudes(name, policy)[LEVELS:]
        if expected is None:
            assert name not in limits
        elif name == "solarize":  # where torchvision has a share of the full range, as a threshold
            torch.testing.assert_close(found, 256 * (1 - expected))
        elif name == "posterize":  # where torchvision has the bits that stay
            assert torch.equal(found.round(), 8.0 - expected)
        else:
            torch.testing.assert_close(found, expected)


def drawn(augmentation: Augmentation, seed: int = 1, epoch: int = 0, count: int = COUNT) -> PolicyDraws:
    draws = draw_policy(augmentation, count, SIZE, seed, epoch)
    assert draws is not None
    return draws


def augmented(images: Tensor, draws: PolicyDraws, order: Tensor, batch_size: int) -> Tensor:
    """All of images[order], batch by batch."""
    made = plan(draws, order, batch_size, CPU)
    fill = fill_for(images.shape[1])
    parts = images[order].split(batch_size)
    return torch.cat([apply(part, made, number, fill) for number, part in enumerate(parts)])


def test_without_a_policy_nothing_is_drawn() -> None:
    assert draw_policy(Augmentation("random", 2, 2), COUNT, SIZE, 0, 0) is None


@pytest.mark.parametrize("augmentation", POLICIES, ids=lambda one: one.policy)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_goes_through_its_own_operations_in_turn(augmentation: Augmentation, channels: int) -> None:
    images, draws = pictures(COUNT, channels), drawn(augmentation)
    found = augmented(images, draws, torch.arange(COUNT), 150)
    functions = list(OPERATIONS.values())
    for number in range(COUNT):
        expected = images[number : number + 1]
        for operation, magnitude in zip(draws.operation[:, number], draws.magnitude[:, number], strict=True):
            expected = functions[operation](expected, magnitude.reshape(1, 1, 1, 1), fill_for(channels))
        assert torch.equal(found[number : number + 1], expected)
    assert (found != images).flatten(1).any(dim=1).float().mean() > 0.6
    before = images.clone()
    assert torch.equal(apply(images, plan(draws, torch.arange(COUNT), COUNT, CPU), 0, fill_for(channels)), found)
    assert torch.equal(images, before)


@pytest.mark.slow
@pytest.mark.parametrize("augmentation", POLICIES, ids=lambda one: one.policy)
def test_neither_company_nor_order_nor_batch_size_changes_an_image(augmentation: Augmentation) -> None:
    images, draws = pictures(COUNT), drawn(augmentation)
    whole = augmented(images, draws, torch.arange(COUNT), COUNT)
    for seed, batch_size in enumerate((1, 7, 64, 1000)):
        order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(augmented(images, draws, order, batch_size), whole[order])


@pytest.mark.parametrize("augmentation", POLICIES, ids=lambda one: one.policy)
def test_draws_are_repeatable_and_seed_and_epoch_both_matter(augmentation: Augmentation) -> None:
    before = torch.get_rng_state()
    chosen = [drawn(augmentation, seed, epoch) for seed in (0, 1, 12) for epoch in (0, 1, 2, 21)]
    assert torch.equal(torch.get_rng_state(), before)
    for number, one in enumerate(chosen):
        for other in chosen[:number]:
            assert not torch.equal(one.operation, other.operation)
            assert not torch.equal(one.magnitude, other.magnitude)
    again = drawn(augmentation, 0, 1)
    assert torch.equal(again.operation, chosen[1].operation)
    assert torch.equal(again.magnitude, chosen[1].magnitude)


def test_trivialaugment_draws_operation_strength_and_sign_evenly() -> None:
    draws = drawn(TRIVIAL, count=42000)
    assert draws.operation.shape == (1, 42000)
    counts = torch.bincount(draws.operation[0], minlength=14)
    assert torch.all((counts - 3000).abs() < 250)
    for number, name in enumerate(OPERATIONS):
        found = draws.magnitude[draws.operation == number]
        limit = max_magnitudes("trivialaugment", SIZE).get(name)
        if limit is None:
            assert not found.any()
            continue
        level = (found.abs() / limit * LEVELS).round().long()
        levels = torch.bincount(level, minlength=LEVELS + 1)  # about 97 each
        assert len(levels) == LEVELS + 1
        assert levels.min() > 50
        assert levels.max() < 150
        assert (found < 0).float().mean().item() == pytest.approx(0.5 * LEVELS / (LEVELS + 1), abs=0.04)


@pytest.mark.parametrize("magnitude", [0, 9, 30])
@pytest.mark.parametrize("ops", [1, 2, 4])
def test_randaugment_draws_so_many_operations_at_its_magnitude(ops: int, magnitude: int) -> None:
    draws = drawn(replace(RAND, policy_ops=ops, policy_magnitude=magnitude), count=14000)
    assert draws.operation.shape == draws.magnitude.shape == (ops, 14000)
    for number, name in enumerate(OPERATIONS):
        limit = max_magnitudes("randaugment", SIZE).get(name, 0.0)
        found = draws.magnitude[draws.operation == number]
        torch.testing.assert_close(found.abs(), torch.full_like(found, limit * magnitude / 30))
        assert len(found) == pytest.approx(1000 * ops, abs=150 * ops)
        if limit * magnitude:
            assert (found < 0).float().mean().item() == pytest.approx(0.5, abs=0.08)
    # The rounds are drawn apart.
    assert len({tuple(row.tolist()) for row in draws.operation}) == ops
