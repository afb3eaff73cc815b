"""Which parameters an optimizer gets and how, what reaches torch, and what is refused."""

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from attn_train.attention import ATTENTION
from attn_train.backbones.backbone import Backbone
from attn_train.backbones.fast import FastNet
from attn_train.backbones.placement import Placement
from attn_train.errors import ConfigError
from attn_train.optim.optimizers import OPTIMIZERS, load_state, make_optimizer, set_lr
from attn_train.optim.roles import sort_parameters
from attn_train.settings import compose, options
from attn_train.settings.compose import CONF

YAML_FILES = {path.stem: path for path in sorted((CONF / "optimizer").glob("*.yaml"))}
SGD = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
ADAM = {"lr": 0.002, "betas": [0.8, 0.95], "eps": 1e-7, "weight_decay": 0.03}
MUON = {
    "lr": 0.24,
    "momentum": 0.6,
    "nesterov": True,
    "normalize": True,
    "newton_schulz_steps": 3,
    "weight_decay": 0.02,
    "batch_size": 50,
    "sgd_lr": 0.0002,
    "sgd_momentum": 0.85,
    "attention_lr": 0.003,
    "adam_betas": [0.85, 0.95],
    "adam_eps": 1e-8,
}
OPTIONS: dict[str, dict[str, Any]] = {"sgd": SGD, "adam": ADAM, "adamw": ADAM, "muon": MUON}


def network() -> FastNet:
    """A network with filters, a linear layer, biases, frozen parameters, and filters inside the attention."""
    torch.manual_seed(0)
    placement = Placement("all", "after_activation")
    return FastNet(
        (3, 8, 8), 5, ATTENTION["gated"], widths=[4, 6], depth=2, drop_path=0.0, whitening_epochs=1, placement=placement
    )


def made(name: str, model: nn.Module, values: dict[str, Any], slots: Sequence[nn.Module] = ()) -> torch.optim.Optimizer:
    """Make an optimizer of a model whose `slots` hold attention."""
    options = OPTIMIZERS[name](**values)
    return make_optimizer(options, model.roles() if isinstance(model, Backbone) else sort_parameters(model, slots))


def names(model: nn.Module, group: dict[str, Any]) -> set[str]:
    chosen = {id(parameter) for parameter in group["params"]}
    return {name for name, parameter in model.named_parameters() if id(parameter) in chosen}


def test_every_optimizer_has_its_yaml_and_is_under_test() -> None:
    assert set(OPTIMIZERS) == set(YAML_FILES) == set(OPTIONS)


@pytest.mark.parametrize("name", sorted(YAML_FILES))
def test_the_yaml_makes_its_optimizer(name: str) -> None:
    compose.register()
    values = dict(compose.to_config(compose.compose([f"optimizer={name}"], compose.parse([]))).optimizer)
    assert values.pop("name") == name
    bound = options.bind("optimizer", OPTIMIZERS[name], values)
    optimizer = made(name, network(), bound)
    assert optimizer.param_groups[0]["lr"] == bound["lr"]


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_each_trained_parameter_is_in_one_group_and_no_frozen_one_is(name: str) -> None:
    model = network()
    optimizer = made(name, model, OPTIONS[name])
    given = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(given) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert len(given) < len(list(model.parameters()))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_vectors_are_not_decayed(name: str) -> None:
    model = network()
    decay = OPTIONS[name]["weight_decay"]
    by_decay = {group["weight_decay"]: names(model, group) for group in made(name, model, OPTIONS[name]).param_groups}
    assert set(by_decay) == {decay, 0.0}
    trained = {key for key, value in model.named_parameters() if value.requires_grad}
    assert by_decay[0.0] == {key for key in trained if key.endswith("bias")}
    assert by_decay[decay] == {key for key in trained if key.endswith("weight")}


def test_muon_gets_the_backbones_filters_and_the_attention_its_own_rate() -> None:
    model = network()
    filters, others, attention = groups = made("muon", model, MUON).param_groups
    assert names(model, filters) == {f"stages.{stage}.conv{conv}.weight" for stage in (0, 1) for conv in (1, 2)}
    assert names(model, attention) == {
        f"stages.{stage}.attention_after.conv{conv}.{kind}"
        for stage in (0, 1)
        for conv in (1, 2)
        for kind in ("weight", "bias")
    }
    biases = {f"stages.{stage}.norm{norm}.bias" for stage in (0, 1) for norm in (1, 2)}
    assert names(model, others) == {"head.weight", "whiten.bias"} | biases
    assert [group["rule"] for group in groups] == ["muon", "sgd", "adam"]
    assert [group["lr"] for group in groups] == [0.24, 0.0002 * 50, 0.003]
    assert (others["momentum"], attention["betas"], attention["eps"]) == (0.85, (0.85, 0.95), 1e-8)
    assert (filters["weight_decay"], attention["weight_decay"]) == (0.02, 0.0)


def test_a_model_without_filters_or_without_vectors_trains_too() -> None:
    linear = nn.Linear(2, 2, bias=False)
    for name, values in OPTIONS.items():
        assert len(made(name, linear, values).param_groups) == 1


def test_options_reach_torch() -> None:
    sgd = made("sgd", network(), SGD)
    assert type(sgd) is torch.optim.SGD
    for group in sgd.param_groups:
        assert (group["lr"], group["momentum"], group["nesterov"], group["dampening"]) == (0.1, 0.9, True, 0)
    for name, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
        adam = made(name, network(), ADAM)
        assert type(adam) is kind
        for group in adam.param_groups:
            assert (group["lr"], group["betas"], group["eps"]) == (0.002, (0.8, 0.95), 1e-7)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adams_decay_is_of_the_kind_its_paper_says(name: str) -> None:
    """Without a gradient of its own Adam turns the decay into a step of the full rate; AdamW only shrinks."""
    model = nn.Linear(2, 2, bias=False)
    model.weight.data.fill_(2.0)
    optimizer = made(name, model, ADAM | {"eps": 1e-12})
    model.weight.grad = torch.zeros(2, 2)
    optimizer.step()
    expected = 2 - 0.002 if name == "adam" else 2 * (1 - 0.002 * 0.03)
    torch.testing.assert_close(model.weight.detach(), torch.full((2, 2), expected))


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_the_rate_is_set_relative_to_the_initial_one(name: str) -> None:
    optimizer = made(name, network(), OPTIONS[name])
    initial = [group["initial_lr"] for group in optimizer.param_groups]
    assert initial == [group["lr"] for group in optimizer.param_groups]
    for factor in (0.5, 0.1, 1.0):
        assert set_lr(optimizer, factor) == initial[0] * factor
        assert [group["lr"] for group in optimizer.param_groups] == [lr * factor for lr in initial]


NAN = float("nan")
OUT_OF_RANGE: list[tuple[str, str, Any, str]] = [
    *[(name, "lr", value, "above 0") for name in sorted(OPTIONS) for value in (0, -0.1, NAN, float("inf"))],
    *[(name, "weight_decay", value, "at least 0") for name in sorted(OPTIONS) for value in (-1e-4, NAN)],
    *[("sgd", "momentum", value, "at least 0 and below 1") for value in (-0.1, 1.0, 1.5, NAN)],
    ("muon", "momentum", 1.0, "at least 0 and below 1"),
    ("adam", "eps", 0.0, "above 0"),
    ("adamw", "eps", -1.0, "above 0"),
    *[("adam", "betas", value, "two numbers") for value in ([0.9], [0.9, 1.0], [-0.1, 0.9], [])],
    ("adamw", "betas", [0.9, 0.9, 0.9], "two numbers, each at least 0 and below 1"),
    ("muon", "adam_betas", [0.9, 1.0], "two numbers"),
    ("muon", "sgd_lr", 0, "above 0"),
    ("muon", "sgd_momentum", 1.0, "at least 0 and below 1"),
    ("muon", "batch_size", 0, "above 0"),
    ("muon", "attention_lr", 0, "above 0"),
    ("muon", "adam_eps", 0, "above 0"),
    ("muon", "newton_schulz_steps", 0, "above 0"),
]


@pytest.mark.parametrize(("name", "key", "value", "message"), OUT_OF_RANGE)
def test_what_is_out_of_range_is_refused(name: str, key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^optimizer.{key}=.* is out of range; it must be {message}"):
        options.bind("optimizer", OPTIMIZERS[name], OPTIONS[name] | {key: value})


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_nesterov_needs_a_momentum(name: str) -> None:
    with pytest.raises(ValueError, match="nesterov=true needs a momentum above 0"):
        made(name, network(), OPTIONS[name] | {"momentum": 0.0})


def test_the_ends_of_the_ranges_are_allowed() -> None:
    least = {"lr": 1e-9, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    assert options.bind("optimizer", OPTIMIZERS["sgd"], least) == least
    sgd = made("sgd", network(), least).param_groups
    assert all({key: group[key] for key in least} == least for group in sgd)
    adam = made("adam", network(), ADAM | {"betas": [0.0, 0.0], "weight_decay": 0.0}).param_groups
    assert all((group["betas"], group["weight_decay"]) == ((0.0, 0.0), 0.0) for group in adam)


@pytest.mark.parametrize("name", ["adam", "muon", "sgd"])
@pytest.mark.parametrize("formats", list(itertools.permutations([torch.contiguous_format, torch.channels_last])))
def test_a_state_is_laid_out_as_the_parameters_that_take_it_over(
    name: str, formats: tuple[torch.memory_format, torch.memory_format]
) -> None:
    """A run may go on in another memory format, and fused kernels go by position."""
    ends = []
    for later in (formats[0], formats[1]):
        torch.manual_seed(0)
        model = nn.ModuleDict({"attention": nn.Conv2d(3, 4, 3), "other": nn.Conv2d(3, 4, 3)})
        model = model.to(memory_format=formats[0])
        optimizer = made(name, model, OPTIONS[name], [model["attention"]])
        for step in range(4):
            if step == 2:
                state = copy.deepcopy(optimizer.state_dict())
                model = model.to(memory_format=later)
                optimizer = made(name, model, OPTIONS[name], [model["attention"]])
                load_state(optimizer, state)
            for number, parameter in enumerate(model.parameters()):
                random = torch.Generator().manual_seed(10 * step + number)
                parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=random))
            optimizer.step()
        ends.append([parameter.detach() for parameter in model.parameters()])
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
