"""The networks, by the names that `backbone=` takes.

Each is called as `Class(shape, classes, attention, **options)`: the images' (channels, height, width), the number of
classes, and a factory `(channels, size) -> module` for the attention in the slots that `placement` chooses.
"""

from attn_train.backbones.article import ArticleNet
from attn_train.backbones.backbone import Backbone
from attn_train.backbones.fast import FastNet
from attn_train.backbones.hybrid import HybridNet
from attn_train.backbones.lstm import LSTMNet
from attn_train.backbones.resnet import ResNet
from attn_train.backbones.timm import TimmNet

BACKBONES: dict[str, type[Backbone]] = {
    "article": ArticleNet,
    "fast": FastNet,
    "hybrid": HybridNet,
    "lstm": LSTMNet,
    "resnet": ResNet,
    "timm": TimmNet,
}
