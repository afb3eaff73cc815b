"""The installed commands, each in a process of its own: what they print at once, and that no reader need stay."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import TINY, script
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attn_train.settings.compose import CONF

GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir())


def run(folder: Path, *words: str, command: str = "attn-train") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [script(command), *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def help_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    ended = run(tmp_path_factory.mktemp("help"), "--help")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return ended.stdout


def test_help_lists_each_group_and_choice(help_text: str) -> None:
    assert {"model", "backbone", "dataset", "device", "optimizer", "schedule", "experiment"} <= set(GROUPS)
    lines = help_text.partition("Examples")[0].splitlines()
    for group in GROUPS:
        choices = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        assert choices
        (line,) = [line for line in lines if line.startswith(f"{group}:")]
        assert sorted(line.partition(":")[2].replace(",", " ").split()) == choices


def test_help_has_five_examples(help_text: str) -> None:
    lines = help_text.splitlines()
    examples = lines[lines.index("Examples") + 1 :]
    examples = examples[: examples.index("")]
    assert len(examples) == 5
    assert all(line.strip().startswith("attn-train") for line in examples)
    assert "attn-eval" in help_text


def test_evaluation_help(tmp_path: Path) -> None:
    ended = run(tmp_path, "--help", command="attn-eval")
    assert ended.returncode == 0, ended.stderr
    for word in ("run=", "checkpoint=", "split=", "image=", "eval.views="):
        assert word in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_configuration_resolved(tmp_path: Path) -> None:
    ended = run(tmp_path, "--cfg", "job", "--resolve", "dataset=cifar10", "seed=7")
    assert ended.returncode == 0, ended.stderr
    assert "${" not in ended.stdout
    printed = yaml.safe_load(ended.stdout)
    recipe = yaml.safe_load((CONF / "dataset" / "cifar10.yaml").read_text())
    assert printed["seed"] == 7
    assert printed["dataset"]["name"] == "cifar10"
    assert printed["train"]["epochs"] == recipe["epochs"]
    assert printed["eval"]["views"] == recipe["views"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("train", "--help"),
        ("train", "--cfg", "job", "--resolve"),
        ("train", "-sc", "install=bash"),
        ("train", "--hydra-help"),
        ("train", "train.epochs=abc"),
        ("train", "model=sse"),
        ("evaluate", "--help"),
        ("bench", "--help"),
        ("bench", "--version"),
        ("check", "--help"),
        ("bench", "batch=0"),
        ("bench", "sizee=[8]"),
        ("compare", "--help"),
        ("compare", "margin=0", "."),
        ("study", "--help"),
        ("study", "margin=0"),
    ],
    ids=lambda words: " ".join(words),
)
def test_answers_without_torch(tmp_path: Path, words: tuple[str, ...]) -> None:
    """torch takes seconds to import, which nobody should wait for to read a line."""
    program = (
        "import sys\n"
        "from attn_train import cli\n"
        "command, *sys.argv[1:] = sys.argv[1:]\n"
        "try:\n"
        "    getattr(cli, command)()\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'torch', 'torchvision', 'tensorboard', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "print('imported', sorted(heavy), file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stderr.splitlines()[-1] == "imported []"
    assert list(tmp_path.iterdir()) == []


def test_completion(tmp_path: Path) -> None:
    """The script that bash sources, and the question that it asks at a press of the tab key."""
    ended = run(tmp_path, "-sc", "install=bash")
    assert ended.returncode == 0, ended.stderr
    assert "complete " in ended.stdout
    asked = subprocess.run(
        [script("attn-train"), "-sc", "query=bash"],
        cwd=tmp_path,
        env={**os.environ, "COMP_LINE": "attn-train model=", "COMP_POINT": "17", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    expected = {f"model={path.stem}" for path in (CONF / "model").glob("*.yaml")}
    assert set(asked.stdout.split()) == expected


def test_wrong_command_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The in-process tests of wrong input stand for this one."""
    ended = run(tmp_path, "model=sse")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("attn-train: ")
    assert len(ended.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_evaluation_in_a_process_of_its_own(attention_run: Path) -> None:
    """A run in one stands among those whose reader leaves, here, and in test_surroundings."""
    found = json.loads((attention_run / "result.json").read_text())
    ended = run(attention_run.parent, f"run={attention_run.name}", command="attn-eval")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert f"{found['correct']} of {found['total']} right" in ended.stdout


@pytest.mark.slow
def test_reader_who_leaves(tmp_path: Path) -> None:
    """As with `| head -1`: the run goes on to its end."""
    process = subprocess.Popen(
        [script("attn-train"), *TINY, "hydra.run.dir=run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 0, err
    assert "Traceback" not in err
    assert (tmp_path / "run" / "result.json").is_file()


@pytest.mark.slow
def test_closed_stdout(tmp_path: Path) -> None:
    ended = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" >&-', script("attn-train"), *TINY, "hydra.run.dir=run"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "run" / "result.json").is_file()


@pytest.mark.slow
def test_no_display_and_no_matplotlibrc_changes_a_picture(tmp_path: Path, attention_run: Path) -> None:
    """In a process that imports Matplotlib anew: training, then naming a picture."""
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: True\nfont.family: No Such Font\nfigure.dpi: 31\nimage.cmap: 7\n"
    )
    program = (
        "import sys\n"
        "from attn_train import cli\n"
        "cli.train()\n"
        "sys.argv[1:] = ['run=run', 'image=mine.png']\n"
        "cli.evaluate()\n"
    )
    Image.new("RGB", (16, 16), (200, 90, 10)).save(tmp_path / "mine.png")
    ended = subprocess.run(
        [sys.executable, "-c", program, *TINY, "model=self_attention", "hydra.run.dir=run"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "could not" not in ended.stdout
    assert (tmp_path / "run" / "attention" / "mine.png.png").is_file()
    for tag in ("misclassified", "confusion_matrix", "attention"):
        found, expected = (
            EventAccumulator(str(run)).Reload().Images(f"images/{tag}")[-1] for run in (tmp_path / "run", attention_run)
        )
        assert found.encoded_image_string == expected.encoded_image_string


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "command"), [("eval", "attn-eval"), ("compare", "attn-compare"), ("train", "attn-train")]
)
def test_the_package_runs_each_command(word: str, command: str) -> None:
    ended = subprocess.run([sys.executable, "-m", "attn_train", word, "--help"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{command}: ")
