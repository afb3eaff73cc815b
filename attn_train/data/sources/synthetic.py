"""Made-up images for tests: a coarse pattern for each class under noise, the same bytes on every machine."""

from functools import lru_cache

import torch

from attn_train.data.dataset import Dataset, ImageDataset, Split, canonical_order, checked_dataset

TRAIN_COUNT = 512
TEST_COUNT = 256
PATTERN = 4  # cells a side
NOISE = 96  # grey levels from end to end


class Synthetic(ImageDataset):
    """Ten classes, three channels, 512 training and 256 test images, learnt in a few steps."""

    classes = tuple(f"pattern_{number}" for number in range(10))
    channels = 3
    parts = ("train", "test")

    def load(self) -> Dataset:
        """Make the images, uint8 (n, 3, image_size, image_size)."""
        return make(self.image_size)


@lru_cache(maxsize=1)
def make(image_size: int) -> Dataset:
    """Make the images of one size; the last are kept."""
    generator = torch.Generator().manual_seed(0)
    cells = (torch.arange(image_size) * PATTERN).div(image_size, rounding_mode="floor")
    shape = (len(Synthetic.classes), Synthetic.channels, PATTERN, PATTERN)
    patterns = torch.randint(48, 208, shape, generator=generator, dtype=torch.int16)
    patterns = patterns[:, :, cells][:, :, :, cells]  # (10, 3, image_size, image_size)
    train = draw(patterns, TRAIN_COUNT, generator)
    test = draw(patterns, TEST_COUNT, generator)
    return checked_dataset(Synthetic.classes, train, test, "synthetic")


def draw(patterns: torch.Tensor, count: int, generator: torch.Generator) -> Split:
    """Draw `count` images of the classes in turn, each its class's pattern under noise."""
    # Whole numbers only: float rounding may differ between processors, and with it the digest.
    labels = torch.arange(count) % len(patterns)
    shape = (count, *patterns.shape[1:])
    noise = torch.randint(0, NOISE + 1, shape, generator=generator, dtype=torch.int16) - NOISE // 2
    return canonical_order((patterns[labels] + noise).clamp(0, 255).to(torch.uint8), labels)
