"""A linear network of few weights and the data that it learns: small enough for a formula to say what becomes of
them."""

import torch
from torch import Tensor, nn

from attn_train.backbones.backbone import Backbone
from attn_train.data.augment import Augmentation
from attn_train.data.batches import Normalization, TrainBatches
from attn_train.data.dataset import Split
from attn_train.machine.device import Device

CPU = Device("cpu", "float32", channels_last=False, compile=False, cuda_graphs=False, threads=1)
HALF = Normalization(torch.tensor([0.5]), torch.tensor([0.25]))


class Layers(Backbone):
    """One layer after the other, with all that the loop asks of a network."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def __getitem__(self, number: int) -> nn.Module:
        return self.layers[number]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def linear(dtype: torch.dtype = torch.float32) -> Layers:
    torch.manual_seed(1)
    return Layers(nn.Flatten(), nn.Linear(16, 3)).to(dtype)


def split(count: int = 40) -> Split:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, 4, 4), generator=random).to(torch.uint8)
    return Split(images, torch.randint(0, 3, (count,), generator=random))


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    for group in optimizer.param_groups:
        group["initial_lr"] = lr
    return optimizer


def weights_of(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def batch(count: int = 12, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    images = torch.randn(count, 1, 4, 4, generator=random, dtype=dtype)
    return images, torch.randint(0, 3, (count,), generator=random)


def batches(count: int = 40, batch_size: int = 6, drop_last: bool = False) -> TrainBatches:
    augmentation = Augmentation("random", 1, 1)
    data = split(count)
    sides = (data.images.shape[-1],) * 10
    return TrainBatches(
        data, batch_size, drop_last, augmentation, HALF, 3, sides, 0.0, 1, None, order_seed=2, augment_seed=2
    )
