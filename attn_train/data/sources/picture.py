"""One image file to pixels: every mode and rotation to plain 8-bit RGB, any size to a square."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from attn_train.data.sources.walk import picture_formats
from attn_train.errors import DataError

# Pillow's bilinear filter widens when it shrinks, so it is antialiased; its integer arithmetic gives the same
# bytes on every machine, which a float interpolation does not.
RESAMPLE = Image.Resampling.BILINEAR
FULL_16_BIT = 65535
EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # modes whose colours RGB holds exactly
CHUNK = 128  # images a thread resizes at a time
# Pillow warns of large pictures, like a scan, before it refuses larger ones.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def decode_file(path: Path) -> Image.Image:
    """Decode an image file by its content, whatever its name; raise DataError naming the file."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (0 bytes); restore it or remove it")
        with Image.open(path, formats=picture_formats()) as image:
            image.load()
            return image
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(
            f"{path}: the image has too many pixels to be opened safely (over {2 * (Image.MAX_IMAGE_PIXELS or 0):,}); "
            "shrink it or remove it"
        ) from None
    # Decoders raise nearly any kind of error on damaged files; all mean the same to the reader.
    except Exception as error:
        raise _unreadable(path, error) from error


def open_picture(path: Path) -> Image.Image:
    """Decode a file to an upright RGB image, transparency on white; raise DataError naming the file."""
    image = decode_file(path)
    try:
        return _to_rgb(ImageOps.exif_transpose(image), path)
    except DataError:
        raise
    # A damaged EXIF block, or a colour space that Pillow cannot convert.
    except Exception as error:
        raise _unreadable(path, error) from error


def exact_rgb(path: Path) -> Image.Image:
    """Decode a file to the RGB image that it was before an optimiser chose a smaller mode for it.

    Raises DataError naming the file where it is not opaque or of more than 8 bits.
    """
    image = decode_file(path)
    if image.mode not in EIGHT_BIT:
        raise DataError(f"{path}: its mode is {image.mode}, which is not RGB; restore the file")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            raise DataError(f"{path}: it is transparent in places, which RGB is not; restore the file")
    return image.convert("RGB")


def fit_square(picture: Image.Image, size: int) -> Image.Image:
    """Bring the shorter side to `size` pixels, antialiased, and keep the centre square."""
    width, height = picture.size
    if width == height == size:
        return picture
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    # Cropping and resizing in one step keeps memory small for a long, thin picture.
    return picture.resize((size, size), RESAMPLE, box=(left, top, left + short, top + short))


def to_tensor(picture: Image.Image) -> torch.Tensor:
    """Return the pixels of an RGB or grey image as uint8 (channels, height, width)."""
    pixels = np.array(picture)
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes))


def resize_images(images: torch.Tensor, size: int) -> torch.Tensor:
    """Resize uint8 images (n, 1 or 3, side, side) to (n, 1 or 3, size, size), antialiased."""
    if images.shape[2:] == (size, size):
        return images
    # Pillow wants the channels last, and none for grey.
    pixels = images.permute(0, 2, 3, 1).squeeze(-1).contiguous().numpy()
    resized = np.empty((len(pixels), size, size, *pixels.shape[3:]), np.uint8)

    def work(start: int) -> None:
        for index in range(start, min(start + CHUNK, len(pixels))):
            resized[index] = Image.fromarray(pixels[index]).resize((size, size), RESAMPLE)

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(work, range(0, len(pixels), CHUNK)):
            pass
    return torch.from_numpy(resized).view(len(images), size, size, -1).permute(0, 3, 1, 2).contiguous()


def with_channels(images: torch.Tensor, channels: int) -> torch.Tensor:
    """Return uint8 images (n, 1 or 3, height, width) with 1 or 3 channels: grey by Pillow's weights (ITU-R 601), grey
    images in colour with three equal ones."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    red, green, blue = images.int().unbind(dim=1)
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).to(torch.uint8)[:, None]


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode == "F":
        raise DataError(
            f"{path}: pixels are 32-bit floats of unknown range; save the picture with 8 or 16 bits a channel"
        )
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image, path)
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image, path: Path) -> Image.Image:
    # Pillow's own conversion cuts these values off at 255 instead of scaling them.
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > FULL_16_BIT:
        raise DataError(
            f"{path}: pixel values {values.min()} to {values.max()}; expected 0 to {FULL_16_BIT}; "
            "save the picture with 8 or 16 bits a channel"
        )
    return Image.fromarray(((values * 255 + FULL_16_BIT // 2) // FULL_16_BIT).astype(np.uint8)).convert("RGB")


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path}: cannot read the image ({reason}); restore it or remove it")
