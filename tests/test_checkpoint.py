"""Checkpoints come back bit for bit, whatever was killed, flipped, cut off or planted."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attn_train.errors import CheckpointError, ResourceError
from attn_train.runs import checkpoint
from attn_train.training.trainer import load_weights
from attn_train.writing.durable import write_durably


def state(number: int) -> dict[str, Any]:
    random = torch.Generator().manual_seed(number)
    return {
        "model": {"weight": torch.randn(40, 30, generator=random), "half": torch.randn(3, generator=random).bfloat16()},
        "optimizer": {"state": {0: {"step": number, "mean": torch.randn(5, generator=random).double()}}},
        "rng": {"cpu": random.get_state()},
        "step": number,
        "progress": {"losses": [0.1, float("inf"), 1e-300], "correct": [1, 2]},
        "classes": ["a", "ü"],
        "nothing": None,
    }


def same(one: Any, other: Any) -> bool:
    """Say whether two nested states are equal in type and in every bit."""
    if isinstance(one, Tensor):
        bits = [value.contiguous().view(torch.uint8) for value in (one, other)]
        return one.dtype == other.dtype and torch.equal(*bits)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return type(one) is type(other) and one == other


def save(folder: Path, number: int, name: str = "last") -> None:
    checkpoint.save(folder, name, state(number), {"step": number})


def loaded(folder: Path, *names: str) -> int | None:
    """Load; check that what comes is whole; return which it is."""
    found = checkpoint.load(folder, names) if names else checkpoint.load(folder)
    if found is None:
        return None
    assert found.pop("version") == checkpoint.VERSION
    assert same(found, state(found["step"]))
    return int(found["step"])


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    save(tmp_path / "new", 3)
    assert loaded(tmp_path / "new") == 3


def test_last_becomes_previous_and_nothing_else_is_left(tmp_path: Path) -> None:
    assert loaded(tmp_path) is None
    save(tmp_path, 1)
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", "last.json"}
    for number in (2, 3):
        save(tmp_path, number)
        assert {path.name for path in tmp_path.iterdir()} == {"last.pt", "last.json", "previous.pt", "previous.json"}
        assert loaded(tmp_path, "last") == number
        assert loaded(tmp_path, "previous") == number - 1


def test_the_best_stands_beside_the_last(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 1, "best")
    save(tmp_path, 2)
    assert (loaded(tmp_path), loaded(tmp_path, "best")) == (2, 1)
    save(tmp_path, 3, "best")
    assert (loaded(tmp_path), loaded(tmp_path, "previous"), loaded(tmp_path, "best")) == (2, 1, 3)


def test_the_readable_file_tells_of_its_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 7)
    told = json.loads((tmp_path / "last.json").read_text())
    digest = hashlib.sha256((tmp_path / "last.pt").read_bytes()).hexdigest()
    assert told == {"step": 7, "version": checkpoint.VERSION, "sha256": digest}


def flip(place: float) -> Callable[[bytes], bytes]:
    def damage(whole: bytes) -> bytes:
        at = int(place * (len(whole) - 1))
        return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]

    return damage


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    **{f"flipped-{place}": flip(place) for place in (0.0, 0.3, 0.5, 0.9, 1.0)},
    "empty": lambda whole: b"",
    "half": lambda whole: whole[: len(whole) // 2],
    "one-short": lambda whole: whole[:-1],
    "longer": lambda whole: whole + b"\0",
    "zeros": lambda whole: bytes(len(whole)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_taken(
    damage: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    path = tmp_path / "last.pt"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    with caplog.at_level(logging.WARNING):
        assert loaded(tmp_path) == 1
    assert "DAMAGED CHECKPOINT" in caplog.text
    assert str(path) in caplog.text
    assert not path.exists()
    assert (tmp_path / "last.damaged.pt").read_bytes() == damaged
    # The run goes on: another checkpoint, and the sound one is still behind it.
    assert loaded(tmp_path) == 1
    save(tmp_path, 3)
    assert (loaded(tmp_path, "last"), loaded(tmp_path, "previous")) == (3, 1)


def test_when_all_are_damaged_the_run_does_not_start_anew_in_silence(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    for name in ("last.pt", "previous.pt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"last.damaged.pt.*previous.damaged.pt") as refused:
        checkpoint.load(tmp_path)
    assert refused.value.exit_code == 5


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"3", b"{}", b'{"sha256": []}', b"\xff\xfe", bytes(90)])
def test_an_unreadable_json_beside_it_costs_only_its_own_checkpoint(text: bytes, tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / "last.json").write_bytes(text)
    assert loaded(tmp_path) == 1


class Kill(BaseException):
    """Stands for a kill -9: no `except Exception` and no cleaning up of OSError sees it."""


def save_and_kill(folder: Path, number: int, name: str, at: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Save, but stop dead before the `at`-th rename; say whether the save came to its end before."""
    renames = 0
    rename = os.replace

    def counting(source: Any, target: Any) -> None:
        nonlocal renames
        if renames == at:
            raise Kill
        renames += 1
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", counting)
        try:
            save(folder, number, name)
        except Kill:
            return False
    return True


def restart(folder: Path, copy: Path) -> Path:
    shutil.copytree(folder, copy)
    return copy


@pytest.mark.parametrize("saved_before", [0, 1, 2, 3])
def test_a_kill_between_any_two_renames_leaves_a_sound_checkpoint(
    saved_before: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    before = saved_before or None
    for number in range(1, saved_before + 1):
        save(begun, number)
    kills = 0
    for first in range(20):
        once = restart(begun, tmp_path / f"once{first}")
        if save_and_kill(once, 10, "last", first, monkeypatch):
            break
        kills += 1
        assert loaded(restart(once, tmp_path / f"look{first}")) in {before, 10}
        # The run that goes on may be killed in its own next save.
        for second in range(20):
            twice = restart(once, tmp_path / f"twice{first}.{second}")
            complete = save_and_kill(twice, 20, "last", second, monkeypatch)
            if complete:
                assert loaded(twice, "last") == 20
            found = loaded(twice)
            assert found in ({20} if complete else {before, 10, 20})
            if complete:
                break
    assert kills >= (6 if saved_before else 4)  # two new files, and the renames of two or four


def test_a_kill_while_the_best_is_saved_leaves_a_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for first in range(20):
        folder = tmp_path / str(first)
        save(folder, 1)
        save(folder, 5, "best")
        if save_and_kill(folder, 6, "best", first, monkeypatch):
            break
        assert loaded(folder) == 1
        assert loaded(restart(folder, tmp_path / f"look{first}"), "best") in (5, 6)
        for second in range(20):
            twice = restart(folder, tmp_path / f"twice{first}.{second}")
            complete = save_and_kill(twice, 7, "best", second, monkeypatch)
            assert loaded(twice, "best") in ({7} if complete else {5, 6, 7})
            if complete:
                break
    assert first >= 4


def test_a_kill_in_the_middle_of_writing_is_harmless(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    for name in ("last.new.pt.tmp", "last.new.json.tmp", "last.new.pt"):
        (tmp_path / name).write_bytes((tmp_path / "last.pt").read_bytes()[:100])
    assert loaded(tmp_path) == 2
    save(tmp_path, 3)
    assert (loaded(tmp_path, "last"), loaded(tmp_path, "previous")) == (3, 2)
    assert not [path for path in tmp_path.iterdir() if ".new" in path.name]


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    target = tmp_path / "run" / "checkpoints" / "last.new.pt"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"old")
    with pytest.raises(
        ResourceError, match=rf"could not write .*: No space left on device.*resume={tmp_path / 'run'}$"
    ):
        write_durably(target, fill)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert target.read_bytes() == b"old"


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def plant(folder: Path, content: Any) -> None:
    """Put a foreign checkpoint with a matching digest where the run's own would be."""
    torch.save(content, folder / "last.pt")
    digest = hashlib.sha256((folder / "last.pt").read_bytes()).hexdigest()
    (folder / "last.json").write_text(json.dumps({"sha256": digest}))


def test_a_planted_pickle_does_not_run(tmp_path: Path) -> None:
    run, trace = tmp_path / "run", tmp_path / "trace"
    run.mkdir()
    plant(run, {"version": checkpoint.VERSION, "model": Planted(trace)})
    with pytest.raises(CheckpointError, match=r"last.pt cannot be read as a checkpoint of plain tensors") as refused:
        checkpoint.load(run)
    assert "\n" not in str(refused.value)
    assert not trace.exists()
    torch.load(run / "last.pt", weights_only=False)
    assert trace.exists()  # it would have run


@pytest.mark.parametrize(
    "content", [{"version": 2}, {"version": 4}, {"version": None}, {}, [1, 2], torch.zeros(2)], ids=str
)
def test_another_format_is_refused_with_its_version(content: Any, tmp_path: Path) -> None:
    plant(tmp_path, content)
    with pytest.raises(
        CheckpointError, match=r"last.pt has format version .*; this program reads version 3"
    ) as refused:
        checkpoint.load(tmp_path)
    assert refused.value.exit_code == 5
    if isinstance(content, dict) and content.get("version"):
        assert f"format version {content['version']};" in str(refused.value)


def test_what_is_no_checkpoint_at_all_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"not a zip file", bytes(1000)):
        (tmp_path / "last.pt").write_bytes(content)
        (tmp_path / "last.json").write_text(json.dumps({"sha256": hashlib.sha256(content).hexdigest()}))
        with pytest.raises(CheckpointError, match=r"last.pt cannot be read"):
            checkpoint.load(tmp_path)


def test_a_model_gets_its_weights_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    assert not torch.equal(one.weight, other.weight)
    load_weights(other, one.state_dict(), tmp_path)
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)


def test_another_models_checkpoint_is_refused_with_the_keys_that_differ(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def refused(other: nn.Module) -> str:
        with pytest.raises(CheckpointError) as raised:
            load_weights(model, other.state_dict(), tmp_path)
        assert raised.value.exit_code == 5
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        return str(raised.value)

    begin = f"the checkpoint in {tmp_path} is of another model: "
    assert refused(nn.Sequential(nn.Linear(3, 2))) == f"{begin}1.bias, 1.weight differ"
    assert refused(nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2))) == f"{begin}0.weight differ"
    assert refused(nn.Sequential(*(nn.Linear(3, 2, bias=False) for _ in range(9)))).endswith(" and 5 more differ")


@pytest.mark.parametrize("when", ["looked for", "written", "named"])
def test_a_run_folder_that_goes_while_a_checkpoint_is_saved_is_said_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    run = tmp_path / "run"
    folder = run / "checkpoints"
    folder.mkdir(parents=True)
    owner, name = {
        "looked for": (os, "mkdir"),
        "written": (checkpoint, "write_durably"),
        "named": (checkpoint, "put_in_place"),
    }[when]
    original = getattr(owner, name)

    def after_the_folder_went(*given: Any) -> None:
        """The folder goes once mkdir has said that it is there, else just before."""
        try:
            if when == "looked for":
                original(*given)
        finally:
            run.rename(tmp_path / "elsewhere")
        original(*given)

    monkeypatch.setattr(owner, name, after_the_folder_went)
    with pytest.raises(ResourceError, match="the run folder was deleted or moved"):
        checkpoint.save(folder, "last", state(1), {})
