"""Noise on training images: normal by SciPy's inverse, the same numbers in whichever batch, and off where it is 0."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from test_batches import ALL, colours

from attn_train.data.augment import Augmentation
from attn_train.data.pixel_noise import NoiseDraws, add_noise, draw_noise, normal

SHAPE = (3, 32, 32)
COUNT = 300


def drawn(std: float = 0.1, seed: int = 1, epoch: int = 2, count: int = COUNT) -> NoiseDraws:
    draws = draw_noise(Augmentation("none", 0, 0, noise=std), count, SHAPE, seed, epoch)
    assert draws is not None
    return draws


def noise_of(draws: NoiseDraws, count: int = COUNT) -> torch.Tensor:
    """The noise alone, in standard deviations; at 0.1 grey images reach black or white at five of them."""
    grey = torch.full((count, *SHAPE), 128, dtype=torch.uint8)
    return (add_noise(grey, torch.arange(count), draws) - 128) / (255 * draws.std)


def test_the_noise_is_that_of_the_formula() -> None:
    """MurmurHash3's finalizer in unsigned numbers, and SciPy's inverse of the normal distribution."""
    draws = drawn(0.05)
    images = torch.randint(0, 256, (COUNT, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    noisy = add_noise(images, torch.arange(COUNT), draws)
    image_bits, pixel_bits = (bits.numpy().view(np.uint32) for bits in (draws.image_bits, draws.pixel_bits))
    hashed: Any = image_bits[:, None, None, None] ^ pixel_bits
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hashed = (hashed ^ (hashed >> shift)) * np.uint32(factor)
    hashed = hashed ^ (hashed >> 16)
    # Adding half of its range brings a signed number's order to an unsigned one.
    share = (((hashed + np.uint32(2**31)) >> 9) + 0.5) / 2**23
    expected = np.clip(images.numpy() + 255 * 0.05 * stats.norm.ppf(share), 0, 255)
    np.testing.assert_allclose(noisy.numpy(), expected, atol=2e-3)


def test_it_has_the_mean_deviation_and_shape_that_it_says() -> None:
    noise = noise_of(drawn())
    assert noise.mean().item() == pytest.approx(0, abs=0.005)
    assert noise.std().item() == pytest.approx(1, abs=0.005)
    sample = np.sort(noise.flatten().numpy()[:100_000])
    assert stats.kstest(sample, "norm").pvalue > 0.001
    assert normal(torch.tensor([-(2**31), 2**31 - 1, 0, -1], dtype=torch.int32)).isfinite().all()


def test_images_pixels_and_epochs_are_unrelated() -> None:
    flat = noise_of(drawn())[:100].flatten(1)
    later = noise_of(drawn(epoch=3))[:100].flatten(1)
    images = np.corrcoef(torch.cat([flat, later]).numpy())
    # Of 20,000 correlations of 3,072 numbers none is as large as six standard errors.
    assert np.abs(images - np.eye(200)).max() < 6 / np.sqrt(3072)
    across = np.corrcoef(noise_of(drawn(count=2000), 2000).flatten(1)[:, :200].numpy().T)
    assert np.abs(across - np.eye(200)).max() < 6 / np.sqrt(2000)


def test_company_order_and_device_of_the_draws_change_nothing() -> None:
    draws, whole = drawn(), noise_of(drawn())
    images = torch.full((COUNT, *SHAPE), 128, dtype=torch.uint8)
    for index in (torch.tensor([7]), torch.randperm(COUNT)[:50]):
        noisy = (add_noise(images[index], index, draws) - 128) / (255 * draws.std)
        assert torch.equal(noisy, whole[index])


def test_it_is_repeatable_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    whole = noise_of(drawn())
    assert torch.equal(whole, noise_of(drawn()))
    assert torch.equal(torch.get_rng_state(), before)
    for other in (drawn(seed=2), drawn(epoch=0)):
        assert not torch.equal(noise_of(other), whole)


def test_it_comes_after_the_other_operations_and_changes_none_of_their_draws() -> None:
    """A mean over so small noise that it shows where an image came to lie; mixing stays what it was too."""
    plain = replace(colours(ALL), augmentation=ALL)
    noisy = replace(plain, augmentation=replace(ALL, noise=1e-4))
    assert draw_noise(ALL, COUNT, SHAPE, 0, 0) is None
    for (images, targets), (same, same_targets) in zip(noisy.epoch(1), plain.epoch(1), strict=True):
        assert not torch.equal(images, same)
        torch.testing.assert_close(images, same, atol=0.01, rtol=0)
        assert torch.equal(targets, same_targets)


def test_an_epoch_goes_on_within_itself_with_the_same_noise() -> None:
    batches = replace(colours(ALL), augmentation=replace(ALL, noise=0.2))
    whole, rest = list(batches.epoch(2)), list(batches.epoch(2, start=1))
    for (images, _), (expected, _) in zip(rest, whole[1:], strict=True):
        assert torch.equal(images, expected)


def test_pixels_stay_within_black_and_white() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None].expand(-1, *SHAPE)
    noisy = add_noise(images, torch.tensor([0, 1]), drawn(1.0))
    assert (noisy.min().item(), noisy.max().item()) == (0, 255)
