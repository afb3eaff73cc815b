"""Data sets as tensors: each name of the `dataset` group is a key of DATASETS."""

from attn_train.data.dataset import ImageDataset
from attn_train.data.sources.cifar import Cifar10, Cifar100
from attn_train.data.sources.digits import Digits
from attn_train.data.sources.folder import ImageFolder
from attn_train.data.sources.synthetic import Synthetic

DATASETS: dict[str, type[ImageDataset]] = {
    "cifar10": Cifar10,
    "cifar100": Cifar100,
    "digits": Digits,
    "image_folder": ImageFolder,
    "synthetic": Synthetic,
}
