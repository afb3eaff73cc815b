"""A first layer that whitens patches of the images, after airbench (Jordan, 2024, arXiv 2404.00498, section 3.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WHITENING_KERNEL = 2
WHITENING_EPSILON = 5e-4  # arXiv 2404.00498, section 3.1

# Biases are stored divided by this unit, so that one learning rate of a usual size suits them: a unit u multiplies the
# effective rate by u^2. The unit's square times 5e-5 is airbench94_muon's rate.
BIAS_UNIT = 32.0


class Whitening(nn.Conv2d):
    """Convolve by filters that whiten 2x2 patches, and by their negatives, which are set once and not trained; its bias
    is.

    Maps (batch, channels, height, width) to (batch, 8 channels, height - 1, width - 1).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 2 * channels * WHITENING_KERNEL**2, WHITENING_KERNEL)
        self.weight.requires_grad_(False)
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    @torch.no_grad()
    def initialize_from(self, images: Tensor) -> None:
        """Set the filters by normalised training images, (n, channels, height, width)."""
        # The inverse square root of the covariance of patches, by its eigenvectors.
        patches = F.unfold(images, WHITENING_KERNEL)  # (n, patch, positions)
        values, vectors = torch.linalg.eigh((patches @ patches.mT).mean(dim=0) / patches.shape[2])
        whitening = vectors.T / (values + WHITENING_EPSILON).sqrt()[:, None]  # (patch, patch)
        # Each filter and its negative, so that the activation loses neither sign.
        self.weight.copy_(torch.cat([whitening, -whitening]).view_as(self.weight))

    def activated(self, x: Tensor) -> Tensor:
        """Return the whitened images after their activation."""
        assert self.bias is not None
        return F.gelu(F.conv2d(x, self.weight, self.bias * BIAS_UNIT))
