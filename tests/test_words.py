"""The words of a command line: options anywhere, texts as the shell hands them over, each mistake in one line."""

from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from conftest import Outcome, run_here

from attn_train.settings import compose, words
from attn_train.settings.bench import BenchSettings
from attn_train.settings.bounds import Bound, extras
from attn_train.settings.compare import CompareSettings
from attn_train.settings.schema import Settings
from attn_train.settings.study import StudySettings


def one_line(ended: Outcome, command: str = "attn-train") -> str:
    assert ended.code == 2, ended
    assert len(ended.err.splitlines()) == 1, ended.err
    assert ended.err.startswith(f"{command}: ")
    assert ended.out == ""
    return ended.err


def shown(folder: Path, *arguments: str) -> dict[str, Any]:
    """The configuration that --cfg job prints."""
    ended = run_here(folder, "--cfg", "job", *arguments)
    assert ended.code == 0, ended.err
    return yaml.safe_load(ended.out)


# Texts

RAW = [
    "a=b", "my pictures (1)", "it's", 'say "so"', "a, b", "[a]", "{a: b}", "a#b", "a~b", "naïve/ünï", "1_000", "1e3",
    "007", "true", "range(3)", "choice(a,b)", "glob(*)", "a & b; c", "50%", "a\tb", " a", "a:b@c", "(", "[", "'",
    "a!b*?^|<>",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("value", RAW)
def test_a_text_is_what_the_shell_handed_over(value: str) -> None:
    compose.register()
    names = ["dataset.root", "resume", "sweep", "dataset.url", "dataset.digest"]
    taken = words.readable([f"{name}={value}" for name in names])
    composed = compose.plain(compose.compose(taken, compose.parse([])))
    assert [composed["resume"], composed["sweep"]] == [value, value]
    assert [composed["dataset"][key] for key in ("root", "url", "digest")] == [value] * 3


@pytest.mark.parametrize("value", ["a=b (1), it's [#2] ~é", "1_0"])
def test_a_text_on_the_command_line(tmp_path: Path, value: str) -> None:
    assert shown(tmp_path, f"dataset.root={value}")["dataset"]["root"] == value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "read"),
    [
        ('"a=b"', "a=b"),
        ("'a=b, c'", "a=b, c"),
        ('"it\\"s"', 'it"s'),
        ("a\\=b", "a=b"),
        ("a\\ b", "a b"),
        ("null", None),
        ("${oc.env:PLACE}", "/far away"),
        ("${oc.env:PLACE}/a (1)", "/far away/a (1)"),
        ("~", "/home/me"),
        ("~/data (1)", "/home/me/data (1)"),
        ('"~/data"', "/home/me/data"),
        ("./~", "./~"),
        ("~nobody-of-this-name/x", "~nobody-of-this-name/x"),
    ],
)
def test_what_is_written_for_hydra_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, read: str | None
) -> None:
    monkeypatch.setenv("PLACE", "/far away")
    monkeypatch.setenv("HOME", "/home/me")
    ended = run_here(tmp_path, "--cfg", "job", "--resolve", f"resume={value}")
    assert ended.code == 0, ended.err
    assert yaml.safe_load(ended.out)["resume"] == read


@pytest.mark.parametrize(
    ("value", "each"),
    [
        ("a,b", ["a", "b"]),
        ("a (1),b=2,[c]", ["a (1)", "b=2", "[c]"]),
        ('"a,b",c', ["a,b", "c"]),
        ("a (1, 2),~", ["a (1, 2)", "/home/me"]),
        ("it's,that", ["it's", "that"]),
        ("choice(a,b)", ["a", "b"]),
        ("a", ["a"]),
        ("null,a b", [None, "a b"]),
    ],
)
def test_in_a_sweep_commas_stand_between_texts(
    monkeypatch: pytest.MonkeyPatch, value: str, each: list[str | None]
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (word,) = words.readable([f"dataset.root={value}"], sweeping=True)
    override = words.parse_value(word.partition("=")[2])
    assert override is not None
    many = override.is_sweep_override()
    found = [words.parse_value(one) for one in override.sweep_string_iterator()] if many else [override]
    assert [one.value() for one in found if one is not None] == each


def test_every_text_of_the_schemas_is_known() -> None:
    """A setting of type text that is no choice is one of those that need no quotes."""

    def texts(schema: type, prefix: str = "") -> list[str]:
        found = []
        for name, kind in get_type_hints(schema).items():
            choices = any(isinstance(one, Bound) and one.choices for one in extras(schema)[name])
            if isinstance(kind, type) and is_dataclass(kind):
                found += texts(kind, f"{prefix}{name}.")
            elif kind in (str, str | None) and not choices:
                found.append(prefix + name)
        return found

    named = {*texts(Settings), *texts(BenchSettings), *texts(CompareSettings), *texts(StudySettings)}
    assert named - {"dataset.name"} <= set(words.FORMS)
    assert {"train.resolution", "model", "dataset.name", "split"}.isdisjoint(words.FORMS)


@pytest.mark.parametrize(
    ("command", "arguments", "named"),
    [
        ("bench", ["models=[none]", "runs=[a=b (1),'c,d']"], "runs: a=b (1) has no result.json"),
        ("bench", ["models=[none]", "runs=c d"], "runs: c d has no result.json"),
        ("bench", ["models=[none]", "output=file/x (1)"], "file/x (1)"),
        ("evaluate", ["run=a=b (1)"], "a=b (1) is no run folder"),
        ("evaluate", ['run="a=b"'], "a=b is no run folder"),
        ("evaluate", ["run=~/x"], "/home/me/x is no run folder"),
        ("train", ["resume=a=b (1)"], "a=b (1) is no run folder"),
        ("train", ["hydra.run.dir=file/x (1)"], "file/x (1)"),
    ],
)
def test_each_command_takes_a_text(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
    arguments: list[str],
    named: str,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "file").touch()
    ended = run_here(tmp_path, *arguments, command=command)
    assert named in one_line(ended, "attn-eval" if command == "evaluate" else f"attn-{command}")


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("train", "resume="),
        ("train", "dataset.root="),
        ("train", "hydra.run.dir= "),
        ("train", "sweep="),
        ("evaluate", "run="),
        ("bench", "output="),
        ("bench", "runs="),
        ("compare", "baseline="),
        ("study", "sweep="),
        ("study", "recipe="),
    ],
)
def test_an_empty_text_is_refused(tmp_path: Path, command: str, word: str) -> None:
    """As a variable of the shell that is not set gives it: hydra.run.dir= would train into the working folder."""
    ended = run_here(tmp_path, *(["."] if command == "compare" else []), word, command=command)
    err = one_line(ended, "attn-eval" if command == "evaluate" else f"attn-{command}")
    assert word.strip() in err
    assert "empty" in err


# Options


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("model=none", "--cfg", "job", "seed=3"),
        ("model=none", "seed=3", "--cfg", "job"),
        ("--cfg", "job", "model=none", "seed=3"),
        ("model=none", "--cfg=job", "--resolve", "seed=3"),
        ("--resolve", "model=none", "-c", "job", "seed=3"),
        ("--config-name", "config", "model=none", "--cfg", "job", "seed=3", "--config-dir", "."),
        ("--cfg", "job", "--", "model=none", "seed=3"),
    ],
    ids=" ".join,
)
def test_options_stand_anywhere(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = run_here(tmp_path, *arguments)
    assert ended.code == 0, ended.err
    config = yaml.safe_load(ended.out)
    assert (config["model"]["name"], config["seed"]) == ("none", 3)


@pytest.mark.slow
def test_what_is_told_of_a_configuration_takes_options_anywhere(tmp_path: Path) -> None:
    for arguments in (("seed=3", "--info", "searchpath", "model=none"), ("seed=3", "--info")):
        ended = run_here(tmp_path, *arguments)
        assert ended.code == 0, ended.err
        assert "Search path" in ended.out


def test_a_folder_of_configurations_is_found_from_here(tmp_path: Path) -> None:
    """By --config-path as by --config-dir, for the configuration itself and for the choices of a group."""
    folder = tmp_path / "it's [mine] (1)=2"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "small.yaml").write_text("name: gated\nbranches: 1\n")
    (folder / "mine.yaml").write_text("defaults: [config, _self_]\nseed: 5\n")
    config = shown(tmp_path, "--config-dir", folder.name, "-cn", "mine", "model=small")
    assert (config["seed"], config["model"]["branches"]) == (5, 1)
    (folder / "alone.yaml").write_text("seed: 6\n")
    assert shown(tmp_path, "--config-path", folder.name, "-cn", "alone") == {"seed": 6}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--foo",), "--foo"),
        (("seed=1", "-x", "model=none"), "-x"),
        (("--seed", "3"), "--seed"),
        (("--model=gated",), "--model=gated"),
        (("-model", "gated"), "--multirun/-m"),
        (("--cfg",), "--cfg"),
        (("--cfg=nope",), "nope"),
        (("--config", "x"), "--config-name"),
        (("--info", "seed=3"), "seed=3"),
        (("-m", "--cfg", "job", "seed=0,1"), "--cfg"),
        (("--run", "-m", "seed=0"), "--multirun"),
        (("--resolve", "seed=0"), "--cfg"),
        (("--package", "train"), "--cfg"),
        (("--cfg", "job", "--package", "nope"), "nope"),
        (("-cd", "nope"), "nope"),
        (("-cp", "nope"), "nope"),
        (("-cn", "nope"), "nope"),
        (("-cn", "bench"), "bench"),
        (("--help", "nope=x"), "nope"),
        (("--help", "train.epochs=x"), "train.epochs=x"),
        (("-sc",), "install"),
        (("-sc", "install=nope"), "nope"),
        (("help",), "'help'"),
        (("",), "''"),
        (("model", "gated"), "'model'"),
        (("model =gated",), "model =gated"),
        (("=gated",), "=gated"),
        (("Model=gated",), "did you mean model?"),
        (("model=",), "choose from"),
        (("seed=",), "seed="),
        (("model=glob(s*)",), "-m"),
        (("-m", "model=glob(zz*)"), "zz*"),
        (("-m", "seed=interval(0,3)"), "range(0,3)"),
        (("-m", "seed=range(0,inf)"), "no end of values"),
        (("-m", "seed=shuffle(range(0,inf))"), "no end of values"),
        (("-m", "seed=range(2,0)"), "range(2,0)"),
        (("-m", "seed=range(0,2,0)"), "zero"),
        (("-m", "seed=glob(*)"), "glob(*)"),
        (("-m", "model=choice(none,srm),gated"), "model="),
        (("-m", "seed=extend_list(8)"), "extend_list(8)"),
    ],
    ids=lambda row: " ".join(row) if isinstance(row, tuple) else row,
)
def test_a_mistake_is_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], named: str) -> None:
    assert named in one_line(run_here(tmp_path, *arguments))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["evaluate", "bench", "compare", "study"])
@pytest.mark.parametrize("word", ["--foo", "-m", "--cfg", "--margin=1"])
def test_another_command_has_no_options(tmp_path: Path, command: str, word: str) -> None:
    name = "attn-eval" if command == "evaluate" else f"attn-{command}"
    err = one_line(run_here(tmp_path, word, "x=1", command=command), name)
    assert word in err
    assert f"{name} --help" in err


@pytest.mark.parametrize(
    ("command", "word"), [("bench", "batch=1,2"), ("study", "margin=1,2"), ("bench", "models=a,b")]
)
def test_no_advice_that_a_command_cannot_take(tmp_path: Path, command: str, word: str) -> None:
    err = one_line(run_here(tmp_path, word, command=command), f"attn-{command}")
    assert word in err
    assert "-m" not in err.split()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "arguments", "setting"),
    [
        ("train", ["hydra.run.dir=file/x"], "hydra.run.dir="),
        ("train", ["-m", "hydra.sweep.dir=file/x", "seed=0"], "hydra.sweep.dir="),
        ("bench", ["models=[none]", "output=file/x"], "output="),
        ("study", ["sweep=mine"], "sweep="),
    ],
)
def test_another_folder_is_named_by_the_commands_own_word(
    tmp_path: Path, command: str, arguments: list[str], setting: str
) -> None:
    (tmp_path / "file").touch()
    if command == "study":
        (tmp_path / "outputs").touch()
    err = one_line(run_here(tmp_path, *arguments, command=command), f"attn-{command}")
    assert f"name another with {setting}" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("train", "resume=NAME"),
        ("train", "hydra.run.dir=o/NAME"),
        ("train", "hydra.run.dir=NAME/o"),
        ("train", "-m sweep=NAME seed=0"),
        ("train", "-m sweep=s hydra.sweep.subdir=NAME seed=0"),
        ("train", "dataset=image_folder dataset.root=NAME"),
        ("train", "--config-dir NAME"),
        ("evaluate", "run=NAME"),
        ("bench", "models=[none] output=NAME"),
        ("bench", "models=[none] runs=[NAME]"),
        ("compare", "NAME"),
        ("study", "sweep=NAME"),
        ("study", "NAME.yaml"),
    ],
)
def test_a_name_longer_than_the_file_system_takes(tmp_path: Path, command: str, word: str) -> None:
    name = 300 * "a"
    ended = run_here(tmp_path, *word.replace("NAME", name).split(), command=command)
    assert name in one_line(ended, "attn-eval" if command == "evaluate" else f"attn-{command}")
    assert list(tmp_path.iterdir()) == []


# References


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("train.epochs=${nothing.here}", ("train.epochs", "${nothing.here}")),
        ("seed=${oc.env:MISSING}", ("seed", "MISSING", "environment")),
        ("dataset.root=${oc.env:MISSING}/x (1)", ("dataset.root", "MISSING", "environment")),
        ("train.epochs=${unknown_resolver:1}", ("train.epochs", "unknown_resolver", "oc.env")),
        ("train.epochs=${train.epochs}", ("train.epochs", "itself")),
        ("seed=${hydra.job.num}", ("seed", "${hydra.job.num}")),
        ("seed=${oc.env:}", ("seed", "key")),
        ("model=${oc.env:MISSING}", ("${oc.env:MISSING}",)),
        ("hydra.run.dir=${oc.env:MISSING}", ("hydra.run.dir", "MISSING", "environment")),
        ("hydra.run.dir=${hydra.job.num}", ("hydra.run.dir", "${hydra.job.num}", "-m")),
        ("hydra.run.dir=${no.such}", ("hydra.run.dir", "${no.such}")),
        ("-m seed=0 hydra.sweep.dir=${no.such}", ("hydra.sweep.dir", "${no.such}")),
        ("-m seed=0 hydra.sweep.subdir=${no.such}", ("hydra.sweep.subdir", "${no.such}")),
        ("-m train.epochs=1,${nothing}", ("train.epochs", "${nothing}")),
        ("train.epochs=???", ("train.epochs", "missing")),
    ],
    ids=lambda row: row if isinstance(row, str) else "",
)
def test_a_reference_that_cannot_be_resolved(tmp_path: Path, word: str, named: tuple[str, ...]) -> None:
    arguments = word.split() if word.startswith("-m") else [word]
    err = one_line(run_here(tmp_path, *arguments))
    for part in named:
        assert part in err
    assert "raised while" not in err
    assert list(tmp_path.iterdir()) == []


# Files

PACKAGE = "# @package _global_"
WRONG_FILES = {
    "no package": ("train: {epochs: 3}\n", PACKAGE),
    "byte order mark": (f"\ufeff{PACKAGE}\ntrain: {{epochs: 3}}\n", "byte order mark"),
    "a comment first": (f"# mine\n{PACKAGE}\ntrain: {{epochs: 3}}\n", PACKAGE),
    "empty": ("", PACKAGE),
    "tabs": (f"{PACKAGE}\ntrain:\n\tepochs: 3\n", "line 3"),
    "twice": (f"{PACKAGE}\nseed: 1\nseed: 2\n", "duplicate key seed"),
    "unclosed": (f"{PACKAGE}\ntrain: [\n", "mine.yaml"),
    "value": (f"{PACKAGE}\ntrain: {{epochs: three}}\n", "train.epochs=three"),
    "name": (f"{PACKAGE}\ntrain: {{epoch: 3}}\n", "train.epochs"),
    "dots": (f"{PACKAGE}\ntrain.epochs: 3\n", "train: {epochs"),
    "a group's choice": (f"{PACKAGE}\nmodel: gated\n", "- override /model: NAME"),
    "a section's choice": (f"{PACKAGE}\ndataset: cifar10\n", "- override /"),
    "a group beside": (f"{PACKAGE}\ndefaults: [dataset: cifar10]\n", "- override /dataset: cifar10"),
    "another group": (f"{PACKAGE}\ndefaults: [override dataset: cifar10]\n", "- override /dataset"),
}


def experiment(folder: Path, text: bytes) -> tuple[str, ...]:
    """Write an experiment of one's own; return the words that choose it."""
    (folder / "own" / "experiment").mkdir(parents=True)
    (folder / "own" / "experiment" / "mine.yaml").write_bytes(text)
    return "--cfg", "job", "--config-dir", "own", "+experiment=mine"


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_experiment_file_is_explained(tmp_path: Path, name: str) -> None:
    text, named = WRONG_FILES[name]
    assert named in one_line(run_here(tmp_path, *experiment(tmp_path, text.encode())))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_a_file_in_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    words = experiment(tmp_path, f"{PACKAGE}\n# é\ntrain: {{epochs: 3}}\n".encode(encoding))
    err = one_line(run_here(tmp_path, *words))
    assert "own/experiment/mine.yaml" in err
    assert "UTF-8" in err


def test_a_file_with_line_ends_of_windows(tmp_path: Path) -> None:
    ended = run_here(tmp_path, *experiment(tmp_path, f"{PACKAGE}\r\ntrain:\r\n  epochs: 3\r\n".encode()))
    assert ended.code == 0, ended.err
    assert yaml.safe_load(ended.out)["train"]["epochs"] == 3


@pytest.mark.parametrize("text", ["branches: 1\n", "gated\n", ""])
def test_a_section_without_a_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "mine.yaml").write_text(text)
    assert "model has no name" in one_line(run_here(tmp_path, "--config-dir", "own", "model=mine"))


def test_a_studys_file_that_says_a_thing_twice(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("margin: 2\nmargin: 3\n")
    err = one_line(run_here(tmp_path, "mine.yaml", command="study"), "attn-study")
    assert "duplicate key margin" in err
