"""Corruptions of images in the style of CIFAR-10-C (Hendrycks and Dietterich, 2019, arXiv 1903.12261), generated here.

Fifteen corruptions in four groups and four extra ones, each in five severities, with the constants that CIFAR-10-C was
made with. They are no CIFAR-10-C: that was made without a seed, and nobody makes its arrays again. What deviates from
the original stands in DEVIATIONS.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attn_train.errors import ConfigError
from attn_train.robust import blur, digital, noise, spatter, weather
from attn_train.robust.draws import Draws, draws_for

SEVERITIES = range(1, 6)
MAIN_GROUPS = ("noise", "blur", "weather", "digital")
EXTRA = "extra"
VALUES_A_PART = 2**18  # of images that are worked on at once; no outcome depends on it

DEVIATIONS = (
    "random numbers follow from the seed and each image's content; the original had no seed",
    "lengths in pixels are for sides of 32 and scale with the image; pixelate makes at most int(32 * factor) pixels",
    "arithmetic in float64, where some of the original's was float32 or fixed point of OpenCV",
    "a value within a millionth of a grey level of a whole one is that one; fractions are cut off as in the original",
    "motion_blur, snow: half a Gaussian along the line, of the original's radius and deviation, not ImageMagick's",
    "snow: flakes are not rounded to grey levels before they are blurred",
    "frost: a generated texture in place of crops of five photographs",
    "elastic_transform: exact bilinear interpolation, where OpenCV's has 32 steps a pixel",
    "glass_blur: in images with sides of 48 pixels or more, where shifts are longer, they still lead up and left only",
    "spatter, water: the rim of a drop in place of Canny's edges, exact distances; without a drop the image stays",
    "images of one channel: saturate leaves them, colours of frost and spatter become grey",
    "jpeg_compression, pixelate: by the Pillow that is installed",
)


@dataclass(frozen=True)
class Corruption:
    """A way to make images worse, and the group it belongs to."""

    group: str
    # Takes images uint8 (n, channels, height, width), a severity from 1 to 5 and random numbers; returns new images.
    make: Callable[[Tensor, int, Draws], Tensor]


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": Corruption("noise", noise.gaussian_noise),
    "shot_noise": Corruption("noise", noise.shot_noise),
    "impulse_noise": Corruption("noise", noise.impulse_noise),
    "defocus_blur": Corruption("blur", blur.defocus_blur),
    "glass_blur": Corruption("blur", blur.glass_blur),
    "motion_blur": Corruption("blur", blur.motion_blur),
    "zoom_blur": Corruption("blur", blur.zoom_blur),
    "snow": Corruption("weather", weather.snow),
    "frost": Corruption("weather", weather.frost),
    "fog": Corruption("weather", weather.fog),
    "brightness": Corruption("weather", weather.brightness),
    "contrast": Corruption("digital", digital.contrast),
    "elastic_transform": Corruption("digital", digital.elastic_transform),
    "pixelate": Corruption("digital", digital.pixelate),
    "jpeg_compression": Corruption("digital", digital.jpeg_compression),
    "speckle_noise": Corruption(EXTRA, noise.speckle_noise),
    "gaussian_blur": Corruption(EXTRA, blur.gaussian_blur),
    "spatter": Corruption(EXTRA, spatter.spatter),
    "saturate": Corruption(EXTRA, digital.saturate),
}


def of_group(group: str) -> list[str]:
    """Name the corruptions of a group."""
    return [name for name, corruption in CORRUPTIONS.items() if corruption.group == group]


def check_name(name: str) -> None:
    """Raise ConfigError for what is no corruption."""
    if name not in CORRUPTIONS:
        raise ConfigError(f"corruptions={name} is not a choice; choose from {', '.join(CORRUPTIONS)}")


def check_severity(severity: int | str) -> None:
    """Raise ConfigError for what is no severity, also where it is still a text."""
    if str(severity) not in map(str, SEVERITIES):
        raise ConfigError(f"severity={severity}: expected {SEVERITIES[0]} to {SEVERITIES[-1]}")


def corrupt(images: Tensor, name: str, severity: int, seed: int) -> Tensor:
    """Return corrupted images; an image becomes the same in every batch and order, on any number of threads.

    Args:
        images: uint8 (n, channels, height, width) of 1 or 3 channels, on any device.
        name: a key of CORRUPTIONS.
        severity: 1 to 5.
        seed: of the random numbers; with it, the image's content, the name and the severity decide.

    Raises ConfigError for another name or severity.
    """
    check_name(name)
    check_severity(severity)
    parts = images.split(max(1, VALUES_A_PART // images[0].numel()))
    purpose = f"{name}/{severity}"
    return torch.cat([CORRUPTIONS[name].make(part, severity, draws_for(part, purpose, seed)) for part in parts])
