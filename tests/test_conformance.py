"""attn-check finds each thing that a module may do wrong, and what it is."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Outcome, run_here
from torch import Tensor, nn

from attn_train.attention import ATTENTION
from attn_train.conformance import properties, requirements, symmetries
from attn_train.conformance.command import Look, look_at
from attn_train.conformance.subject import Subject
from attn_train.plugins.adapted import adapt


class Base(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class Double(Base):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).double()


class InPlace(Base):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.detach().mul_(2))


class LeaksImages(Base):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0, keepdim=True))


class Dice(Base):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.rand(1)


class ReadsMemory(Base):
    def forward(self, x: Tensor) -> Tensor:
        flat = x.permute(0, 2, 3, 1).reshape(-1) if x.is_contiguous(memory_format=torch.channels_last) else x.flatten()
        return super().forward(flat.view(x.shape))


class Unused(Base):
    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.spare = nn.Linear(dim, dim)


class Explodes(Base):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (x - x).sqrt()


class NeedsBatch(Base):
    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.norm = nn.BatchNorm1d(dim)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.norm(x.mean((2, 3)))[:, :, None, None]


class OneSize(Base):
    def __init__(self, dim: int, resolution: Any) -> None:
        super().__init__(dim)
        self.place = nn.Parameter(torch.randn(dim, *resolution))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.place)


class NoHalf(Base):
    def forward(self, x: Tensor) -> Tensor:
        # A sum into a map of float32, which bfloat16 is not.
        return torch.zeros(x.shape).scatter_add_(1, torch.zeros(x.shape, dtype=torch.long), self.conv(x)) + x


class Branches(Base):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum().item() > 0 else super().forward(-x)


class IdleSetting(Base):
    def __init__(self, dim: int, heads: int = 4, gate: bool = True) -> None:
        super().__init__(dim)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y.sigmoid() if self.gate else y


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Subject]:
    def make(kind: type[nn.Module], **settings: Any) -> Subject:
        monkeypatch.setitem(ATTENTION, kind.__name__, adapt(kind, "mine.py", "0f"))
        return Subject(kind.__name__, settings, 8, (6, 6))

    return make


SINS: list[tuple[type[nn.Module], Look, str, str]] = [
    (Double, requirements.shape, "fails", "torch.float32 becomes torch.float64"),
    (LeaksImages, requirements.each_image_alone, "fails", "in a batch an image's output is"),
    (Dice, requirements.same_again, "fails", "two calls in evaluation are"),
    (ReadsMemory, requirements.channels_last, "fails", "from what the usual format gives"),
    (Unused, requirements.gradients, "limited", "never trained: inner.spare.weight, inner.spare.bias"),
    (InPlace, requirements.gradients, "limited", "never trained: the input"),
    (Explodes, requirements.gradients, "fails", "not finite: the input"),
    (NeedsBatch, requirements.one_image, "limited", "Expected more than 1 value per channel"),
    (OneSize, requirements.other_sizes, "limited", "3x3: RuntimeError"),
    (NoHalf, requirements.bfloat16, "limited", "train with device.precision=float32"),
    (Branches, requirements.compiles, "limited", "train with device.compile=false"),
    (Branches, requirements.exports, "limited", ""),
    (IdleSetting, requirements.options_count, "limited", "no effect seen of heads"),
]


@pytest.mark.parametrize(("kind", "look", "verdict", "detail"), SINS, ids=lambda part: getattr(part, "__name__", ""))
def test_what_a_module_does_wrong(
    subject: Callable[..., Subject],
    kind: type[nn.Module],
    look: Look,
    verdict: str,
    detail: str,
) -> None:
    found = look(subject(kind))
    assert (found.verdict, detail in found.detail) == (verdict, True), found
    assert "\n" not in found.detail
    # And of one that does nothing wrong it says so.
    assert look(subject(Base)).verdict == "passes"


def test_what_changes_its_input_is_found(subject: Callable[..., Subject]) -> None:
    class Overwrites(Base):
        def forward(self, x: Tensor) -> Tensor:
            return x.add_(1)

    found = requirements.shape(subject(Overwrites))
    assert (found.verdict, found.detail) == ("fails", "it changes its input")


def test_the_symmetries_of_what_has_one_each() -> None:
    """A module for each symmetry that has it and of the others only what follows from it."""
    torch.manual_seed(0)
    x = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    around = nn.Conv2d(6, 6, 3, padding=1, padding_mode="circular").double()
    mirrored = nn.Conv2d(6, 6, (1, 3), padding=(0, 1)).double()
    with torch.no_grad():
        mirrored.weight[..., 2] = mirrored.weight[..., 0]
    place = torch.randn(1, 1, 8, 8, dtype=torch.float64)

    class Place(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * place

    expected = {
        nn.Conv2d(6, 6, 1).double(): {"permutation of pixels", "circular shift", "flip"},
        around: {"circular shift"},
        mirrored: {"flip"},
        Place(): {"permutation of channels"},
    }
    for module, has in expected.items():
        found = {point for point, measure in symmetries.SYMMETRIES.items() if measure(module, x) < 1e-12}
        assert found == has, module


def test_the_exponent_of_memory(subject: Callable[..., Subject]) -> None:
    class Matrix(nn.Module):
        def __init__(self, dim: int) -> None:
            super().__init__()

        def forward(self, x: Tensor) -> Tensor:
            tokens = x.flatten(2)
            return (tokens @ (tokens.transpose(1, 2) @ tokens).softmax(-1)).view(x.shape)

    assert properties.memory_exponent(subject(Base)).value == pytest.approx(1, abs=0.01)
    assert properties.memory_exponent(subject(Matrix)).value == pytest.approx(2, abs=0.01)


def test_figures_are_those_of_a_hand(subject: Callable[..., Subject]) -> None:
    assert properties.parameters(subject(Base)).value == 8 * 8 + 8
    assert properties.multiply_adds(subject(Base)).value == 8 * 8 * 36
    assert properties.starts_as_identity(subject(Base)).verdict == "no"
    assert not math.isnan(properties.starts_as_identity(subject(Base)).value)


def test_a_module_that_cannot_be_made_has_one_finding(subject: Callable[..., Subject]) -> None:
    class Refuses(Base):
        def __init__(self, dim: int) -> None:
            raise ZeroDivisionError("no such dim")

    (found,) = look_at(subject(Refuses))
    assert found.verdict == "fails"
    assert "no such dim" in found.detail


def check(folder: Path, *words: str) -> Outcome:
    return run_here(folder, *words, command="check")


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Good(nn.Module):\n    def __init__(self, dim): super().__init__(); self.c = nn.Conv2d(dim, dim, 1)\n"
        "    def forward(self, x): return x * self.c(x).sigmoid()\n"
        "class Bad(Good):\n    def forward(self, x): return x - x.mean(0)\n"
    )
    words = ("plugins=[mine.py]", "channels=8", "size=4")
    good = check(tmp_path, "model=Good", *words)
    assert good.code == 0, good.err
    assert "each image alone  passes" in good.out
    bad = check(tmp_path, "model=Bad", *words, "format=json")
    assert bad.code == 7
    assert bad.err == "attn-check: Bad fails: each image alone\n"
    record = json.loads(bad.out)
    assert not record["passed"]
    assert {f["point"] for f in record["findings"] if f["verdict"] == "fails"} == {"each image alone"}


def test_a_setting_without_a_default_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nclass Halo(nn.Module):\n    def __init__(self, dim, block_size): super().__init__()\n"
        "    def forward(self, x): return x\n"
    )
    outcome = check(tmp_path, "plugins=mine.py", "model=Halo")
    assert outcome.code == 2
    assert "model.block_size is missing; it needs a value" in outcome.err
    assert outcome.err.count("\n") == 1
    assert check(tmp_path, "plugins=mine.py", "model=Halo", "model.block_size=4").code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("model=ess",), "unknown model 'ess'; choose from "),
        (("model=se", "model.reductoin=2"), "did you mean model.reduction?"),
        (("model=se", "model.reduction=x"), "model.reduction=x does not fit; it takes an integer"),
        (("model=se", "size=0"), "size=0 is out of range; it must be at least 1"),
        (("model=se", "sizes=3"), "unknown setting 'sizes' (did you mean size?)"),
        (("--model=se",), "there is no option --model=se"),
    ],
)
def test_wrong_words(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    outcome = check(tmp_path, *words)
    assert outcome.code == 2
    assert says in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ATTENTION))
def test_every_mechanism_of_the_shelf_fails_in_nothing(name: str) -> None:
    for look in requirements.REQUIREMENTS:
        if look not in (requirements.compiles, requirements.exports):  # which test_attention.py has, and take long
            found = look(Subject(name, {}, 16, (8, 8)))
            assert found.verdict != "fails", found
