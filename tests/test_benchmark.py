"""The benchmark reads what attn-train prints: that must not drift apart."""

import runpy
import sys
from pathlib import Path

import pytest
from conftest import TINY

BENCHMARK = Path(__file__).resolve().parent.parent / "scripts" / "benchmark"


@pytest.mark.slow
def test_a_run_is_read_as_it_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    import command

    finished = command.train(tmp_path, "run", *TINY, "dataset.val_size=0")
    assert [accuracy for _, accuracy in finished.epochs][-1] == pytest.approx(
        100 * finished.result["test_accuracy"], abs=0.005
    )
    seconds = [seconds for seconds, _ in finished.epochs]
    assert len(seconds) == 2
    assert 0 < seconds[0] < seconds[1] < finished.seconds


@pytest.mark.slow
def test_a_seed_that_leaves_nothing_behind_ends_as_the_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    import command
    import seeds

    words = [*TINY, "dataset.val_size=0", "seed=3"]
    finished = command.train(tmp_path, "run", *words)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    accuracy, _ = seeds.train_and_test(words)
    assert accuracy == 100 * finished.result["test_accuracy"]
    assert sorted(tmp_path.rglob("*")) == before


def test_wrong_words_end_in_one_line_with_the_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    for words, named in (
        (["--parts=speed"], "unknown part 'speed'; choose from machine, start"),
        (["--parts=step"], "--root is missing"),
        (["--parts=step", f"--root={tmp_path}"], "has no folder cifar10"),
        (["--parts=machine", "--seeds=0"], "--seeds=0 must be at least 1"),
        (["--parts=machine", "--airbench=nowhere.py"], "nowhere.py is no file"),
    ):
        monkeypatch.setattr(sys, "argv", [str(BENCHMARK), *words])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(BENCHMARK), run_name="__main__")
        assert ended.value.code == 2
        assert named in capsys.readouterr().err.splitlines()[-1]
