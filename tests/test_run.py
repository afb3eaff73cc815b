"""What a finished run leaves: every figure in its folder agrees with every other, and the seed decides them all."""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY, Command, run_here
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attn_train.runs import checkpoint
from attn_train.settings.resolution import fit_resolution
from attn_train.training.step import TrainingStep

# The contract's list.
RESULT_KEYS = {
    "model",
    "backbone",
    "dataset",
    "seed",
    "epochs",
    "test_accuracy",
    "correct",
    "total",
    "test_loss",
    "nll",
    "brier",
    "ece",
    "overconfidence",
    "parameters",
    "macs",
    "attention_places",
    "train_seconds",
    "compile_seconds",
    "images_per_second",
    "peak_memory_bytes",
    "device",
    "precision",
    "versions",
    "commit",
    "data_digest",
    "config_digest",
    # Which arm of a comparison it is, and by what recipe.
    "control",
    "arm",
    "arm_digest",
    "recipe_digest",
    "seeds",
}


def result_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "result.json").read_text())


def metrics_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def logits_of(run: Path) -> np.ndarray:
    with np.load(run / "predictions.npz") as saved:
        return saved["logits"]


def test_result_has_the_contracts_keys(attention_run: Path, plain_run: Path) -> None:
    assert set(result_of(plain_run)) == RESULT_KEYS
    of_validation = {"val_accuracy", "val_total", "temperature", "nll_scaled", "ece_scaled"}
    assert set(result_of(attention_run)) == RESULT_KEYS | of_validation


def test_result_says_what_ran(attention_run: Path, plain_run: Path) -> None:
    for run, model in ((attention_run, "self_attention"), (plain_run, "none")):
        found = result_of(run)
        said = {key: found[key] for key in ("model", "backbone", "dataset", "seed", "epochs", "device", "precision")}
        assert said == {
            "model": model,
            "backbone": "fast",
            "dataset": "synthetic",
            "seed": 0,
            "epochs": 2,
            "device": "cpu",
            "precision": "float32",
        }
        assert found["compile_seconds"] == 0
        assert found["train_seconds"] > 0
        assert found["images_per_second"] > 0
        assert found["peak_memory_bytes"] > 10_000_000  # torch alone takes more
        assert found["versions"]["torch"]
    # Three linear maps with bias in each of the three stages of 8 channels.
    more = result_of(attention_run)["parameters"] - result_of(plain_run)["parameters"]
    assert more == 3 * 3 * (8 * 8 + 8)
    assert result_of(attention_run)["macs"] > result_of(plain_run)["macs"]
    # The data is the same, what was done with it is not.
    assert result_of(attention_run)["data_digest"] == result_of(plain_run)["data_digest"]
    assert result_of(attention_run)["config_digest"] != result_of(plain_run)["config_digest"]


def test_predictions_reproduce_the_result(attention_run: Path) -> None:
    found = result_of(attention_run)
    with np.load(attention_run / "predictions.npz") as saved:
        assert set(saved) == {"logits", "labels", "index"}
        logits, labels, index = saved["logits"], saved["labels"], saved["index"]
    assert logits.shape == (found["total"], 10)
    assert found["total"] == 160  # dataset.limit=16 of ten classes
    assert index.tolist() == list(range(160))
    assert int((logits.argmax(axis=1) == labels).sum()) == found["correct"]
    assert found["test_accuracy"] == found["correct"] / found["total"]
    wide = logits.astype(np.float64)
    loss = np.log(np.exp(wide).sum(axis=1)) - wide[index, labels]
    assert found["test_loss"] == pytest.approx(loss.mean(), rel=1e-5)
    assert found["nll"] == pytest.approx(loss.mean())
    chances = np.exp(wide) / np.exp(wide).sum(axis=1, keepdims=True)
    assert found["brier"] == pytest.approx(np.square(chances - np.eye(10)[labels]).sum(axis=1).mean())
    assert found["overconfidence"] == pytest.approx(chances.max(axis=1).mean() - found["test_accuracy"])


def test_metrics_end_at_the_result(attention_run: Path) -> None:
    found, rows = result_of(attention_run), metrics_of(attention_run)
    test = [row for row in rows if row["kind"] == "evaluation" and row["split"] == "test"]
    keys = {"accuracy": "test_accuracy", "loss": "test_loss", "brier": "brier", "ece": "ece"}
    assert [[row[key] for key in keys] for row in test] == [[found[key] for key in keys.values()]]
    val = [row for row in rows if row["kind"] == "evaluation" and row["split"] == "val"]
    assert [(row["epoch"], row["views"]) for row in val] == [(1, 1), (2, 1)]
    assert [row["views"] for row in test] == [6]
    # 128 images are left to train on: two batches of 64 in each of two epochs.
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2, 3, 4]


def test_learning_rate_follows_the_schedule(attention_run: Path) -> None:
    """The default schedule falls in a straight line to nothing, from muon's rate."""
    rates = [row["lr"] for row in metrics_of(attention_run) if row["kind"] == "train"]
    assert rates == pytest.approx([0.2, 0.15, 0.1, 0.05])


def read_events(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def test_tensorboard_agrees_with_the_metrics(attention_run: Path) -> None:
    events = read_events(attention_run)
    expected: dict[str, list[tuple[int, float]]] = {}
    for row in metrics_of(attention_run):
        split = "train" if row["kind"] == "train" else row["split"]
        expected.setdefault(f"loss/{split}", []).append((row["step"], row["loss"]))
        expected.setdefault(f"accuracy/{split}", []).append((row["step"], row["accuracy"]))
        for score in ("brier", "ece") if split != "train" else ():
            expected.setdefault(f"{score}/{split}", []).append((row["step"], row[score]))
        if split == "train":
            expected.setdefault("lr", []).append((row["step"], row["lr"]))
    assert {"loss/train", "loss/val", "loss/test", "accuracy/train", "accuracy/val", "lr"} <= set(expected)
    for tag, rows in expected.items():
        # hparams repeat the final test figures, without a step.
        seen = [(one.step, one.value) for one in events.Scalars(tag) if one.step]
        assert [step for step, _ in seen] == [step for step, _ in rows], tag
        assert [value for _, value in seen] == pytest.approx([value for _, value in rows], rel=1e-6), tag
    speed = events.Scalars("speed/images_per_second")
    assert speed
    assert all(one.value > 0 for one in speed)


def test_tensorboard_has_the_pictures_and_hyperparameters(attention_run: Path, plain_run: Path) -> None:
    names = ("samples", "misclassified", "confusion_matrix", "reliability", "attention")
    assert set(read_events(plain_run).Tags()["images"]) == {f"images/{name}" for name in names}
    events = read_events(attention_run)
    assert set(events.Tags()["images"]) == {f"images/{name}" for name in names}
    assert events.PluginTagToContent("hparams")
    for run in (attention_run, plain_run):
        # add_hparams would have opened a folder of its own, which TensorBoard shows as another run.
        assert {path.parent for path in run.rglob("events.out.tfevents.*")} == {run}


def test_folder_holds_what_the_contract_names(attention_run: Path, plain_run: Path) -> None:
    for run, names in ((attention_run, ("last", "previous", "best")), (plain_run, ("last", "previous"))):
        files = {f"{name}.{suffix}" for name in names for suffix in ("pt", "json")}
        assert {path.name for path in (run / "checkpoints").iterdir()} == files
        top = {path.name for path in run.iterdir() if not path.name.startswith("events.")} - {"attention"}
        assert top == {
            ".hydra",
            ".lock",
            "config.yaml",
            "checkpoints",
            "metrics.jsonl",
            "predictions.npz",
            "attn-train.log",
            "result.json",
        }
        assert {path.name for path in (run / ".hydra").iterdir()} == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    assert "model=none" in yaml.safe_load((plain_run / ".hydra" / "overrides.yaml").read_text())


def test_configuration_is_resolved(train: Command, tmp_path: Path) -> None:
    """With everything left on auto, config.yaml says what auto became."""
    # Few images: bfloat16, where auto chooses it, can be slow.
    few = ("dataset.limit=2", "dataset.val_size=0", "train.batch_size=4", "train.max_steps=1", "eval.views=1")
    assert train(*TINY[:1], "backbone.widths=[8,8,8]", *few, "hydra.run.dir=run").code == 0
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert "${" not in text
    assert "???" not in text
    device = yaml.safe_load(text)["device"]
    assert device["kind"] in ("cpu", "cuda", "mps")
    assert device["precision"] in ("float32", "bfloat16")
    assert device["channels_last"] in (True, False)
    assert device["compile"] is False  # one step does not earn it back
    assert device["threads"] >= 1
    assert yaml.safe_load(text)["train"]["epochs"] == 2


@pytest.mark.slow
def test_the_best_is_chosen_among_the_epochs_at_full_size(train: Command, tmp_path: Path) -> None:
    words = (*TINY, "train.max_steps=null", "train.resolution=[0.5,0.5,1]", "hydra.run.dir=run")
    assert train(*words, "train.epochs=3").code == 0
    last = metrics_of(tmp_path / "run")[-1]["step"]
    best = json.loads((tmp_path / "run" / "checkpoints" / "best.json").read_text())
    assert best["step"] == last


@pytest.mark.slow
def test_the_resolution_left_on_auto_is_the_datasets_where_the_network_takes_it(train: Command, tmp_path: Path) -> None:
    few = ("train.resolution=auto", "dataset.resolution=[0.5,1]", "train.max_steps=1", "dataset.val_size=0")
    for name, words, expected in (
        ("fast", TINY, [0.5, 1.0]),
        ("article", (*TINY[:-1], "backbone=article", "optimizer=adam"), [1.0, 1.0]),
    ):
        ended = train(*words, *few, f"hydra.run.dir={name}")
        assert ended.code == 0, ended.err
        assert yaml.safe_load((tmp_path / name / "config.yaml").read_text())["train"]["resolution"] == expected
        assert train(*words, *few, f"hydra.run.dir={name}").code == 0  # the same command finds its own run


@pytest.mark.slow
def test_a_run_sees_the_sizes_that_its_configuration_lists(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, original = [], TrainingStep.__call__

    def spying(*arguments: Any, **options: Any) -> Any:
        seen.append(tuple(arguments[1].shape[-2:]))
        return original(*arguments, **options)

    monkeypatch.setattr(TrainingStep, "__call__", spying)
    assert train(*TINY, "train.epochs=3", "train.resolution=[0.5,1]", "hydra.run.dir=run").code == 0
    assert seen == [(8, 8)] * 2 + [(16, 16)] * 4
    tests = [row for row in metrics_of(tmp_path / "run") if row["kind"] == "evaluation"]
    assert [(row["split"], row["image_size"]) for row in tests] == [("val", 8), ("val", 16), ("val", 16), ("test", 16)]


@pytest.mark.parametrize(
    ("shares", "epochs", "expected"),
    [
        ([1], 3, [1, 1, 1]),
        ([0.5, 1], 4, [0.5, 0.5, 1, 1]),
        ([0.5, 1], 3, [0.5, 1, 1]),
        ([0.5, 1], 1, [1]),
        ([0.5, 0.6, 0.7, 1], 2, [0.6, 1]),
        ([0.5, 0.6, 1], 3, [0.5, 0.6, 1]),
    ],
)
def test_the_last_epoch_has_the_last_resolution(shares: list[float], epochs: int, expected: list[float]) -> None:
    assert fit_resolution(shares, epochs) == expected


@pytest.mark.slow
def test_a_run_that_goes_on_for_longer_keeps_the_resolutions_it_had(train: Command, tmp_path: Path) -> None:
    words = (*TINY, "train.resolution=[0.5,1]", "hydra.run.dir=run")
    assert train(*words).code == 0
    ended = train("resume=run", "train.epochs=4")
    assert ended.code == 0, ended.err
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["train"]["resolution"] == [0.5, 1, 1, 1]
    refused = train(*words[:-2], "train.epochs=4", "train.resolution=[0.5,0.5,1,1]", "hydra.run.dir=run")
    assert refused.code == 2
    assert "train.resolution" in refused.err


def test_what_is_tested_is_the_moving_average_of_the_weights(plain_run: Path) -> None:
    state = torch.load(plain_run / "checkpoints" / "last.pt", weights_only=True)
    weights, average = state["model"]["head.weight"], state["average"]["head.weight"]
    assert not torch.equal(weights, average)
    assert torch.equal(checkpoint.evaluated_weights(state)["head.weight"], average)
    assert checkpoint.evaluated_weights({**state, "average": None})["head.weight"] is weights


def test_last_lines(train: Command, tmp_path: Path) -> None:
    ended = train(*TINY, "hydra.run.dir=run")
    assert ended.code == 0
    assert ended.err == ""
    found = result_of(tmp_path / "run")
    last = ended.out.splitlines()[-3:]
    assert last[0] == f"Accuracy of the model on the 160 test images: {100 * found['test_accuracy']:.2f} %"
    assert last[1].endswith("run")
    command = re.search(r"tensorboard --logdir (\S+)", last[2])
    assert command is not None
    assert (tmp_path / command.group(1) / "result.json").is_file()


def test_folder_of_a_run(train: Command, tmp_path: Path) -> None:
    assert train(*TINY).code == 0
    (folder,) = (tmp_path / "outputs").glob("*/*")
    name = re.fullmatch(
        r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d_gated_synthetic_[0-9a-z]+", str(folder.relative_to(tmp_path / "outputs"))
    )
    assert name is not None
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}  # no data folder for data that is made


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The logits of runs that differ in their seeds alone, each trained anew."""
    folder = tmp_path_factory.mktemp("seeds")
    found = {}
    for name, words in {
        "first": ("seed=0",),
        "again": ("seed=0",),
        "other": ("seed=1",),
        "all others": ("seed=0", "seeds.init=1", "seeds.order=1", "seeds.augment=1"),
        "init": ("seed=0", "seeds.init=1"),
        "order": ("seed=0", "seeds.order=1"),
        "augment": ("seed=0", "seeds.augment=1"),
    }.items():
        run = f"run_{name.replace(' ', '_')}"
        assert run_here(folder, *TINY, *words, f"hydra.run.dir={run}").code == 0
        found[name] = logits_of(folder / run)
    return found


@pytest.mark.slow
def test_seed_decides_everything(seeded: dict[str, np.ndarray]) -> None:
    assert np.array_equal(seeded["first"], seeded["again"])
    assert not np.array_equal(seeded["first"], seeded["other"])


@pytest.mark.slow
def test_seeds_default_to_seed(seeded: dict[str, np.ndarray]) -> None:
    assert np.array_equal(seeded["other"], seeded["all others"])


@pytest.mark.slow
@pytest.mark.parametrize("purpose", ["init", "order", "augment"])
def test_each_seed_decides_something(seeded: dict[str, np.ndarray], purpose: str) -> None:
    assert not np.array_equal(seeded["first"], seeded[purpose])


def test_article_prints_its_line(train: Command, tmp_path: Path) -> None:
    """The article's recipe, its last partial batch kept: 40 images are two batches of 16 and one of 8."""
    ended = train(
        "+experiment=article",
        "dataset=synthetic",
        "dataset.image_size=8",
        "dataset.limit=4",
        "train.epochs=1",
        "train.batch_size=16",
        "train.log_every=1",
        *TINY[1:-1],
        "hydra.run.dir=run",
    )
    assert ended.code == 0, ended.err
    assert re.search(r"^Accuracy of the model on the 40 test images: \d+\.\d\d %$", ended.out, re.MULTILINE)
    assert [row["step"] for row in metrics_of(tmp_path / "run") if row["kind"] == "train"] == [1, 2, 3]
    assert all(row["lr"] == 1e-3 for row in metrics_of(tmp_path / "run") if row["kind"] == "train")
    # The formula's own count: two convolutions, two 1x1 convolutions of the gate, the linear map.
    convolutions = (3 * 9 + 1) * 64 + (64 * 9 + 1) * 128
    gate = 2 * (128 * 128 + 128)
    linear = (128 * 8 * 8 + 1) * 10
    assert result_of(tmp_path / "run")["parameters"] == convolutions + gate + linear


@pytest.mark.slow
def test_finished_run_is_not_trained_again(train: Command, tmp_path: Path) -> None:
    assert train(*TINY, "hydra.run.dir=run").code == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "checkpoints").iterdir()}
    ended = train(*TINY, "hydra.run.dir=run")
    assert ended.code == 0
    assert "Accuracy of the model on the 160 test images" in ended.out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "checkpoints").iterdir()} == before


def test_nan_loss_ends_the_run(train: Command, tmp_path: Path) -> None:
    """The first step's loss is of the fresh weights; its rate sends them off, and the second step's loss is NaN."""
    ended = train(
        *TINY, "optimizer=sgd", "optimizer.lr=1e30", "train.clip_norm=null", "train.checkpoint_every=1",
        "hydra.run.dir=run",
    )  # fmt: skip
    run = tmp_path / "run"
    assert ended.code == 4
    assert len(ended.err.splitlines()) == 1, ended.err
    assert "step 2" in ended.err
    assert "optimizer.lr" in ended.err
    assert not (run / "result.json").exists()
    last = json.loads((run / "checkpoints" / "last.json").read_text())
    assert last["step"] == 1
    assert last["sha256"] == hashlib.sha256((run / "checkpoints" / "last.pt").read_bytes()).hexdigest()
    assert not (run / "checkpoints" / "best.pt").exists()  # no epoch was evaluated
    assert all(math.isfinite(row["loss"]) for row in metrics_of(run))


@pytest.mark.slow
def test_nan_in_the_last_step_is_no_result(train: Command, tmp_path: Path) -> None:
    """The loss of the only step is finite; what it leaves is not, and must not pass for a finished run."""
    ended = train(
        *TINY, "optimizer=sgd", "optimizer.lr=1e30", "train.clip_norm=null", "train.max_steps=1", "hydra.run.dir=run"
    )
    assert ended.code == 4, ended.out
    assert not (tmp_path / "run" / "result.json").exists()
    left = json.loads((tmp_path / "run" / "failure.json").read_text())
    assert (left["exit_code"], left["reason"] in ended.err) == (4, True)


# What comes after the result: pictures and TensorBoard's file


def unfinished(finished: Path, folder: Path) -> Path:
    """Copy a finished run to `folder`/run as it stood after its last step, before its final test."""
    run = shutil.copytree(finished, folder / "run")
    for left in (run / "result.json", run / "predictions.npz", *run.glob("events.*")):
        left.unlink()
    return run


def fail(error: BaseException) -> Callable[..., NoReturn]:
    def failing(*_: Any, **__: Any) -> NoReturn:
        raise error

    return failing


PICTURES = {"samples", "misclassified", "confusion_matrix", "reliability", "attention"}
# What breaks in one run, each with its error; which pictures that costs, and the cause that is named.
BROKEN: dict[str, dict[str, tuple[BaseException, set[str], str]]] = {
    "each alone": {
        "torchvision.utils.make_grid": (RuntimeError("no grid\nat all"), {"samples"}, "RuntimeError: no grid at all"),
        "matplotlib.axes.Axes.set_xlabel": (
            ValueError("glyph \x1b"),
            {"confusion_matrix", "reliability"},
            r"ValueError: glyph \x1b",
        ),
        "attn_train.attention.self_attention.SelfAttention.attention_map": (
            torch.OutOfMemoryError("CUDA out of memory"),
            {"attention"},
            "OutOfMemoryError: CUDA out of memory",
        ),
    },
    "from one cause": {
        "matplotlib.backends.backend_agg.FigureCanvasAgg.draw": (
            OSError(errno.ENOSPC, "No space left on device", "fontlist.json"),
            {"misclassified", "confusion_matrix", "reliability", "attention"},
            "No space left on device",
        )
    },
}


def tags_of(run: Path) -> set[str]:
    events = EventAccumulator(str(run))
    events.Reload()
    return set(events.Tags()["images"])


@pytest.mark.slow
@pytest.mark.parametrize("how", BROKEN)
def test_a_picture_that_fails_costs_a_warning(
    tmp_path: Path, attention_run: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    run = unfinished(attention_run, tmp_path)
    for what, (error, _, _) in BROKEN[how].items():
        monkeypatch.setattr(what, fail(error))
    ended = run_here(tmp_path, "resume=run", pictures=True)
    assert ended.code == 0, ended.err
    assert ended.err == ""
    assert result_of(run)["correct"] == result_of(attention_run)["correct"]
    np.testing.assert_array_equal(logits_of(run), logits_of(attention_run))
    warnings = [line for line in ended.out.splitlines() if "could not" in line or "cannot" in line]
    assert len(warnings) == len(BROKEN[how])
    for warning, (_, lost, cause) in zip(warnings, BROKEN[how].values(), strict=True):
        assert cause in warning
        assert {name for name in PICTURES if f"images/{name}" in warning} == lost
    everything = set.union(*(lost for _, lost, _ in BROKEN[how].values()))
    assert tags_of(run) == {f"images/{name}" for name in PICTURES - everything}
    assert "Accuracy of the model" in ended.out


@pytest.mark.slow
def test_without_matplotlib_a_run_has_its_result(
    tmp_path: Path, plain_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where somebody's matplotlibrc cannot be read: nothing of Matplotlib is imported before the result is there."""
    run = unfinished(plain_run, tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "matplotlib.py").write_text("raise UnicodeDecodeError('utf-8', b'\\xff', 0, 1, 'invalid start byte')")
    monkeypatch.syspath_prepend(tmp_path)
    ended = run_here(tmp_path, "resume=run", pictures=True)
    assert ended.code == 0, ended.err
    assert result_of(run)["correct"] == result_of(plain_run)["correct"]
    (warning,) = [line for line in ended.out.splitlines() if "could not" in line]
    assert "invalid start byte" in warning


@pytest.mark.slow
def test_a_file_of_tensorboard_that_fails_costs_a_warning(
    tmp_path: Path, plain_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it fails; a full disk is another test's."""
    run = unfinished(plain_run, tmp_path)
    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.add_image", fail(TypeError("a list is no value")))
    ended = run_here(tmp_path, "resume=run", pictures=True)
    assert ended.code == 0, ended.err
    assert result_of(run)["correct"] == result_of(plain_run)["correct"]
    (warning,) = [line for line in ended.out.splitlines() if "could not" in line or "cannot" in line]
    assert "TensorBoard's file cannot be written (TypeError: a list is no value)" in warning


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_while_it_draws_is_finished(
    tmp_path: Path, plain_run: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    run = unfinished(plain_run, tmp_path)
    monkeypatch.setattr("torchvision.utils.make_grid", lambda *_, **__: os.kill(os.getpid(), number))
    assert run_here(tmp_path, "resume=run", pictures=True).code == code
    assert result_of(run)["correct"] == result_of(plain_run)["correct"]
    monkeypatch.undo()
    again = run_here(tmp_path, "resume=run", pictures=True)
    assert again.code == 0
    assert "already finished" in again.out


@pytest.mark.slow
def test_a_line_that_is_no_row_is_left_out(train: Command, tmp_path: Path, plain_run: Path) -> None:
    run = shutil.copytree(plain_run, tmp_path / "run")
    lines = ("null", "{}", "7", '{"kind": "evaluation", "step": 1}', '{"kind": "train", "st')
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n".join(lines))
    ended = train("resume=run", "train.epochs=3", "train.log_every=7")
    assert ended.code == 0, ended.err
    assert ended.out.count("left out a damaged line") == len(lines)


def test_a_run_whose_metrics_cannot_be_read_keeps_its_result(train: Command, tmp_path: Path, plain_run: Path) -> None:
    run = shutil.copytree(plain_run, tmp_path / "run")
    before = (run / "result.json").read_bytes()
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").mkdir()
    ended = train("resume=run", "train.epochs=3")
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert "run/metrics.jsonl" in ended.err
    assert (run / "result.json").read_bytes() == before
