"""Gather-excite: a gate for each channel from its own neighbourhood (Hu et al., 2018, arXiv 1810.12348)."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Gate
from attn_train.ops.pooling import GridMean, MapMean


class GatherExcite(Gate):
    """Compute `x * sigmoid(upsample(gather(x)))`, each channel by itself.

    `extent` e is the stride of the gathering: the gathered map has ceil(h / e) x ceil(w / e) positions (one for a map
    no larger than e), and a nearest upsampling brings it back; 0 gathers the whole map into one position.
    `gather` says how:
    `pool` averages the 2 e - 1 rows and columns round a position, of which those outside the map do not count (the
    paper's GE-theta-minus); no parameters.
    `conv` is log2(e) depthwise 3x3 convolutions of stride 2, each with batch normalisation and all but the last with a
    ReLU (GE-theta); 11 c log2(e) parameters. For the whole map it is one depthwise filter of the map's `size`, with
    batch normalisation, and a map of another size is first averaged or repeated to that size; c (h w + 2) parameters.
    The paper's third form, with the layers of squeeze-and-excitation after the gathering, is left out.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        extent: Literal[0, 2, 4, 8] = 0,
        gather: Literal["pool", "conv"] = "pool",
    ) -> None:
        super().__init__()
        self.extent = extent
        self.gather: nn.Module
        if gather == "pool" and extent == 0:
            self.gather = MapMean()
        elif gather == "pool":
            self.gather = nn.AvgPool2d(2 * extent - 1, stride=extent, padding=extent - 1, count_include_pad=False)
        elif extent == 0:
            self.gather = nn.Sequential(
                GridMean(size),  # nothing to do where the map has that size
                nn.Conv2d(channels, channels, size, groups=channels, bias=False),
                nn.BatchNorm2d(channels),
            )
        else:
            layers: list[nn.Module] = []
            for _ in range(int(math.log2(extent))):
                conv = nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1, groups=channels, bias=False)
                layers += [conv, nn.BatchNorm2d(channels), nn.ReLU()]
            self.gather = nn.Sequential(*layers[:-1])

    def gate(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gather(x))  # (batch, channels, ceil(height / extent), ceil(width / extent))
        return F.interpolate(gate, size=(x.shape[2], x.shape[3]), mode="nearest") if self.extent else gate
