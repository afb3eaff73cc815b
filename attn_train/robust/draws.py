"""Random numbers for each image by its content: the same in every batch and order, on any number of threads, anywhere.

A number is a hash of (seed, image, purpose, place), computed in whole numbers of 64 bits by the finaliser of SplitMix64
(Steele, Lea and Flood, 2014, doi 10.1145/2660193.2660195). So no number waits for another, and none depends on which
numbers were drawn before it.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from attn_train.data.dataset import hashes_of


def signed(number: int) -> int:
    """Return the lowest 64 bits of a whole number as the signed integer that has them."""
    return (number + 2**63) % 2**64 - 2**63


STEP = signed(0x9E3779B97F4A7C15)
FIRST, SECOND = signed(0xBF58476D1CE4E5B9), signed(0x94D049BB133111EB)


def shifted_right(bits: Tensor, count: int) -> Tensor:
    """Shift int64 bits to the right and fill up with zeros; `>>` alone repeats the sign."""
    return (bits >> count).bitwise_and_(2 ** (64 - count) - 1)


def mixed(bits: Tensor) -> Tensor:
    """Map int64 to int64 one to one, so that each bit of the outcome depends on all bits."""
    bits = shifted_right(bits, 30).bitwise_xor_(bits).mul_(FIRST)
    bits = shifted_right(bits, 27).bitwise_xor_(bits).mul_(SECOND)
    return shifted_right(bits, 31).bitwise_xor_(bits)


@dataclass(frozen=True)
class Draws:
    """The random numbers of n images."""

    keys: Tensor  # int64 (n,)

    def uniform(self, purpose: int, *shape: int) -> Tensor:
        """Draw numbers between 0 and 1, neither of them included: float64 (n, *shape); a purpose has its own."""
        count = torch.Size(shape).numel()
        places = torch.arange(1, count + 1, device=self.keys.device) * STEP
        bits = mixed(mixed(self.keys + purpose)[:, None] + places)
        # 52 bits and a half: float64 holds these exactly.
        return shifted_right(bits, 12).double().add_(0.5).mul_(2.0**-52).view(-1, *shape)

    def normal(self, purpose: int, *shape: int) -> Tensor:
        """Draw from the standard normal distribution by its quantiles: float64 (n, *shape)."""
        return torch.special.ndtri(self.uniform(purpose, *shape))

    def integers(self, purpose: int, count: int, *shape: int) -> Tensor:
        """Draw whole numbers from 0 to count - 1: int64 (n, *shape)."""
        return (self.uniform(purpose, *shape) * count).long()


def draws_for(images: Tensor, purpose: str, seed: int) -> Draws:
    """Return the random numbers of images uint8 (n, ...) for one purpose, on their device; equal images have equal
    ones."""
    hashes = [int.from_bytes(digest[:8], "little", signed=True) for digest in hashes_of(images.cpu())]
    shared = hashlib.blake2b(f"{purpose}/{seed}".encode(), digest_size=8).digest()
    keys = torch.tensor(hashes) ^ int.from_bytes(shared, "little", signed=True)
    return Draws(mixed(keys.to(images.device)))
