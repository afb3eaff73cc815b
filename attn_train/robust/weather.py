"""Weather: snow, frost, fog and brightness."""

import torch
from torch import Tensor

from attn_train.robust.draws import Draws
from attn_train.robust.filters import scale, streak, to_bytes, unit, zoomed

# The shares of red, green and blue in grey, by ITU-R 601.
GREY = (0.299, 0.587, 0.114)
ICE = (0.88, 0.97, 1.0)  # the colour of frost


def grey(values: Tensor) -> Tensor:
    """Return the grey level of each pixel, float64 (n, 1, height, width); of other than three channels the mean."""
    channels = values.shape[1]
    shares = GREY if channels == 3 else [1 / channels] * channels
    return torch.stack([values[:, number] * share for number, share in enumerate(shares)]).sum(0)[:, None]


def painted(colour: tuple[float, float, float], channels: int, device: torch.device) -> Tensor:
    """Return a colour for images of so many channels, float64 (channels, 1, 1): itself, or its grey level in each."""
    values = torch.tensor(colour, dtype=torch.float64, device=device)[None, :, None, None]
    return values[0] if channels == 3 else grey(values)[0].expand(channels, 1, 1)


def plasma(draws: Draws, purpose: int, size: tuple[int, int], decay: float) -> Tensor:
    """Return clouds from 0 to 1 by the diamond-square algorithm, float64 (n, height, width).

    The map wraps around and is the smallest square of a power of two that holds the image. From each step to the next,
    which halves the distance of the points, the noise falls by the square of `decay`, as in the original.
    """
    side = 2 ** (max(*size, 2) - 1).bit_length()
    clouds = torch.zeros(len(draws.keys), side, side, dtype=torch.float64, device=draws.keys.device)
    noise, step = 1.0, side
    while step >= 2:
        half = step // 2
        corners = clouds[:, ::step, ::step]
        wiggles = [
            (2 * draws.uniform(1000 * purpose + 3 * step + part, *corners.shape[1:]) - 1) * noise for part in range(3)
        ]
        pairs = corners + corners.roll(-1, 1)
        centres = (pairs + pairs.roll(-1, 2)) / 4 + wiggles[0]
        clouds[:, half::step, half::step] = centres
        clouds[:, ::step, half::step] = (centres + centres.roll(1, 1) + corners + corners.roll(-1, 2)) / 4 + wiggles[1]
        clouds[:, half::step, ::step] = (centres + centres.roll(1, 2) + corners + corners.roll(-1, 1)) / 4 + wiggles[2]
        step, noise = half, noise / decay**2
    clouds = clouds - clouds.amin((1, 2), keepdim=True)
    return (clouds / clouds.amax((1, 2), keepdim=True))[:, : size[0], : size[1]]


def snow(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Whiten the image, and lay falling flakes over it: noise above a threshold, blurred along a line."""
    mean, std, zoom, threshold, radius, length, blend = (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    )[severity - 1]
    larger = scale(images)
    noise = mean + std * draws.normal(0, *images.shape[-2:])
    flakes = zoomed(noise.permute(1, 2, 0), max(1, zoom * larger)).permute(2, 0, 1)[:, None]
    flakes = torch.where(flakes < threshold, 0, flakes).clamp(0, 1)
    flakes = streak(flakes, draws.uniform(1) * 90 - 135, max(1, round(radius * larger)), length * larger)
    values = unit(images)
    whitened = torch.maximum(values, grey(values) * 1.5 + 0.5)
    return to_bytes(blend * values + (1 - blend) * whitened + flakes + flakes.rot90(2, (-2, -1)))


def ice(draws: Draws, size: tuple[int, int]) -> Tensor:
    """Return the brightness of frost, from 0 to 1, float64 (n, height, width): bright needles on clouds."""
    clouds, ridges = (plasma(draws, purpose, size, decay) for purpose, decay in ((1, 1.5), (2, 1.25)))
    needles = 1 - (2 * ridges - 1).abs()
    return 0.45 * clouds + 0.55 * needles**2


def frost(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Lay ice over a darkened image."""
    image, weight = ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))[severity - 1]
    height, width = images.shape[-2:]
    texture = ice(draws, (height, width))[:, None] * painted(ICE, images.shape[1], images.device)
    return to_bytes(image * unit(images) + weight * texture)


def fog(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Add clouds, and scale so that white would be as bright as the brightest value was."""
    amount, decay = ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))[severity - 1]
    values = unit(images)
    brightest = values.amax((1, 2, 3), keepdim=True)
    height, width = images.shape[-2:]
    clouds = plasma(draws, 0, (height, width), decay)[:, None]
    return to_bytes((values + amount * clouds) * brightest / (brightest + amount))


def brightness(images: Tensor, severity: int, draws: Draws) -> Tensor:
    """Add to the value V of HSV, the largest channel, and keep hue and saturation: the channels keep their ratios."""
    added = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    values = unit(images)
    largest = values.amax(1, keepdim=True)
    brighter = (largest + added).clamp(max=1)
    return to_bytes(torch.where(largest > 0, values / largest * brighter, brighter))
