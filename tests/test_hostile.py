"""Configurations from strangers run nothing, and secrets of the environment stay there."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import TINY, Command, run_here

WORDS = (*TINY, "train.max_steps=1", "hydra.run.dir=run")

# On the command line; CANARY is a folder that the payload would make.
HOSTILE_WORDS = {
    "callback": ("+hydra.callbacks.x._target_=os.mkdir", "+hydra.callbacks.x.path=CANARY"),
    "callback whole": ("+hydra.callbacks.x={_target_: os.mkdir, path: CANARY}",),
    "callback nested": ("+hydra.callbacks.x={a: [{_target_: os.mkdir, path: CANARY}]}",),
    "launcher": ("hydra.launcher._target_=os.mkdir", "+hydra.launcher.path=CANARY"),
    "launcher beside": ("hydra.launcher._target_=hydra_plugins.evil.Launcher",),
    "launcher argument": ("+hydra.launcher.x={_target_: os.mkdir, path: CANARY}",),
    "sweeper": ("hydra.sweeper._target_=os.mkdir", "+hydra.sweeper.path=CANARY"),
    "sweeper parameters": ("hydra.sweeper.params={hydra.callbacks.x._target_: os.mkdir}",),
    "sweeper varies logging": ("+hydra.sweeper.params={+hydra.job_logging.root.level: DEBUG}",),
    "log factory": ("+hydra.job_logging.handlers.x={\\(\\): os.mkdir, path: CANARY}",),
    "log class": ("+hydra.job_logging.handlers.x.class=logging.handlers.SocketHandler",),
    "log class of our own": ("+hydra.job_logging.handlers.console.class=os.mkdir",),
    "log formatter": ("+hydra.job_logging.formatters.simple.class=os.mkdir",),
    "log stream": ("+hydra.job_logging.handlers.console.stream=ext://os.environ",),
    "log reference": ("+hydra.job_logging.handlers.console.stream=cfg://handlers.x",),
    "log elsewhere": ("+hydra.job_logging.handlers.file.filename=CANARY",),
    "log elsewhere by parts": ("+hydra.job_logging.handlers.file.filename=${hydra.runtime.output_dir}/../CANARY",),
    "hydra's log": ("+hydra.hydra_logging.handlers.console.class=os.mkdir",),
    "made structure": ('+hydra.callbacks=${oc.create:"{x: {_target_: os.mkdir, path: CANARY}}"}',),
    "decoded structure": ("+hydra.callbacks.x=${oc.decode:${oc.env:EVIL}}",),
    "environment": ("+hydra.job.env_set.PATH=.",),
    "searched package": ("hydra.searchpath=[pkg://antigravity]",),
    "model": ("+model._target_=os.mkdir", "+model.path=CANARY"),
    "data": ("+dataset._target_=os.mkdir",),
    "beside": ("+evil._target_=os.mkdir", "+evil.path=CANARY"),
    "resolver": ("model.reduction=${eval:1}",),
    "rerun": ("--experimental-rerun", "job.pickle"),
}


def assert_refused(done: object, tmp_path: Path) -> None:
    assert done.code == 2, done  # type: ignore[attr-defined]
    lines = done.err.splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 1, lines
    assert lines[0].startswith("attn-")
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "outputs").exists()


# A sweep and --cfg check their words by the same line as a run; of those that a sweep reads by itself, each.
OTHER_WAYS = [name for name in HOSTILE_WORDS if name == "callback" or name.startswith(("launcher", "sweeper"))]


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *((name, "run") for name in HOSTILE_WORDS),
        *((name, way) for way in ("sweep", "show") for name in OTHER_WAYS),
    ],
)
def test_hostile_words(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str) -> None:
    monkeypatch.setenv("EVIL", "{_target_: os.mkdir, path: canary}")
    words = [word.replace("CANARY", str(tmp_path / "canary")) for word in HOSTILE_WORDS[name]]
    front = {"run": (*WORDS,), "sweep": ("-m", *WORDS, "seed=0,1"), "show": ("--cfg", "job")}[way]
    assert_refused(train(*front, *words), tmp_path)


# As a stranger's file: an experiment, found by --config-dir, and a whole configuration by --config-path.
HOSTILE_FILES = {
    "callback": "hydra: {callbacks: {x: {_target_: os.mkdir, path: canary}}}",
    "launcher": "hydra: {launcher: {_target_: os.mkdir, path: canary}}",
    "sweeper": "hydra: {sweeper: {_target_: os.mkdir, path: canary}}",
    "log factory": "hydra: {job_logging: {handlers: {x: {(): os.mkdir, path: canary}}, root: {handlers: [x]}}}",
    "log class": "hydra: {job_logging: {handlers: {x: {class: subprocess.Popen, args: [mkdir, canary]}}}}",
    "log filter": "hydra: {job_logging: {filters: {x: {(): os.mkdir, path: canary}}}}",
    "hydra's log": "hydra: {hydra_logging: {handlers: {x: {(): os.mkdir, path: canary}}}}",
    "environment": "hydra: {job: {env_set: {LD_PRELOAD: ./evil.so}}}",
    "sweep": "hydra: {sweeper: {params: {'+hydra.job_logging.handlers.x.class': os.mkdir, seed: '0,1'}}}",
    "object": "model: {name: gated, reduction: !!python/object/apply:os.mkdir [canary]}",
    "model": "model: {_target_: os.mkdir, path: canary}",
}


@pytest.mark.parametrize(
    ("name", "way", "multirun"),
    [
        (name, way, (row + column) % 2 == 1)
        for row, name in enumerate(HOSTILE_FILES)
        for column, way in enumerate(("experiment", "whole"))
    ],
)
def test_hostile_file(train: Command, tmp_path: Path, name: str, way: str, multirun: bool) -> None:
    text = f"# @package _global_\n{HOSTILE_FILES[name]}\n"
    if way == "whole":
        shutil.copytree(Path(__file__).parent.parent / "conf", tmp_path / "theirs")
        text = f"defaults: [config, _self_]\n{HOSTILE_FILES[name]}\n"
        (tmp_path / "theirs" / "evil.yaml").write_text(text)
        words = ["--config-path", str(tmp_path / "theirs"), "--config-name", "evil", *TINY]
    else:
        (tmp_path / "theirs" / "experiment").mkdir(parents=True)
        (tmp_path / "theirs" / "experiment" / "evil.yaml").write_text(text)
        words = ["--config-dir", str(tmp_path / "theirs"), *TINY[1:], "+experiment=[smoke,evil]"]
    assert_refused(train(*(["-m"] if multirun else []), *words, "seed=0,1" if multirun else "seed=0"), tmp_path)


def test_an_honest_file_is_taken(train: Command, tmp_path: Path) -> None:
    """The tests above refuse for their own reason."""
    (tmp_path / "theirs" / "experiment").mkdir(parents=True)
    (tmp_path / "theirs" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ntrain: {max_steps: 1}\nhydra: {job_logging: {root: {level: DEBUG}}}\n"
    )
    words = ["--config-dir", str(tmp_path / "theirs"), *TINY[1:], "+experiment=[smoke,mine]", "hydra.run.dir=run"]
    assert train(*words).code == 0
    assert json.loads((tmp_path / "run" / "checkpoints" / "last.json").read_text())["step"] == 1


def test_a_searched_package_in_a_file(train: Command, tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parent.parent / "conf", tmp_path / "theirs")
    (tmp_path / "theirs" / "evil.yaml").write_text("defaults: [config]\nhydra: {searchpath: ['pkg://antigravity']}\n")
    done = train("--config-path", str(tmp_path / "theirs"), "--config-name", "evil", *WORDS)
    assert_refused(done, tmp_path)
    assert "searchpath" in done.err


@pytest.mark.parametrize(
    "word", ["hydra/launcher=basic", "hydra/sweeper=basic", "hydra/job_logging=stdout", "hydra.verbose=true"]
)
def test_what_stays_legal(train: Command, word: str) -> None:
    done = train(*WORDS, word)
    assert done.code == 0, done.err


def test_a_run_without_a_log(train: Command, tmp_path: Path) -> None:
    """It says nothing, as asked, and leaves what every run leaves, in one folder, although its name holds a time."""
    done = train(*TINY, "train.max_steps=1", "hydra/job_logging=disabled", "hydra.run.dir=run_${now:%f}")
    assert (done.code, done.out) == (0, ""), done
    (folder,) = tmp_path.iterdir()
    assert (folder / "result.json").is_file()


def test_a_strangers_run_folder(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    """Its address must not be made of our environment, nor its sections name code."""
    for section, values in (
        ("dataset", {"url": "https://example.org/${oc.env:HOME}"}),
        ("dataset", {"digest": "${oc.create:3}"}),
        ("model", {"_target_": "os.mkdir"}),
        ("backbone", {"name": "${oc.env:HOME}"}),
    ):
        run = shutil.copytree(plain_run, tmp_path / "theirs")
        saved = yaml.safe_load((run / "config.yaml").read_text())
        saved[section] |= values
        (run / "config.yaml").write_text(yaml.safe_dump(saved))
        done = evaluate("run=theirs")
        assert done.code == 2, done
        assert len(done.err.splitlines()) == 1
        shutil.rmtree(run)


SECRET = "hunter2-is-no-secret"


@pytest.mark.slow
@pytest.mark.parametrize("multirun", [False, True])
def test_secrets_are_written_nowhere(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multirun: bool
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    words = (
        "dataset.url=https://example.org/${oc.env:TOKEN}/cifar.tar.gz",
        "dataset.root=./${oc.env:TOKEN}",
        "train.max_steps=2",
    )
    done = train("-m", *TINY, *words, "sweep=mine") if multirun else train(*TINY, *words, "hydra.run.dir=outputs/mine")
    assert done.code == 0, done.err
    files = [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert SECRET not in done.out + done.err
    (run,) = (path.parent for path in files if path.name == "config.yaml" and path.parent.name != ".hydra")
    saved = yaml.safe_load((run / "config.yaml").read_text())["dataset"]
    assert (saved["root"], saved["url"]) == ("./${oc.env:TOKEN}", None)
    # The run can be gone on with, and the reference stays one.
    (run / "result.json").unlink()
    again = run_here(tmp_path, f"resume={run}")
    assert again.code == 0, again.err
    assert run_here(tmp_path, f"run={run}", command="evaluate").code == 0
    assert yaml.safe_load((run / "config.yaml").read_text())["dataset"]["root"] == "./${oc.env:TOKEN}"
    monkeypatch.delenv("TOKEN")
    (run / "result.json").unlink()
    lacking = run_here(tmp_path, f"resume={run}")
    assert lacking.code == 2
    assert "TOKEN" in lacking.err


def test_a_secret_in_a_failed_download_is_in_no_file(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    words = ("dataset=cifar10", "dataset.root=data", "dataset.url=http://127.0.0.1:9/${oc.env:TOKEN}/", "sweep=mine")
    done = train("-m", *TINY[1:], "backbone.widths=[8,8,8]", *words)
    assert done.code == 3, done
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "failure.json" for path in files)
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.slow
def test_a_file_of_a_run_that_is_a_folder(train: Command, tmp_path: Path, plain_run: Path) -> None:
    """As a file without the right to read it, it costs one line that names it."""
    for name, code, command in (("checkpoints/last.pt", 5, "train"), ("attn-train.log", 2, "train")):
        run = shutil.copytree(plain_run, tmp_path / name.replace("/", "_"))
        (run / name).unlink(missing_ok=True)
        (run / name).mkdir()
        ended = run_here(tmp_path, f"resume={run}", "train.epochs=3", command=command)
        assert (ended.code, ended.err.count("\n")) == (code, 1), (name, ended.err)
        assert f"{run.name}/{name}" in ended.err


def test_an_export_that_cannot_be_written_is_told_before(tmp_path: Path, plain_run: Path) -> None:
    ended = run_here(tmp_path, f"run={plain_run}", "export=/proc/x.safetensors", command="evaluate")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "export=/proc/x.safetensors" in ended.err
