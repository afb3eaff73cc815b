"""One process at a time in a run folder, and no lock outlives its process."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from attn_train.errors import ConfigError
from attn_train.runs.lock import holder, locked

HOLD = """
import sys, time
from pathlib import Path
from attn_train.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_another_process_is_refused_by_number_until_it_is_gone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=rf"trained by process {other.pid};"), locked(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
        with locked(tmp_path):
            pass


def test_waiting_for_another_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said once, and ends when that process does, however it does."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert holder(tmp_path) == str(other.pid)
        looks = iter([False, False, True])
        with pytest.raises(ConfigError, match=str(other.pid)), locked(tmp_path, True, lambda: next(looks)):
            pass
        threading.Timer(0.2, other.kill).start()
        with locked(tmp_path, wait=True):
            assert other.wait() == -signal.SIGKILL
    assert holder(tmp_path) is None
    assert capsys.readouterr().out == 2 * f"waiting: {tmp_path} is being trained by process {other.pid}\n"


def test_no_process_waits_for_itself(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ConfigError, match=str(os.getpid())), locked(tmp_path, wait=True):
        pass


def test_a_folder_left_is_free_again(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path):
            assert (tmp_path / ".lock").read_text() == str(os.getpid())
