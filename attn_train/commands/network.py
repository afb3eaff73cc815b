"""A trained network as a program uses it: images in, probabilities of the classes out."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from attn_train.data.batches import Normalization, views
from attn_train.data.sources.folder import read_image


@dataclass(frozen=True)
class Network:
    """A trained network on the CPU, in evaluation, with what belongs to it."""

    model: nn.Module  # of normalised images, (n, channels, image_size, image_size), to logits (n, classes)
    normalization: Normalization  # of uint8 images
    classes: tuple[str, ...]
    channels: int
    image_size: int
    views: int = 1  # that a prediction is averaged over, as in the run's final test

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Return the logits (n, classes) of uint8 images (n, channels, image_size, image_size)."""
        given = self.normalization(images)
        return torch.stack([weight * self.model(view) for weight, view in views(given, self.views)]).sum(dim=0)

    def predict(self, picture: str | Path) -> dict[str, float]:
        """Return the probability of each class, the largest first, for what is on a picture.

        It is turned upright, its shorter side brought to `image_size`, and its centre kept. Raises DataError for a file
        that is no picture.
        """
        image = read_image(Path(picture), self.image_size, self.channels)
        shares = self.logits(image[None])[0].softmax(dim=0).tolist()
        return dict(sorted(zip(self.classes, shares, strict=True), key=lambda named: -named[1]))
