"""Parameters and multiply-adds against formulas worked out by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attn_train.attention.gated import GatedConv
from attn_train.attention.identity import Identity
from attn_train.attention.self_attention import SelfAttention
from attn_train.backbones.article import ArticleNet
from attn_train.backbones.lstm import LSTMNet
from attn_train.backbones.placement import Placement
from attn_train.backbones.resnet import ResNet
from attn_train.cost.counting import count_macs, count_parameters


def article(mechanism: Any, size: tuple[int, int], **options: Any) -> ArticleNet:
    return ArticleNet(
        (3, *size),
        10,
        lambda channels, area: mechanism(channels, size=area, **options),
        placement=Placement("all", "after_activation"),
    )


def article_macs(n: int) -> int:
    """Each of n pixels gets 3 -> 64 and 64 -> 128 over 3x3 pixels, and all go into ten sums."""
    return n * (3 * 9 * 64 + 64 * 9 * 128) + 128 * n * 10


def test_a_convolution_costs_its_filters_at_each_place() -> None:
    model = nn.Conv2d(3, 8, 5, stride=2, padding=2)
    assert count_macs(model, (3, 16, 20)) == 8 * 10 * 8 * 3 * 25
    grouped = nn.Conv2d(6, 8, 3, groups=2, bias=False)
    assert count_macs(grouped, (6, 7, 7)) == 25 * 8 * 3 * 9


def test_a_linear_layer_costs_its_matrix() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 7), nn.ReLU(), nn.Linear(7, 5, bias=False))
    assert count_macs(model, (3, 4, 4)) == 48 * 7 + 7 * 5
    assert count_parameters(model) == 48 * 7 + 7 + 7 * 5


@pytest.mark.parametrize("size", [(8, 8), (5, 7)])
def test_the_article_network_with_each_mechanism(size: tuple[int, int]) -> None:
    n, d = size[0] * size[1], 128
    shape = (3, *size)
    assert count_macs(article(Identity, size), shape) == article_macs(n)
    assert count_macs(article(GatedConv, size), shape) == article_macs(n) + 2 * n * d * d
    # Three projections; each of n queries with each of n keys; each of n sums of n values.
    attention = 3 * n * d * d + 2 * n * n * d
    for heads in (1, 4):
        for scale in ("sqrt", "none"):
            assert (
                count_macs(article(SelfAttention, size, heads=heads, scale=scale), shape) == article_macs(n) + attention
            )


def test_the_article_at_its_own_size() -> None:
    plain, attending = article(Identity, (32, 32)), article(SelfAttention, (32, 32))
    extra = count_macs(attending, (3, 32, 32)) - count_macs(plain, (3, 32, 32))
    assert extra == 3 * 1024 * 128**2 + 2 * 1024**2 * 128
    assert count_parameters(attending) - count_parameters(plain) == 3 * (128**2 + 128)
    assert count_parameters(plain) == 3 * 9 * 64 + 64 + 64 * 9 * 128 + 128 + 131072 * 10 + 10


def test_resnet20_costs_what_is_known_of_it() -> None:
    placement = Placement("all", "branch")
    model = ResNet((3, 32, 32), 10, Identity, depth=20, width=None, drop_path=0.0, placement=placement)
    stage = (
        16 * 16 * 9 * 1024
    )  # every full 3x3 convolution costs the same: half the places on a side, twice the channels
    down = 2 * (stage // 2)  # the first of a stage has half the channels to read
    shortcuts = 256 * 16 * 32 + 64 * 32 * 64
    assert count_macs(model, (3, 32, 32)) == 1024 * 3 * 9 * 16 + 16 * stage + down + shortcuts + 640


def test_counting_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for training in (True, False):
        model.train(training)
        count_macs(model, (3, 8, 8))
        assert model.training is training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())


def test_parameters_that_are_not_trained_count_too() -> None:
    model = nn.Linear(3, 2)
    model.weight.requires_grad_(False)
    assert count_parameters(model) == 8


class Product(nn.Module):
    """A module that multiplies its image by parameters as `function` says."""

    def __init__(self, function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.factors = nn.ParameterList(torch.ones(shape) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.factors)


@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        (lambda x, v: x[0, 0] @ v, [(7,)], 5 * 7),
        (lambda x, b, v: torch.addmv(b, x[0, 0], v), [(5,), (7,)], 5 * 7),
        (lambda x, v: torch.dot(x[0, 0, 0], v), [(7,)], 7),
        (lambda x, b, v: torch.addbmm(b, x[0], v), [(5, 4), (3, 7, 4)], 3 * 5 * 7 * 4),
        (lambda x, v: torch.einsum("bchw,wd->bchd", x, v), [(7, 2)], 3 * 5 * 7 * 2),
        (lambda x, v: torch.einsum("bchw,c->bhw", x, v), [(3,)], 3 * 5 * 7),
    ],
    ids=["matrix-vector", "plus matrix-vector", "dot", "sum of products", "einsum", "einsum with a vector"],
)
def test_every_kind_of_product(function: Callable[..., Tensor], shapes: list[tuple[int, ...]], macs: int) -> None:
    assert count_macs(Product(function, *shapes), (3, 5, 7)) == macs


def test_torch_own_attention_module() -> None:
    """In a test it runs as one fused operator, which counts as four projections and two products all the same."""
    attention = nn.MultiheadAttention(16, 2, batch_first=True)

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: Tensor) -> Tensor:
            tokens = x.flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens, need_weights=False)[0]

    n, d = 6 * 4, 16
    assert count_macs(Tokens(), (16, 6, 4)) == 4 * n * d * d + 2 * n * n * d
    assert torch.backends.mha.get_fastpath_enabled()


def test_an_lstm_costs_two_matrices_a_step_in_each_direction() -> None:
    """On the CPU it is one operator; on the meta device, which finds controls, many."""
    macs = 6 * 2 * (4 * 5 * (3 * 8 + 5))
    for place in ("cpu", "meta"):
        with torch.device(place):
            model = LSTMNet((3, 6, 8), 10, Identity, widths=[5], placement=Placement("all", "after_activation"))
        assert count_macs(model, (3, 6, 8)) == macs + 2 * 5 * 10


def test_without_parameters_and_without_memory() -> None:
    """On the meta device the n x n matrix of 16384 tokens, a gigabyte, is never made."""
    assert count_macs(Identity(8, size=(4, 4)), (8, 4, 4)) == 0
    with torch.device("meta"):
        n, d = 128 * 128, 64
        model = SelfAttention(d, size=(128, 128))
        assert count_macs(model, (d, 128, 128)) == 3 * n * d * d + 2 * n * n * d
        assert count_macs(Product(lambda x: x[0, 0] @ x[0, 1].T), (2, 5, 7)) == 5 * 7 * 5
