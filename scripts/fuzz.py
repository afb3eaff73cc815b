"""Command lines that nobody would write: a part of torture.py."""

import os
import random
import re
import resource
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attn_train import build
from attn_train.errors import AttnTrainError
from attn_train.settings import compose

SMALL = (
    "+experiment=smoke",
    "device=cpu",
    "device.threads=1",
    "backbone.widths=[8,8,8]",
    "train.max_steps=1",
)
VALUES = (
    *(
        "0",
        "1",
        "2",
        "3",
        "7",
        "-1",
        "0.5",
        "1e-9",
        "1e9",
        "1e309",
        "nan",
        "inf",
        "-inf",
        "2.5",
        "99999999999999999999",
    ),
    *("null", "true", "false", "none", "auto", "all", "random", "''", '""', "' '", "[]", "[1]", "[0.5,0.75]", "[a,b]"),
    *("[[1],[2]]", "[null]", "[nan]", "{}", "{a: 1}", "{name: gated}", "{name: 3}", "gated", "resnet", "cifar10"),
    *("../..", "/", "/proc/none/x", "a/b", "~", ".", "ä", "日本", "a b", "a=b", "a,b", "1,2", "range(3)", "glob(*)"),
    *("${seed}", "${no.such}", "${oc.env:HOME}", "${oc.env:NO_SUCH}", "${", "$x", "}", "[", "'", "\\", "%s", "\t"),
    *("x" * 3000, "_target_", "os.system", "!!python/name:os.system", "choice(1,2)", "sort(3,1)", "int(3)", "int(a)"),
)
EXTRA = (
    "hydra.run.dir",
    "hydra.verbose",
    "hydra.mode",
    "hydra.job.name",
    "hydra.output_subdir",
    "hydra/launcher",
    "_target_",
)
SECONDS = 120.0  # a run that takes longer hangs
COMPOSE_SECONDS = 20
MEMORY = 8 << 30  # of a run's address space, so that a setting cannot take the whole machine's


def generate(draw: random.Random, settings: list[str], groups: tuple[str, ...]) -> list[str]:
    """Draw one to four overrides: settings and groups with values of all kinds, right names mostly."""
    words = []
    for _ in range(draw.choice((1, 1, 1, 2, 3, 4))):
        key = draw.choice((*settings, *settings, *groups, *EXTRA))
        if draw.random() < 0.1:
            key = draw.choice((key + "s", key[1:], key.upper(), key + ".x", f"{key}[0]", key.rpartition(".")[0], ""))
        value = draw.choice(VALUES)
        if key in groups and draw.random() < 0.7:
            value = draw.choice(sorted(path.stem for path in (compose.CONF / key).glob("*.yaml")))
        elif draw.random() < 0.15:
            value = draw.choice((str(draw.randrange(-5, 50)), f"{draw.gauss(0, 10):.3g}", value + draw.choice(VALUES)))
        form = draw.random()
        sign = "~" if form < 0.03 else "++" if form < 0.06 else "+" if form < 0.1 else ""
        words.append(f"{sign}{key}" if sign == "~" or form > 0.99 else f"{sign}{key}={value}")
    return words


class Hang(BaseException):
    """Raised where a composition takes too long."""


def expire(number: int, frame: Any) -> None:
    raise Hang


def check(words: list[str]) -> str:
    """Compose and check one command line as attn-train does; return how it ended."""
    signal.signal(signal.SIGALRM, expire)
    signal.alarm(COMPOSE_SECONDS)
    try:
        composed = compose.compose([*SMALL, *words], compose.parse([]))
        build.check(compose.to_config(composed))
        return "accepted"
    except AttnTrainError as error:
        return "refused" if "\n" not in str(error) else "refused in several lines"
    except Hang:
        return "hang"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:150]
    finally:
        signal.alarm(0)


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def ended_well(place: Path, code: int | None) -> str:
    """Say what is wrong with the end of a run, or nothing."""
    err = Path(f"{place}.err").read_text(encoding="utf-8", errors="replace")
    lines = [line for line in err.splitlines() if line.strip()]
    finished = bool(list(place.parent.rglob("result.json")))
    if code is None:
        return "hang"
    if code not in (0, 2, 3, 4, 5, 6):
        return f"exit code {code}: {lines[-1] if lines else ''}"[:200]
    if "Traceback" in err:
        return f"traceback: {lines[-1]}"[:200]
    if code and (not lines or not re.match("attn-train: |attn-train: error", lines[-1])):
        return f"no line says what was wrong: {lines[-1:]}"
    if finished != (code == 0):
        return f"exit code {code}, result.json {'there' if finished else 'missing'}"
    return ""


def fuzz(
    folder: Path,
    overrides: int,
    runs: int,
    draw: random.Random,
    fork: Callable[..., int],
    wait: Callable[[int, float], int | None],
) -> bool:
    """Give generated words to the composition alone, and to whole runs of one step; print what ended badly."""
    compose.register()
    settings = compose.settings()
    groups = tuple(group for group in compose.GROUPS if group != "experiment")
    whole = [generate(draw, settings, groups) for _ in range(runs)]
    codes: Counter[str] = Counter()
    bad = []
    for number, words in enumerate(whole):
        place = folder / str(number) / "run"
        place.parent.mkdir()
        given = [word for word in words if not word.startswith("hydra.run.dir")]
        # The downloads that a generated address would ask for are none of this machine's business.
        child = fork(place, [*SMALL, "dataset.download=false", f"hydra.run.dir={place}", *given], limit_memory)
        code = wait(child, SECONDS)
        if code is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        codes[str(code)] += 1
        if wrong := ended_well(place, code):
            bad.append((wrong, given))
    print(f"fuzz: {runs} whole runs; exit codes {dict(sorted(codes.items()))}; {len(bad)} ended badly", flush=True)
    ends: Counter[str] = Counter()
    for _ in range(overrides):
        words = generate(draw, settings, groups)
        with suppress(RecursionError):
            ended = check(words)
        ends[ended if ended in ("accepted", "refused") else "badly"] += 1
        if ended not in ("accepted", "refused"):
            bad.append((ended, words))
    print(f"fuzz: {overrides} composed and checked: {dict(sorted(ends.items()))}")
    for wrong, words in bad[:40]:
        print(f"  {wrong}\n    {words}")
    return not bad
