"""Memory: what is free, a limit for this process, and the peak of one piece of work.

psutil knows neither a container's limit nor the peak of resident memory that Linux can forget.
"""

import gc
import sys
from pathlib import Path

import torch

from attn_train.machine.allocator import give_back_freed_memory
from attn_train.machine.device import Device, forget_peak_memory, peak_memory_bytes

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
    """Return how many bytes are free for this process, its container's limit counted; None where nobody knows."""
    free = [value for key, value in fields(Path("/proc/meminfo")).items() if key == "MemAvailable"]
    for limit, used in GROUP_FILES:
        try:
            free.append(int(Path(limit).read_text(encoding="utf-8")) - int(Path(used).read_text(encoding="utf-8")))
        except (OSError, ValueError):  # none, or the limit is the word max
            continue
    return max(0, min(free)) if free else None


def limit_this_process(more: int) -> None:
    """Let this process take `more` bytes than it has now, so that an allocation past that raises instead of bringing
    the system's killer; where the system keeps no such limit, do nothing."""
    if sys.platform != "linux":
        return
    import resource

    now = fields(STATUS)
    # RLIMIT_AS counts reservations too, of which threads make some; it only serves where RLIMIT_DATA is not kept.
    for kind, name, slack in ((resource.RLIMIT_DATA, "VmData", 0), (resource.RLIMIT_AS, "VmSize", 2**30)):
        if name in now:
            hard = resource.getrlimit(kind)[1]
            wanted = now[name] + more + slack
            resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


class Peak:
    """The most memory in use since it was made, above what was in use then.

    Of CUDA's allocator; else of this process's resident memory, exact to some 0.3 MB. Linux forgets an earlier peak
    when asked; elsewhere what stays below an earlier peak counts 0.
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
            give_back_freed_memory()  # else the work would use it unseen
        forget_peak_memory(device)
        self.before = self.read()

    def read(self) -> int:
        if self.device.kind == "cuda":
            return torch.cuda.max_memory_allocated()
        return fields(STATUS).get("VmHWM") or peak_memory_bytes(self.device)

    def bytes(self) -> int:
        return max(0, self.read() - self.before)
