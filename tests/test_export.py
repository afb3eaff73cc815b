"""An exported network computes what the run's does, in a program that cannot unpickle."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, Command, run_here
from forked import Forked
from safetensors import safe_open

from attn_train import build
from attn_train.commands import export
from attn_train.commands.trained import Trained
from attn_train.errors import CheckpointError
from attn_train.runs import checkpoint
from attn_train.settings import compose, saved


@pytest.mark.parametrize("run_name", ["attention_run", "plain_run"])
def test_a_reload_gives_the_same_logits(
    evaluate: Command, request: pytest.FixtureRequest, tmp_path: Path, run_name: str
) -> None:
    run = request.getfixturevalue(run_name)
    done = evaluate(f"run={run}", "export=net.safetensors")
    assert done.code == 0, done.err
    assert {path.name for path in tmp_path.iterdir()} == {"net.safetensors"}
    exported = export.load(tmp_path / "net.safetensors")

    config = compose.to_config(saved.read(run))
    trained = Trained(run, "last", config)
    splits, dataset = build.load_splits(config.dataset)
    images = splits["test"].images
    with torch.no_grad():
        expected = trained.model(trained.normalization(images))
        found = exported.model(exported.normalization(images))
    assert torch.equal(found, expected)
    assert exported.classes == dataset.classes
    assert (exported.channels, exported.image_size) == (images.shape[1], images.shape[2])


def test_the_texts_say_what_it_takes(evaluate: Command, attention_run: Path, tmp_path: Path) -> None:
    """Read by the format's own rule: eight bytes of length, then JSON, then the numbers."""
    assert evaluate(f"run={attention_run}", "export=net.safetensors").code == 0
    content = (tmp_path / "net.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    texts = header.pop("__metadata__")
    assert texts["format"] == "attn-train 1"
    assert json.loads(texts["model"])["name"] == "self_attention"
    assert json.loads(texts["backbone"])["widths"] == [8, 8, 8]
    assert len(json.loads(texts["classes"])) == 10
    assert (json.loads(texts["channels"]), json.loads(texts["image_size"])) == (3, 16)
    assert json.loads(texts["mean"]) == [0.5, 0.5, 0.5]
    state = checkpoint.load(attention_run / "checkpoints")
    assert state is not None
    weights = checkpoint.evaluated_weights(state)  # the moving average
    assert set(header) == set(weights)
    start = 8 + int.from_bytes(content[:8], "little")
    for name, value in weights.items():
        begin, end = header[name]["data_offsets"]
        assert content[start + begin : start + end] == value.contiguous().numpy().tobytes(), name


@pytest.mark.slow
def test_it_loads_without_pickle(evaluate: Command, attention_run: Path, tmp_path: Path) -> None:
    assert evaluate(f"run={attention_run}", "export=net.safetensors").code == 0
    program = (
        "import pickle, sys\n"
        "from pathlib import Path\n"
        "from attn_train.commands import export\n"
        "def refuse(*rest, **options): raise AssertionError('unpickled')\n"
        "pickle.Unpickler = pickle.load = pickle.loads = refuse\n"
        "import torch\n"
        "torch.load = refuse\n"
        "found = export.load(Path('net.safetensors'))\n"
        "print(found.model(found.normalization(torch.zeros(2, 3, 16, 16, dtype=torch.uint8))).shape)\n"
    )
    process = Forked(program, folder=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "[2, 10]" in out


def test_no_file_is_overwritten_and_none_is_left_half(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"mine")
    for word, named in (
        ("export=mine.safetensors", "exists"),
        ("export=net.pt", ".safetensors"),
        ("export=nowhere/net.safetensors", "no folder"),
    ):
        done = evaluate(f"run={plain_run}", word)
        assert done.code == 2
        assert named in done.err
    assert (tmp_path / "mine.safetensors").read_bytes() == b"mine"
    assert {path.name for path in tmp_path.iterdir()} == {"mine.safetensors"}
    full = evaluate(f"run={plain_run}", "export=/dev/full.safetensors") if Path("/dev/full").exists() else None
    assert full is None or full.code in (0, 2, 6)
    Path("/dev/full.safetensors").unlink(missing_ok=True)


def test_a_damaged_or_foreign_file_is_refused(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    assert evaluate(f"run={plain_run}", "export=net.safetensors").code == 0
    whole = (tmp_path / "net.safetensors").read_bytes()
    with safe_open(str(tmp_path / "net.safetensors"), framework="np") as file:
        texts = dict(file.metadata())
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    from safetensors.numpy import save

    foreign = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "one short": whole[:-1],
        "another format": save(arrays, {**texts, "format": "attn-train 2"}),
        "no texts": save(arrays),
        "another model": save(arrays, {**texts, "model": '{"name": "os.system"}'}),
        "no JSON": save(arrays, {**texts, "classes": "["}),
        "other weights": save({**arrays, "more": np.zeros(3, np.float32)}, texts),
        "lacks": save(arrays, {key: text for key, text in texts.items() if key != "backbone"}),
    }
    for name, content in foreign.items():
        path = tmp_path / "foreign.safetensors"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"foreign\.safetensors") as refused:
            export.load(path)
        assert "\n" not in str(refused.value), name


@pytest.mark.slow
def test_a_control_is_exported_as_the_network_it_is(tmp_path: Path) -> None:
    words = [word for word in TINY if not word.startswith("backbone.widths")]
    done = run_here(
        tmp_path, *words, "train.max_steps=1", "control=parameters", "backbone.widths=[16,24,32]", "hydra.run.dir=run"
    )
    assert done.code == 0, done.err
    assert run_here(tmp_path, "run=run", "export=net.safetensors", command="evaluate").code == 0
    exported = export.load(tmp_path / "net.safetensors")
    found = sum(parameter.numel() for parameter in exported.model.parameters())
    assert found == json.loads((tmp_path / "run" / "result.json").read_text())["parameters"]
    shutil.rmtree(tmp_path / "run")
