"""What is done to images in computers: contrast, warping, coarse pixels, JPEG, saturation."""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from attn_train.robust.draws import Draws
from attn_train.robust.filters import sample, scale, smooth, to_bytes, unit


def contrast(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Bring the values of each channel nearer to their mean."""
    factor = (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]
    # A sum of whole numbers is the same in whichever order a device adds them.
    total = images.long().sum((2, 3), keepdim=True)
    means = total.double() / images[0, 0].numel() / 255
    return to_bytes((unit(images) - means) * factor + means)


def elastic_transform(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Move three points at random, the image with them by an affine map, and then each pixel by a smooth field."""
    strength, length, most = (
        (0, 0, 0.08),
        (0.05, 0.2, 0.07),
        (0.08, 0.06, 0.06),
        (0.1, 0.04, 0.05),
        (0.1, 0.03, 0.03),
    )[severity - 1]
    height, width = images.shape[-2:]
    side = min(height, width)
    x, y = affine_source(draws, (height, width), most * side)
    values = sample(unit(images), y, x, "mirror")
    if strength:
        fields = (smooth(2 * draws.uniform(part, height, width) - 1, length * side, "reflect", 3) for part in (1, 2))
        # A field that is smoothed over more pixels is weaker by as much.
        right, down = (field * scale(images) * strength * side for field in fields)
        rows, columns = torch.arange(height, device=images.device)[:, None], torch.arange(width, device=images.device)
        values = sample(values, rows + down, columns + right, "reflect")
    return to_bytes(values)


def affine_source(draws: Draws, size: tuple[int, int], most: float) -> tuple[Tensor, Tensor]:
    """Return the place (x, y) that each pixel comes from where three points move, both float64 (n, height, width).

    The points are three corners of a square in the middle, of two thirds of the image's side; each moves by up to
    `most` pixels along each axis.
    """
    device = draws.keys.device
    half, middle = max(1, min(size) // 3), (size[1] // 2, size[0] // 2)  # x, y
    corners = torch.tensor([[half, half], [half, -half], [-half, -half]], device=device)
    corners = corners + torch.tensor(middle, device=device)
    moved = corners + (2 * draws.uniform(0, 3, 2) - 1) * most
    origin, first, second = (moved[:, number, :, None, None] for number in range(3))
    first, second = first - origin, second - origin
    x = torch.arange(size[1], device=device) - origin[:, 0]
    y = torch.arange(size[0], device=device)[:, None] - origin[:, 1]
    # Each pixel as the first point and shares of the ways from it to the others, which the map keeps.
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    to_first = (x * second[:, 1] - y * second[:, 0]) / area
    to_second = (first[:, 0] * y - first[:, 1] * x) / area
    # The first point lies two halves below the second, and that again two beside the third.
    return (
        middle[0] + half - 2 * half * to_second,
        middle[1] + half - 2 * half * (to_first + to_second),
    )


def by_pillow(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    """Return images uint8 (n, channels, height, width), of one or three channels, as Pillow changes each."""
    arrays = images.permute(0, 2, 3, 1).cpu().numpy()
    if images.shape[1] == 1:
        arrays = arrays[..., 0]
    changed = np.stack([np.asarray(change(Image.fromarray(array))) for array in arrays])
    return torch.from_numpy(changed).view(len(images), *images.shape[2:], -1).permute(0, 3, 1, 2).to(images.device)


def pixelate(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Shrink the image and enlarge it again; a pixel is the mean of those whose centres lie in it."""
    factor = (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1]
    height, width = images.shape[-2:]
    # Pixels of a larger image become as large a part of it as those of one with sides of 32.
    small = [max(1, int(min(side, 32) * factor)) for side in (width, height)]

    def change(image: Image.Image) -> Image.Image:
        return image.resize((small[0], small[1]), Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)

    return by_pillow(images, change)


def jpeg_compression(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Write the image as JPEG and read it again."""
    quality = (80, 65, 58, 50, 40)[severity - 1]

    def change(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return by_pillow(images, change)


def saturate(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Change the saturation S of HSV and keep hue and value; grey pixels count as red, images without colour stay."""
    if images.shape[1] != 3:
        return images
    factor, added = ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))[severity - 1]
    values = unit(images)
    largest = values.amax(1, keepdim=True)
    missing = largest - values  # of each channel to the largest
    most = missing.amax(1, keepdim=True)
    saturation = torch.where(largest > 0, most / largest, 0)
    changed = (saturation * factor + added).clamp(0, 1)
    red = torch.tensor([0.0, 1.0, 1.0], device=images.device, dtype=torch.float64)[:, None, None]
    missing = torch.where(most > 0, missing / most, red)
    return to_bytes(largest * (1 - changed * missing))
