"""Measure attn-train on this machine, beside the peers that are given: python scripts/benchmark --help.

Not a test: nothing passes or fails. Let nothing else run meanwhile.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import article
import compilation
import corruption
import machine
import race
import seeds
import start
import step

PARTS: dict[str, Callable[[argparse.Namespace, Path], dict[str, object]]] = {
    "machine": machine.measure,
    "start": start.measure,
    "step": step.measure,
    "compile": compilation.measure,
    "article": article.measure,
    "first_epoch": article.compare_first_epoch,
    "race": race.measure,
    "seeds": seeds.measure,
    "corruption": corruption.measure,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""\
parts
  machine      the machine's own rate of matrix products, in float32 and, where that is faster, in bfloat16
  start        seconds of attn-train --help, and from Enter to the end of the first step, cold and warm
  step         images a second of the fast recipe at each of its resolutions, the share that this is of the machine's
               matrix-product rate in the same precision, peak memory
  compile      from how many steps on compilation earns its time back, for each network
  article      images a second of the article's network here and in the article's own script, in turn
  first_epoch  mean training loss of the article's first epoch, from the same initial weights, there and here
  race         seconds from Enter to each accuracy, over seeds, here and by airbench94_muon
  seeds        accuracy and seconds of each seed in one process, compiled, compilation and start apart, both likewise
  corruption   seconds that each corruption of the test images takes, at each severity

peers, which are not part of this project
  --article-script   article_script.py: the article's listing with its missing import, which prints
                     "epoch N: ... S s of training so far"
  --airbench         airbench94_muon.py of https://github.com/KellerJordan/cifar10-airbench
                     (git clone, then name the file); run unchanged, on the CPU in the precision of device=auto
""",
    )
    parser.add_argument("--root", type=Path, help="folder with cifar10/{train,test}/CLASS/*; most parts need it")
    parser.add_argument("--parts", default="machine,start,step", help="which, in this order: %(default)s")
    parser.add_argument("--article-script", type=Path)
    parser.add_argument("--airbench", type=Path)
    parser.add_argument("--pairs", type=int, default=3, help="of article: how often both are run in turn")
    parser.add_argument("--batches", type=int, default=40, help="of article: batches of 128 images a run")
    parser.add_argument("--seeds", type=int, default=3, help="of race and seeds: seeds of each contestant")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them, %(default)s")
    parser.add_argument(
        "--models", default="none,gated", help="of step, compile, race and seeds: the mechanisms, %(default)s"
    )
    parser.add_argument("--experiment", default="fast", help="of race and seeds: the recipe, %(default)s")
    parser.add_argument(
        "--words", default="", help="of race and seeds: more of attn-train's words, with spaces between"
    )
    parser.add_argument("--json", type=Path, help="write every figure to this file too")
    given = parser.parse_args()
    given.parts = given.parts.split(",")
    for part in given.parts:
        if part not in PARTS:
            parser.error(f"--parts: unknown part '{part}'; choose from {', '.join(PARTS)}")
    for part in set(given.parts) - {"machine"}:
        if given.root is None:
            parser.error(f"--root is missing; {part} needs CIFAR-10")
        if not (given.root / "cifar10").is_dir():
            parser.error(f"--root={given.root} has no folder cifar10 with the pictures in train/ and test/")
    for path in (given.article_script, given.airbench):
        if path is not None and not path.is_file():
            parser.error(f"{path} is no file")
    for option in ("pairs", "batches", "seeds"):
        if getattr(given, option) < 1:
            parser.error(f"--{option}={getattr(given, option)} must be at least 1")
    for part, option in (("article", "article_script"), ("first_epoch", "article_script")):
        if part in given.parts and getattr(given, option) is None:
            parser.error(f"--{option.replace('_', '-')} is missing; {part} needs it")
    return given


def main() -> None:
    given = arguments()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in given.parts:
            print(f"\n{part}", flush=True)
            found[part] = PARTS[part](given, Path(folder))
            if given.json is not None:  # after each part: a later one may take hours, or fail
                given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
