"""Controls: as near as they claim, counted by other means; decided once; told from what they are controls of."""

import itertools
import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import LONG, TINY, Command
from torch import Tensor, nn

from attn_train.attention import ATTENTION
from attn_train.backbones import BACKBONES
from attn_train.backbones.placement import Placement
from attn_train.cost import matching, steptime, timing
from attn_train.cost.timing import Timing
from attn_train.data.augment import Augmentation
from attn_train.data.batches import Normalization, TrainBatches
from attn_train.data.dataset import Split
from attn_train.errors import ConfigError
from attn_train.settings import compose
from attn_train.settings.schema import Settings
from attn_train.settings.widths import matched, nearest, resolve, rounded

# Wide enough for a match; for a run of seconds.
WIDE = (*TINY, "backbone.widths=[16,48,48]")


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is solved yet, as in a process of its own."""
    monkeypatch.chdir(tmp_path)
    compose.register()
    matching._solved.clear()
    yield
    matching._solved.clear()


def composed(*overrides: str) -> Settings:
    return compose.to_config(compose.compose(list(overrides), compose.parse([])))


def network(config: Settings, widths: list[int] | None) -> nn.Module:
    """The backbone of `config` by its class: with its mechanism, or plain with these widths."""
    options = {key: value for key, value in config.backbone.items() if key not in ("name", "placement")}
    mechanism, model_options = "none", {}
    if widths is None:
        mechanism, model_options = config.model["name"], {k: v for k, v in config.model.items() if k != "name"}
    else:
        options["width" if config.backbone["name"] == "resnet" else "widths"] = widths
    side = config.dataset.image_size
    return BACKBONES[config.backbone["name"]](
        (3, side, side),
        10,
        lambda channels, size: ATTENTION[mechanism](channels, size=size, **model_options),
        placement=Placement(**config.backbone["placement"]),
        **options,
    )


def multiply_adds(model: nn.Module, side: int) -> int:
    """Those of the layers, by what each of their calls takes in and gives out; products in a forward do not count."""
    found = []

    def conv(module: nn.Conv2d, _: Any, out: Tensor) -> None:
        found.append(out[0].numel() * module.weight[0].numel())

    def linear(module: nn.Linear, inputs: tuple[Tensor], out: Tensor) -> None:
        found.append(out[0].numel() * module.in_features)

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(conv)
        elif isinstance(module, nn.Linear):
            module.register_forward_hook(linear)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, side, side))
    # The whitening layer of `fast` is called by its weights.
    if whiten := getattr(model, "whiten", None):
        found.append(whiten.weight.numel() * (side - 1) ** 2)
    return sum(found)


def cost(model: nn.Module, control: str, side: int) -> int:
    return multiply_adds(model, side) if control == "macs" else sum(one.numel() for one in model.parameters())


# Mechanisms that consist of layers, so that hooks see all of their work, on each backbone, with two for each control of
# it; parameters of others too.
MATCHES = [
    *(
        (backbone, model, ("parameters", "macs")[(row + column) % 2])
        for row, backbone in enumerate(("fast", "resnet", "article"))
        for column, model in enumerate(("gated", "se", "cbam", "bam"))
    ),
    *itertools.product(("fast", "resnet", "article"), ("self_attention", "augmented_conv", "halo"), ("parameters",)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "model", "control"), MATCHES)
def test_a_control_costs_what_it_says(backbone: str, model: str, control: str) -> None:
    config = composed(f"model={model}", f"backbone={backbone}", "dataset=cifar10", f"control={control}")
    match = matching.solve(config)
    target = cost(network(config, None), control, 32)
    found = cost(network(config, match.widths), control, 32)
    assert (match.target, match.cost) == (target, found)
    assert abs(found / target - 1) <= 0.02
    assert all(width >= own for width, own in zip(match.widths, match.base, strict=True))
    # No network whose stages are all rounded from one factor comes nearer.
    base = {"fast": [64, 288, 288], "resnet": [16, 32, 64], "article": [64, 128]}[backbone]
    assert match.base == base
    tried = {tuple(rounded(base, 1 + step / 512)) for step in range(200)}
    near = sorted(tried, key=lambda widths: abs(widths[0] - match.widths[0]) + abs(widths[-1] - match.widths[-1]))[:12]
    others = [cost(network(config, list(widths)), control, 32) for widths in near]
    assert abs(found - target) <= min(abs(other - target) for other in others)


def test_the_articles_control_by_its_formula() -> None:
    """Both widths and all parameters, without making a network."""
    match = matching.solve(composed("backbone=article", "dataset=cifar10", "control=parameters"))
    first, second = match.widths
    assert match.target == 28 * 64 + (64 * 9 + 1) * 128 + 10 * (128 * 1024 + 1) + 2 * (128**2 + 128)
    assert match.cost == 28 * first + (first * 9 + 1) * second + 10 * (second * 1024 + 1)


@pytest.mark.parametrize("control", ["parameters", "macs"])
def test_an_lstms_control_by_its_formula(control: str) -> None:
    """Of two layers over 32 rows of 32 pixels in three channels."""
    match = matching.solve(composed("model=gated", "backbone=lstm", "dataset=cifar10", f"control={control}"))

    def expected(first: int, second: int) -> int:
        matrices = 2 * 4 * (first * (96 + first) + second * (2 * first + second))
        if control == "macs":
            return 32 * matrices + 2 * second * 10
        return matrices + 2 * 4 * 2 * (first + second) + 10 * (2 * second + 1)

    attention = 2 * 32 * 2 * 256**2 if control == "macs" else 2 * 2 * (256**2 + 256)
    assert match.target == expected(128, 128) + attention
    assert match.cost == expected(*match.widths)
    assert abs(match.error) <= 0.02


def test_a_hybrids_control_without_a_mixer_by_its_formula() -> None:
    words = ("model=self_attention", "backbone=hybrid", "backbone.mixer=none", "dataset=cifar10", "control=parameters")
    match = matching.solve(composed(*words))

    def expected(first: int, width: int) -> int:
        stem = 12 * 24 + 24 + 9 * (24 * first + first * first + first * width + width * width) + 4 * (first + width)
        block = 4 * width * width + 3 * width + 4 * width
        return stem + 64 * width + 2 * block + 2 * width + width + 10 * width + 10

    assert match.target == expected(64, 256) + 2 * 3 * (256**2 + 256)
    assert match.cost == expected(*match.widths)
    assert abs(match.error) <= 0.02


def test_where_the_mechanism_replaces_a_costlier_one_no_control_is_narrower() -> None:
    with pytest.raises(ConfigError, match=r"more than 2 % apart; a control is never narrower .*model=none"):
        matching.solve(composed("model=se", "backbone=hybrid", "dataset=cifar10", "control=parameters"))


@pytest.mark.slow
@pytest.mark.parametrize("position", ["before_activation", "parallel"])
def test_placement_counts(position: str) -> None:
    words = ("dataset=cifar10", "control=parameters", f"backbone.placement.position={position}")
    one = matching.solve(composed(*words, "backbone.placement.stages=[3]"))
    every = matching.solve(composed(*words))
    assert one.target < every.target
    assert sum(one.widths) < sum(every.widths)


@pytest.mark.slow
def test_the_control_is_the_plain_network_of_its_widths(train: Command, tmp_path: Path) -> None:
    """Two runs, one by control=parameters and one by hand, end with the same weights, to the bit."""
    ended = train(*WIDE, "model=gated", "control=parameters", "hydra.run.dir=control")
    assert ended.code == 0, ended.err
    widths = yaml.safe_load((tmp_path / "control" / "config.yaml").read_text())["control_width"]
    assert f"control_width=[{','.join(map(str, widths))}]" in ended.out
    assert widths != [16, 48, 48]
    assert train(*TINY, "model=none", f"backbone.widths={widths}".replace(" ", ""), "hydra.run.dir=plain").code == 0
    runs = [torch.load(tmp_path / one / "checkpoints" / "last.pt", weights_only=True) for one in ("control", "plain")]
    assert runs[0]["model"].keys() == runs[1]["model"].keys()
    assert all(torch.equal(value, runs[1]["model"][name]) for name, value in runs[0]["model"].items())
    found, plain = (json.loads((tmp_path / one / "result.json").read_text()) for one in ("control", "plain"))
    assert (found["model"], found["control"], plain["control"]) == ("gated", "parameters", "none")
    for key in ("correct", "test_loss", "parameters", "macs"):
        assert found[key] == plain[key]


@pytest.mark.slow
def test_a_control_is_evaluated_and_named(train: Command, evaluate: Command, tmp_path: Path) -> None:
    ended = train(*WIDE, "model=gated", "control=macs")
    assert ended.code == 0, ended.err
    (run,) = tmp_path.glob("outputs/*/*")
    assert "_gated-control-macs_synthetic_" in run.name
    assert "gated-control-macs in fast" in ended.out
    found = json.loads((run / "result.json").read_text())
    again = evaluate(f"run={run}")
    assert again.code == 0, again.err
    assert f"{found['correct']} of {found['total']} right" in again.out
    assert json.loads((run / "checkpoints" / "last.json").read_text())["control"] == "macs"


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The controls that are solved from now on."""
    solved: list[str] = []
    solve = matching.search_widths

    def spy(config: Settings) -> matching.Match:
        solved.append(config.control)
        return solve(config)

    monkeypatch.setattr(matching, "search_widths", spy)
    return solved


@pytest.mark.slow
def test_a_sweep_solves_each_control_once(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solved = counted(monkeypatch)
    words = ("-m", *WIDE, "model=gated", "control=none,parameters", "seed=0,1", "sweep=mine")
    ended = train(*words)
    assert ended.code == 0, ended.err
    assert solved == ["parameters"]
    jobs = sorted((tmp_path / "outputs" / "mine").glob("*/result.json"))
    assert [path.parent.name.split("_seed")[0] for path in jobs] == [
        *["gated-control-parameters_synthetic"] * 2,
        *["gated_synthetic"] * 2,
    ]
    parameters = [json.loads(path.read_text())["parameters"] for path in jobs]
    assert parameters[0] == parameters[1] != parameters[2] == parameters[3]
    # The command again, in another process, finds each job's folder again.
    matching._solved.clear()
    times = {path: path.stat().st_mtime_ns for path in jobs}
    assert train(*words).code == 0
    assert {path: path.stat().st_mtime_ns for path in jobs} == times


@pytest.mark.slow
def test_what_was_decided_holds_on_resume(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*LONG, "backbone.widths=[16,48,48]", "train.epochs=2", "model=gated", "control=parameters")
    assert train(*words, "hydra.run.dir=run").code == 0
    decided = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["control_width"]
    matching._solved.clear()

    def refuse(config: Settings) -> matching.Match:
        raise AssertionError("solved again")

    monkeypatch.setattr(matching, "search_widths", refuse)
    for go_on in (("resume=run", "train.epochs=3"), (*words, "train.epochs=4", "hydra.run.dir=run")):
        ended = train(*go_on)
        assert ended.code == 0, ended.err
        assert "going on at step" in ended.out
        saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
        assert saved["control_width"] == decided
        assert saved["control"] == "parameters"
    # A folder of one control is none of another, nor of the arm.
    for other in (("control=macs",), ("control=none",)):
        ended = train(*words, *other, "train.epochs=4", "hydra.run.dir=run")
        assert ended.code == 2
        assert "control (parameters there" in ended.err


def test_a_run_of_before_there_were_controls_and_recordings_is_read(
    evaluate: Command, plain_run: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(plain_run, tmp_path / "run")
    saved = yaml.safe_load((run / "config.yaml").read_text())
    del saved["control"], saved["control_width"], saved["device"]["cuda_graphs"]
    (run / "config.yaml").write_text(yaml.safe_dump(saved))
    assert evaluate("run=run").code == 0


BAD = [
    (("model=none", "control=macs"), ("control=macs", "model=none", "nothing to match")),
    (("control=size",), ("control=size", "none, parameters, macs, time")),
    (("control_width=1.2",), ("control_width=1.2", "control=parameters")),
    (("control=macs", "control_width=0"), ("control_width=0", "null", "list")),
    (("control=macs", "control_width=nan"), ("control_width=nan",)),
    (("control=macs", "control_width=100"), ("control_width=100", "64")),
    (("control=macs", "control_width=true"), ("control_width=True",)),
    (("control=macs", "control_width=wide"), ("control_width=wide",)),
    (("control=macs", "control_width=[]"), ("control_width=[]",)),
    (("control=macs", "control_width=[16,48,0]"), ("control_width=[16, 48, 0]",)),
    (("control=macs", "control_width=[16,48.5,48]"), ("control_width=[16, 48.5, 48]",)),
    (("control=macs", "control_width=[16,48]"), ("[16, 48]", "3 stages", "16, 48, 48")),
    (("control=time", "control_width=[16,48]"), ("[16, 48]", "3 stages", "16, 48, 48")),
    (("control=macs", "control_width=1.5"), ("24, 72, 72", "2 %", "leave control_width out")),
    (("control=parameters", "backbone.widths=[8,8,8]"), ("8, 8, 9", "2 %", "more channels")),
    (("control=macs", "model=sse"), ("sse",)),
    (("control=macs", "backbone.widths=[16,0]"), ("widths=[16, 0]",)),
]


@pytest.mark.parametrize(("words", "named"), BAD, ids=lambda row: " ".join(row))
def test_bad_input(train: Command, tmp_path: Path, words: tuple[str, ...], named: tuple[str, ...]) -> None:
    ended = train(*WIDE, "model=gated", *words)
    assert ended.code == 2, ended
    assert len(ended.err.splitlines()) == 1, ended.err
    assert "Traceback" not in ended.err
    for part in named:
        assert part in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_control_without_a_width_is_not_built(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(plain_run, tmp_path / "run")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config |= {"model": {"name": "gated", "per": "element", "branches": 2}, "control": "macs"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    ended = evaluate("run=run")
    assert ended.code == 2
    assert "control_width" in ended.err


def quadratic(shares: list[float]) -> Any:
    """A cost like that of a chain of convolutions."""
    return lambda widths: sum(
        share * before * width for share, before, width in zip(shares, [3, *widths], widths, strict=False)
    )


@pytest.mark.slow
def test_the_search_finds_the_nearest_of_all_factors() -> None:
    draw = random.Random(0)
    for _ in range(300):
        base = [draw.randint(2, 80) for _ in range(draw.randint(1, 5))]
        function = quadratic([draw.uniform(0.1, 3) for _ in base])
        target = function(base) * draw.uniform(1, 6)
        found = nearest(base, function, target)
        factors = {0.0} | {(channel + 0.5) / width for width in base for channel in range(width, 6 * width + 8)}
        plain = min(abs(function(rounded(base, factor)) - target) for factor in factors if factor > 1)
        plain = min(plain, abs(function(base) - target))
        assert abs(function(found) - target) <= plain * (1 + 1e-9)
        assert all(width >= own for width, own in zip(found, base, strict=True))
        # All stages but the last are rounded from one factor; the last is off by a tenth at most.
        low = max((width - 0.5) / own for width, own in zip(found[:-1], base[:-1], strict=True)) if base[1:] else 0
        high = min((width + 0.5) / own for width, own in zip(found[:-1], base[:-1], strict=True)) if base[1:] else 99
        assert low < high or math.isclose(low, high)
        if base[1:]:
            assert low * base[-1] * 0.9 - 2 <= found[-1] <= high * base[-1] * 1.1 + 2


def test_a_factor_and_a_list_say_the_same() -> None:
    assert resolve([64, 256, 256], 1.0734) == [69, 275, 275]
    assert resolve([64, 256], [70, 270]) == [70, 270]
    assert rounded([1, 3], 0.1) == [1, 1]


def test_out_of_reach() -> None:
    with pytest.raises(ValueError, match="64 times"):
        nearest([4, 4], lambda widths: float(sum(widths)), 1e6)


def test_time_is_matched_through_noise() -> None:
    """A step's time that has a constant part and noise of 1 %: the true time is met within 3 % in 99 of 100 cases."""
    draw = random.Random(0)
    base, function = [64, 256, 256], quadratic([100.0, 40.0, 3.0])
    errors, probes = [], 0
    for _ in range(300):
        constant, longer = draw.uniform(0, 1) * function(base), draw.uniform(1, 4)

        def true(widths: list[int], constant: float = constant) -> float:
            return constant + function(widths) ** 0.95

        target = longer * true(base)

        def measure(widths: list[int], true: Any = true, target: float = target) -> float:
            nonlocal probes
            probes += 1
            return true(widths) / target * draw.lognormvariate(0, 0.01)

        widths = matched(base, function, function(base) * draw.uniform(1, 3), measure)
        errors.append(abs(true(widths) / target - 1))
    assert sorted(errors)[297] < 0.03
    assert probes / 300 < 5


class Clock:
    """A time by which a step takes 1 s for 10,000 parameters, the images' area counted in."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def take(self, steps: steptime.Steps, images: Tensor, labels: Tensor, count: int) -> float:
        parameters = sum(one.numel() for one in steps.trainer.model.parameters())
        self.steps.append((parameters, images.shape[-1]))
        return parameters / 1e4 * (images.shape[-1] / 16) ** 2


@pytest.mark.slow
def test_control_of_time(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which time is parameters, control=time is control=parameters; both resolutions are measured."""
    clock = Clock()
    monkeypatch.setattr(steptime.Steps, "take", lambda *arguments: clock.take(*arguments))
    words = (*WIDE, "model=gated", "train.max_steps=4")
    ended = train(*words, "control=time", "hydra.run.dir=time")
    assert ended.code == 0, ended.err
    found = json.loads((tmp_path / "time" / "result.json").read_text())
    target = sum(one.numel() for one in network(composed(*words, "control=none"), None).parameters())
    assert abs(found["parameters"] / target - 1) <= 0.02
    assert {side for _, side in clock.steps} == {12, 16}
    assert found["control"] == "time"
    saved = yaml.safe_load((tmp_path / "time" / "config.yaml").read_text())

    # Given the width, nothing is measured and the run is the same, to the bit.
    monkeypatch.setattr(steptime.Steps, "take", None)
    word = f"control_width={saved['control_width']}".replace(" ", "")
    assert train(*words, "control=time", word, "hydra.run.dir=given").code == 0
    again = json.loads((tmp_path / "given" / "result.json").read_text())
    assert (again["test_loss"], again["config_digest"]) == (found["test_loss"], found["config_digest"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ratio", "uncertainty", "said", "advice"),
    [
        (2.0, 0.001, "+100.00 % (give or take 0.1), more than 2 % apart", "another control"),
        (2.0, 0.05, "+100.00 % (give or take 5.0), more than 2 % apart", "let nothing else run"),
        (1.012, 0.009, "+1.20 % (give or take 0.9), which may be more than 2 % apart", "let nothing else run"),
    ],
)
def test_a_time_that_cannot_be_met(
    train: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ratio: float,
    uncertainty: float,
    said: str,
    advice: str,
) -> None:
    """On a machine where the plain network always takes twice as long; and on one that is busy."""
    timed = Timing(1.0, ratio, uncertainty)
    monkeypatch.setattr(steptime.StepTimes, "beside", lambda self, other, blocks: timed)
    ended = train(*WIDE, "model=gated", "control=time", "hydra.run.dir=run")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    for part in ("control=time", said, advice):
        assert part in ended.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_timing_takes_real_steps_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both networks keep their weights, and torch's random numbers stay where they were."""
    monkeypatch.setattr(steptime, "LEAST", 0.01)
    monkeypatch.setattr(timing, "PAIRS", 2)
    config = composed(*WIDE, "train.max_steps=4")
    state = torch.get_rng_state()
    times = steptime.StepTimes(config)
    before = {name: value.clone() for name, value in times.arm.trainer.model.named_parameters()}
    timed = times.beside(composed(*WIDE, "model=gated", "control=time", "control_width=1.5"), blocks=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert timed.seconds > 0 < timed.ratio < math.inf
    assert timed.uncertainty >= 0
    assert times.shares == {12: 0.5, 16: 0.5}
    for name, value in times.arm.trainer.model.named_parameters():
        if value.requires_grad and value.ndim != 4:  # Muon brings filters to their length, whatever the rate
            assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("epochs", "max_steps", "expected"),
    [(3, None, {8: 5, 16: 5, 32: 3}), (3, 7, {8: 5, 16: 2}), (2, 5, {8: 5}), (3, 100, {8: 5, 16: 5, 32: 3})],
)
def test_steps_at_each_resolution(epochs: int, max_steps: int | None, expected: dict[int, int]) -> None:
    """Ten images in batches of two; the third epoch leaves four out."""
    split = Split(torch.zeros(10, 1, 32, 32, dtype=torch.uint8), torch.zeros(10, dtype=torch.int64))
    augmentation = Augmentation("none", 0, 0, "none", 2, 9, 0.0, 0.0)
    normalization = Normalization(torch.zeros(1), torch.ones(1))
    batches = TrainBatches(
        split, 2, True, augmentation, normalization, 2, (8, 16, 32)[:epochs], 0.4, 2, None, order_seed=0, augment_seed=0
    )
    assert batches.steps_at(epochs, max_steps) == expected


def test_a_list_of_widths_is_the_one_that_a_width_stands_for() -> None:
    def made(width: Any) -> nn.Module:
        torch.manual_seed(0)
        placement = Placement("all", "branch")
        return BACKBONES["resnet"](
            (3, 8, 8), 5, lambda *_: nn.Identity(), depth=20, width=width, drop_path=0.0, placement=placement
        )

    for one, other in ((None, [16, 32, 64]), (4, [4, 8, 16])):
        first, second = made(one).state_dict(), made(other).state_dict()
        assert first.keys() == second.keys()
        assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert made([5, 6, 9])(torch.zeros(2, 3, 8, 8)).shape == (2, 5)
