"""What whoever starts a process leaves out or has otherwise changes nothing that is computed, written or read."""

import ast
import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from conftest import TINY, Command, run_here, script
from PIL import Image

from attn_train import errors
from attn_train.errors import ConfigError
from attn_train.machine import surroundings

PACKAGE = Path(errors.__file__).parent
# The C library's own encoding, ASCII, which Python would by itself replace.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


# A user without a name


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user whose number has no name, as in a container that is started with another one, and no home."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    "words", [("--help",), ("--cfg", "job"), (*TINY, "hydra.run.dir=run")], ids=lambda words: words[0]
)
def test_a_user_needs_no_name(train: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    ended = train(*words)
    assert ended.code == 0, ended.err
    assert {path.name for path in tmp_path.iterdir()} <= {"run"}


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("command", ["evaluate", "bench", "compare", "study"])
def test_no_command_needs_a_name(tmp_path: Path, command: str) -> None:
    assert run_here(tmp_path, "--help", command=command).code == 0


# No place for temporary files


def test_the_working_folder_is_no_place_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tempfile itself takes it as a last resort."""
    monkeypatch.chdir(tmp_path)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path / "missing"))
    found = surroundings.temporary_folder()
    assert found in (Path("/tmp"), Path("/var/tmp"), Path("/usr/tmp"))
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("TEMP", str(tmp_path / "mine"))
    assert surroundings.temporary_folder() == tmp_path / "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    ["attn-train --help", f"attn-train {' '.join(TINY)} model=self_attention hydra.run.dir=/mnt/run"],
    ids=["help", "run"],
)
def test_only_the_output_folder_can_be_written(tmp_path: Path, words: str) -> None:
    """As in a container whose root is read-only: no folder for temporary files, no home, a working folder that takes
    nothing."""
    command, _, rest = words.partition(" ")
    laid = (
        f"mount --make-rprivate / && mount --bind {tmp_path} /mnt && cd / && mount -t tmpfs -o ro none /tmp && "
        f"mount -t tmpfs -o ro none /var/tmp && cd /var/tmp"
    )
    if subprocess.run(["unshare", "--mount", "sh", "-c", laid], capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    run = f"{laid} && exec {script(command)} {rest}"
    environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(["unshare", "--mount", "sh", "-c", run], capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    if rest != "--help":
        # With its pictures, and without what was temporary.
        assert [path.name for path in tmp_path.iterdir()] == ["run"]
        assert not list((tmp_path / "run").glob(".temporary*"))
        assert "cannot" not in ended.stdout


def test_temporary_files_go_to_the_output_folder_at_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that takes none leaves a name all the same: who only asks for it shall not fail."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(surroundings, "temporary_folder", lambda: None)
    for name in ("TMPDIR", "MPLCONFIGDIR", surroundings.CACHE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    surroundings.settle_temporary_files()
    surroundings.settle_temporary_files(within=Path("/proc/missing"))  # where nobody makes a folder
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == surroundings.NOWHERE
    assert "MPLCONFIGDIR" not in os.environ
    surroundings.settle_temporary_files(within=tmp_path)
    (place,) = tmp_path.iterdir()
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(place)
    assert Path(os.environ["MPLCONFIGDIR"]).parent == Path(os.environ[surroundings.CACHE]) == place


# Encodings


@pytest.fixture(scope="module")
def latin() -> Iterator[dict[str, str]]:
    """A locale whose encoding is ISO 8859-1, made where none is installed."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "en_US.ISO-8859-1"
        if not shutil.which("localedef"):
            pytest.skip("no localedef")
        if subprocess.run(["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(made)], capture_output=True).returncode:
            pytest.skip("no ISO-8859-1 locale can be made")
        yield {"LOCPATH": folder, "LC_ALL": made.name}


@pytest.mark.parametrize("locale", ["latin", "ascii"])
def test_a_name_is_the_same_in_every_locale(request: pytest.FixtureRequest, tmp_path: Path, locale: str) -> None:
    environment = ASCII if locale == "ascii" else request.getfixturevalue("latin")
    (tmp_path / "données").mkdir()
    program = (
        "import os, sys\nfrom attn_train.machine.surroundings import use_utf8\nuse_utf8()\n"
        "print(ascii(sys.argv[1]), ascii(os.listdir()), sys.flags.utf8_mode, '\\u4e2d\\udce9')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "caf\xe9"],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert ended.stdout == "'caf\\xe9' ['donn\\xe9es'] 1 \u4e2d\\udce9\n"


@pytest.mark.slow
def test_a_sweep_over_names_outside_ascii(tmp_path: Path) -> None:
    """A folder that the locale's encoding cannot express, classes too, and a terminal that can show neither."""
    root = tmp_path / "données \u4e2d"
    for name in ("é", "\u4e2d"):
        for part, count in (("train", 6), ("test", 2)):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (16, 16), (number, 40, 40)).save(root / part / name / f"{number}.png")
    words = [*TINY, "dataset=image_folder", f"dataset.root='{root}'", "dataset.image_size=16", "train.batch_size=4"]
    ended = subprocess.run(
        [script("attn-train"), "-m", *words, "dataset.val_size=0", "hydra.sweep.dir='sweep é'", "sweep=mine"],
        cwd=tmp_path,
        env={**os.environ, **ASCII, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert b"1 runs finished, 0 failed" in ended.stdout
    assert b"sweep \\xe9" in ended.stdout
    (job,) = (tmp_path / "sweep é").glob("*/")
    assert yaml.safe_load((job / "config.yaml").read_text(encoding="utf-8"))["dataset"]["root"] == str(root)
    for path in job.rglob("*"):
        if path.suffix in (".yaml", ".json", ".jsonl", ".log"):
            assert path.read_text(encoding="utf-8")


def without_encoding(tree: ast.AST) -> Iterator[int]:
    """Yield the lines of calls that read or write text in whatever encoding the locale has."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or "encoding" in (given := {one.arg for one in node.keywords}):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = getattr(function.value, "id", "") if isinstance(function, ast.Attribute) else ""
        values = [
            one.value for one in (*node.args, *(word.value for word in node.keywords)) if isinstance(one, ast.Constant)
        ]
        binary = any(isinstance(value, str) and "b" in value and set(value) <= set("rwxab+") for value in values)
        opens = name in ("open", "fdopen") and owner not in ("os", "Image", "tarfile", "gzip", "opener") and not binary
        if name in ("read_text", "write_text") or opens or "text" in given:
            yield node.lineno


@pytest.mark.slow
def test_every_text_file_has_an_encoding() -> None:
    assert (
        list(without_encoding(ast.parse("path.open('a'); open(p); path.read_text(); run(words, text=True)"))) == [1] * 4
    )
    assert not list(without_encoding(ast.parse("path.open('rb'); open(p, encoding='utf-8'); os.open(p, 0)")))
    files = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "scripts").rglob("*.py")]
    assert len(files) > 100
    assert not {
        f"{path}:{line}" for path in files for line in without_encoding(ast.parse(path.read_text(encoding="utf-8")))
    }


# Twins


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"])
@pytest.mark.parametrize(("command", "words"), [("train", TINY), ("bench", ["batch=0"]), ("study", ["margin=0"])])
def test_twins_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: Sequence[str], variable: str
) -> None:
    """Whatever else they are told."""
    monkeypatch.setenv(variable, "2")
    ended = run_here(tmp_path, *words, command=command)
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1, ended.err
    assert f"{variable}=2" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_twins_get_an_answer(train: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "seed: 7" in train("--cfg", "job", "seed=7").out


@pytest.mark.parametrize("size", ["1", "", "0", "many"])
def test_a_single_process_is_no_twin(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    # What sbatch leaves in its own script, which runs once however many tasks it asked for.
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "0")
    surroundings.refuse_twins()
    monkeypatch.setenv("WORLD_SIZE", "16")
    with pytest.raises(ConfigError, match="torchrun started 16"):
        surroundings.refuse_twins()
