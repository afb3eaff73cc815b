"""The wheel, installed elsewhere: it brings its configuration along, and writes only where it was told."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY

REPOSITORY = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


def python(*words: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    ended = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=300, check=False, **options
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    if importlib.util.find_spec("hatchling") and importlib.util.find_spec("build"):
        python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(REPOSITORY))
    else:
        python("-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(target), str(REPOSITORY))
    (found,) = target.glob("*.whl")
    return found


def test_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    packed = {name.removeprefix("attn_train/conf/") for name in names if name.startswith("attn_train/conf/")}
    own = {str(path.relative_to(REPOSITORY / "conf")) for path in (REPOSITORY / "conf").rglob("*.yaml")}
    assert "config.yaml" in own
    assert packed == own
    modules = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "attn_train").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"attn_train"}


def test_installed_elsewhere(wheel: Path, tmp_path: Path) -> None:
    """Working folder /, no home folder: everything goes to the output folder."""
    target = tmp_path / "installed"
    python("-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(target), str(wheel))
    env = {**os.environ, "PYTHONPATH": str(target), "HOME": str(tmp_path / "nobody")}
    before = sorted(os.listdir("/"))
    where = python("-c", "import attn_train; print(attn_train.__file__)", cwd="/", env=env).stdout.strip()
    assert Path(where).is_relative_to(target)
    program = "from attn_train.cli import train; train()"
    ended = python("-c", program, *TINY, f"hydra.run.dir={tmp_path / 'run'}", cwd="/", env=env)
    assert "Accuracy of the model on the 160 test images" in ended.stdout
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    assert found["commit"] is None  # no checkout around it
    assert sorted(os.listdir("/")) == before
    assert sorted((tmp_path / "nobody").rglob("*")) == []
    assert {path.name for path in tmp_path.iterdir()} == {"installed", "run"}
