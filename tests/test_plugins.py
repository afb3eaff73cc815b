"""A person's own module as a mechanism: the conventions of public collections, in files that a command line names."""

import hashlib
import html
import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from conftest import TINY, Command, run_here
from torch import Tensor, nn

from attn_train.attention import ATTENTION
from attn_train.commands import plugged
from attn_train.plugins.adapted import Adapted, adapt
from attn_train.plugins.signature import ANYTHING, asked_by
from attn_train.settings import compose
from attn_train.settings.options import bind
from attn_train.study.plan import make_plan

FILE = '''
"""Two mechanisms, as public collections write them."""
from __future__ import annotations
from typing import Literal
import torch
from torch import nn


class _Part(nn.Module):
    pass


class Scale(nn.Module):
    def __init__(self, channel, reduction=4, gate: Literal["sigmoid", "tanh"] = "sigmoid", norm_layer=nn.BatchNorm2d):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channel, channel // reduction), nn.ReLU(), nn.Linear(channel // reduction, channel)
        )
        self.gate = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}[gate]

    def forward(self, x):
        return x * self.gate(self.layers(x.mean((2, 3))))[:, :, None, None]


class Mixer(nn.Module):
    def __init__(self, num_tokens, dim):
        super().__init__()
        self.tokens, self.channels = nn.Linear(num_tokens, num_tokens), nn.Linear(dim, dim)

    def forward(self, x):
        return x + self.channels(self.tokens(x.transpose(1, 2)).transpose(1, 2))
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


# What public collections write: constructors in their conventions, and the forms of a map that they take.


class Plain(nn.Module):
    def __init__(self, inp: int, oup: int, reduction: int = 32) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inp, oup, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Tokens(nn.Module):
    """Attention over tokens, with the weights behind the result."""

    def __init__(self, heads: int, dim: int) -> None:
        super().__init__()
        self.heads, self.qkv = heads, nn.Linear(dim, 3 * dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1)).softmax(-1)
        return (weights @ v).transpose(1, 2).reshape(b, n, c), weights


class QueriesKeysValues(nn.Module):
    def __init__(self, d_model: int = 512) -> None:
        super().__init__()
        self.out = nn.Linear(d_model, d_model)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.out(F.scaled_dot_product_attention(queries, keys, values))


class WithSides(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor, H: int, W: int) -> Tensor:  # noqa: N803
        b, _n, c = x.shape
        return self.conv(x.transpose(1, 2).reshape(b, c, H, W)).flatten(2).transpose(1, 2)


class ChannelsLast(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        _b, _h, _w, _c = x.shape
        return self.norm(x)


class NoChannels(nn.Module):
    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv(x.mean(1, keepdim=True)).sigmoid()


class Views(nn.Module):
    """Its view fails on a map in the memory format channels_last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(channels))

    def forward(self, x: Tensor) -> Tensor:
        return (x.view(x.shape[0], -1).view(x.shape)) * self.scale[:, None, None]


class OneSize(nn.Module):
    def __init__(self, dim: int, resolution: Any) -> None:
        super().__init__()
        height, width = resolution
        self.place = nn.Parameter(torch.randn(dim, height, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.place


class OneSide(nn.Module):
    def __init__(self, dim: int, fmap_size: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(dim, fmap_size, fmap_size))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.place


def by_hand_tokens(module: nn.Module, x: Tensor) -> Tensor:
    return module(x.flatten(2).transpose(1, 2))[0].transpose(1, 2).reshape(x.shape)


def by_hand_qkv(module: nn.Module, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    return module(tokens, tokens, tokens).transpose(1, 2).reshape(x.shape)


def by_hand_sides(module: nn.Module, x: Tensor) -> Tensor:
    return module(x.flatten(2).transpose(1, 2), *x.shape[2:]).transpose(1, 2).reshape(x.shape)


def by_hand_last(module: nn.Module, x: Tensor) -> Tensor:
    return module(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def as_it_is(module: nn.Module, x: Tensor) -> Tensor:
    return module(x)


CONVENTIONS: list[tuple[type[nn.Module], dict[str, Any], str, Callable[[nn.Module, Tensor], Tensor]]] = [
    (Plain, {"reduction": 4}, "map", as_it_is),
    (Tokens, {"heads": 2}, "tokens", by_hand_tokens),
    (QueriesKeysValues, {}, "tokens", by_hand_qkv),
    (WithSides, {}, "tokens", by_hand_sides),
    (ChannelsLast, {}, "channels_last", by_hand_last),
    (NoChannels, {"kernel_size": 3}, "map", as_it_is),
    (Views, {}, "map", as_it_is),
    (OneSize, {}, "map", as_it_is),
    (OneSide, {}, "map", as_it_is),
]


@pytest.mark.parametrize(("kind", "options", "layout", "by_hand"), CONVENTIONS, ids=lambda part: str(part)[:20])
def test_a_convention(
    kind: type[nn.Module], options: dict[str, Any], layout: str, by_hand: Callable[[nn.Module, Tensor], Tensor]
) -> None:
    """The module gets the map's channels and size by their names, and the map in the form that it takes."""
    mechanism = adapt(kind, "mine.py", "0f")
    module = mechanism(8, size=(6, 6), **bind("model", mechanism, options))
    assert isinstance(module, Adapted)
    assert module.facts.layout == layout
    x = torch.randn(3, 8, 6, 6)
    assert torch.equal(module(x), by_hand(module.inner, x))
    # Also of a map as it lies in memory in training.
    torch.testing.assert_close(module(x.to(memory_format=torch.channels_last)), module(x))


def test_what_a_constructor_asks_for() -> None:
    class Many(nn.Module):
        def __init__(  # type: ignore[no-untyped-def]
            self,
            in_planes,
            out_planes,
            resolution,
            heads=4,
            rate=0.5,
            qkv_bias=False,
            window=(3, 3),
            act=nn.ReLU,
            norm_layer=None,
            kind: str = "a",
            depth: int = None,  # type: ignore[assignment]  # noqa: RUF013
            *args,
            **kwargs,
        ) -> None:
            super().__init__()

    asked = asked_by(Many)
    assert asked.channels == ("in_planes", "out_planes")
    assert asked.sizes == ("resolution",)
    hints = {name: setting.hint for name, setting in asked.settings.items()}
    assert hints == {
        "heads": int | float,
        "rate": float,
        "qkv_bias": bool,
        "window": list[int],
        "norm_layer": ANYTHING,
        "kind": str,
        "depth": int | None,
    }
    assert asked.settings["window"].is_tuple


def test_the_same_weights_as_the_module_alone() -> None:
    """The trial calls draw from other random numbers."""
    mechanism = adapt(Plain, "mine.py", "0f")
    torch.manual_seed(3)
    adapted = mechanism(8, size=(4, 4))
    torch.manual_seed(3)
    alone = Plain(8, 8)
    assert isinstance(adapted, Adapted)
    for ours, theirs in zip(adapted.inner.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


class Halves(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)


class NeedsEight(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim % 8:
            raise AssertionError(f"dim {dim} is no multiple of 8\nsecond line")

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("kind", "channels", "says"),
    [
        (Halves, 8, "as map: it returns 2x8x3x3 for 2x8x6x6"),
        (NeedsEight, 12, "its constructor fails: AssertionError: dim 12 is no multiple of 8"),
        (Tokens, 9, "as tokens: RuntimeError"),
    ],
)
def test_a_module_that_does_not_fit(kind: type[nn.Module], channels: int, says: str) -> None:
    mechanism = adapt(kind, "mine.py", "0f")
    options = {"heads": 2} if kind is Tokens else {}
    with pytest.raises(ValueError, match=r".") as caught:
        mechanism(channels, size=(6, 6), **options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_trained_plugin(train: Command, evaluate: Command, plugin: Path, tmp_path: Path) -> None:
    """It trains by its own name and settings; the run keeps its file and digest, and is tested again by them."""
    words = (*TINY, "plugins=[mine.py]", "model=Scale", "model.reduction=2", "hydra.run.dir=run")
    outcome = train(*words)
    assert outcome.code == 0, outcome.err
    run = tmp_path / "run"
    model = yaml.safe_load((run / "config.yaml").read_text())["model"]
    digest = hashlib.sha256(FILE.encode()).hexdigest()
    assert model == {"name": "Scale", "reduction": 2, "gate": "sigmoid", "layout": "auto", "code": digest}
    assert (run / "plugins" / "mine.py").read_text() == FILE
    # Without the file on the command line nothing of it runs; with it, the result is the same.
    refused = evaluate("run=run")
    assert refused.code == 2
    assert "add plugins=mine.py" in refused.err
    again = evaluate("run=run", "plugins=run/plugins/mine.py")
    assert again.code == 0, again.err
    assert "the same" in again.out
    assert train("resume=run").code == 2
    finished = train("resume=run", "plugins=mine.py")
    assert (finished.code, "already finished" in finished.out) == (0, True), finished.err
    # Another version of the file is another mechanism.
    plugin.write_text(FILE.replace("self.gate(", "2 * self.gate("))
    changed = evaluate("run=run", "plugins=[mine.py]")
    assert changed.code == 2
    assert f"code={digest} is that of another version than mine.py" in changed.err
    assert "Scale" not in ATTENTION or inspect.signature(ATTENTION["Scale"]).parameters["code"].default != digest


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("model=Scael",), "unknown model 'Scael'; choose from Mixer, Scale, agent"),
        (("model=Scale", "model.reductoin=2"), "did you mean model.reduction?"),
        (("model=Scale", "model.reduction=much"), "model.reduction=much does not fit; it takes an integer"),
        (("model=Scale", "model.gate=relu"), "model.gate=relu does not fit; it takes one of sigmoid, tanh"),
        (("model=Scale", "model.layout=tokens"), "as tokens: "),
        (("model=Scale", "model.code=12"), "model.code=12 does not fit; it takes a text"),
        (("model=_Part",), "unknown model '_Part'"),
        (("model=none", "backbone=mine"), "unknown backbone 'mine'"),
    ],
)
def test_wrong_words_about_a_plugin(train: Command, plugin: Path, words: tuple[str, ...], says: str) -> None:
    outcome = train(*TINY, "plugins=[mine.py]", *words)
    assert outcome.code == 2
    assert says in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.py", None, "plugins: gone.py cannot be read: No such file or directory"),
        ("empty.py", "", "empty.py offers nothing; it needs a public class that is a torch.nn.Module"),
        ("text.txt", "", "text.txt is no file of Python"),
        ("syntax.py", "def f(:\n", "syntax.py fails in line 1: SyntaxError: invalid syntax"),
        ("lacks.py", "\nimport no_such_package\n", "lacks.py fails in line 2: there is no module 'no_such_package'"),
        ("ends.py", "raise SystemExit(0)", "ends.py fails in line 1: SystemExit: 0"),
        ("raises.py", "x = 1\nx / 0", "raises.py fails in line 2: ZeroDivisionError: division by zero"),
        ("bytes.py", "\xff\x00", "bytes.py fails"),
        (
            "taken.py",
            "from torch import nn\nclass gated(nn.Module): pass",
            "offers model=gated, which attn-train",
        ),
        ("nets.py", "BACKBONES = [1]", "BACKBONES in nets.py must be a dict of classes by name"),
        (
            "nets.py",
            "from torch import nn\nBACKBONES = {'a': nn.Linear}",
            "is no attn_train.backbones.",
        ),
    ],
)
def test_a_file_that_is_no_plugin(train: Command, tmp_path: Path, name: str, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content.encode("latin-1"))
    outcome = train(*TINY, f"plugins=[{name}]")
    assert outcome.code == 2
    assert says in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


HOSTILE = "from pathlib import Path\nPath('ran').touch()\n" + FILE.replace("from __future__ import annotations\n", "")


def test_code_that_only_a_file_names_does_not_run(train: Command, study: Command, tmp_path: Path) -> None:
    """A configuration, an experiment, a study's file or a run's folder of a stranger may name code: it never runs."""
    (tmp_path / "evil.py").write_text(HOSTILE)
    conf = tmp_path / "conf" / "experiment"
    conf.mkdir(parents=True)
    (conf / "nice.yaml").write_text("# @package _global_\nplugins: [evil.py]\n")
    (tmp_path / "study.yaml").write_text("plugins: [evil.py]\narms: [none, Scale]\nmargin: 1\n")
    for outcome in (
        train(*TINY[1:], "--config-dir=conf", "+experiment=nice"),
        study("study.yaml"),
        study("arms=[none,gated]", "recipe=[plugins=[evil.py]]", "margin=1"),
    ):
        assert outcome.code == 2
        assert "evil.py" in outcome.err
        assert "only where the command line names it" in outcome.err
        assert outcome.err.count("\n") == 1
    assert not (tmp_path / "ran").exists()


def test_a_strangers_run_does_not_bring_its_code(
    train: Command, evaluate: Command, tmp_path: Path, plain_run: Path
) -> None:
    (tmp_path / "evil.py").write_text(HOSTILE)
    shutil.copytree(plain_run, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    values = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(values | {"plugins": ["evil.py"]}))
    for outcome in (evaluate("run=run"), train("resume=run", "train.epochs=9")):
        assert outcome.code == 2
        assert "run names the code evil.py" in outcome.err
    assert not (tmp_path / "ran").exists()


def test_two_files_of_one_name_are_refused(train: Command, plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(plugin, tmp_path / "other")
    outcome = train(*TINY, "plugins=[mine.py,other/mine.py]", "model=Scale")
    assert outcome.code == 2
    assert "mine.py and other/mine.py have one name; rename one of the files" in outcome.err


def test_plugins_end_with_their_command(train: Command, plugin: Path) -> None:
    assert train("plugins=[mine.py]", "model=Scale", "--cfg", "job").code == 0
    gone = train("model=Scale", "--cfg", "job")
    assert gone.code == 2
    assert "unknown model 'Scale'" in gone.err


def test_a_module_that_fails_in_bfloat16_is_told_so(train: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\nclass Sums(nn.Module):\n"
        "    def __init__(self, dim): super().__init__(); self.c = nn.Conv2d(dim, dim, 1)\n"
        "    def forward(self, x):\n"
        "        index = torch.zeros(x.shape, dtype=torch.long, device=x.device)\n"
        "        return torch.zeros(x.shape, device=x.device).scatter_add_(1, index, self.c(x)) + x\n"
    )
    words = (*TINY, "plugins=[mine.py]", "model=Sums")
    refused = train(*words, "device.precision=bfloat16")
    assert refused.code == 2
    assert "model=Sums fails in bfloat16 (RuntimeError: scatter" in refused.err
    assert "say device.precision=float32" in refused.err
    assert train(*words).code == 0


def test_a_sweep_and_a_comparison_of_a_plugin(train: Command, plugin: Path, tmp_path: Path) -> None:
    """Plain runs are the same whether plugins were named or not."""
    fixed = ("seed=0", "sweep=s", "train.resolution=[1]")  # Mixer knows its number of tokens
    assert train("-m", *TINY, "model=none", *fixed).code == 0
    outcome = train("-m", *TINY, "plugins=[mine.py]", "model=none,Mixer", *fixed)
    assert outcome.code == 0, outcome.err
    assert "already finished" in outcome.out
    assert len(list((tmp_path / "outputs" / "s").glob("none_*"))) == 1
    found = run_here(tmp_path, "outputs/s", "margin=1", "output=c", command="compare")
    assert found.code == 0, found.err
    arms = json.loads((tmp_path / "c" / "compare.json").read_text())["arms"]
    assert [arm["arm"] for arm in arms] == ["none", "Mixer"]
    digest = hashlib.sha256(FILE.encode()).hexdigest()
    said = f"Mixer is no part of attn-train but a person's own code: mine.py, SHA-256 {digest}"
    assert said in (tmp_path / "c" / "report.md").read_text()
    assert said in html.unescape((tmp_path / "c" / "report.html").read_text())
    assert """'plugins=["mine.py"]' model=Mixer""" in (tmp_path / "c" / "report.md").read_text()


def test_a_study_has_its_runs_know_the_plugin(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(plugin.parent)
    compose.register()
    arguments = ["plugins=[mine.py]", "arms=[none,{model:Scale,model.reduction:2}]"]
    plugged.offer(arguments)
    plan = make_plan(compose.study(arguments))
    words = plan.words(plan.arms[1], 3)
    assert words[:2] == ["-m", "plugins=[mine.py]"]
    assert {"model=Scale", "model.reduction=2", "seed=3"} <= set(words)


@pytest.mark.slow
def test_a_bench_of_a_plugin(plugin: Path, tmp_path: Path) -> None:
    outcome = run_here(
        tmp_path,
        "plugins=[mine.py]",
        "models=[{name: Scale, reduction: 2}]",
        "sizes=4",
        "channels=8",
        "batch=2",
        "rounds=1",
        "repetitions=1",
        "sample_seconds=0",
        "device=cpu",
        "output=b",
        command="bench",
    )
    assert outcome.code == 0, outcome.err
    cell = json.loads((tmp_path / "b" / "bench.json").read_text())["cells"][0]
    assert (cell["status"], cell["parameters"]) == ("ok", 8 * 4 + 4 + 4 * 8 + 8)


def test_an_installed_plugin(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package's entry point offers a mechanism, which is imported only where its name is on the command line."""
    (tmp_path / "their_package.py").write_text(
        "from pathlib import Path\nPath('ran').touch()\n" + FILE.split("\n", 3)[3]
    )
    info = tmp_path / "their_package-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[attn_train.attention]\ntheirs = their_package:Scale\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert train(*TINY, "model=none", "--cfg", "job").code == 0
    assert not (tmp_path / "ran").exists()
    outcome = train(*TINY, "model=theirs", "hydra.run.dir=run")
    assert outcome.code == 0, outcome.err
    model = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["model"]
    assert (model["name"], model["code"]) == ("theirs", "their-package==1.5")
    again = run_here(tmp_path, "run=run", command="evaluate")
    assert again.code == 0, again.err
    assert "the same" in again.out
