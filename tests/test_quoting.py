"""What is printed to be pasted: bash and zsh hand over the very words, and Hydra reads the very path."""

import os
import re
import shlex
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import TINY, Outcome, run_here
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from attn_train import cli
from attn_train.comparison.help import HELP as COMPARE_HELP
from attn_train.conformance.help import HELP as CHECK_HELP
from attn_train.cost.bench.help import HELP as BENCH_HELP
from attn_train.runs.finished import unfinished
from attn_train.study.help import HELP as STUDY_HELP
from attn_train.writing.durable import not_written
from attn_train.writing.quoting import pasted, setting

ROOT = Path(__file__).parent.parent
SHELLS = {"bash": ["bash", "--norc", "-c"], "zsh": ["zsh", "-f", "-c"]}
ODD = 'it\'s [a] (b) {c} #1=2, ~é $HOME *? "d" & !'
# Every sign at the start, inside and at the end of a name; and what else may be taken for something.
NAMES = [
    *(form.format(mark) for form in ("{}b", "a{}b", "b{}") for mark in string.punctuation if mark != "/"),
    ODD, "null", "True", "1_0", "1e3", "0x1f", "nan", "2026-01-31", "${x}", "a\\${x}b", "\\\\${oc.env:HOME}", "$${x",
    "a\\", "a\\'", "\\\"b\\", "'quoted'", '"quoted"', "naïve ünïcødé", "日本", "a,b,c", "[a,b]", "{a:b}", "range(3)",
    "glob(*)",
]  # fmt: skip


def words_by(shell: str, line: str) -> list[bytes]:
    """The words that a shell makes of a line."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    ended = subprocess.run([*SHELLS[shell], f"printf '%s\\0' {line}"], capture_output=True, check=True)
    assert ended.stderr == b""
    return ended.stdout.split(b"\0")[:-1]


def test_hydra_reads_a_setting_as_its_path() -> None:
    for name in NAMES:
        word = setting("resume", Path(name))
        config = OmegaConf.create({"resume": None})
        OmegaConf.update(config, "resume", OverridesParser.create().parse_override(word).value())
        assert isinstance(config.resume, str), word
        assert Path(config.resume) == Path(name), word
        assert not config.resume.startswith("~"), word


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_hands_over_the_words(shell: str) -> None:
    odd = [
        "tab\there",
        "line\nbreak",
        os.fsdecode(b"caf\xe9"),
        "\x1b[31mred",
        "nbsp\N{NO-BREAK SPACE}x",
        "",
        "=ls",
        "-x",
    ]
    words = [*NAMES, *odd, *(setting("resume", Path(name)) for name in [*NAMES, *odd])]
    line = pasted(*words)
    assert line.isprintable()
    assert words_by(shell, line) == [os.fsencode(word) for word in words]


def test_a_path_is_neither_an_option_nor_a_home_folder() -> None:
    for name in ("-x", "~", "~root/x", "=ls"):
        assert pasted("tensorboard", "--logdir", Path(name)).endswith(shlex.quote(f"./{name}"))


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A working folder, and how a run ended in a folder of it with an odd name."""
    folder = tmp_path_factory.mktemp("odd")
    return folder, run_here(folder, *TINY, "train.max_steps=1", f"hydra.run.dir={ODD}")


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_the_last_line_of_a_run_can_be_pasted(odd_run: tuple[Path, Outcome], shell: str) -> None:
    folder, ended = odd_run
    assert ended.code == 0, ended.err
    assert (folder / ODD / "result.json").is_file()
    command = ended.out.splitlines()[-1].removeprefix("look at it: ")
    assert words_by(shell, command) == [b"tensorboard", b"--logdir", os.fsencode(ODD)]


@pytest.mark.slow
def test_the_command_that_goes_on_can_be_pasted(odd_run: tuple[Path, Outcome]) -> None:
    folder, _ = odd_run
    (folder / ODD / "result.json").unlink()
    line = unfinished(Path(ODD))
    words = [os.fsdecode(word) for word in words_by("bash", line.partition("go on with: ")[2])]
    assert words[0] == "attn-train"
    again = run_here(folder, *words[1:])
    assert again.code == 0, again.err
    assert (folder / ODD / "result.json").is_file()
    assert run_here(folder, f"run={ODD}", command="evaluate").code == 0


def test_a_full_disk_names_a_command_that_can_be_pasted() -> None:
    told = str(not_written(Path("runs") / ODD / "checkpoints" / "last.pt", OSError(28, "No space left on device")))
    words = words_by("bash", told.partition("go on with: ")[2])
    assert words[0] == b"attn-train"
    assert OverridesParser.create().parse_override(os.fsdecode(words[1])).value() == f"runs/{ODD}"


# Examples

CONFIG = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text(encoding="utf-8"))
HELPS = {
    "attn-train": CONFIG["hydra"]["help"]["template"],
    "attn-eval": cli.EVAL_HELP,
    "attn-bench": BENCH_HELP,
    "attn-check": CHECK_HELP,
    "attn-compare": COMPARE_HELP,
    "attn-study": STUDY_HELP,
}


def examples() -> list[str]:
    """Each command of a help's examples, and each in README and its pages, lines joined, without comments."""
    found = []
    for text in HELPS.values():
        found += re.findall(r"^ +((?:attn-|tensorboard).*)$", text.partition("Examples")[2].replace("\\\n", ""), re.M)
    for page in (ROOT / "README.md", *(ROOT / ".github").glob("*.md")):
        text = page.read_text(encoding="utf-8").replace("\\\n", "")
        found += re.findall(r"^\$ (.*)$", text, re.M)
        codes = re.findall(r"`([^`]*)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
        found += [" ".join(code.split()) for code in codes if re.match(r"attn-\w+ |[\w.+]+=\S", code)]
    return [re.sub(r"  +.*", "", line) for line in found]


def test_no_example_has_a_character_that_a_shell_expands() -> None:
    lines = examples()
    assert len(lines) > 50
    for line in lines:
        shlex.split(line)
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", line)
        assert not re.search(r"[][{}*?~^$#()<>;&|!]", bare), line


def test_what_a_help_says_of_a_list_can_be_pasted() -> None:
    for text in HELPS.values():
        for line in text.splitlines():
            bare = re.sub(r"'[^']*'", "", line)
            assert not re.search(r"\w=[\[{]", bare), line


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "'é z'"), ("ascii", "$'\\xc3\\xa9 z'")])
def test_letters_that_the_output_cannot_write_are_written_by_their_bytes(encoding: str, shown: str) -> None:
    program = "from pathlib import Path; from attn_train.writing.quoting import pasted; print(pasted(Path('é z')))"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert ended.stdout.decode(encoding).strip() == shown
