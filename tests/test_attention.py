"""Every attention mechanism against its formula, written once more in numpy; a new one must bring its oracle here."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from attn_train import options
from attn_train.attention import ATTENTION
from attn_train.attention.attention import Attention
from attn_train.attention.gated import GatedConv
from attn_train.attention.self_attention import SelfAttention
from attn_train.compose import CONF

Array = np.ndarray[Any, np.dtype[np.float64]]
Case = tuple[str, dict[str, Any]]

YAML_FILES = {path.stem: path for path in sorted((CONF / "model").glob("*.yaml"))}


def gated_formula(weights: dict[str, Array], x: Array, _: dict[str, Any]) -> Array:
    def conv(name: str) -> Array:
        mixed = np.einsum("oc,bchw->bohw", weights[f"{name}.weight"][:, :, 0, 0], x)
        return mixed + weights[f"{name}.bias"][None, :, None, None]

    return x / (1 + np.exp(-conv("conv1") * conv("conv2")))


def self_attention_formula(weights: dict[str, Array], x: Array, chosen: dict[str, Any]) -> Array:
    """One query at a time, one head at a time."""
    batch, channels, height, width = x.shape
    depth = channels // chosen["heads"]
    out = np.zeros_like(x)
    for image in range(batch):
        tokens = np.array([x[image, :, r, c] for r in range(height) for c in range(width)])
        query, key, value = (
            tokens @ weights[f"{name}.weight"].T + weights[f"{name}.bias"] for name in ("query", "key", "value")
        )
        for head in range(chosen["heads"]):
            own = slice(head * depth, (head + 1) * depth)
            for number, one in enumerate(query[:, own]):
                scores = np.array([one @ other for other in key[:, own]])
                if chosen["scale"] == "sqrt":
                    scores = scores / math.sqrt(depth)
                shares = np.exp(scores) / np.exp(scores).sum()
                summed = sum(share * row for share, row in zip(shares, value[:, own], strict=True))
                out[image, own, number // width, number % width] = summed
    return x + out if chosen["residual"] else out


FORMULAS: dict[str, Callable[[dict[str, Array], Array, dict[str, Any]], Array]] = {
    "gated": gated_formula,
    "none": lambda weights, x, chosen: x,
    "self_attention": self_attention_formula,
}
PARAMETERS: dict[str, Callable[[int], int]] = {
    "gated": lambda c: 2 * (c * c + c),
    "none": lambda c: 0,
    "self_attention": lambda c: 3 * (c * c + c),
}
LAYERS: dict[str, set[str]] = {
    "gated": {"conv1", "conv2"},
    "none": set(),
    "self_attention": {"query", "key", "value"},
}
# Those whose formula knows no neighbourhood and no position.
POSITION_FREE = {"gated", "none", "self_attention"}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "self_attention": [
        {"heads": heads, "scale": scale, "residual": residual}
        for heads, scale, residual in itertools.product((1, 2), ("sqrt", "none"), (True, False))
    ]
}


def from_yaml(name: str) -> dict[str, Any]:
    values = yaml.safe_load(YAML_FILES[name].read_text())
    assert values.pop("name") == name
    return options.bind("model", ATTENTION[name], values)


# What has no YAML fails in test_every_mechanism_has_its_yaml_and_its_oracle, not in collection.
CASES: list[Case] = [
    (name, from_yaml(name) | variant)
    for name in ATTENTION
    if name in YAML_FILES
    for variant in VARIANTS.get(name, [{}])
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join([case[0], *map(str, case[1].values())]))


def make(case: Case, channels: int = 4, size: tuple[int, int] = (3, 2)) -> Attention:
    torch.manual_seed(3)
    return ATTENTION[case[0]](channels, size=size, **case[1]).double()


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def test_every_mechanism_has_its_yaml_and_its_oracle() -> None:
    assert len(ATTENTION) >= 3
    assert set(ATTENTION) == set(YAML_FILES) == set(FORMULAS) == set(PARAMETERS) == set(LAYERS)
    assert {name for name, _ in CASES} == set(ATTENTION)


@each_case
def test_the_output_is_the_formulas(case: Case) -> None:
    module, x = make(case), noise(2, 4, 3, 2)
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    expected = FORMULAS[case[0]](weights, x.numpy(), case[1])
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@each_case
def test_gradients_are_those_of_finite_differences(case: Case) -> None:
    module = make(case)
    names = [name for name, _ in module.named_parameters()]

    def call(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), x)

    x = noise(1, 4, 3, 2).requires_grad_()
    values = [value.detach().clone().requires_grad_() for value in module.parameters()]
    assert torch.autograd.gradcheck(call, (x, *values))


@each_case
@pytest.mark.parametrize("channels", [4, 6])
def test_parameters_follow_the_closed_form(case: Case, channels: int) -> None:
    count = sum(value.numel() for value in make(case, channels).parameters())
    assert count == PARAMETERS[case[0]](channels)


@each_case
def test_layers_have_the_agreed_names(case: Case) -> None:
    assert {name.rpartition(".")[0] for name in make(case).state_dict()} == LAYERS[case[0]]


@each_case
@pytest.mark.parametrize("size", [(5, 7), (1, 1), (8, 8)])
def test_shape_and_dtype_are_kept(case: Case, size: tuple[int, int]) -> None:
    module = make(case, 4, size)
    for dtype in (torch.float64, torch.float32):
        x = noise(2, 4, *size).to(dtype)
        out = module.to(dtype)(x)
        assert out.shape == x.shape
        assert out.dtype == dtype


@each_case
def test_autocast_to_bfloat16_stays_near_float32(case: Case) -> None:
    module, x = make(case, 8, (5, 7)).float(), noise(2, 8, 5, 7).float()
    exact = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = module(x)
    assert rough.shape == x.shape
    # bfloat16 keeps 8 bits, and a few operations follow each other.
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)


@each_case
def test_the_memory_format_does_not_change_the_values(case: Case) -> None:
    module, x = make(case, 4, (5, 7)), noise(2, 4, 5, 7)
    last = x.to(memory_format=torch.channels_last)
    assert last.stride() != x.stride()
    torch.testing.assert_close(module(last), module(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", [case for case in CASES if case[0] in POSITION_FREE], ids=str)
def test_pixels_may_be_permuted(case: Case) -> None:
    """What treats pixels as a set: shuffled in, shuffled out."""
    module, x = make(case, 4, (5, 7)), noise(2, 4, 5, 7)
    order = torch.randperm(35, generator=torch.Generator().manual_seed(1))

    def shuffled(image: Tensor) -> Tensor:
        return image.flatten(2)[:, :, order].view(2, 4, 5, 7)

    torch.testing.assert_close(module(shuffled(x)), shuffled(module(x)), rtol=1e-10, atol=1e-12)


@each_case
def test_the_attention_map_covers_the_image(case: Case) -> None:
    module = make(case, 4, (5, 7))
    found = module.attention_map(noise(2, 4, 5, 7))
    # Whether there is a map is the mechanism's choice; that these two have one is not.
    assert (found is not None) or case[0] not in ("gated", "self_attention")
    if found is None:
        return
    assert found.shape == (2, 5, 7)
    assert 0 <= found.min() < found.max() <= 1


def test_a_closed_gate_shuts_and_an_open_one_passes() -> None:
    module = GatedConv(2, size=(1, 1)).double()
    for bias, expected in ((-30.0, 0.0), (30.0, 1.0)):
        with torch.no_grad():
            for value in module.parameters():
                value.zero_()
            module.conv1.bias.fill_(bias)  # type: ignore[union-attr]
            module.conv2.bias.fill_(1.0)  # type: ignore[union-attr]
        x = noise(1, 2, 1, 1)
        torch.testing.assert_close(module(x), x * expected)
        torch.testing.assert_close(module.attention_map(x), torch.full((1, 1, 1), expected, dtype=torch.float64))


@pytest.mark.parametrize("variant", VARIANTS["self_attention"], ids=str)
def test_weights_on_request_are_those_of_the_fused_path(variant: dict[str, Any]) -> None:
    module, x = make(("self_attention", variant), 4, (5, 7)), noise(2, 4, 5, 7)
    out, weights = module(x, return_weights=True)
    assert weights.shape == (2, variant["heads"], 35, 35)
    assert weights.min() > 0
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, variant["heads"], 35, dtype=torch.float64))
    torch.testing.assert_close(out, module(x), rtol=1e-10, atol=1e-12)
    # What a pixel receives on average; an image's total is one.
    received = module.attention_map(x)
    assert received is not None
    torch.testing.assert_close(received.flatten(1), weights.sum(dim=(1, 2)) / (35 * variant["heads"]))
    torch.testing.assert_close(received.sum(dim=(1, 2)), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("heads", [0, -1, 4, 5, 12])
def test_heads_that_do_not_divide_the_channels_are_refused(heads: int) -> None:
    with pytest.raises(ValueError, match=rf"heads={heads} .*6 channels.*choose from 1, 2, 3, 6$"):
        SelfAttention(6, size=(2, 2), heads=heads)


def test_the_article_has_one_head_and_no_scale_by_option_only() -> None:
    values = yaml.safe_load(Path(YAML_FILES["self_attention"]).read_text())
    assert values == {"name": "self_attention", "heads": 1, "scale": "sqrt", "residual": True}
