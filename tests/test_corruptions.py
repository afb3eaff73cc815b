"""Each corruption against an independent computation, an image at a time: SciPy, Matplotlib, or the formula as a slow
loop; and whatever the batch, the same bytes."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from scipy import fft, ndimage
from scipy.stats import kstest, norm, poisson
from torch import Tensor

from attn_train.errors import ConfigError
from attn_train.robust import corruptions
from attn_train.robust.corruptions import CORRUPTIONS, EXTRA, MAIN_GROUPS, SEVERITIES, corrupt
from attn_train.robust.draws import Draws, draws_for
from attn_train.robust.spatter import distances, equalized, rims
from attn_train.robust.weather import ice, plasma

Array = Any  # float64 (height, width, channels), from 0 to 1
Reference = Callable[[Array, int, Draws], Array]


def photos(count: int = 3, channels: int = 3, side: int = 32) -> Tensor:
    """Images with smooth parts, edges, noise, and pixels that are black, white and grey."""
    random = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(random.normal(size=(count, channels, side, side)), (0, 0, side / 10, side / 10))
    images = 0.5 + 2.5 * smooth + 0.05 * random.normal(size=smooth.shape)
    images[:, :, side // 2 :, side // 3 :] += 0.3
    images[:, :, : side // 4, : side // 4] = np.linspace(0, 1, side // 4)
    return torch.from_numpy((images.clip(0, 1) * 255).round().astype(np.uint8))


def bytes_of(values: Array) -> Array:
    return np.floor(values.clip(0, 1) * 255 + 2**-20)


def channelwise(image: Array, change: Callable[[Array], Array]) -> Array:
    return np.stack([change(image[..., channel]) for channel in range(image.shape[2])], axis=-1)


def gaussian(image: Array, std: float) -> Array:
    return channelwise(image, lambda plane: ndimage.gaussian_filter(plane, std, mode="nearest"))


def defocus(image: Array, severity: int, draws: Draws) -> Array:
    radius, std = [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)][severity - 1]
    y, x = np.mgrid[-8:9, -8:9]
    disk = (y**2 + x**2 <= radius**2).astype(float)
    rim = np.exp(-(np.array([-1, 0, 1]) ** 2) / (2 * std**2))
    kernel = ndimage.convolve(disk / disk.sum(), np.outer(rim, rim) / rim.sum() ** 2)
    return channelwise(image, lambda plane: ndimage.correlate(plane, kernel, mode="mirror"))


def glass(image: Array, severity: int, draws: Draws) -> Array:
    """As the original does it: by the swap of two views, which is none."""
    std, rounds = [(0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2)][severity - 1]
    pixels = bytes_of(gaussian(image, std))
    for number in range(rounds):
        up, left = (draws.integers(2 * number + axis, 2, 32, 32)[0].tolist() for axis in (0, 1))
        for y in range(31, 1, -1):
            for x in range(31, 1, -1):
                other = (y - up[y][x], x - left[y][x])
                pixels[y, x], pixels[other] = pixels[other], pixels[y, x]
    return gaussian(pixels / 255, std)


def line(plane: Array, angle: float, radius: int, std: float) -> Array:
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * std**2))
    total = np.zeros_like(plane)
    for distance, weight in enumerate(weights / weights.sum()):
        down, right = (round(distance * turn(math.radians(angle))) for turn in (math.sin, math.cos))
        for y, x in product(range(plane.shape[0]), range(plane.shape[1])):
            total[y, x] += weight * plane[min(max(y + down, 0), 31), min(max(x + right, 0), 31)]
    return total


def motion(image: Array, severity: int, draws: Draws) -> Array:
    radius, std = [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)][severity - 1]
    angle = 90 * draws.uniform(0).item() - 45
    return channelwise(image, lambda plane: line(plane, angle, radius, std))


def enlarged(plane: Array, factor: float) -> Array:
    part = math.ceil(32 / factor)
    start = (32 - part) // 2
    whole = ndimage.zoom(plane[start : start + part, start : start + part], factor, order=1)
    trim = (whole.shape[0] - 32) // 2
    return whole[trim : trim + 32, trim : trim + 32]


def zoom(image: Array, severity: int, draws: Draws) -> Array:
    factors = np.arange(1, [1.06, 1.11, 1.16, 1.21, 1.26][severity - 1], 0.01)
    return channelwise(image, lambda plane: np.mean([plane, *(enlarged(plane, factor) for factor in factors)], axis=0))


def snow(image: Array, severity: int, draws: Draws) -> Array:
    mean, std, factor, threshold, radius, length, blend = [
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ][severity - 1]
    layer = enlarged(norm.ppf(draws.uniform(0, 32, 32)[0].numpy(), mean, std), factor)
    layer = line(np.where(layer < threshold, 0, layer).clip(0, 1), 90 * draws.uniform(1).item() - 135, radius, length)
    grey = image @ [0.299, 0.587, 0.114] if image.shape[2] == 3 else image[..., 0]
    white = np.maximum(image, 1.5 * grey[..., None] + 0.5)
    return blend * image + (1 - blend) * white + (layer + np.rot90(layer, 2))[..., None]


def fog(image: Array, severity: int, draws: Draws) -> Array:
    amount, decay = [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)][severity - 1]
    clouds = plasma(draws, 0, (32, 32), decay)[0].numpy()[..., None]
    return (image + amount * clouds) * image.max() / (image.max() + amount)


def frost(image: Array, severity: int, draws: Draws) -> Array:
    kept, weight = [(1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)][severity - 1]
    colour = [0.88, 0.97, 1] if image.shape[2] == 3 else [0.299 * 0.88 + 0.587 * 0.97 + 0.114]
    return kept * image + weight * ice(draws, (32, 32))[0].numpy()[..., None] * colour


def in_hsv(image: Array, change: Callable[[Array], None]) -> Array:
    changed = rgb_to_hsv(np.broadcast_to(image, (32, 32, 3)))
    change(changed)
    return hsv_to_rgb(changed.clip(0, 1))[..., : image.shape[2]]


def brightness(image: Array, severity: int, draws: Draws) -> Array:
    def change(hsv: Array) -> None:
        hsv[..., 2] += [0.05, 0.1, 0.15, 0.2, 0.3][severity - 1]

    return in_hsv(image, change)


def saturate(image: Array, severity: int, draws: Draws) -> Array:
    factor, added = [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)][severity - 1]

    def change(hsv: Array) -> None:
        hsv[..., 1] = factor * hsv[..., 1] + added

    return in_hsv(image, change) if image.shape[2] == 3 else image


def contrast(image: Array, severity: int, draws: Draws) -> Array:
    means = image.mean(axis=(0, 1))
    return means + [0.75, 0.5, 0.4, 0.3, 0.15][severity - 1] * (image - means)


def elastic(image: Array, severity: int, draws: Draws) -> Array:
    strength, length, most = [(0, 0, 2.56), (1.6, 6.4, 2.24), (2.56, 1.92, 1.92), (3.2, 1.28, 1.6), (3.2, 0.96, 0.96)][
        severity - 1
    ]
    corners = np.array([[26, 26], [26, 6], [6, 6]])  # x, y
    moved = corners + most * (2 * draws.uniform(0, 3, 2)[0].numpy() - 1)
    back = np.linalg.solve(np.c_[moved, np.ones(3)], corners)  # (x, y, 1) @ back is where a pixel comes from
    y, x = np.mgrid[:32, :32]
    source = np.stack([x, y, np.ones_like(x)], axis=-1) @ back
    places = [source[..., 1], source[..., 0]]
    warped = channelwise(image, lambda plane: ndimage.map_coordinates(plane, places, order=1, mode="mirror"))
    if not strength:
        return warped
    right, down = (
        strength * ndimage.gaussian_filter(2 * draws.uniform(part, 32, 32)[0].numpy() - 1, length, truncate=3)
        for part in (1, 2)
    )
    places = [y + down, x + right]
    return channelwise(warped, lambda plane: ndimage.map_coordinates(plane, places, order=1, mode="reflect"))


def gaussian_noise(image: Array, severity: int, draws: Draws) -> Array:
    return image + [0.04, 0.06, 0.08, 0.09, 0.1][severity - 1] * norm.ppf(shares(image, draws))


def speckle_noise(image: Array, severity: int, draws: Draws) -> Array:
    return image + image * [0.06, 0.1, 0.12, 0.16, 0.2][severity - 1] * norm.ppf(shares(image, draws))


def shot_noise(image: Array, severity: int, draws: Draws) -> Array:
    photons = [500, 250, 100, 75, 50][severity - 1]
    return poisson.ppf(shares(image, draws), image * photons) / photons


def impulse_noise(image: Array, severity: int, draws: Draws) -> Array:
    half, share = [0.01, 0.02, 0.03, 0.05, 0.07][severity - 1] / 2, shares(image, draws)
    return np.select([share <= half, share > 1 - half], [0 * image, 1 + 0 * image], image)


def shares(image: Array, draws: Draws) -> Array:
    return draws.uniform(0, image.shape[2], 32, 32)[0].permute(1, 2, 0).numpy()


def gaussian_blur(image: Array, severity: int, draws: Draws) -> Array:
    return gaussian(image, [0.4, 0.6, 0.7, 0.8, 1][severity - 1])


def mud(image: Array, severity: int, draws: Draws) -> Array:
    length, threshold, spread = {4: (0.7, 0.69, 0.6), 5: (0.5, 0.68, 0.6)}[severity]
    layer = ndimage.gaussian_filter(0.65 + 0.1 * draws.normal(0, 1, 32, 32)[0, 0].numpy(), length, mode="nearest")
    cover = ndimage.gaussian_filter((layer > threshold).astype(float), spread, mode="nearest")[..., None]
    cover[cover < 0.8] = 0
    brown = np.array([63, 42, 20]) / 255
    return image * (1 - cover) + cover * (brown if image.shape[2] == 3 else brown @ [0.299, 0.587, 0.114])


REFERENCES: dict[str, Reference] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "defocus_blur": defocus,
    "glass_blur": glass,
    "motion_blur": motion,
    "zoom_blur": zoom,
    "snow": snow,
    "frost": frost,
    "fog": fog,
    "brightness": brightness,
    "contrast": contrast,
    "elastic_transform": elastic,
    "speckle_noise": speckle_noise,
    "gaussian_blur": gaussian_blur,
    "saturate": saturate,
}


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", REFERENCES)
def test_a_corruption_is_its_formula(name: str, channels: int) -> None:
    images = photos(1, channels)
    for severity in SEVERITIES:
        draws = draws_for(images, f"{name}/{severity}", seed=3)
        expected = bytes_of(REFERENCES[name](images[0].permute(1, 2, 0).numpy() / 255, severity, draws))
        np.testing.assert_array_equal(corrupt(images, name, severity, 3)[0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("severity", [4, 5])
def test_mud_is_its_formula(severity: int) -> None:
    images = photos(1)
    draws = draws_for(images, f"spatter/{severity}", seed=3)
    expected = bytes_of(mud(images[0].permute(1, 2, 0).numpy() / 255, severity, draws))
    np.testing.assert_array_equal(corrupt(images, "spatter", severity, 3)[0].permute(1, 2, 0).numpy(), expected)


def test_water_brightens_towards_its_colour_where_drops_are_and_spares_an_image_without() -> None:
    images = torch.full((200, 3, 32, 32), 60, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(200)  # so that each has its own drops
    added = corrupt(images, "spatter", 2, 0)[..., 1:, :].double() - 60
    layer = 0.65 + 0.1 * draws_for(images, "spatter/2", 0).normal(0, 1, 32, 32)[:, 0].numpy()
    drops = ndimage.gaussian_filter(layer, (0, 0.8, 0.8), mode="nearest") >= 0.7
    assert added[torch.from_numpy(~drops)[:, None, 1:].expand_as(added)].eq(0).all()
    assert added.amax((2, 3)).tolist()[0] == [int(60 + amount / 2) - 60 for amount in (175, 238, 238)]
    alone = [number for number in range(200) if not drops[number].any()]
    assert all(torch.equal(corrupt(images[n : n + 1], "spatter", 2, 0), images[n : n + 1]) for n in alone)
    assert torch.equal(rims(torch.ones(1, 1, 5, 5, dtype=torch.bool)), torch.zeros(1, 1, 5, 5, dtype=torch.bool))


def test_distances_are_euclidean() -> None:
    points = torch.rand(6, 1, 24, 24, generator=torch.Generator().manual_seed(0)) < 0.01
    points[0] = False
    for number, most in product(range(6), (5, 20)):
        expected = np.full((24, 24), float(most))
        if points[number].any():
            expected = ndimage.distance_transform_edt(~points[number, 0].numpy()).clip(max=most)
        np.testing.assert_allclose(distances(points, most)[number, 0], expected, rtol=1e-12)


def test_equalized_heights_are_their_ranks() -> None:
    heights = torch.randint(3, 9, (2, 1, 6, 7), generator=torch.Generator().manual_seed(0))
    for image, level in zip(heights.flatten(1), equalized(heights).flatten(1), strict=True):
        values = image.numpy()
        least = (values == values.min()).sum()
        expected = [((values <= value).sum() - least) / (values.size - least) * 255 for value in values]
        np.testing.assert_allclose(level, expected, atol=0.5)
    assert not equalized(torch.full((1, 1, 4, 4), 7)).any()


@pytest.mark.parametrize("channels", [3, 1])
def test_pixelate_takes_the_means_of_areas(channels: int) -> None:
    images = photos(1, channels)
    for severity, side in zip(SEVERITIES, (30, 28, 27, 24, 20), strict=True):
        shrink, grow = areas(side, 32), areas(32, side)
        expected = grow @ shrink @ images[0].numpy() @ shrink.T @ grow.T
        found = corrupt(images, "pixelate", severity, 0)[0].numpy()
        assert np.abs(found - expected).max() <= 2  # Pillow rounds four times


def areas(target: int, source: int) -> Array:
    """Return the share of each source pixel in each target pixel: those whose centres lie in it share alike, else that
    which its own centre lies in."""
    size = source / target
    middles, centres = (np.arange(target)[:, None] + 0.5) * size, np.arange(source) + 0.5
    held = np.abs(centres - middles) < max(size, 1) / 2
    return held / held.sum(axis=1, keepdims=True)


# ITU-T T.81, table K.1.
LUMINANCE = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""


def test_jpeg_rounds_the_cosine_transform_of_blocks() -> None:
    images = photos(1, 1)
    for severity, quality in zip(SEVERITIES, (80, 65, 58, 50, 40), strict=True):
        percent = 200 - 2 * quality if quality >= 50 else 5000 // quality
        steps = (np.array(LUMINANCE.split(), int).reshape(8, 8) * percent + 50) // 100
        blocks = images[0, 0].double().numpy().reshape(4, 8, 4, 8).transpose(0, 2, 1, 3) - 128
        rounded = np.round(fft.dctn(blocks, axes=(2, 3), norm="ortho") / steps) * steps
        restored = fft.idctn(rounded, axes=(2, 3), norm="ortho").transpose(0, 2, 1, 3).reshape(32, 32) + 128
        # A coefficient halfway between two steps may be rounded either way; it changes a block.
        for colours in (images, images.repeat(1, 3, 1, 1)):
            found = corrupt(colours, "jpeg_compression", severity, 0)[0].numpy()
            assert np.median(np.abs(found - restored.clip(0, 255))) < 0.5


def test_clouds_are_means_of_their_neighbours_and_noise_that_falls() -> None:
    draws = draws_for(photos(1), "clouds", 0)
    side, decay = 8, 1.5
    expected, noise, step = np.zeros((side, side)), 1.0, side

    def wiggle(part: int, y: int, x: int) -> float:
        count = side // step
        drawn = draws.uniform(5000 + 3 * step + part, count, count)[0]
        return noise * (2 * drawn[y // step, x // step].item() - 1)

    while step > 1:
        half, corners = step // 2, list(product(range(0, side, step), repeat=2))
        for y, x in corners:
            around = [expected[(y + down) % side, (x + right) % side] for down, right in product((0, step), repeat=2)]
            expected[y + half, x + half] = np.mean(around) + wiggle(0, y, x)
        for part, (down, right) in ((1, (0, half)), (2, (half, 0))):
            for y, x in corners:
                here = y + down, x + right
                around = [
                    expected[(here[0] + up) % side, (here[1] + left) % side]
                    for up, left in ((half, 0), (-half, 0), (0, half), (0, -half))
                ]
                expected[here] = np.mean(around) + wiggle(part, y, x)
        noise, step = noise / decay**2, half
    expected = (expected - expected.min()) / np.ptp(expected)
    np.testing.assert_allclose(plasma(draws, 5, (7, 6), decay)[0], expected[:7, :6], atol=1e-12)


def test_random_numbers_are_those_of_splitmix64_and_uniform() -> None:
    def mixed(bits: int) -> int:
        bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        bits = (bits ^ bits >> 27) * 0x94D049BB133111EB % 2**64
        return bits ^ bits >> 31

    keys = torch.tensor([5, -7, 2**62])
    drawn = Draws(keys).uniform(3, 4)
    for key, numbers in zip(keys.tolist(), drawn.tolist(), strict=True):
        start = mixed((key + 3) % 2**64)
        bits = [mixed((start + place * 0x9E3779B97F4A7C15) % 2**64) for place in range(1, 5)]
        assert numbers == [((each >> 12) + 0.5) / 2**52 for each in bits]
    many = draws_for(photos(8), "a", 0)
    assert kstest(many.uniform(0, 500).flatten(), "uniform").pvalue > 0.01
    assert kstest(many.normal(1, 500).flatten(), "norm").pvalue > 0.01
    table = np.corrcoef([many.uniform(purpose, 500)[image] for purpose in (0, 1) for image in range(8)])
    assert np.abs(table - np.eye(16)).max() < 0.2
    assert torch.bincount(many.integers(2, 3, 900).flatten(), minlength=3).min() > 2200


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_becomes_the_same_in_every_batch_and_order_on_any_number_of_threads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = photos(5)
    before = torch.get_num_threads()
    for severity in (1, 5):
        torch.set_num_threads(1)
        whole = corrupt(images, name, severity, 0)
        assert torch.equal(whole, torch.cat([corrupt(image[None], name, severity, 0) for image in images]))
        order = torch.tensor([3, 0, 4, 2, 1])
        assert torch.equal(whole[order], corrupt(images[order], name, severity, 0))
        torch.set_num_threads(2)
        with monkeypatch.context() as patch:
            patch.setattr(corruptions, "VALUES_A_PART", 2 * images[0].numel())
            assert torch.equal(whole, corrupt(images, name, severity, 0))
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize(("channels", "size"), [(3, (64, 64)), (1, (8, 8)), (3, (28, 20)), (1, (1, 1))])
def test_any_size_and_one_channel(name: str, channels: int, size: tuple[int, int]) -> None:
    images = photos(2, channels, 64)[..., : size[0], : size[1]].contiguous()
    for severity in (1, 3, 5):
        outcome = corrupt(images, name, severity, 0)
        assert outcome.shape == images.shape
        assert outcome.dtype == torch.uint8
        if size == (64, 64) and not (name == "saturate" and channels == 1):
            assert not torch.equal(outcome, images)


def test_a_blur_of_a_larger_image_is_that_of_the_small_one_enlarged() -> None:
    small = photos(1)
    large = small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    for name in ("gaussian_blur", "defocus_blur", "zoom_blur"):
        shrunk = corrupt(large, name, 5, 0).double().unflatten(2, (32, 4)).unflatten(4, (32, 4)).mean((3, 5))
        change = (corrupt(small, name, 5, 0).double() - small).abs().mean()
        assert (shrunk - corrupt(small, name, 5, 0)).abs().mean() < 0.5 * change


def test_drops_cover_as_much_of_a_larger_image() -> None:
    shares = []
    for side in (16, 32, 96):
        images = torch.full((20, 3, side, side), 200, dtype=torch.uint8)
        images[:, 0, 0, 0] = torch.arange(20)  # so that each has its own drops
        shares.append((corrupt(images, "spatter", 5, 0)[:, 1] < 150).double().mean().item())
    assert 0.03 < min(shares) < max(shares) < 0.1


def test_an_elastic_field_moves_a_larger_image_by_as_large_a_part() -> None:
    moved = []
    for side in (32, 128):
        ramp = torch.linspace(0, 255, side).round().to(torch.uint8).expand(40, 1, side, side).clone()
        ramp[:, 0, 0, 0] = torch.arange(40)
        difference = (corrupt(ramp, "elastic_transform", 4, 0).double() - ramp)[
            ..., side // 4 : -side // 4, side // 4 : -side // 4
        ]
        moved.append((difference - difference.mean((2, 3), keepdim=True)).std().item())
    assert moved[1] == pytest.approx(moved[0], rel=0.25)


def test_severity_grows_for_the_fifteen() -> None:
    images = photos(20)
    for name, corruption in CORRUPTIONS.items():
        if corruption.group != EXTRA:
            mild, strong = ((corrupt(images, name, severity, 0).double() - images).abs().mean() for severity in (1, 5))
            assert strong > mild or name == "elastic_transform"


def test_groups_are_those_of_the_paper() -> None:
    groups = {group: [name for name, each in CORRUPTIONS.items() if each.group == group] for group in MAIN_GROUPS}
    assert [len(names) for names in groups.values()] == [3, 4, 4, 4]
    assert sum(each.group == EXTRA for each in CORRUPTIONS.values()) == 4


def test_another_seed_gives_other_noise_and_another_severity_other_numbers() -> None:
    images = photos(1)
    assert not torch.equal(corrupt(images, "gaussian_noise", 1, 0), corrupt(images, "gaussian_noise", 1, 1))
    first, second = (draws_for(images, f"fog/{severity}", 0) for severity in (1, 2))
    assert first.keys != second.keys


def test_wrong_names_and_severities_are_refused() -> None:
    with pytest.raises(ConfigError, match="corruptions=rain is not a choice; choose from gaussian_noise, shot_noise"):
        corrupt(photos(1), "rain", 1, 0)
    for severity in (0, 6):
        with pytest.raises(ConfigError, match=f"severity={severity}: expected 1 to 5"):
            corrupt(photos(1), "fog", severity, 0)
