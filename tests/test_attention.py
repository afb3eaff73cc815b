"""Every attention mechanism that ATTENTION names, against the formula in tests/formulas/<name>.py and against what it
claims there. A new mechanism is found by itself; without its formula one test fails and says where to write it."""

import importlib
import inspect
import itertools
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor
from torch._inductor.utils import run_and_get_code

from attn_train.attention import ATTENTION
from attn_train.attention.attention import Attention, Gate
from attn_train.attention.gated import GatedConv
from attn_train.attention.self_attention import SelfAttention
from attn_train.conformance import symmetries
from attn_train.conformance.largest import largest
from attn_train.ops import dot_product
from attn_train.settings import options
from attn_train.settings.compose import CONF

FORMULAS = Path(__file__).parent / "formulas"
YAML_FILES = {path.stem: path for path in sorted((CONF / "model").glob("*.yaml"))}
# What a formula file may claim for its mechanism. `permutation`: pixels shuffled in, pixels shuffled out. `shift`: the
# same for a circular shift. `channels`: the same for the channels. `starts_as_identity`: before training it changes
# nothing. `linear_memory`: nothing that it makes, forward or backward, grows faster than the number of pixels.
# `pairs`: what it does to an image depends on the other image of a pair.
CLAIMS = {"permutation", "shift", "channels", "starts_as_identity", "linear_memory", "pairs"}

ARTICLES = ("gated", "self_attention")

Case = tuple[str, dict[str, Any]]

# Of float64, after some operations: the largest distance that is rounding, as a share of the largest element.
EXACT = 1e-10


def formula_of(name: str) -> ModuleType | None:
    return importlib.import_module(f"formulas.{name}") if (FORMULAS / f"{name}.py").is_file() else None


def from_yaml(name: str) -> dict[str, Any]:
    values = yaml.safe_load(YAML_FILES[name].read_text())
    assert values.pop("name") == name
    return options.bind("model", ATTENTION[name], values)


def claims(name: str, chosen: dict[str, Any] | None = None) -> set[str]:
    """Return what the formula file claims: its CLAIMS, or what a function `claims` there says of the chosen options."""
    formula = formula_of(name)
    if formula is None:
        return set()
    return formula.claims(chosen) if chosen is not None and hasattr(formula, "claims") else formula.CLAIMS


# What has no YAML or no formula fails in a test of its own, not in collection.
PROVEN = [name for name in ATTENTION if formula_of(name) is not None]
CASES: list[Case] = [
    (name, from_yaml(name) | variant)
    for name in ATTENTION
    if name in YAML_FILES
    for variant in getattr(formula_of(name), "VARIANTS", [{}])
]
DEFAULTS: list[Case] = [(name, from_yaml(name)) for name in ATTENTION if name in YAML_FILES]


def title(case: Case) -> str:
    return "-".join([case[0], *map(str, case[1].values())])


def those(claim: str) -> list[Case]:
    return [case for case in CASES if claim in claims(*case)]


# The quick round has every variant beside its formula, and the properties of the mechanisms as their YAML has them.
each_case = pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in DEFAULTS else pytest.mark.slow, id=title(case)) for case in CASES]
)
each_proven = pytest.mark.parametrize("case", [case for case in CASES if case[0] in PROVEN], ids=title)
each_default = pytest.mark.parametrize("case", DEFAULTS, ids=title)


def make(case: Case, channels: int = 8, size: tuple[int, int] = (4, 5)) -> Attention:
    """Make a mechanism in evaluation, in float64, whose every parameter and running statistic is random: what begins
    at zero would hide a wrong term."""
    torch.manual_seed(3)
    module = ATTENTION[case[0]](channels, size=size, **case[1]).double().eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point():
                drawn = torch.randn(value.shape, dtype=torch.float64, generator=generator) / 2
                value.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return module


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def test_every_mechanism_has_its_yaml() -> None:
    assert len(ATTENTION) >= 3
    assert set(YAML_FILES) == set(ATTENTION)


@pytest.mark.parametrize("name", sorted(ATTENTION))
def test_the_yaml_has_the_classs_own_defaults(name: str) -> None:
    """So that a mechanism made from Python, or named by another, is the one that the command line trains."""
    values = yaml.safe_load(YAML_FILES[name].read_text())
    parameters = inspect.signature(ATTENTION[name]).parameters.values()
    own = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
    assert own.keys() == values.keys() - {"name"}
    assert all(value == values[key] or (value, values[key]) == (None, {}) for key, value in own.items())


@pytest.mark.parametrize("name", sorted(ATTENTION))
def test_every_mechanism_is_proven(name: str) -> None:
    formula = formula_of(name)
    assert formula is not None, f"{name} trains, but nothing proves it right: write {FORMULAS / name}.py"
    assert callable(formula.formula)
    assert callable(formula.parameters)
    assert formula.VARIANTS
    assert formula.CLAIMS <= CLAIMS


def test_no_formula_is_left_over() -> None:
    assert {path.stem for path in FORMULAS.glob("*.py")} - {"arrays"} <= set(ATTENTION)


@each_proven
def test_the_output_is_the_formulas(case: Case) -> None:
    formula = formula_of(case[0])
    assert formula is not None
    for size in ((4, 5), (1, 1), (7, 3)):
        module, x = make(case, 8, size), noise(2, 8, *size)
        weights = {name: value.numpy() for name, value in module.state_dict().items()}
        expected = formula.formula(weights, x.numpy(), case[1])
        np.testing.assert_allclose(
            module(x).detach().numpy(), expected, rtol=1e-9, atol=1e-11, err_msg=f"map of {size}"
        )


@each_proven
def test_parameters_follow_the_closed_form(case: Case) -> None:
    formula = formula_of(case[0])
    assert formula is not None
    for channels in (8, 24):
        count = sum(value.numel() for value in make(case, channels).parameters())
        assert count == formula.parameters(channels, (4, 5), case[1]), channels


@pytest.mark.slow
@each_case
def test_gradients_are_those_of_finite_differences(case: Case) -> None:
    module = make(case, 4, (3, 2))
    named = [(name, value) for name, value in module.named_parameters() if value.requires_grad]

    def call(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(module, {name: new for (name, _), new in zip(named, values, strict=True)}, x)

    x = noise(2, 4, 3, 2).requires_grad_()
    values = [value.detach().clone().requires_grad_() for _, value in named]
    assert torch.autograd.gradcheck(call, (x, *values), fast_mode=True)


@each_case
def test_every_parameter_is_trained(case: Case) -> None:
    module, x = make(case, 8, (4, 5)).train(), noise(4, 8, 4, 5)
    (module(x.requires_grad_()) * noise(4, 8, 4, 5).roll(1, 0)).sum().backward()
    for name, value in module.named_parameters():
        if value.requires_grad:
            assert value.grad is not None, name
            assert value.grad.isfinite().all(), name


@pytest.mark.slow
@each_case
def test_shape_and_dtype_are_kept_and_the_input_untouched(case: Case) -> None:
    for size in ((5, 7), (1, 1), (8, 8), (1, 6)):
        module = make(case, 8, size)
        for dtype in (torch.float64, torch.float32):
            x = noise(2, 8, *size).to(dtype)
            before = x.clone()
            out = module.to(dtype)(x)
            assert out.shape == x.shape
            assert out.dtype == dtype
            assert torch.equal(x, before)


@each_case
def test_a_map_of_another_size_than_it_was_made_for_is_taken(case: Case) -> None:
    module = make(case, 8, (8, 8))
    for size in ((5, 5), (3, 4), (9, 9)):
        x = noise(2, 8, *size)
        out = module(x)
        assert out.shape == x.shape
        assert out.isfinite().all(), size


@each_case
def test_an_image_does_not_depend_on_the_rest_of_its_batch(case: Case) -> None:
    step = 2 if "pairs" in claims(case[0]) else 1
    assert symmetries.alone(make(case), noise(4, 8, 4, 5), step) < EXACT


@each_case
def test_autocast_to_bfloat16_stays_near_float32(case: Case) -> None:
    torch.manual_seed(3)
    module, x = ATTENTION[case[0]](8, size=(5, 7), **case[1]).eval(), noise(2, 8, 5, 7).float()
    exact = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = module(x)
    assert rough.shape == x.shape
    # bfloat16 keeps 8 bits, and a few operations follow each other.
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)


@each_case
def test_the_memory_format_is_kept_and_does_not_change_the_values(case: Case) -> None:
    module, x = make(case, 8, (5, 7)), noise(2, 8, 5, 7)
    last = x.to(memory_format=torch.channels_last)
    assert last.stride() != x.stride()
    out = module(last)
    torch.testing.assert_close(out, module(x), rtol=1e-10, atol=1e-12)
    assert out.is_contiguous(memory_format=torch.channels_last)


# TRACED goes through all that torch.compile does but writing code, which takes up to half a minute a mechanism. IN_CODE
# are the article's two; every gate's code is run by the test of its memory below.
TRACED = [pytest.param(case, "aot_eager_decomp_partition", id=title(case)) for case in DEFAULTS]
IN_CODE = [pytest.param(case, "inductor", id=f"code-{title(case)}") for case in DEFAULTS if case[0] in ARTICLES]


@pytest.mark.slow
@pytest.mark.parametrize(("case", "backend"), TRACED + IN_CODE)
def test_compiled_it_gives_the_same_values_and_gradients(case: Case, backend: str) -> None:
    module = make(case, 8, (6, 6)).float()
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, dynamic=False, backend=backend)
    found = []
    for call in (module, compiled):
        x = noise(2, 8, 6, 6).float().requires_grad_()
        out = call(x)
        (gradient,) = torch.autograd.grad((out * noise(2, 8, 6, 6).float().roll(1, 1)).sum(), x)
        found.append((out, gradient))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", those("permutation"), ids=title)
def test_pixels_may_be_permuted(case: Case) -> None:
    assert symmetries.permutation(make(case, 8, (5, 7)), noise(2, 8, 5, 7)) < EXACT


@pytest.mark.parametrize("case", those("shift"), ids=title)
def test_the_map_may_be_shifted_round(case: Case) -> None:
    assert symmetries.shift(make(case, 8, (8, 8)), noise(2, 8, 8, 8)) < EXACT


@pytest.mark.parametrize("case", those("channels"), ids=title)
def test_channels_may_be_permuted(case: Case) -> None:
    assert symmetries.channels(make(case), noise(2, 8, 4, 5)) < EXACT


@pytest.mark.parametrize("case", those("starts_as_identity"), ids=title)
def test_before_training_it_changes_nothing(case: Case) -> None:
    torch.manual_seed(3)
    module, x = ATTENTION[case[0]](8, size=(4, 5), **case[1]).double(), noise(2, 8, 4, 5)
    for training in (True, False):
        assert symmetries.identity(module.train(training), x) == 0


GATES = [case for case in DEFAULTS if issubclass(ATTENTION[case[0]], Gate)]


@pytest.mark.slow
@pytest.mark.parametrize("case", GATES, ids=title)
def test_compiled_a_gate_makes_no_map_but_its_result(case: Case) -> None:
    """Factors, products and result are one fused loop, in the memory of a convolution's result where there is one."""
    torch.compiler.reset()
    module, size = make(case, 16, (8, 8)).float(), (2, 16, 8, 8)
    x = noise(*size).float().to(memory_format=torch.channels_last)
    with torch.no_grad():
        found, (code,) = run_and_get_code(torch.compile(module.to(memory_format=torch.channels_last)), x)
        torch.testing.assert_close(found, module(x))
    made = re.findall(r"empty_strided_cpu\(\(([0-9, ]+)\)", code)
    assert "cpp_fused" in code
    assert made.count(", ".join(map(str, size))) <= 1, made


def growth(case: Case, side: int, **arguments: Any) -> float:
    """Return how many times larger the largest tensor becomes with four times as many pixels."""
    found = []
    for size in ((side, side), (2 * side, 2 * side)):
        module, x = make(case, 8, size).float(), noise(1, 8, *size).float()
        found.append(largest(module, x, **arguments))
    return found[1] / found[0]


@pytest.mark.slow
@pytest.mark.parametrize("case", those("linear_memory"), ids=title)
def test_memory_is_linear_in_the_pixels_where_it_is_claimed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    # A bound on the keys that a line of 32 pixels has already passed: up to the bound memory may grow faster.
    monkeypatch.setattr(dot_product, "FEW_KEYS", 16)
    assert growth(case, 32) <= 4.1


def test_the_weights_on_request_are_not_linear_in_the_pixels() -> None:
    """So that the measurement above is known to find a matrix of n x n."""
    assert growth(("self_attention", from_yaml("self_attention")), 16, return_weights=True) > 15


@each_case
def test_the_attention_map_covers_the_image(case: Case) -> None:
    module, x = make(case, 8, (5, 7)), noise(2, 8, 5, 7)
    found = module.attention_map(x)
    # Whether there is a map is the mechanism's choice; that the article's two have one is not.
    assert (found is not None) or case[0] not in ARTICLES or case[1].get("per") == "channel"
    if found is None:
        return
    assert found.shape == (2, 5, 7)
    assert found.isfinite().all()
    if isinstance(module, Gate):
        torch.testing.assert_close(module(x), x * module.gate(x), rtol=1e-10, atol=1e-12)


# (mechanism, settings, what the error says), from the formula files that have a list of REFUSED.
REFUSED = [
    pytest.param(name, from_yaml(name) | chosen, message, id=f"{name}-{chosen}")
    for name in PROVEN
    for chosen, message in getattr(formula_of(name), "REFUSED", [])
]


@pytest.mark.parametrize(("name", "chosen", "message"), REFUSED)
def test_what_is_out_of_range_is_refused(name: str, chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ATTENTION[name](6, size=(4, 4), **chosen)


def test_a_closed_gate_shuts_and_an_open_one_passes() -> None:
    module = GatedConv(2, size=(1, 1)).double()
    assert module.conv1.bias is not None
    assert module.conv2 is not None
    assert module.conv2.bias is not None
    for bias, expected in ((-30.0, 0.0), (30.0, 1.0)):
        with torch.no_grad():
            for value in module.parameters():
                value.zero_()
            module.conv1.bias.fill_(bias)
            module.conv2.bias.fill_(1.0)
        x = noise(1, 2, 1, 1)
        torch.testing.assert_close(module(x), x * expected)
        torch.testing.assert_close(module.attention_map(x), torch.full((1, 1, 1), expected, dtype=torch.float64))


@pytest.mark.parametrize(
    "variant",
    [
        {"heads": heads, "scale": scale, "residual": residual}
        for heads, scale, residual in itertools.product((1, 2), ("sqrt", "none"), (True, False))
    ],
    ids=str,
)
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


@pytest.mark.parametrize(
    ("name", "layers"), [("gated", {"conv1", "conv2"}), ("self_attention", {"query", "key", "value"})]
)
def test_the_articles_layers_have_the_agreed_names(name: str, layers: set[str]) -> None:
    assert {key.rpartition(".")[0] for key in make((name, from_yaml(name))).state_dict()} == layers


def test_the_article_has_one_head_and_no_scale_by_option_only() -> None:
    values = from_yaml("self_attention")
    assert {key: values[key] for key in ("heads", "scale", "residual")} == {
        "heads": 1,
        "scale": "sqrt",
        "residual": True,
    }


def fresh(**options: Any) -> SelfAttention:
    torch.manual_seed(3)
    return SelfAttention(8, size=(5, 7), heads=2, position="relative", **options).double()


@pytest.mark.parametrize(
    "options", [{"gate": "element"}, {"gate": "head"}, {"sinks": True}, {"log_n": True}, {"qk_norm": True}], ids=str
)
def test_an_option_of_the_core_leaves_the_other_weights_as_they_are_drawn(options: dict[str, Any]) -> None:
    plain, other = fresh().state_dict(), fresh(**options).state_dict()
    assert set(plain) < set(other)
    for name, value in plain.items():
        assert torch.equal(value, other[name]), name


def test_before_training_log_n_is_softmax_and_sinks_are_softmax1() -> None:
    x = noise(2, 8, 5, 7)
    torch.testing.assert_close(fresh(log_n=True)(x), fresh()(x), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(fresh(sinks=True)(x), fresh(normalize="softmax1")(x))
    # On a smaller map log_n has lower scores.
    small = noise(2, 8, 2, 2)
    assert not torch.allclose(fresh(log_n=True)(small), fresh()(small), rtol=1e-6, atol=1e-8)
