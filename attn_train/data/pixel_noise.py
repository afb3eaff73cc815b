"""Gaussian noise on the pixels of training images: it follows from (seed, epoch, index, pixel) alone.

It is computed on the device by a hash of these. A generator's numbers would depend on the batch, or have to be drawn
for all pixels of an epoch at once: 600 MB for CIFAR-10.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attn_train.data.augment import Augmentation
from attn_train.seeds import generator


@dataclass(frozen=True)
class NoiseDraws:
    """One epoch's draws: random bits of each training image and of each pixel, which together give its noise."""

    std: float  # of pixels from 0 to 1
    image_bits: Tensor  # int32 (n,)
    pixel_bits: Tensor  # int32 (channels, height, width)

    def to(self, device: torch.device) -> "NoiseDraws":
        return NoiseDraws(self.std, self.image_bits.to(device), self.pixel_bits.to(device))


def draw_noise(
    augmentation: Augmentation, count: int, shape: tuple[int, int, int], seed: int, epoch: int
) -> NoiseDraws | None:
    """Draw for `count` images of `shape` (channels, height, width) in `epoch` (from 0); None without noise."""
    if augmentation.noise == 0:
        return None
    random = generator("pixel noise", seed, epoch)
    image_bits, pixel_bits = (
        torch.randint(-(2**31), 2**31, size, dtype=torch.int32, generator=random) for size in ((count,), shape)
    )
    return NoiseDraws(augmentation.noise, image_bits, pixel_bits)


def add_noise(images: Tensor, index: Tensor, draws: NoiseDraws) -> Tensor:
    """Add Gaussian noise to each pixel and clip: float32 from 0 to 255, of the same shape.

    Args:
        images: uint8 (batch, channels, height, width).
        index: which of the n training images they are, int64 (batch,).
        draws: of all n training images; all on one device.
    """
    noise = normal(draws.image_bits[index][:, None, None, None] ^ draws.pixel_bits)
    return (images + 255 * draws.std * noise).clamp(0, 255)


def normal(bits: Tensor) -> Tensor:
    """Map int32 numbers to standard normal ones, float32, by a hash of each and the inverse of the normal distribution.

    The 23 bits that are used of the hash reach 5.3 standard deviations.
    """
    uniform = ((scrambled(bits) >> 9) * 2 + 1) / 2**23  # above -1, below 1
    return math.sqrt(2) * torch.erfinv(uniform)


def scrambled(bits: Tensor) -> Tensor:
    """Return a hash of each int32 number: fmix32 of MurmurHash3 (Appleby), whose every bit depends on all bits."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = xor_shifted(bits, shift) * (factor - 2**32)
    return xor_shifted(bits, 16)


def xor_shifted(bits: Tensor, shift: int) -> Tensor:
    """Return `bits` ^ (`bits` >> `shift`), zeros coming in at the left."""
    return bits ^ ((bits >> shift) & (2 ** (32 - shift) - 1))
