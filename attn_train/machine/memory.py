"""Memory: what is free, a limit for this process, and the peak of one piece of work.

psutil knows neither a container's limit nor the peak of resident memory that Linux can forget.
"""

import gc
import sys
from pathlib import Path

import torch

from attn_train.machine.allocator import release_freed_memory
from attn_train.machine.device import Device, peak_memory_bytes, reset_peak_memory

STATUS = Path("/proc/self/status")

# Files of control groups (version 2, version 1): the limit, and what is used of it.
GROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def fields(path: Path) -> dict[str, int]:
    """Read a file of lines `Name: 12 kB`; return bytes by name, and nothing where there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    split = (line.split() for line in lines)
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in split if len(words) == 3 and words[2] == "kB"}


def available() -> int | None:
    """Return how many bytes are free for this process, within its container's limit; None where that is not known."""
    free = [value for key, value in fields(Path("/proc/meminfo")).items() if key == "MemAvailable"]
    for limit, used in GROUP_FILES:
        try:
            free.append(int(Path(limit).read_text(encoding="utf-8")) - int(Path(used).read_text(encoding="utf-8")))
        except (OSError, ValueError):  # none, or the limit is the word max
            continue
    return max(0, min(free)) if free else None


def limit_this_process(more: int) -> None:
    """Limit this process to `more` bytes than it has now, on Linux: an allocation past that raises, where the system
    would otherwise kill the process."""
    if sys.platform != "linux":
        return
    import resource

    now = fields(STATUS)
    # RLIMIT_AS counts reserved addresses too, as of threads; it serves where the system ignores RLIMIT_DATA.
    for kind, name, slack in ((resource.RLIMIT_DATA, "VmData", 0), (resource.RLIMIT_AS, "VmSize", 2**30)):
        if name in now:
            hard = resource.getrlimit(kind)[1]
            wanted = now[name] + more + slack
            resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


class Peak:
    """The most memory in use since this object was made, above what was in use then.

    That is memory of CUDA's allocator, or else resident memory of this process, exact to some 0.3 MB. Except on CUDA
    and Linux an earlier peak cannot be reset: what stays below it counts 0.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        gc.collect()
        if device.kind == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
            return
        if sys.platform == "linux":
            release_freed_memory()  # else the work would reuse it, uncounted
        reset_peak_memory(device)
        self.before = self.read()

    def read(self) -> int:
        """Return the peak, in bytes, with what was in use before."""
        if self.device.kind == "cuda":
            return torch.cuda.max_memory_allocated()
        return fields(STATUS).get("VmHWM") or peak_memory_bytes(self.device)

    def bytes(self) -> int:
        """Return the peak, in bytes, above what was in use before."""
        return max(0, self.read() - self.before)
