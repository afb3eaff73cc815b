"""The commands as functions: what they return is what the commands leave, and what goes wrong is raised."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import TINY, process_state, run_here
from PIL import Image

import attn_train
from attn_train import build
from attn_train.comparison.summary import Summary
from attn_train.errors import CheckpointError, ConfigError
from attn_train.settings import compose, saved as saved_settings


def test_the_package_is_imported_without_torch() -> None:
    program = "import sys, attn_train; print('torch' in sys.modules, attn_train.__version__, len(attn_train.__all__))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False", attn_train.__version__, "4"]


@pytest.mark.slow
def test_train_evaluate_and_compare_return_what_the_commands_leave(tmp_path: Path) -> None:
    with process_state(tmp_path):
        runs = [attn_train.train(*TINY, f"model={model}", "dataset.val_size=0") for model in ("none", "gated")]
        tested = attn_train.evaluate(f"run={runs[1].folder}")
        summary = attn_train.compare("outputs", "margin=5")
        assert len({run.folder for run in runs}) == 2
        for run in runs:
            result = json.loads((run.folder / "result.json").read_text())
            assert run.result == result
            assert run.accuracy == result["test_accuracy"]
            assert run.logits.shape == (result["total"], 10)
            assert (run.logits.argmax(axis=1) == run.labels).mean() == pytest.approx(run.accuracy)
        assert tested.accuracy == runs[1].accuracy
        np.testing.assert_array_equal(tested.logits.numpy(), runs[1].logits)
        assert isinstance(summary, Summary)
        assert {arm.label for arm in summary.arms} == {"none", "gated"}
        assert summary.margin == 5
        assert yaml.safe_load((runs[1].folder / "config.yaml").read_text())["model"]["name"] == "gated"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-m", "seed=0,1"), "trains one run"),
        (("--help",), "trains one run"),
        (("hydra.mode=MULTIRUN",), "trains one run"),
        (("model=gatd",), "unknown model 'gatd'"),
        (("seed=0,1",), "names several values"),
    ],
)
def test_what_is_no_single_run_is_refused(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with process_state(tmp_path), pytest.raises(ConfigError, match=message):
        attn_train.train(*TINY, *words)
    assert not list(tmp_path.glob("outputs/*/*/config.yaml"))


def test_what_goes_wrong_in_a_test_is_raised(plain_run: Path, tmp_path: Path) -> None:
    with process_state(tmp_path), pytest.raises(CheckpointError, match="no best checkpoint"):
        attn_train.evaluate(f"run={plain_run}", "checkpoint=best")


def test_a_name_that_the_package_has_not_is_told_as_usual() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'tune'"):
        attn_train.tune  # noqa: B018


def test_a_loaded_network_predicts_as_the_run_did(plain_run: Path, tmp_path: Path) -> None:
    with np.load(plain_run / "predictions.npz") as saved:
        expected = saved["logits"]
    with process_state(tmp_path):
        network = attn_train.load(plain_run)
    images = build.load_splits(compose.to_config(saved_settings.read(plain_run)).dataset)[0]["test"].images
    np.testing.assert_allclose(network.logits(images).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_a_picture_is_predicted_from_a_run_and_from_its_export(plain_run: Path, tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), (200, 90, 90)).save(tmp_path / "red.png")
    assert run_here(tmp_path, f"run={plain_run}", "export=net.safetensors", command="evaluate").code == 0
    named = run_here(tmp_path, f"run={plain_run}", "image=red.png", command="evaluate").out
    with process_state(tmp_path):
        found = [attn_train.load(path).predict("red.png") for path in (plain_run, Path("net.safetensors"))]
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert sum(found[0].values()) == pytest.approx(1, abs=1e-5)
    first, share = next(iter(found[0].items()))
    assert share == max(found[0].values())
    assert f"red.png: {first}, {100 * share:.1f} %" in named


def test_what_holds_no_network_is_told_so(tmp_path: Path) -> None:
    with process_state(tmp_path), pytest.raises(CheckpointError, match=r"gone\.safetensors cannot be read"):
        attn_train.load("gone.safetensors")
    with process_state(tmp_path), pytest.raises(ConfigError, match="is no run folder"):
        attn_train.load(tmp_path)
