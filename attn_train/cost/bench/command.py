"""attn-bench: measure its cells round by round, and write the results."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from attn_train import build
from attn_train.cost.bench import cells, picture, process, report, trained
from attn_train.cost.bench.cells import Cell
from attn_train.cost.bench.outcome import Outcome, exponents
from attn_train.errors import Interrupted
from attn_train.machine import memory
from attn_train.machine.device import Device
from attn_train.machine.interrupt import stop_on_signals
from attn_train.settings import bench as settings, compose
from attn_train.settings.bench import BenchSettings
from attn_train.writing import drawing
from attn_train.writing.best_effort import best_effort

FREE_SHARE = 0.8  # of the free memory, that a cell may take where memory_limit is null


class Bench:
    """A bench with everything decided and checked; nothing is measured yet."""

    def __init__(self, config: BenchSettings) -> None:
        self.runs = picture.read_runs(config.runs)
        taken = [trained.read(folder) for folder in config.runs]
        self.config = config = trained.with_defaults_of(taken, config)
        self.batch = settings.batch(config)
        self.device: Device = build.decide_device(config, steps_a_shape=0)
        self.cells = trained.make_cells(config, taken, compose.CONF)
        self.outcomes = {cell_key(cell): Outcome(cell, self.batch) for cell in self.cells}
        self.about: dict[str, Any] = {
            "command": compose.STAMP.command,
            "machine": report.machine(self.device),
            "device": asdict(self.device),
            "settings": asdict(config),
        }

    def task(self, cell: Cell) -> dict[str, Any]:
        """Return what the process of a cell is sent."""
        limit = self.config.memory_limit
        if limit is None and self.device.kind == "cpu":
            free = memory.available()
            limit = None if free is None else int(FREE_SHARE * free)
        return {
            "name": cell.arm.name,
            "options": cell.arm.options,
            "side": cell.side,
            "channels": cell.channels,
            "batch": self.batch,
            "device": asdict(self.device),
            "memory_limit": limit,
            "plugins": self.config.plugins,
            **{key: getattr(self.config, key) for key in ("repetitions", "sample_seconds", "time_limit", "seed")},
        }

    def exponents(self) -> list[dict[str, Any]]:
        return exponents(list(self.outcomes.values()), self.config.points) if self.config.scaling else []

    def measure(self, folder: Path, stopped: Callable[[], bool]) -> None:
        """Measure round by round, and write the files after each cell; a cell that failed once is not tried again."""
        rounds = cells.orders(self.cells, self.config.rounds, self.config.seed)
        for number, cell_order in enumerate(rounds, start=1):
            for place, cell in enumerate(cell_order, start=1):
                outcome = self.outcomes[cell_key(cell)]
                if outcome.status not in ("ok", "not measured"):
                    continue
                measurement = process.run(self.task(cell), stopped)
                if measurement is None:
                    return
                outcome.rounds.append(measurement)
                ended = measurement["status"] if measurement["status"] != "ok" else ""
                where = f"round {number}/{len(rounds)}, cell {place}/{len(cell_order)}"
                print(f"{where}: {cell.arm.label} {cell.channels}x{cell.side}x{cell.side} {ended}".rstrip(), flush=True)
                report.save(folder, list(self.outcomes.values()), self.exponents(), self.about)

    def finish(self, folder: Path) -> None:
        """Write everything that the bench leaves, and print the tables."""
        outcomes = list(self.outcomes.values())
        report.save(folder, outcomes, self.exponents(), self.about)
        where = self.about["machine"]
        title = (
            f"batch {self.batch}, {self.device.kind}, {self.device.precision}, {self.device.threads} threads, "
            f"{where.get('gpu', where['processor'])}, torch {where['versions']['torch']}, {where['date'][:10]}"
        )
        print(f"\n{title}\n{report.table(outcomes)}")
        if self.config.scaling:
            print(
                "\nexponent of the number of tokens at the largest maps [95 % interval of repetition, over the rounds]"
            )
            print("(slopes between the three largest maps: where they still change, the exponent has not settled)")
            print(report.exponent_table(self.exponents()))
        print(f"\nbench.csv and bench.json are in {folder}", flush=True)
        with best_effort() as attempt, attempt("bench.png") as name:
            drawing.save(picture.draw(outcomes, self.runs, title), folder / name)
            print(f"look at it: {folder / name}", flush=True)


def cell_key(cell: Cell) -> tuple[str, int, int]:
    return cell.arm.label, cell.side, cell.channels


def output_folder(config: BenchSettings) -> Path:
    if config.output is not None:
        return Path(config.output)
    return Path(compose.STAMP.folder("bench"))


def main(config: BenchSettings, claim: Callable[[Path], object]) -> None:
    """Measure what `config` asks for; `claim` makes the output folder or raises.

    A signal ends it: what was measured so far is written, and Interrupted raised.
    """
    bench = Bench(config)
    folder = output_folder(config)
    claim(folder)
    with stop_on_signals() as stop:
        bench.measure(folder, lambda: stop.signal is not None)
        bench.finish(folder)
        if stop.signal is not None:
            done = sum(len(outcome.rounds) for outcome in bench.outcomes.values())
            raise Interrupted(f"stopped; what {done} measurements found is in {folder}", 128 + stop.signal)
