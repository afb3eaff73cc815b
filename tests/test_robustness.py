"""attn-eval corruptions=...: what it tests, keeps, takes up again and refuses."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, Command, run_here
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attn_train.commands import robustness
from attn_train.commands.trained import Trained, own_splits
from attn_train.data.batches import views
from attn_train.robust import official
from attn_train.robust.corruptions import CORRUPTIONS, DEVIATIONS, EXTRA, SEVERITIES, corrupt
from attn_train.settings import saved

# Quick ones.
FEW = "corruptions=[contrast,brightness,saturate]"


@pytest.fixture
def run(plain_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be changed."""
    return Path(shutil.copytree(plain_run, tmp_path / "run"))


def read(run: Path, name: str = "robustness") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / f"{name}.json").read_text())
    return found


def bits(run: Path, key: str, name: str = "robustness") -> Any:
    with np.load(run / f"{name}.npz") as arrays:
        return np.unpackbits(arrays[key], count=160).astype(bool)


@pytest.mark.slow
def test_all_corruptions_are_tested_and_averaged(run: Path, tmp_path: Path) -> None:
    ended = run_here(tmp_path, f"run={run}", "corruptions=all", "corruptions_seed=3", command="evaluate", pictures=True)
    assert ended.code == 0, ended.err
    found, finished = read(run), json.loads((run / "result.json").read_text())
    assert found["name"] == "CIFAR-10-C style, generated (seed 3)"
    assert found["deviations"] == list(DEVIATIONS)
    assert found["clean"]["correct"] == finished["correct"]
    with np.load(run / "predictions.npz") as saved_:
        np.testing.assert_array_equal(bits(run, "clean"), saved_["logits"].argmax(axis=1) == saved_["labels"])

    # One set by another way: the network on the images of every view at once.
    trained = Trained(run, "last", saved.evaluated(run, []))
    split = own_splits(trained)["test"]
    images = trained.normalization(corrupt(split.images, "contrast", 5, 3))
    with torch.no_grad():
        seen = [weight * trained.model(view) for weight, view in views(images, trained.config.eval.views)]
    right = (torch.stack(seen).sum(0).argmax(dim=1) == split.labels).numpy()
    np.testing.assert_array_equal(bits(run, "contrast_5"), right)

    accuracy = {}
    for name, entry in found["corruptions"].items():
        assert list(entry["severities"]) == ["1", "2", "3", "4", "5"]
        for severity, scores in entry["severities"].items():
            assert scores["correct"] == bits(run, f"{name}_{severity}").sum()
            assert scores["accuracy"] == scores["correct"] / 160
            assert {"nll", "brier", "ece"} <= scores.keys()
        accuracy[name] = np.mean([scores["accuracy"] for scores in entry["severities"].values()])
        assert entry["mean"]["accuracy"] == pytest.approx(accuracy[name])
    assert list(accuracy) == list(CORRUPTIONS)
    main = [name for name, each in CORRUPTIONS.items() if each.group != EXTRA]
    assert len(main) == 15
    mean = np.mean([accuracy[name] for name in main])
    assert found["corruption_accuracy"] == pytest.approx(mean)
    assert found["drop"] == pytest.approx(found["clean"]["accuracy"] - mean)
    extra = np.mean([accuracy[name] for name in accuracy if name not in main])
    assert found["groups"]["extra"]["accuracy"] == pytest.approx(extra)
    assert f"generated (seed 3): {100 * mean:.2f} %, {100 * found['drop']:.2f} points below clean" in ended.out

    assert {"robustness.png", "robustness_images.png"} <= {path.name for path in run.iterdir()}
    tags = EventAccumulator(str(run)).Reload().Tags()["images"]
    assert {"images/robustness", "images/robustness_images"} <= set(tags)


@pytest.mark.slow
def test_what_was_tested_before_is_kept_and_added_to(evaluate: Command, run: Path) -> None:
    assert evaluate(f"run={run}", "corruptions=[contrast]", "severity=3").code == 0
    first = read(run)
    assert first["corruption_accuracy"] is None
    assert first["groups"]["digital"] is None
    assert first["corruptions"]["contrast"]["mean"]["severities"] == [3]
    ended = evaluate(f"run={run}", FEW, "severity=[3,1]")
    assert "1 of 6 sets were tested before" in ended.out
    second = read(run)
    assert list(second["corruptions"]["contrast"]["severities"]) == ["1", "3"]
    assert second["corruptions"]["contrast"]["severities"]["3"] == first["corruptions"]["contrast"]["severities"]["3"]
    assert "6 of 6 sets were tested before" in evaluate(f"run={run}", FEW, "severity=1,3").out
    assert read(run) == second


@pytest.mark.slow
def test_an_interrupted_test_goes_on_where_it_stopped(
    evaluate: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path(shutil.copytree(run, tmp_path / "whole"))
    assert evaluate(f"run={whole}", FEW).code == 0

    def interrupted(images: torch.Tensor, name: str, severity: int, seed: int) -> torch.Tensor:
        if (name, severity) == ("saturate", 4):
            raise KeyboardInterrupt
        return corrupt(images, name, severity, seed)

    with monkeypatch.context() as patch:
        patch.setattr(robustness, "corrupt", interrupted)
        assert evaluate(f"run={run}", FEW).code == 130
    assert list(read(run)["corruptions"]) == ["brightness", "contrast"]
    ended = evaluate(f"run={run}", FEW)
    assert "10 of 15 sets were tested before" in ended.out
    assert read(run) == read(whole)
    assert (bits(run, "saturate_4") == bits(whole, "saturate_4")).all()


def test_other_conditions_replace_nothing(evaluate: Command, run: Path, tmp_path: Path) -> None:
    assert evaluate(f"run={run}", "corruptions=contrast", "severity=1").code == 0
    before = (run / "robustness.json").read_bytes()
    for word, shown in (
        ("corruptions_seed=1", "seed 0 there, 1 here"),
        ("split=train", "split test there, train here"),
    ):
        ended = evaluate(f"run={run}", "corruptions=contrast", "severity=1", word)
        assert ended.code == 2
        assert "is of another test" in ended.err
        assert shown in ended.err
        assert ended.err.count("\n") == 1
    assert (run / "robustness.json").read_bytes() == before
    assert evaluate(f"run={run}", "corruptions=contrast", "severity=1", "corruptions_seed=1", "output=other").code == 0
    assert read(tmp_path / "other")["conditions"]["seed"] == 1
    (run / "robustness.json").write_text("{")
    ended = evaluate(f"run={run}", "corruptions=contrast", "severity=1")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "cannot be read" in ended.err


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["corruptions=rain"], "corruptions=rain is not a choice; choose from all, official, noise, blur"),
        (["corruptions=[fog,rain]"], "corruptions=rain is not a choice"),
        (["corruptions="], "corruptions= is empty"),
        (["corruptions=[]"], "corruptions= is empty"),
        (["corruptions=all", "severity=6"], "severity=6: expected 1 to 5"),
        (["corruptions=all", "severity=[1,high]"], "severity=high: expected 1 to 5"),
        (["severity=3"], "severity=3 belongs to corruptions=all"),
        (["corruptions=all", "corruptions_seed=-1"], "corruptions_seed=-1: expected a whole number"),
        (["corruptions=official"], "go together"),
        (["corruptions=all", "corruptions_root=x"], "go together"),
        (["corruptions=official", "corruptions_root=x", "corruptions_seed=1"], "are as they are; leave it out"),
        (["corruptions=all", "image=x.png"], "leave image=, export= and against= out"),
        (["corruptions=official", "corruptions_root=x"], "CIFAR-10-C and CIFAR-100-C are published"),
    ],
)
def test_wrong_words_end_in_one_line(evaluate: Command, plain_run: Path, given: list[str], named: str) -> None:
    ended = evaluate(f"run={plain_run}", *given)
    assert ended.code == 2
    assert named in ended.err
    assert ended.err.count("\n") == 1
    assert not (plain_run / "robustness.json").exists()


@pytest.fixture
def arrays(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Arrays in the form of the published ones, of a small set for the run's images and in another order."""
    trained = Trained(run, "last", saved.evaluated(run, []))
    split = own_splits(trained)["test"]
    root = tmp_path / "arrays"
    root.mkdir()
    order = torch.randperm(160, generator=torch.Generator().manual_seed(0))
    digests = {}
    for name in ("labels", *CORRUPTIONS):
        if name == "labels":
            content = split.labels[order].repeat(len(SEVERITIES)).numpy().astype(np.uint8)
        else:
            parts = [corrupt(split.images[order], name, severity, 7) for severity in SEVERITIES]
            content = torch.cat(parts).permute(0, 2, 3, 1).numpy()
        np.save(root / f"{name}.npy", content)
        digests[name] = hashlib.md5((root / f"{name}.npy").read_bytes()).hexdigest()
    known = official.Published("SMALL-C", trained.classes, digests, images=160, size=16)
    monkeypatch.setattr(official, "PUBLISHED", (known,))
    return root


@pytest.mark.slow
def test_published_arrays_are_read_in_their_own_order(evaluate: Command, run: Path, arrays: Path) -> None:
    words = [f"run={run}", "severity=2", "eval.views=1"]
    ended = evaluate(*words, "corruptions=official", f"corruptions_root={arrays}")
    assert ended.code == 0, ended.err
    assert evaluate(*words, "corruptions=all", "corruptions_seed=7").code == 0
    made, published = read(run), read(run, "robustness_official")
    assert published["name"] == "SMALL-C, the published arrays"
    assert published["deviations"] == []
    order = torch.randperm(160, generator=torch.Generator().manual_seed(0)).numpy()
    for name in CORRUPTIONS:
        assert (bits(run, f"{name}_2")[order] == bits(run, f"{name}_2", "robustness_official")).all()
        counts = [each["corruptions"][name]["severities"]["2"]["correct"] for each in (made, published)]
        assert counts[0] == counts[1]


def test_published_arrays_that_are_not_are_refused(evaluate: Command, run: Path, arrays: Path) -> None:
    words = [f"run={run}", "corruptions=official", f"corruptions_root={arrays}"]
    (arrays / "fog.npy").write_bytes((arrays / "frost.npy").read_bytes())
    ended = evaluate(*words)
    assert ended.code == 3
    assert "fog.npy is not that of SMALL-C: its MD5 is" in ended.err
    (arrays / "labels.npy").unlink()
    ended = evaluate(*words)
    assert (ended.code, ended.err.count("\n")) == (3, 1)
    assert "labels.npy is missing" in ended.err
    assert evaluate(*words, "split=train").code == 2
    assert not (run / "robustness_official.json").exists()


@pytest.mark.slow
def test_a_run_tests_itself_at_its_end(train: Command, evaluate: Command, tmp_path: Path) -> None:
    words = [*TINY, "model=none", "dataset.val_size=0", "eval.views=1", "hydra.run.dir=run"]
    ended = train(*words, "eval.corruptions=all")
    assert ended.code == 0, ended.err
    run = tmp_path / "run"
    found, finished = read(run), json.loads((run / "result.json").read_text())
    assert found["clean"]["correct"] == finished["correct"]
    for key in ("accuracy", "nll", "brier", "ece"):
        assert finished[f"corruption_{key}"] == found["fifteen"][key]
    assert "95 of 95 sets were tested before" in evaluate(f"run={run}", "corruptions=all").out
    sweep = ["-m", *words[:-1], "sweep=plain"]
    assert train(*sweep).code == 0
    (run,) = (tmp_path / "outputs" / "plain").glob("none_*")
    plain = json.loads((run / "result.json").read_text())
    assert plain["config_digest"] == finished["config_digest"]
    assert plain["correct"] == finished["correct"]
    assert "corruption_accuracy" not in plain
    assert not (run / "robustness.json").exists()
    # It is the same run, so that the sweep finds it finished.
    again = train(*sweep, "eval.corruptions=all")
    assert f"not tested on corrupted images; do it: attn-eval run=outputs/plain/{run.name} corruptions=all" in again.out


@pytest.mark.slow
def test_a_run_that_was_trained_further_replaces_the_record_of_before(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "corrupt", lambda images, *_: images)  # quick
    words = [*TINY, "model=none", "dataset.val_size=0", "eval.views=1", "train.max_steps=null", "train.epochs=1"]
    assert train(*words, "eval.corruptions=all", "hydra.run.dir=run").code == 0
    before = read(tmp_path / "run")
    ended = train("resume=run", "train.epochs=2")
    assert ended.code == 0, ended.err
    after = read(tmp_path / "run")
    assert "it is replaced" in ended.out + ended.err
    assert after["conditions"]["step"] == 2 * before["conditions"]["step"]
    assert after["corruption_accuracy"] == pytest.approx(after["clean"]["accuracy"])


def test_the_digests_are_those_of_nineteen_corruptions_and_the_labels() -> None:
    for published in official.PUBLISHED:
        assert published.digests.keys() == CORRUPTIONS.keys() | {"labels"}
        assert len({digest for digest in published.digests.values() if len(digest) == 32}) == 20
