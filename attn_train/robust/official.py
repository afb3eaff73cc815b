"""The published arrays of CIFAR-10-C and CIFAR-100-C (Hendrycks and Dietterich, 2019), from a folder of the user's.

A corruption is a file NAME.npy, uint8 (50000, 32, 32, 3): the 10,000 test images at severity 1, then at 2, and so on.
labels.npy has the label of each. Records: https://zenodo.org/records/2535967 and https://zenodo.org/records/3555552.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from attn_train.data.dataset import Split
from attn_train.data.sources.archive import file_digest
from attn_train.data.sources.cifar_spec import CIFAR10, CIFAR100
from attn_train.errors import ConfigError, DataError
from attn_train.robust.corruptions import SEVERITIES

# MD5 of each file.
CIFAR10_C = {
    "brightness": "0a81ef75e0b523c3383219c330a85d48",
    "contrast": "3c8262171c51307f916c30a3308235a8",
    "defocus_blur": "7d1322666342a0702b1957e92f6254bc",
    "elastic_transform": "9421657c6cd452429cf6ce96cc412b5f",
    "fog": "7b397314b5670f825465fbcd1f6e9ccd",
    "frost": "31f6ab3bce1d9934abfb0cc13656f141",
    "gaussian_blur": "c33370155bc9b055fb4a89113d3c559d",
    "gaussian_noise": "ecaf8b9a2399ffeda7680934c33405fd",
    "glass_blur": "7361fb4019269e02dbf6925f083e8629",
    "impulse_noise": "2090e01c83519ec51427e65116af6b1a",
    "jpeg_compression": "2b9cc4c864e0193bb64db8d7728f8187",
    "labels": "c439b113295ed5254878798ffe28fd54",
    "motion_blur": "fffa5f852ff7ad299cfe8a7643f090f4",
    "pixelate": "0f14f7e2db14288304e1de10df16832f",
    "saturate": "1cfae0964219c5102abbb883e538cc56",
    "shot_noise": "3a7239bb118894f013d9bf1984be7f11",
    "snow": "bb238de8555123da9c282dea23bd6e55",
    "spatter": "8a5a3903a7f8f65b59501a6093b4311e",
    "speckle_noise": "ef00b87611792b00df09c0b0237a1e30",
    "zoom_blur": "6ea8e63f1c5cdee1517533840641641b",
}
CIFAR100_C = {
    "brightness": "f22d7195aecd6abb541e27fca230c171",
    "contrast": "322bb385f1d05154ee197ca16535f71e",
    "defocus_blur": "d923e3d9c585a27f0956e2f2ad832564",
    "elastic_transform": "a0792bd6581f6810878be71acedfc65a",
    "fog": "4efc7ebd5e82b028bdbe13048e3ea564",
    "frost": "3a39c6823bdfaa0bf8b12fe7004b8117",
    "gaussian_blur": "5204ba0d557839772ef5a4196a052c3e",
    "gaussian_noise": "ecc4d366eac432bdf25c024086f5e97d",
    "glass_blur": "0bf384f38e5ccbf8dd479d9059b913e1",
    "impulse_noise": "3b3c210ddfa0b5cb918ff4537a429fef",
    "jpeg_compression": "c851b7f1324e1d2ffddeb76920576d11",
    "labels": "bb4026e9ce52996b95f439544568cdb2",
    "motion_blur": "732a7e2e54152ff97c742d4c388c5516",
    "pixelate": "96c00c60f144539e14cffb02ddbd0640",
    "saturate": "c0697e9fdd646916a61e9c312c77bf6b",
    "shot_noise": "b0a1fa6e1e465a747c1b204b1914048a",
    "snow": "0237be164583af146b7b144e73b43465",
    "spatter": "12ccf41d62564d36e1f6a6ada5022728",
    "speckle_noise": "e3f215b1a0f9fd9fd6f0d1cf94a7ce99",
    "zoom_blur": "0204613400c034a81c4830d5df81cb82",
}


@dataclass(frozen=True)
class Published:
    """A published set: its name, the classes of its labels, and the MD5 of its files."""

    name: str
    classes: tuple[str, ...]
    digests: dict[str, str]
    images: int = 10_000  # at each severity
    size: int = 32


PUBLISHED = (
    Published("CIFAR-10-C", CIFAR10.classes, CIFAR10_C),
    Published("CIFAR-100-C", CIFAR100.classes, CIFAR100_C),
)


def published_for(classes: tuple[str, ...], size: int, channels: int) -> Published:
    """Return the published set for a network of these classes and images; raise ConfigError where there is none."""
    for each in PUBLISHED:
        if (each.classes, each.size, 3) == (classes, size, channels):
            return each
    raise ConfigError(
        f"corruptions=official: {' and '.join(each.name for each in PUBLISHED)} are published, and this run has other "
        f"classes or sizes ({', '.join(classes[:3])}, ... at {size}x{size}); corruptions=all makes its own images worse"
    )


def check_files(published: Published, root: Path, names: Iterable[str]) -> None:
    """Raise DataError unless `root` has the published files of these corruptions and of the labels, byte for byte."""
    for name in ("labels", *names):
        path = root / f"{name}.npy"
        if not path.is_file():
            raise DataError(f"{path} is missing; unpack {published.name} and name its folder as corruptions_root")
        digest = file_digest(path, "md5")
        if digest != published.digests[name]:
            raise DataError(
                f"{path} is not that of {published.name}: its MD5 is {digest}, not {published.digests[name]}; download "
                "it again"
            )


def load(published: Published, root: Path, name: str, severity: int) -> Split:
    """Return the images of a corruption at a severity, with their labels, in the order of the published arrays.

    Raises DataError for an array of another shape.
    """
    images = np.load(root / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(root / "labels.npy", allow_pickle=False)
    count = published.images * len(SEVERITIES)
    shape = (count, published.size, published.size, 3)
    if (images.dtype, images.shape, labels.shape) != (np.uint8, shape, (count,)):
        raise DataError(f"{root / name}.npy or labels.npy has another shape than {published.name}; download it again")
    part = slice((severity - 1) * published.images, severity * published.images)
    pixels = torch.from_numpy(images[part].transpose(0, 3, 1, 2).copy())
    return Split(pixels, torch.from_numpy(labels[part].astype(np.int64)))
