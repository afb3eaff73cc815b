"""Random numbers for one purpose, unrelated to those for any other."""

import hashlib

import torch


def generator(purpose: str, *numbers: int) -> torch.Generator:
    """Make a generator that depends on `purpose` and `numbers`, unrelated to that of any other."""
    text = "/".join([purpose, *map(str, numbers)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)
