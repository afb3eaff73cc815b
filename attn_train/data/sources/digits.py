"""The 1,797 handwritten digits that come with scikit-learn: real scans, no download.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

import numpy as np
import torch

from attn_train.data.dataset import Dataset, ImageDataset, Split, canonical_order, checked_dataset, split_off_test
from attn_train.data.sources.picture import resize_images
from attn_train.errors import DataError

COUNT = 1797
SIDE = 8
DARKEST = 16  # scikit-learn's values go from 0 to 16
TEST_FRACTION = 0.2


class Digits(ImageDataset):
    """Ten classes, one channel, 8x8 pixels brought to `image_size`; a fifth of each class is for the test."""

    classes = tuple("0123456789")
    channels = 1
    parts = ("train", "test")

    def load(self) -> Dataset:
        """Load the scans, uint8 (n, 1, image_size, image_size); raise DataError if scikit-learn's differ."""
        # Imported here because it takes a second, which the other data sets need not pay.
        from sklearn.datasets import load_digits

        scans = load_digits()
        pixels, labels = np.asarray(scans.images), np.asarray(scans.target)
        if pixels.shape != (COUNT, SIDE, SIDE) or pixels.min() < 0 or pixels.max() > DARKEST:
            raise DataError(
                f"digits: scikit-learn gave {pixels.shape} images of {pixels.min()} to {pixels.max()}; "
                f"expected ({COUNT}, {SIDE}, {SIDE}) of 0 to {DARKEST}; install scikit-learn again"
            )
        grey = torch.from_numpy(np.rint(pixels * (255 / DARKEST)).astype(np.uint8))[:, None]
        # Ordered and split before resizing, so that every image size tests on the same scans.
        native = canonical_order(grey, torch.from_numpy(labels.astype(np.int64)))
        train, test = (
            Split(resize_images(split.images, self.image_size), split.labels)
            for split in split_off_test(native, TEST_FRACTION)
        )
        return checked_dataset(self.classes, train, test, "digits")
