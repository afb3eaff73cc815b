"""What may differ when a run goes on or is tested again: each word has an effect, or is refused in one line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import TINY, Command, run_here

from attn_train.errors import ConfigError
from attn_train.machine.device import available
from attn_train.runs import checkpoint, finished
from attn_train.settings import compose, identity, saved
from attn_train.settings.roles import flatten
from attn_train.settings.schema import DeviceSettings

PLAIN = (*TINY, "model=none", "dataset.val_size=0", "hydra.run.dir=run")  # the command of plain_run
# Options that self_attention got after runs had been trained with it.
LATER = ("normalize", "sinks", "gate", "log_n", "qk_norm")
PLACES = {f"dataset.{name}" for name in ("root", "download", "url", "digest", "time_limit")} | {"plugins"}
DEVICE = {f"device.{name}" for name in ("kind", "precision", "channels_last", "compile", "cuda_graphs", "threads")}


@pytest.fixture
def run(plain_run: Path, tmp_path: Path) -> Path:
    """A finished run that a test may change."""
    return shutil.copytree(plain_run, tmp_path / "run")


def configuration_of(run: Path) -> dict[str, Any]:
    return flatten(yaml.safe_load((run / "config.yaml").read_text()))


def change_configuration(run: Path, section: str, **values: Any) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config[section] |= values
    (run / "config.yaml").write_text(yaml.safe_dump(config))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".log"}


def another(value: Any) -> Any:
    """A value of the same type that is not `value`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        return [0.5, 0.25] if value else ["other.py"]  # no setting but plugins is empty
    return 1 if value is None else f"{value}x"


def accepted(run: Path, freedom: "saved.Freedom") -> set[str]:
    """Give each setting of a run another value, one at a time; return those that were taken, alone and as given."""
    settings = saved.read(run)
    before = saved.raw(settings)
    taken = set()
    for key in sorted({*before, *compose.settings()} - {"resume"}):
        word = f"{key}={json.dumps(another(before.get(key)))}"
        (override,) = saved.parsed([word])
        try:
            now = saved.raw(saved.lay_over(settings, [override], settings, freedom))
        except ConfigError as error:
            text = str(error)
            assert "\n" not in text
            assert key in text
            assert "leave it out" in text or "unknown setting" in text
            continue
        assert {name for name in before if before[name] != now[name]} == {key}
        assert str(now[key]) == str(another(before[key]))
        taken.add(key)
    return taken


@pytest.mark.slow
def test_of_all_settings_a_run_that_goes_on_takes_those_that_cannot_change_its_past(run: Path) -> None:
    free = {"train.epochs", "dataset.allow_change", "eval.corruptions"} | {
        f"train.{name}_every" for name in ("log", "checkpoint", "eval")
    }
    assert accepted(run, saved.RESUME) == free | DEVICE | PLACES


@pytest.mark.slow
def test_of_all_settings_a_test_takes_those_that_it_looks_at(run: Path) -> None:
    seen = {f"dataset.{name}" for name in ("name", "image_size", "limit", "val_size", "mean", "deviation")}
    seen |= {"eval.views", "eval.batch_size"}
    assert accepted(run, saved.TEST) == seen | PLACES | (DEVICE - {"device.compile", "device.cuda_graphs"})


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["++seed=4"], "++seed=4"),
        (["train={epochs:3,batch_size:7}"], "train.batch_size"),
        (["sweep=mine"], "sweep=mine"),
        (["optimizer=adam"], "optimizer=adam"),
        (["+experiment=quick"], "+experiment=quick"),
        (["~device"], "~device"),
        (["hydra.run.dir=other"], "hydra.run.dir=other"),
        (["hydra/launcher=basic"], "hydra/launcher=basic"),
        (["-m", "train.epochs=3,4"], "resume goes on with one run"),
        # A finished run that does not go on: none of this would be seen anywhere.
        (["device=cpu", "device.threads=2"], "device."),
        (["train.log_every=7"], "train.log_every=7"),
        (["train.epochs=1"], "train.epochs=1"),
        (["dataset.allow_change=true"], "dataset.allow_change=True"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_word_without_effect_on_a_run_is_refused(train: Command, run: Path, words: list[str], named: str) -> None:
    before = contents(run)
    ended = train("resume=run", *words)
    assert ended.code == 2
    assert ended.err.startswith("attn-train: ")
    assert len(ended.err.splitlines()) == 1, ended.err
    assert named in ended.err
    assert contents(run) == before
    assert [path.name for path in run.parent.iterdir()] == ["run"]


@pytest.mark.parametrize(
    "word", ["seed=0", "++train.epochs=2", "device.precision=float32", "device=cpu", "hydra.run.dir=run"]
)
def test_a_word_that_says_what_is_there_already_is_taken(train: Command, run: Path, word: str) -> None:
    before = contents(run)
    ended = train("resume=run", word)
    assert ended.code == 0, ended.err
    assert contents(run) == before


@pytest.mark.parametrize(
    "word", ["train.epochs=7", "schedule=cosine", "dataset.augment.crop=3", "device.compile=true", "resume=run"]
)
def test_a_word_without_effect_on_a_test_is_refused(evaluate: Command, run: Path, word: str) -> None:
    ended = evaluate("run=run", word)
    assert ended.code == 2
    assert ended.err.startswith(f"attn-eval: {word} ")
    assert len(ended.err.splitlines()) == 1, ended.err


def test_a_forced_word_is_a_word_of_a_test(evaluate: Command, run: Path) -> None:
    losses = [evaluate("run=run", word).out.partition("loss")[2][:7] for word in ("eval.views=1", "++eval.views=1")]
    assert losses[0] == losses[1] != evaluate("run=run").out.partition("loss")[2][:7]


@pytest.mark.slow
def test_a_run_of_before_its_mechanism_had_an_option_is_tested_goes_on_and_counts_as_one_of_now(
    train: Command, evaluate: Command, tmp_path: Path
) -> None:
    sweep = ("-m", *TINY, "model=self_attention", "train.epochs=1", "train.max_steps=null", "sweep=mine")
    assert train(*sweep).code == 0
    (run,) = (path.parent for path in tmp_path.glob("outputs/mine/*/config.yaml"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"] = {key: value for key, value in config["model"].items() if key not in LATER}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    result = json.loads((run / "result.json").read_text())
    result["arm"] = {key: value for key, value in result["arm"].items() if key.partition(".")[2] not in LATER}
    (run / "result.json").write_text(json.dumps(result))

    read = finished.read(run)
    assert read.arm == identity.arm(compose.plain(saved.read(run)))
    assert read.arm["model.gate"] == "none"
    assert read.arm_digest == identity.short_digest(read.arm) == identity.short_digest(result["arm"])
    tested = evaluate(f"run={run}")
    assert tested.code == 0, tested.err
    # The sweep, given again, finds it finished; resume= trains it further.
    again = train(*sweep)
    assert again.code == 0, again.err
    assert [path.parent for path in tmp_path.glob("outputs/mine/*/config.yaml")] == [run]
    assert json.loads((run / "result.json").read_text())["arm"] == result["arm"]
    ended = train(f"resume={run}", "train.epochs=2")
    assert ended.code == 0, ended.err


GIVEN = ["device.precision=float32", "device.threads=1", "device.channels_last=true", "train.log_every=2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["resume=run", "train.epochs=3"], [*PLAIN, "train.epochs=3"]], ids=["resume", "the command again"]
)
def test_what_is_given_when_a_run_goes_on_has_its_effect(train: Command, run: Path, command: list[str]) -> None:
    """The configuration says bfloat16 and two threads, as after a run on a machine that is fast at it."""
    change_configuration(run, "device", precision="bfloat16", threads=2)
    ended = train(*command, *GIVEN)
    assert ended.code == 0, ended.err
    now = configuration_of(run)
    assert (now["device.precision"], now["device.threads"], now["device.channels_last"]) == ("float32", 1, True)
    assert (now["train.epochs"], now["train.log_every"]) == (3, 2)
    assert json.loads((run / "result.json").read_text())["precision"] == "float32"
    assert "float32, 1 threads" in ended.out
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps if row["kind"] == "train"] == [1, 2, 3, 4, 6]


def test_what_the_command_leaves_open_stays_as_the_run_decided_it() -> None:
    decided = DeviceSettings("cuda", "bfloat16", True, False, False, 7)
    assert saved.continued_device(decided, DeviceSettings("auto", "auto", "auto", "auto", "auto", None)) == decided
    given = DeviceSettings("auto", "float32", False, True, "auto", 2)
    expected = DeviceSettings("cuda", "float32", False, True, False, 2)
    assert saved.continued_device(decided, given) == expected
    elsewhere = DeviceSettings("cpu", "auto", "auto", "auto", "auto", None)
    assert saved.continued_device(decided, elsewhere) == elsewhere


ABSENT = next(kind for kind in ("cuda", "mps") if kind not in available())


@pytest.fixture
def foreign(run: Path) -> Path:
    """A run as it comes from a machine with a device that this one lacks, stopped before its last epoch."""
    change_configuration(run, "device", kind=ABSENT, precision="bfloat16", compile=True, channels_last=True, threads=64)
    change_configuration(run, "train", epochs=3, resolution=[0.75, 1.0, 1.0])
    (run / "result.json").rename(run.parent / "result.json")
    state = checkpoint.load(run / "checkpoints")
    assert state is not None
    state["device"] = {**state.get("device", {}), "kind": ABSENT, "precision": "bfloat16"}
    state["rng"][ABSENT] = torch.zeros(16, dtype=torch.uint8)
    checkpoint.save(run / "checkpoints", "last", state, {})
    return run


@pytest.mark.parametrize(
    "words",
    [
        ["device.precision=float32", "device=auto"],
        ["device.kind=cpu", "device.compile=false", "device.precision=float32", "device.threads=1"],
    ],
    ids=" ".join,
)
def test_a_run_goes_on_on_another_kind_of_device(train: Command, foreign: Path, words: list[str]) -> None:
    ended = train("resume=run", *words)
    assert ended.code == 0, ended.err
    assert f"device.kind=cpu (before: {ABSENT})" in ended.out
    assert "device.precision=float32 (before: bfloat16)" in ended.out
    now = configuration_of(foreign)
    assert (now["device.kind"], now["device.precision"], now["device.compile"]) == ("cpu", "float32", False)
    assert now["device.threads"] <= torch.get_num_threads()
    result = json.loads((foreign / "result.json").read_text())
    assert (result["device"], result["precision"], result["epochs"]) == ("cpu", "float32", 3)


@pytest.mark.slow
def test_a_run_of_another_kind_of_device_is_tested_here(evaluate: Command, foreign: Path) -> None:
    shutil.move(foreign.parent / "result.json", foreign)
    for word in ("device=cpu", "device=auto"):
        ended = evaluate("run=run", word, "device.precision=float32")
        assert ended.code == 0, ended.err
        assert "the same" in ended.out


@pytest.mark.parametrize(("command", "first"), [("train", "resume=run"), ("evaluate", "run=run")])
def test_without_its_device_a_run_names_the_word_to_add(
    tmp_path: Path, foreign: Path, command: str, first: str
) -> None:
    ended = run_here(tmp_path, first, command=command)
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1, ended.err
    assert f"device={ABSENT}: " in ended.err
    assert f"{first.partition('=')[0]}=RUN device=auto" in ended.err


@pytest.mark.slow
def test_a_finished_run_needs_no_device(train: Command, run: Path) -> None:
    change_configuration(run, "device", kind=ABSENT)
    ended = train("resume=run")
    assert ended.code == 0, ended.err
    assert "already finished" in ended.out
