"""Faults injected for real: processes killed, disks filled, folders deleted, files planted.

One row for each fault that a run must survive. What other files test already stands in ELSEWHERE, by the row's number;
the tests here have it in their names.
"""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import LONG, TINY, Command, run_here, start
from forked import Forked
from PIL import Image
from test_resume import STEPS, assert_same_run

from attn_train import build
from attn_train.runs import checkpoint
from attn_train.runs.tracking import Tracker
from attn_train.training.step import TrainingStep

pytestmark = pytest.mark.slow

ELSEWHERE = {
    1: ("test_resume", "test_killed_run_ends_as_if_it_was_not"),
    2: ("test_checkpoint", "test_a_kill_between_any_two_renames_leaves_a_sound_checkpoint"),
    3: ("test_resume", "test_stopped_run_goes_on"),
    4: ("test_resume", "test_stopped_run_goes_on"),
    5: ("test_sweep", "test_stopped_sweep_goes_on"),
    8: ("test_resume", "test_damaged_last_checkpoint"),
    9: ("test_bad_input", "test_checkpoint_of_another_model"),
    10: ("test_checkpoint", "test_another_format_is_refused_with_its_version"),
    11: ("test_data_archive", "test_the_payload_of_a_pickle_does_not_run"),
    12: ("test_hostile", "test_hostile_words"),
    13: ("test_data_archive", "test_a_hostile_member_condemns_the_archive"),
    14: ("test_data_download", "test_a_failed_download_leaves_nothing"),
    16: ("test_data_archive", "test_a_damaged_file_is_named"),
    17: ("test_run", "test_nan_loss_ends_the_run"),
    20: ("test_lock", "test_another_process_is_refused_by_number_until_it_is_gone"),
    21: ("test_bad_input", "test_wrong_setting"),
    23: ("test_cli", "test_reader_who_leaves"),
    24: ("test_resume", "test_tensorboard_shows_each_step_once"),
    25: ("test_sweep", "test_failed_job_stops_no_other"),
    26: ("test_package", "test_installed_elsewhere"),
    27: ("test_run", "test_a_picture_that_fails_costs_a_warning"),
    28: ("test_data_record", "test_other_data_is_refused_with_both_digests"),
    29: ("test_sweep", "test_a_sweep_in_two_shells"),
    30: ("test_sweep", "test_sweep_in_a_file"),
    31: ("test_surroundings", "test_only_the_output_folder_can_be_written"),
    32: ("test_cli", "test_no_display_and_no_matplotlibrc_changes_a_picture"),
    33: ("test_durable", "test_a_sweep_on_a_file_system_with_neither"),
    34: ("test_compiled", "test_a_run_where_compiling_fails"),
    35: ("test_interrupt", "test_a_run_saves_and_stops_and_goes_on"),
}


def test_every_row_has_a_test() -> None:
    here = Path(__file__).read_text()
    for row in range(1, 36):
        file, name = ELSEWHERE.get(row, (None, None))
        elsewhere = file is not None and f"def {name}(" in (Path(__file__).parent / f"{file}.py").read_text()
        assert elsewhere or (file is None and f"def test_row_{row:02}_" in here), row


def one_line(err: str, *named: str, command: str = "attn-train") -> None:
    assert len(err.splitlines()) == 1, err
    assert err.startswith(f"{command}: ")
    for part in named:
        assert part in err


def program(folder: Path, prelude: str, *words: str) -> Forked:
    """Start attn-train in a process of its own, after `prelude`, which lays the fault."""
    return start(folder, *words, prelude=f"import os, signal, sys, time\n{prelude}")


def ended(process: Forked) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.wait(), out, err


def wait_for(process: Forked, metrics: Path, rows: int) -> None:
    """Wait until a run has logged so many steps."""
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count('"train"') >= rows):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("reference")
    finished = run_here(folder, *LONG, "hydra.run.dir=run")
    assert finished.code == 0, finished.err
    return folder / "run"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 5 MiB of its own; its size can be changed by remounting it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


# 1 to 5: killed and stopped


@pytest.mark.parametrize("call", ["os.replace", "os.fsync", "torch.save"])
def test_row_02_killed_in_a_checkpoint(train: Command, tmp_path: Path, reference: Path, call: str) -> None:
    """SIGKILL from within: before a rename, before a flush, or in the middle of the file."""
    at = random.SystemRandom().randrange(1, {"os.replace": 66, "os.fsync": 55, "torch.save": 22}[call])
    prelude = f"""
import torch
count = 0
before = {call}
def kill(*rest, **options):
    global count
    count += "checkpoints" in str(rest) or {call != "os.replace"}
    if count >= {at}:
        if {call == "torch.save"}:
            rest[1].write(b"half of it")
            rest[1].flush()
        os.kill(os.getpid(), signal.SIGKILL)
    return before(*rest, **options)
{call} = kill
"""
    code, _, err = ended(program(tmp_path, prelude, *LONG, "hydra.run.dir=run"))
    assert code == -signal.SIGKILL, (at, err)
    run = tmp_path / "run"
    again = train(*LONG, "hydra.run.dir=run")
    assert again.code == 0, (at, again.err)
    assert "DAMAGED" not in again.out, at
    assert_same_run(run, reference)
    left = {path.name for path in (run / "checkpoints").iterdir()}
    assert left == {f"{name}.{kind}" for name in ("last", "previous", "best") for kind in ("pt", "json")}, at
    assert not list(run.glob("*.tmp"))


def test_row_02_a_complete_new_checkpoint_is_used(tmp_path: Path) -> None:
    """Killed after it was written and before it had its name: it is whole, and nothing has to be computed again."""
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, "last", {"step": step}, {"step": step})
    for name in ("last", "previous"):
        for kind in ("pt", "json"):
            moved = {"last": "last.new", "previous": "last"}[name]
            (tmp_path / f"{name}.{kind}").rename(tmp_path / f"{moved}.{kind}")
    (tmp_path / "best.new.pt").write_bytes(b"half")
    (tmp_path / "last.new.pt.tmp").write_bytes(b"half")
    checkpoint.clean(tmp_path)
    found = checkpoint.load(tmp_path)
    assert found is not None
    assert found["step"] == 3
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", "last.json", "previous.pt", "previous.json"}


def test_row_03_stopped_before_the_first_step(tmp_path: Path) -> None:
    prelude = """
from attn_train import build
build.load_splits = lambda config: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(60))
"""
    code, _, err = ended(program(tmp_path, prelude, *TINY, "hydra.run.dir=run"))
    assert code == 143
    one_line(err, "SIGTERM", "same command")
    assert run_here(tmp_path, *TINY, "hydra.run.dir=run").code == 0


def test_row_04_interrupted_twice(train: Command, tmp_path: Path, reference: Path) -> None:
    """The second Ctrl-C does not wait for the step, which would last a minute."""
    prelude = """
from attn_train.training.step import TrainingStep
step = TrainingStep.__call__
done = []
def slow(*rest, **options):
    done.append(1)
    if len(done) == 12:
        print("slow", flush=True)
        time.sleep(60)
    return step(*rest, **options)
TrainingStep.__call__ = slow
"""
    process = program(tmp_path, prelude, *LONG, "hydra.run.dir=run")
    assert process.stdout is not None
    while process.stdout.readline() not in ("slow\n", ""):
        pass
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert time.monotonic() - begun < 30
    assert code == 130
    one_line(err, "stopped")
    again = train("resume=run")
    assert again.code == 0, again.err
    assert "going on at step 11" in again.out
    assert_same_run(tmp_path / "run", reference)


# 6 and 7: full disks


def sizes_of(run: Path) -> tuple[int, int]:
    """The bytes of a run's folder and of one of its checkpoints, in whole pages."""
    page = 4096
    files = [path.stat().st_size for path in run.rglob("*") if path.is_file()]
    one = (run / "checkpoints" / "last.pt").stat().st_size
    return sum(-(-size // page) * page for size in files), -(-one // page) * page


@pytest.mark.parametrize("room", [0, 2, 0.9])
def test_row_06_full_disk_at_a_checkpoint(
    train: Command, tmp_path: Path, small_disk: Path, reference: Path, room: float
) -> None:
    """Room for `room` pages (below 1: a share of the checkpoint) when the next one is due."""
    process = start(tmp_path, *LONG, f"hydra.run.dir={small_disk / 'run'}")
    run = small_disk / "run"
    wait_for(process, run / "metrics.jsonl", 12)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    used, one = sizes_of(run)
    # Going on opens a second event file and replaces metrics.jsonl and config.yaml, each a page or two.
    spare = 4 * 4096
    resize(small_disk, used + spare + int(room * one if 0 < room < 1 else room * 4096))
    step = json.loads((run / "checkpoints" / "last.json").read_text())["step"]
    stopped = train(f"resume={run}")
    assert stopped.code == 6, (stopped.out, stopped.err)
    one_line(stopped.err, "No space left on device", "free some")
    left = {path.name for path in (run / "checkpoints").iterdir()} - {"best.pt", "best.json"}
    assert left == {f"{name}.{kind}" for name in ("last", "previous") for kind in ("pt", "json")}
    resize(small_disk, 5 << 20)
    again = train(f"resume={run}")
    assert again.code == 0, again.err
    assert f"going on at step {step}" in again.out
    assert_same_run(run, reference)


def test_row_07_full_disk_at_the_event_file(tmp_path: Path, reference: Path) -> None:
    """/dev/full takes no byte: the numbers are all in metrics.jsonl."""
    prelude = """
from tensorboard.summary.writer import event_file_writer
event_file_writer.tf.io.gfile.GFile = lambda name, mode: open("/dev/full", "wb")
"""
    code, out, err = ended(program(tmp_path, prelude, *LONG, "hydra.run.dir=run"))
    assert code == 0, err
    assert err == ""
    assert out.count("TensorBoard's file cannot be written") == 1
    assert_same_run(tmp_path / "run", reference)


# 8 to 13: foreign and hostile files


def test_row_09_checkpoint_of_another_model(
    train: Command, tmp_path: Path, plain_run: Path, attention_run: Path
) -> None:
    run = shutil.copytree(plain_run, tmp_path / "run")
    (run / "result.json").unlink()
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(attention_run / "checkpoints", run / "checkpoints")
    refused = train("resume=run")
    assert refused.code == 5
    one_line(refused.err, "another model", "query.weight")


def change(run: Path, **changes: Any) -> None:
    """Rewrite a run's checkpoint, with a digest that is right."""
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    for key, value in changes.items():
        if value is None:
            del state[key]
        else:
            state[key] = value
    version = state.pop("version")
    shutil.rmtree(run / "checkpoints")
    (run / "result.json").unlink()
    checkpoint.VERSION, kept = version, checkpoint.VERSION
    checkpoint.save(run / "checkpoints", "last", state, {})
    checkpoint.VERSION = kept


CHANGES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "dataset": ({"classes": [f"other_{number}" for number in range(10)]}, ("other data", "other_0", "pattern_0")),
    "channels": ({"channels": 1}, ("other data", "1 channels", "3 channels")),
    "optimizer": ({"optimizer": {"state": {}, "param_groups": []}}, ("does not fit",)),
    "progress": ({"progress": {"stap": 3}}, ("does not fit", "stap")),
    "rng": ({"rng": {"cpu": torch.zeros(3)}}, ("does not fit",)),
    "missing": ({"best_accuracy": None}, ("does not fit", "best_accuracy")),
    "newer": (
        {"version": checkpoint.VERSION + 1},
        (f"version {checkpoint.VERSION + 1}", f"version {checkpoint.VERSION}"),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_row_09_10_checkpoint_that_does_not_fit(train: Command, tmp_path: Path, plain_run: Path, name: str) -> None:
    changes, named = CHANGES[name]
    run = shutil.copytree(plain_run, tmp_path / "run")
    change(run, **changes)
    refused = train("resume=run")
    assert refused.code == 5, (refused.out, refused.err)
    one_line(refused.err, *named)
    assert not (run / "result.json").exists()


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_row_11_malicious_checkpoint(tmp_path: Path, plain_run: Path, command: str) -> None:
    run, canary = shutil.copytree(plain_run, tmp_path / "run"), tmp_path / "canary"
    change(run, model=Planted(canary))
    refused = run_here(tmp_path, f"{'resume' if command == 'train' else 'run'}=run", command=command)
    assert refused.code == 5
    one_line(refused.err, "plain tensors", command="attn-train" if command == "train" else "attn-eval")
    assert not canary.exists()
    torch.load(run / "checkpoints" / "last.pt", weights_only=False)
    assert canary.exists()  # it would have run


def test_row_15_no_network_and_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a name space without any network."""
    prelude = """
import ctypes
new_user, new_network = 0x10000000, 0x40000000
if ctypes.CDLL(None).unshare(new_user | new_network):
    sys.exit(77)
"""
    begun = time.monotonic()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    code, _, err = ended(program(tmp_path, prelude, "dataset=cifar10"))
    if code == 77:
        pytest.skip("no right to leave the network")
    assert code == 3, err
    one_line(err, "by hand", "dataset.url", "image tree")
    assert time.monotonic() - begun < 60
    assert not list(tmp_path.rglob("*.part"))


# 17 and 18: what training itself can run into


def test_row_17_nan_leaves_best_and_last(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = 20
    step, done = TrainingStep.__call__, []

    def poisoned(*rest: Any, **options: Any) -> Any:
        done.append(1)
        loss, *others = step(*rest, **options)
        return (loss * (float("nan") if len(done) == at else 1), *others)

    monkeypatch.setattr(TrainingStep, "__call__", poisoned)
    stopped = train(*LONG, "hydra.run.dir=run")
    assert stopped.code == 4
    one_line(stopped.err, f"step {at}")
    folder = tmp_path / "run" / "checkpoints"
    last, best = (checkpoint.load(folder, (name,)) for name in ("last", "best"))
    assert last is not None
    assert best is not None
    assert last["step"] == at - 1
    assert best["best_accuracy"] == last["best_accuracy"] >= 0
    assert all(tensor.isfinite().all() for tensor in last["model"].values())


def test_row_18_out_of_memory(tmp_path: Path) -> None:
    """The system itself refuses the process more than it has and 200 MB."""
    prelude = """
import resource
from attn_train.commands import run
begin = run.fit
def starve(*rest, **options):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000,) * 2)
    return begin(*rest, **options)
run.fit = starve
"""
    words = (
        *TINY, "dataset.image_size=64", "dataset.limit=null", "dataset.val_size=0", "train.batch_size=500",
        "train.accumulate=1", "train.resolution=[1]", "backbone.widths=[64,64,64]", "hydra.run.dir=run",
    )  # fmt: skip
    code, _, err = ended(program(tmp_path, prelude, *words))
    assert code == 6, err
    one_line(err, "out of memory", "train.batch_size", "train.accumulate=2")
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


# 19 to 22: the folder


def test_row_19_two_processes_in_one_folder(tmp_path: Path, reference: Path) -> None:
    first = start(tmp_path, *LONG, "hydra.run.dir=run")
    wait_for(first, tmp_path / "run" / "metrics.jsonl", 1)
    first.send_signal(signal.SIGSTOP)
    second = start(tmp_path, *LONG, "hydra.run.dir=run")
    code, _, err = ended(second)
    first.send_signal(signal.SIGCONT)
    assert code == 2
    one_line(err, f"process {first.pid}", "another folder")
    assert ended(first)[0] == 0
    assert_same_run(tmp_path / "run", reference)


def test_row_19_many_at_once(tmp_path: Path) -> None:
    """Started in the same moment: without a name each has its own folder, with one the first has it."""
    own = [start(tmp_path, *TINY) for _ in range(2)]
    named = [start(tmp_path, *TINY, "hydra.run.dir=outputs/one") for _ in range(2)]
    assert [ended(process)[0] for process in own] == [0, 0]
    codes = []
    for process in named:
        code, out, err = ended(process)
        codes.append(code)
        assert code == 0 or "being trained by process" in err, (out, err)
    assert 0 in codes
    assert set(codes) <= {0, 2}
    assert len(list(tmp_path.glob("outputs/*/*/result.json"))) == 2
    assert (tmp_path / "outputs" / "one" / "result.json").exists()
    assert (tmp_path / "outputs" / "one" / ".hydra" / "overrides.yaml").exists()


def test_row_19_a_run_that_fails_leaves_the_folder_of_another(tmp_path: Path) -> None:
    """Both made the folder; the one that is refused must not clear it away under the other."""
    prelude = """
from pathlib import Path
before = Path.exists
Path.exists = lambda path: before(path) and path.name != "run"
"""
    (tmp_path / "run").mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; from pathlib import Path; from attn_train.runs.lock import locked\n"
         "with locked(Path('run')): print('held', flush=True); time.sleep(60)"],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    code, _, err = ended(program(tmp_path, prelude, *TINY, "hydra.run.dir=run"))
    holder.kill()
    holder.communicate()
    assert code == 2, err
    assert f"process {holder.pid}" in err
    assert (tmp_path / "run" / ".lock").exists()


@pytest.mark.parametrize("folder", ["/proc/run", "/dev/null/run"])
def test_row_21_folder_that_cannot_be_written(train: Command, folder: str) -> None:
    refused = train(*TINY, f"hydra.run.dir={folder}")
    assert refused.code == 2
    one_line(refused.err, folder, "hydra.run.dir")


@pytest.mark.parametrize("how", ["deleted", "moved", "checkpoints"])
def test_row_22_folder_gone_while_running(tmp_path: Path, how: str) -> None:
    process = start(tmp_path, *LONG, "hydra.run.dir=outputs/run")
    run = tmp_path / "outputs" / "run"
    wait_for(process, run / "metrics.jsonl", 3)
    process.send_signal(signal.SIGSTOP)
    if how == "moved":
        run.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(run if how == "deleted" else run / "checkpoints")
    process.send_signal(signal.SIGCONT)
    code, _, err = ended(process)
    if how == "checkpoints":  # made anew, unless it went while a checkpoint was being written
        assert code in (0, 6), err
        if code == 6:
            one_line(err, "deleted or moved", "outputs/run")
        return
    assert code == 6, err
    one_line(err, "deleted or moved", "outputs/run")
    assert not run.exists()
    if how == "moved":
        again = run_here(tmp_path, "resume=elsewhere")
        assert again.code == 0, again.err


# 23 to 26: around the run


def test_row_23_no_bar_in_a_log_file(tmp_path: Path) -> None:
    program = "from attn_train import cli; cli.train()"
    with (tmp_path / "log").open("ab") as log:
        process = Forked(program, *TINY, "hydra.run.dir=run", folder=tmp_path, out=log, errors=log)
        assert process.wait(timeout=120) == 0
    text = (tmp_path / "log").read_text()
    assert "\r" not in text
    assert "%|" not in text
    assert len(text.splitlines()) < 12


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run killed in its middle; copied before it goes on."""
    folder = tmp_path_factory.mktemp("killed")
    process = start(folder, *LONG, "hydra.run.dir=run")
    wait_for(process, folder / "run" / "metrics.jsonl", 10)
    process.kill()
    process.communicate()
    return folder / "run"


@pytest.mark.parametrize("place", [0, 0.5, 0.99])
def test_row_24_damaged_event_file(train: Command, tmp_path: Path, killed: Path, reference: Path, place: float) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = shutil.copytree(killed, tmp_path / "run")
    (events,) = run.glob("events.*")
    content = bytearray(events.read_bytes())
    if content:
        content[int(place * (len(content) - 1))] ^= 255
        events.write_bytes(content)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')  # as a kill leaves it
    assert train("resume=run").code == 0
    assert_same_run(run, reference)
    seen = EventAccumulator(str(run), size_guidance={"scalars": 0})
    seen.Reload()
    steps = [one.step for one in seen.Scalars("loss/train")]
    assert steps == sorted(set(steps))
    assert steps[-1] == STEPS


def test_row_24_a_run_that_goes_on_within_a_second(tmp_path: Path) -> None:
    """TensorBoard reads the files of a run by name, where the second stands before the computer and the process."""
    for _ in range(3):
        (tmp_path / f"events.out.tfevents.{int(time.time()):010d}.zzzz.99999999.0").touch()
        tracker = Tracker(tmp_path, 3)
        tracker.close()
        names = sorted(path.name for path in tmp_path.glob("events.*"))
        assert "zzzz" not in names[-1]


def make_pictures(root: Path) -> None:
    for part in ("train", "test"):
        for number, name in enumerate(("cat", "dog")):
            (root / part / name).mkdir(parents=True)
            for shade in (10, 200):
                Image.new("RGB", (16, 16), (shade, 100 * number, 0)).save(root / part / name / f"{shade}.png")


def test_row_25_jobs_that_fail_in_their_own_ways(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One raises, one exits, one goes NaN; the others finish, and the first one's code is the command's."""
    make = build.make_training

    def faulty(config: Any) -> Any:
        if config.seed == 1:
            raise ZeroDivisionError("planted")
        if config.seed == 2:
            raise SystemExit(77)
        return make(config)

    monkeypatch.setattr(build, "make_training", faulty)
    words = ("optimizer=sgd", "train.clip_norm=null", "optimizer.lr=0.01,1e30", "seed=0,1,2,3", "sweep=mine")
    done = train("-m", *TINY, *words)
    sweep = tmp_path / "outputs" / "mine"
    assert "2 runs finished, 6 failed" in done.out
    table = done.out[done.out.index("runs finished") :]
    assert table.count("planted") == 2
    assert table.count("step 2") == 2
    assert len(list(sweep.glob("*/failure.json"))) == 6
    first = min(path.parent.name for path in sweep.glob("*/failure.json"))
    assert done.code == json.loads((sweep / first / "failure.json").read_text())["exit_code"]
    assert done.code in (1, 4)


def test_row_25_jobs_that_would_share_a_folder(train: Command, tmp_path: Path) -> None:
    """Two roots are two data sets, but no part of what names a job: one result would pass for both."""
    for name in ("one", "two"):
        make_pictures(tmp_path / name)
    words = ("dataset=image_folder", "dataset.val_size=0", "train.batch_size=4", "dataset.root=one,two")
    refused = train("-m", *TINY, *words)
    assert refused.code == 2
    one_line(refused.err, "share the folder", "dataset.root", "sweep=NAME")
    assert not (tmp_path / "outputs").exists()


def test_row_26_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    """Working folder /, a home on a read-only disk, a folder for temporary files of its own."""
    home, temporary, run = (tmp_path / name for name in ("home", "temporary", "run"))
    home.mkdir()
    temporary.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=4k", "none", str(home)], capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    try:
        env = {key: value for key, value in os.environ.items() if key not in ("MPLCONFIGDIR", "XDG_CACHE_HOME")}
        env |= {"HOME": str(home), "TMPDIR": str(temporary)}
        before = sorted(os.listdir("/"))
        ended = subprocess.run(
            [sys.executable, "-c", "from attn_train import cli; cli.train()", *TINY, f"hydra.run.dir={run}"],
            cwd="/", env=env, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)
    assert ended.returncode == 0, ended.stderr
    assert sorted(os.listdir("/")) == before
    # Matplotlib's list of fonts, and the compiler's kernels.
    assert {path.name.partition("_")[0] for path in temporary.iterdir()} <= {"attn-train", "torchinductor"}
    assert {path.name for path in tmp_path.iterdir()} == {"home", "temporary", "run"}


def test_a_damaged_result_is_no_result(train: Command, tmp_path: Path, plain_run: Path) -> None:
    for content in ("", "{", "null", "[]"):
        run = shutil.copytree(plain_run, tmp_path / "run")
        expected = json.loads((run / "result.json").read_text())
        (run / "result.json").write_text(content)
        again = train("resume=run")
        assert again.code == 0, again.err
        found = json.loads((run / "result.json").read_text())
        assert found["correct"] == expected["correct"]
        assert yaml.safe_load((run / "config.yaml").read_text())["train"]["epochs"] == expected["epochs"]
        shutil.rmtree(run)
