"""attn-bench: its cells in processes that really run out of memory and time, and what it says of them."""

import csv
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch
import yaml
from conftest import Command, run_here, start
from forked import Forked
from scipy import stats
from test_bench_picture import made
from torch import Tensor

from attn_train import build
from attn_train.attention import ATTENTION
from attn_train.attention.attention import Attention
from attn_train.cost.bench import cells, measure, outcome, process, report, trained
from attn_train.cost.bench.help import HELP
from attn_train.errors import ConfigError
from attn_train.settings import bench as settings, compose, identity
from attn_train.settings.bench import BenchSettings

# A bench of the least work; in float32, whose bytes can be foretold.
TINY = ("device=cpu", "device.precision=float32", "device.threads=1", "repetitions=2", "sample_seconds=0", "output=out")


def fork(order: dict[str, Any], errors: IO[bytes]) -> Forked:
    """Start a cell's process without importing torch anew."""
    program = "from attn_train.cost.bench import measure; measure.main()"
    return Forked(program, folder=Path.cwd(), stdin=json.dumps(order), errors=errors)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "start", fork)


@pytest.fixture
def bench(tmp_path: Path) -> Command:
    """attn-bench in this process, in tmp_path; its cells have processes of their own."""
    return lambda *words: run_here(tmp_path, *words, command="bench")


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "bench.json").read_text())


def test_quartiles_are_those_of_numpy() -> None:
    samples = list(np.random.default_rng(0).exponential(size=17))
    assert outcome.quartiles(samples) == pytest.approx(np.percentile(samples, [25, 50, 75]))
    assert outcome.quartiles([2.0]) == (2.0, 2.0, 2.0)
    assert outcome.quartiles([]) == (None, None, None)


# Cells


def test_rounds_are_shuffled_and_repeatable() -> None:
    arms = cells.make_arms(["none", "gated"], compose.CONF)
    made = cells.make_cells(arms, [(8, 4), (4, 4), (2, 4)])
    assert len(made) == 6
    orders = cells.orders(made, 4, seed=3)
    assert orders == cells.orders(made, 4, seed=3) != cells.orders(made, 4, seed=4)
    assert all(sorted(map(repr, one)) == sorted(map(repr, made)) for one in orders)
    assert len({tuple(map(repr, one)) for one in orders}) > 1


def test_all_mechanisms_with_the_options_of_their_files() -> None:
    arms = cells.make_arms(None, compose.CONF)
    assert [arm.name for arm in arms] == sorted(ATTENTION)
    for arm in arms:
        written = yaml.safe_load((compose.CONF / "model" / f"{arm.name}.yaml").read_text())
        assert {"name": arm.name, **arm.options} == written


class EvenOnly(Attention):
    """Refuses odd maps by itself, and a factor that does not divide the channels."""

    def __init__(self, channels: int, size: tuple[int, int], *, factor: int = 1) -> None:
        super().__init__()
        if size[0] % 2:
            raise ValueError(f"a side of {size[0]} is odd")
        if channels % factor:
            raise ValueError(f"factor={factor} does not divide {channels}")

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.fixture
def even_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTENTION, "even_only", EvenOnly)


@pytest.mark.usefixtures("even_only")
def test_refused_options_end_the_bench_but_a_refused_map_is_a_cell() -> None:
    usual, given = cells.make_arms(["even_only", {"name": "even_only", "factor": 2}], compose.CONF)
    assert given.label == "even_only factor=2"
    assert len(cells.make_cells([usual, given], [(7, 4), (8, 4)])) == 4
    with pytest.raises(ConfigError, match=r"even_only factor=2: factor=2 does not divide 3"):
        cells.make_cells([given], [(8, 3)])
    order = {"name": "even_only", "options": {}, "side": 7, "channels": 4, "batch": 1, "seed": 0, "memory_limit": None}
    order["plugins"] = []
    device = {"kind": "cpu", "precision": "float32", "channels_last": False, "compile": False, "cuda_graphs": False}
    with pytest.raises(measure.RefusedError, match="a side of 7 is odd"):
        measure.measure({**order, "device": {**device, "threads": torch.get_num_threads()}}, lambda **_: None)


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_figures_of_a_real_cell(bench: Command, tmp_path: Path) -> None:
    """Parameters and multiply-adds of self-attention by hand; the memory of a gate by the maps that it must keep."""
    ended = bench("models=[self_attention,gated]", "sizes=[32,6]", "channels=[64,10]", "batch=8", "rounds=2", *TINY)
    assert ended.code == 0, ended.err
    found = {(one["model"], one["size"]): one for one in read(tmp_path)["cells"]}
    assert len(found) == 4
    for (model, side), one in found.items():
        n, c = side**2, {32: 64, 6: 10}[side]
        attending = model == "self_attention"
        assert one["status"] == "ok", one
        assert one["parameters"] == (3 if attending else 2) * (c * c + c)
        assert one["macs"] == (3 * n * c * c + 2 * n * n * c if attending else 2 * n * c * c)
        assert len(one["by_round"]) == 2
        assert one["training_seconds_samples"] == 4
    whole = 8 * 64 * 32 * 32 * 4
    gate = found["gated", 32]
    # In training both scores, their product and the gate wait for the way back, beside the result and its gradient.
    # At most every map there ever was, had none been let go: both scores, product, gate, result; the result's gradient;
    # the gradients of input and gate, of the product, of both scores, of the input by both, and their two sums.
    assert 4 * whole <= gate["training_bytes"] <= (5 + 1 + 9) * whole
    assert 2 * whole <= gate["forward_bytes"] < gate["training_bytes"]
    check_files_agree(ended.out, tmp_path / "out")


def check_files_agree(out: str, folder: Path) -> None:
    """The CSV has the cells of the JSON, the figures follow from its timings, and the table shows them."""
    about = json.loads((folder / "bench.json").read_text())
    with (folder / "bench.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(about["cells"])
    lines = out.splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith("model "))
    for row, cell, line in zip(rows, about["cells"], lines[header + 1 :], strict=False):
        for key, value in row.items():
            assert value == ("" if cell[key] is None else str(cell[key])), key
        shown = re.split(r"  +", line)
        side, channels = cell["size"], cell["channels"]
        assert shown[:2] == [cell["model"], f"{channels}x{side}x{side}"]
        assert [int(word.replace(",", "")) for word in shown[2:4]] == [cell["parameters"], cell["macs"]]
        for name, word in zip(("forward_seconds", "training_seconds"), shown[4:6], strict=True):
            samples = [second for one in cell["by_round"] for second in one[name]]
            low, middle, high = np.percentile(samples, [25, 50, 75])
            assert (cell[f"{name}_q1"], cell[name], cell[f"{name}_q3"]) == pytest.approx((low, middle, high))
            numbers = [float(one.replace(",", "")) for one in re.findall(r"[\d.,]+", word)]
            assert numbers == pytest.approx([1e3 * middle, 1e3 * low, 1e3 * high], rel=6e-3, abs=6e-4)
        for name, word in zip(("forward_bytes", "training_bytes"), shown[6:8], strict=True):
            assert cell[name] == round(np.median([one[name] for one in cell["by_round"]]))
            assert float(word.replace(",", "")) == pytest.approx(cell[name] / 1e6, rel=6e-3, abs=6e-4)
    assert {"processor", "cores", "date", "versions"} <= set(about["machine"])
    assert about["machine"]["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert about["settings"]["batch"] == about["cells"][0]["batch"]
    assert "models=" in about["command"]
    assert (folder / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_scaling_of_real_cells(bench: Command, tmp_path: Path) -> None:
    """Exponents in the JSON are those of the medians of its rounds, by numpy."""
    ended = bench("scaling=true", "models=[gated]", "sizes=[4,8,16]", "channels=4", "points=2", "rounds=2", *TINY)
    assert ended.code == 0, ended.err
    about = read(tmp_path)
    assert {one["batch"] for one in about["cells"]} == {1}
    by_size = {one["size"]: one["by_round"] for one in about["cells"]}
    (row,) = [one for one in about["exponents"] if one["quantity"] == "training_seconds"]
    medians = [[np.median(one["training_seconds"]) for one in by_size[side]] for side in (8, 16)]
    slopes = [math.log(large / small) / math.log(4) for small, large in zip(*medians, strict=True)]
    assert row["tokens"] == [64, 256]
    assert row["value"] == pytest.approx(np.mean(slopes))
    assert row["low"] == pytest.approx(np.mean(slopes) - stats.t.ppf(0.975, 1) * np.std(slopes, ddof=1) / math.sqrt(2))
    assert len(row["last_slopes"]) == 2
    assert row["last_slopes"][1] == pytest.approx(np.mean(slopes))
    last = [f"{value:.2f}" for value in row["last_slopes"]]
    assert f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}] ({', '.join(last)})" in ended.out
    assert "95 % interval of repetition" in ended.out


# What runs give

GROUPS: dict[str, dict[str, Any]] = {
    "fast": {"widths": [4, 6, 8], "depth": 2, "drop_path": 0.0, "whitening_epochs": 1},
    "article": {},
    "hybrid": {
        "widths": [4, 6],
        "depth": 2,
        "mixer": "softmax",
        "heads": 2,
        "expansion": 2,
        "pooling": "mean",
        "drop_path": 0.0,
    },
    "lstm": {"widths": [4, 6]},
    "resnet": {"depth": 20, "width": 4, "drop_path": 0.0},
}


def network_of(backbone: str, position: str, stages: Any, name: str = "gated") -> Any:
    placement = {"stages": stages, "position": position, "zero_gate": False}
    model = yaml.safe_load((compose.CONF / "model" / f"{name}.yaml").read_text())
    section = {"name": backbone, "placement": placement, **GROUPS[backbone]}
    return build.make_network(model, section, image_size=16, channels=3, classes=5)


@pytest.mark.parametrize(
    ("backbone", "position", "stages"),
    [
        ("fast", "before_activation", "all"),
        ("fast", "parallel", [1, 3]),
        ("article", "after_activation", "all"),
        ("hybrid", "mixer", [2]),
        ("lstm", "after_activation", [2]),
        ("resnet", "branch", "all"),
        ("resnet", "parallel", [2]),
        ("fast", "before_activation", []),
    ],
)
def test_attention_places_are_the_maps_that_reach_attention(backbone: str, position: str, stages: Any) -> None:
    network = network_of(backbone, position, stages)
    seen = []
    for module in network.modules():
        if isinstance(module, Attention):
            module.register_forward_pre_hook(lambda _, arguments: seen.append(tuple(arguments[0].shape[1:])))
    network.eval()(torch.zeros(1, 3, 16, 16))
    assert sorted(network.attention_places) == sorted(seen)
    assert network_of(backbone, position, stages, "none").attention_places == []


def test_a_result_says_where_the_attention_is(attention_run: Path, plain_run: Path) -> None:
    found = [json.loads((run / "result.json").read_text())["attention_places"] for run in (attention_run, plain_run)]
    assert found == [[[8, 7, 7], [8, 3, 3], [8, 1, 1]], []]


@pytest.fixture
def runs(attention_run: Path, tmp_path: Path) -> list[str]:
    """Runs of self-attention, of two kinds of gates on other maps, of a control, and of no attention."""
    found = []
    changes: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("attending", {}, {}),
        ("pixel", {"model": {"name": "gated", "per": "pixel", "branches": 2}}, {"attention_places": [[8, 3, 3]] * 2}),
        ("single", {"model": {"name": "gated", "per": "element", "branches": 1}}, {"attention_places": [[8, 1, 1]]}),
        ("control", {"control": "parameters"}, {"attention_places": []}),
        ("plain", {"model": {"name": "none"}}, {"attention_places": []}),
    ]
    for name, settings_changed, said in changes:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        values = yaml.safe_load((attention_run / "config.yaml").read_text()) | settings_changed
        (folder / "config.yaml").write_text(yaml.safe_dump(values))
        result = json.loads((attention_run / "result.json").read_text()) | said | {"model": values["model"]["name"]}
        (folder / "result.json").write_text(json.dumps(result))
        found.append(f"runs/{name}")
    return found


def test_a_run_over_a_sequence_is_no_square_to_measure(tmp_path: Path, runs: list[str]) -> None:
    path = tmp_path / runs[0] / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attention_places": [[8, 16, 1]]}))
    with pytest.raises(ConfigError, match=r"runs: .*runs/attending stands on a map of 16x1, .* square ones"):
        trained.read(str(tmp_path / runs[0]))


class Measured:
    """Stands in for the processes of the cells: what each was told, and a time that is made of it."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []

    def __call__(self, order: dict[str, Any], stopped: Callable[[], bool]) -> dict[str, Any]:
        self.orders.append(order)
        seconds = 1e-3 * order["side"] * (10 if order["options"].get("branches") == 1 else 1)
        timed = {"forward_seconds": [seconds], "training_seconds": [seconds]}
        return {**timed, "forward_bytes": 1, "training_bytes": 2, "status": "ok", "reason": ""}

    @property
    def cells(self) -> set[tuple[str, int, int]]:
        return {(order["name"], order["channels"], order["side"]) for order in self.orders}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    one = Measured()
    monkeypatch.setattr(process, "run", one)
    return one


@pytest.mark.slow
def test_runs_give_mechanisms_maps_batch_and_device(
    bench: Command, tmp_path: Path, runs: list[str], measured: Measured
) -> None:
    ended = bench(f"runs=[{','.join(runs)}]", "output=out", "rounds=1")
    assert ended.code == 0, ended.err
    assert measured.cells == {
        ("self_attention", 8, 7), ("self_attention", 8, 3), ("self_attention", 8, 1), ("gated", 8, 3), ("gated", 8, 1),
    }  # fmt: skip
    options = {(one["model"], one["size"]): one["options"] for one in read(tmp_path)["cells"]}
    assert options["gated per=pixel", 3] == {"per": "pixel", "branches": 2}
    assert options["gated branches=1", 1] == {"per": "element", "branches": 1}
    for order in measured.orders:
        assert order["batch"] == 32  # 64 images in two parts
        device = order["device"]
        assert (device["kind"], device["precision"], device["threads"]) == ("cpu", "float32", 1)
        assert device["channels_last"] is False


def settled(folder: Path, names: list[str], *words: str) -> tuple[BenchSettings, set[tuple[str, int, int]]]:
    """The settings with what runs give, and the cells."""
    compose.register()
    taken = [trained.read(str(folder / name)) for name in names]
    config = trained.with_defaults_of(taken, compose.bench(list(words)))
    made = trained.make_cells(config, taken, compose.CONF)
    return config, {(cell.arm.name, cell.channels, cell.side) for cell in made}


def test_what_is_given_is_not_taken_from_runs(tmp_path: Path, runs: list[str]) -> None:
    config, found = settled(tmp_path, runs[:2], "models=[se]", "batch=3", "device.threads=2", "device.compile=true")
    assert found == {("se", 8, 7), ("se", 8, 3), ("se", 8, 1)}
    assert (config.batch, config.device.threads, config.device.compile, config.device.kind) == (3, 2, True, "cpu")
    config, found = settled(tmp_path, runs[:2], "sizes=[6]", "channels=4")
    assert found == {("self_attention", 4, 6), ("gated", 4, 6)}
    config, found = settled(tmp_path, runs[:2], "scaling=true", "sizes=[2,4,8]")
    assert found == {(name, 64, side) for name in ("self_attention", "gated") for side in (2, 4, 8)}
    assert settings.batch(config) == 1
    # By hand on another device: nothing of the runs' own fits it.
    config, _ = settled(tmp_path, runs[:2], "device=cuda")
    assert (config.device.kind, config.device.precision, config.device.threads) == ("cuda", "auto", None)


def test_settings_of_the_device_that_runs_do_not_share_stay_open(tmp_path: Path, runs: list[str]) -> None:
    path = tmp_path / runs[1] / "config.yaml"
    values = yaml.safe_load(path.read_text())
    values["device"]["threads"] = 2
    path.write_text(yaml.safe_dump(values))
    config, _ = settled(tmp_path, runs[:2])
    assert (config.device.threads, config.device.precision) == (None, "float32")


def test_maps_of_a_run_of_another_version_are_found_anew(tmp_path: Path, runs: list[str]) -> None:
    path = tmp_path / runs[0] / "result.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "attention_places"}))
    assert settled(tmp_path, runs[:1])[1] == {
        ("self_attention", 8, 7),
        ("self_attention", 8, 3),
        ("self_attention", 8, 1),
    }


@pytest.mark.slow
def test_a_comparison_takes_what_its_command_measured(
    bench: Command, tmp_path: Path, runs: list[str], measured: Measured
) -> None:
    """attn-compare names a command; what that leaves has the costs of all arms, each its own."""
    for name in runs:
        path = tmp_path / name / "result.json"
        result = json.loads(path.read_text())
        arm = identity.arm(yaml.safe_load((tmp_path / name / "config.yaml").read_text()))
        path.write_text(json.dumps(result | {"arm": arm, "arm_digest": name}))
    assert bench("models=[self_attention,gated]", "sizes=[8,7]", "channels=8", "output=other", "rounds=1").code == 0
    first = run_here(tmp_path, "runs", "bench=other", "output=lacking", command="compare")
    assert first.code == 0, first.err
    found = json.loads((tmp_path / "lacking" / "compare.json").read_text())
    known = {arm["arm"] for arm in found["arms"] if arm["seconds"] is not None}
    assert known == {"none"}
    (command,) = [shlex.split(one.split("with: ")[1]) for one in found["warnings"] if "with: attn-bench" in one]
    assert command[0] == "attn-bench"
    assert bench(*command[1:], "output=out", "rounds=1").code == 0
    second = run_here(tmp_path, "runs", "bench=out", "output=all", command="compare")
    assert second.code == 0, second.err
    found = json.loads((tmp_path / "all" / "compare.json").read_text())
    seconds = {arm["arm"].split(" backbone")[0]: arm["seconds"] for arm in found["arms"]}
    assert seconds == {
        "none": 0.0,
        "self_attention": pytest.approx(2 * 0.011),
        "self_attention-control-parameters": None,
        "gated branches=1 per=element": pytest.approx(2 * 0.010),
        "gated branches=2 per=pixel": pytest.approx(2 * 0.006),
    }


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        ({}, ["runs=[runs/plain,runs/control]"], "none of them has attention; say what to measure"),
        ({}, ["runs=[runs/plain]", "models=[gated]"], "none of them has attention"),
        ({"device": {"kind": "xpu"}}, ["runs=[runs/attending]"], "trained on xpu, which this machine has not"),
        ({"train": {"batch_size": 100}}, ["runs=[runs/attending]"], "does not say what it trained"),
        (
            {"train": {"batch_size": 100, "accumulate": 1}},
            ["runs=[runs/attending,runs/pixel]"],
            "100 images .* 32 images",
        ),
        (None, ["runs=[runs/attending]"], "does not say what it trained"),
    ],
)
def test_runs_that_give_nothing_to_measure(
    bench: Command, tmp_path: Path, runs: list[str], change: dict[str, Any] | None, words: list[str], said: str
) -> None:
    path = tmp_path / "runs" / "attending" / "config.yaml"
    path.write_text("[" if change is None else yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    ended = bench(*words)
    assert ended.code == 2
    assert re.search(said, ended.err), ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "outputs").exists()


# Processes that do not end well


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is kept by Linux")
@pytest.mark.usefixtures("forked")
def test_a_cell_past_its_memory_is_reported_and_the_rest_measured(bench: Command, tmp_path: Path) -> None:
    """At 32x32 a map has 67 MB: without attention three fit into 250 MB, what a gate needs does not."""
    words = ("models=[none,gated]", "sizes=[32,4]", "channels=256", "batch=64", "rounds=2", "memory_limit=250000000")
    ended = bench(*words, *TINY)
    assert ended.code == 0, ended.err
    found = {(one["model"], one["size"]): one for one in read(tmp_path)["cells"]}
    assert {key: one["status"] for key, one in found.items()} == {
        ("none", 32): "ok",
        ("none", 4): "ok",
        ("gated", 4): "ok",
        ("gated", 32): "out of memory",
    }
    failed = found["gated", 32]
    assert failed["rounds"] == 1  # not tried again
    assert failed["parameters"] == 2 * (256**2 + 256)  # what was found before stays
    assert failed["training_seconds"] is None
    assert found["none", 32]["rounds"] == 2
    (line,) = [line for line in ended.out.splitlines() if line.startswith("gated") and "256x32x32" in line]
    assert "out of memory" in line


@pytest.mark.slow
def test_a_killed_process_is_a_cell(bench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    start = process.start

    def kill_the_first(*words: Any) -> "subprocess.Popen[bytes]":
        one = start(*words)
        started.append(one.pid)
        if len(started) == 1:
            one.kill()
        return one

    monkeypatch.setattr(process, "start", kill_the_first)
    ended = bench("models=[none,gated]", "sizes=[4]", "channels=[4]", "batch=2", "rounds=1", *TINY)
    assert ended.code == 0, ended.err
    assert len(started) == 2
    found = read(tmp_path)["cells"]
    assert sorted(one["status"] for one in found) == ["killed", "ok"]
    assert "killed: by SIGKILL" in ended.out


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_a_cell_past_its_time_is_too_slow(bench: Command, tmp_path: Path) -> None:
    """A hundred seconds of timings were asked for."""
    ended = bench(
        "models=[none]", "sizes=[4]", "channels=[4]", "batch=2", "time_limit=1", *TINY, "sample_seconds=100", "rounds=2"
    )
    assert ended.code == 0, ended.err
    (found,) = read(tmp_path)["cells"]
    assert (found["status"], found["reason"], found["rounds"]) == ("too slow", "more than 1 s", 1)
    assert found["macs"] == 0  # what was found before stays


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], dict[str, Any] | None]]:
    """Run a program in the place of a cell's process."""
    pids = []

    def run(program: str) -> dict[str, Any] | None:
        def start(_: Any, errors: Any) -> "subprocess.Popen[bytes]":
            one = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=errors)
            pids.append(one.pid)
            return one

        monkeypatch.setattr(process, "start", start)
        return process.run({"time_limit": 0.5}, lambda: False)

    yield run
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


SAY = "import json; say = lambda **found: print(json.dumps(found), flush=True); say(stage='start'); "


def test_how_a_process_can_end(child: Callable[[str], dict[str, Any] | None]) -> None:
    slow = child(SAY + "say(macs=7); import time; time.sleep(60)")
    assert slow == {"stage": "start", "macs": 7, "status": "too slow", "reason": "more than 0.5 s"}
    killed = child(SAY + "import os; os.kill(os.getpid(), 11)")
    assert killed == {"stage": "start", "status": "killed", "reason": "by SIGSEGV"}
    failed = child(SAY + "raise KeyError('where')")
    assert failed == {"stage": "start", "status": "failed", "reason": "KeyError: 'where'"}
    cut = child(SAY + "print('{\"macs\": 1', flush=True); import sys; sys.exit(3)")
    assert cut == {"stage": "start", "status": "failed", "reason": "its process ended with exit code 3"}


@pytest.mark.slow
def test_ctrl_c_leaves_what_was_measured(tmp_path: Path) -> None:
    words = ["models=[none,gated]", "sizes=[4,8]", "channels=4", "batch=2", "rounds=50", *TINY]
    bench = start(tmp_path, *words, command="bench")
    assert bench.stdout.readline().startswith("round 1/50, cell 1/4: ")
    time.sleep(0.5)  # into the next cell
    bench.send_signal(signal.SIGINT)
    out, err = bench.communicate(timeout=60)
    assert bench.returncode == 130, err
    assert re.fullmatch(r"attn-bench: stopped; what \d+ measurements found is in out\n", err)
    statuses = [one["status"] for one in read(tmp_path)["cells"]]
    assert set(statuses) == {"ok", "not measured"}
    assert "not measured" in out
    assert (tmp_path / "out" / "bench.png").exists()


# The command line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["models=[nome]"], r"unknown model 'nome'; choose from .*gated.*none"),
        (["models=[]"], "models=.* is empty"),
        (["models=[gated,gated]"], "twice"),
        (["models=[{name:self_attention,heads:3}]", "channels=64"], "self_attention heads=3: .* does not divide"),
        (["models=[{name:gated,per:row}]"], "gated.per=row does not fit; .* pixel"),
        (["models=[{name:gated,heads:3}]"], "unknown setting gated.heads"),
        (["sizes=[0]"], "sizes=0 .* at least 1"),
        (["sizes=[8,x]"], "sizes=x does not fit; it takes an integer"),
        (["sizes=[8,16]", "channels=[4,4,4]"], "do not pair"),
        (["sizes=[8,8]", "channels=4"], "twice"),
        (["channels=[0,4]"], "channels=0 .* at least 1"),
        (["batch=0"], "batch=0 .* at least 1"),
        (["rounds=0"], "rounds=0 .* at least 1"),
        (["scaling=true", "points=1"], "points=1 .* at least 2"),
        (["scaling=true", "sizes=[8,16]"], "points=3 needs as many sizes"),
        (["scaling=true", "sizes=[2,4,8]", "channels=[1,2,3]"], "same channels"),
        (["time_limit=0"], "time_limit=0.* above 0"),
        (["memory_limit=much"], "memory_limit=much does not fit"),
        (["device.precision=float16"], "device.precision=float16 is not a choice"),
        (["device.threads=0"], "device.threads=0 .* at least 1"),
        (["runs=[nowhere]"], "nowhere has no result.json"),
        (["sizee=[8]"], "unknown setting 'sizee' .*sizes"),
        (["-m", "batch=1"], "no option -m"),
        (["models=[none]", "output=file/below"], "cannot write to the output folder file/below"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_bad_input(
    bench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.setattr(process, "start", lambda *_: pytest.fail("measured"))
    (tmp_path / "file").write_text("")
    ended = bench("device=cpu", *words)
    assert ended.code == 2, ended.err
    assert len(ended.err.splitlines()) == 1, ended.err
    assert re.match(f"attn-bench: .*{said}", ended.err), ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_settings_of_the_file_and_of_the_help() -> None:
    compose.register()
    written = yaml.safe_load((compose.CONF / "bench.yaml").read_text())
    plain = compose.bench([])
    assert settings.places(plain) == [(32, 64), (8, 256)]
    assert settings.batch(plain) == 128
    growing = compose.bench(["scaling=true", "batch=4"])
    assert settings.places(growing) == [(side, 64) for side in (8, 16, 32, 64, 128)]
    assert settings.batch(growing) == 4
    for key, value in written.items():
        if key not in ("defaults", "modes"):
            assert re.search(rf"^{key}=", HELP, re.MULTILINE), key
            assert getattr(plain, key) == value


# What is told


def test_a_picture_that_fails_costs_a_warning(bench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = made(["none"], [4])[0].rounds[0]
    monkeypatch.setattr(process, "run", lambda order, stopped: dict(measured))
    (tmp_path / "out" / "bench.png").mkdir(parents=True)
    ended = bench("models=[none,gated]", "sizes=[4]", "channels=[4]", "batch=2", "rounds=1", *TINY)
    assert ended.code == 0, ended.err
    assert "bench.png" in ended.err
    assert "Is a directory" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert [one["status"] for one in read(tmp_path)["cells"]] == ["ok", "ok"]
    assert (tmp_path / "out" / "bench.csv").is_file()
    assert re.search(r"^gated +4x4x4 ", ended.out, re.MULTILINE)


def test_numbers_in_the_table() -> None:
    assert [report.short(value, 1e-3) for value in (None, 0, 1.23456e-6, 0.0123456, 0.123456, 12.3456)] == [
        "-",
        "0",
        "0.001",
        "12.35",
        "123",
        "12,346",
    ]
