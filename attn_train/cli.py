"""The commands: from the words of a command line to what they stand for.

Nothing here imports torch until a run is certain, so that --help, --cfg and completion answer at once.
"""

import logging
import sys
from functools import partial
from typing import TYPE_CHECKING

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from attn_train import __version__, errors
from attn_train.commands import plugged
from attn_train.commands.exit_codes import exit_codes
from attn_train.commands.plan import Plan, claim, make_plan, name_jobs, remove_unbegun
from attn_train.comparison.help import HELP as COMPARE_HELP
from attn_train.conformance.help import HELP as CHECK_HELP
from attn_train.cost.bench.help import HELP
from attn_train.machine import surroundings
from attn_train.settings import compose, words
from attn_train.settings.explain import explain
from attn_train.study.arms import words_of
from attn_train.study.help import HELP as STUDY_HELP
from attn_train.writing.quoting import setting

if TYPE_CHECKING:
    from attn_train.commands import jobs

log = logging.getLogger(__name__)


def train(given: list[str] | None = None) -> None:
    """Run the command attn-train; `given` are its words, None: those of the command line."""
    arguments = sys.argv[1:] if given is None else given
    compose.register(["attn-train", *arguments])
    with exit_codes("attn-train"):
        options = compose.parse(arguments)
        plugged.offer(arguments)
        if compose.asks_only(options):
            compose.answer(options)
            return
        surroundings.refuse_twins()
        planned = make_plan(options)
        from attn_train.commands import jobs

        if planned.is_sweep:
            run_sweep(planned)
            return
        try:
            jobs.run_single(planned)
        except Exception:
            remove_unbegun(planned)
            raise


def run_sweep(planned: Plan) -> None:
    """Run a sweep, and print its table whatever became of its jobs; exit with the code of the first that failed."""
    from attn_train.commands import jobs, sweep

    begun = jobs.Jobs()
    ended: Exception | None = None
    try:
        if planned.needs_hydra:
            launch(planned, begun)
        else:
            begun.run(planned)
    except Exception as error:
        if isinstance(error, errors.ConfigError) and not begun.overrides:
            raise  # nothing began
        ended = error
    # A launcher with processes of its own tells nothing of its jobs here.
    named = begun.overrides if len(begun.overrides) >= len(planned.jobs) else name_jobs(planned)
    code = sweep.report(planned.folder, begun.started, named, begun.failures)
    if ended is not None:
        raise ended
    if code:
        sys.exit(code)


def launch(planned: Plan, begun: "jobs.Jobs") -> None:
    """Have the sweeper and the launcher that were named run the jobs; raise ConfigError in one line for what Hydra
    finds wrong with the configuration."""
    options = planned.options
    # From the run's own folder, dataset.root and every other relative path would lead elsewhere.
    pinned = [setting("hydra.sweep.dir", planned.folder), "hydra.mode=MULTIRUN", "hydra.job.chdir=false"]
    try:
        with compose.loaded(options) as hydra:
            hydra.multirun(options.config_name or "config", begun.task, [*options.overrides, *pinned])
    except (HydraException, OmegaConfBaseException) as error:
        raise errors.ConfigError(explain(error, compose.GROUPS, compose.settings)) from error


def answered(command: str, arguments: list[str], text: str, wants_words: bool = False) -> bool:
    """Print what a command line asks for, the help `text` or the version, and say whether it does; raise ConfigError
    for any other option. `wants_words`: the command does nothing without a word."""
    if {"-h", "--help"} & set(arguments) or (wants_words and not arguments):
        print(text)
        return True
    if "--version" in arguments:
        print(f"{command} {__version__}")
        return True
    words.refuse_options(command, arguments)
    return False


def evaluate(given: list[str] | None = None) -> None:
    """Run the command attn-eval."""
    arguments = sys.argv[1:] if given is None else given
    compose.register(["attn-eval", *arguments])
    with exit_codes("attn-eval"):
        if answered("attn-eval", arguments, EVAL_HELP, wants_words=True):
            return
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
        plugged.offer(arguments)
        from attn_train.commands.evaluation import main

        main(arguments, claim)


def bench(given: list[str] | None = None) -> None:
    """Run the command attn-bench."""
    arguments = sys.argv[1:] if given is None else given
    compose.register(["attn-bench", *arguments])
    with exit_codes("attn-bench"):
        if answered("attn-bench", arguments, HELP):
            return
        surroundings.refuse_twins()
        plugged.offer(arguments)
        config = compose.bench(arguments)
        from attn_train.cost.bench.command import main

        main(config, partial(claim, setting="output"))


def check(given: list[str] | None = None) -> None:
    """Run the command attn-check."""
    arguments = sys.argv[1:] if given is None else given
    compose.register(["attn-check", *arguments])
    with exit_codes("attn-check"):
        if answered("attn-check", arguments, CHECK_HELP, wants_words=True):
            return
        surroundings.refuse_twins()
        plugged.offer(arguments)
        config = compose.check(arguments)
        from attn_train.conformance.command import main

        main(config)


def compare(given: list[str] | None = None) -> None:
    """Run the command attn-compare."""
    arguments = sys.argv[1:] if given is None else given
    compose.register(["attn-compare", *arguments])
    with exit_codes("attn-compare"):
        if answered("attn-compare", arguments, COMPARE_HELP, wants_words=True):
            return
        from attn_train.comparison.command import main

        main(arguments, partial(claim, setting="output"))


def study(given: list[str] | None = None) -> None:
    """Run the command attn-study."""
    arguments = sys.argv[1:] if given is None else given
    compose.register(["attn-study", *arguments])
    with exit_codes("attn-study"):
        if answered("attn-study", arguments, STUDY_HELP):
            return
        surroundings.refuse_twins()
        plugged.offer(arguments)
        config = compose.study(words_of(arguments))
        from attn_train.study.command import main

        main(config, partial(claim, setting="sweep"))


EVAL_HELP = """\
attn-eval: test a finished run again, from its checkpoint.

  attn-eval run=RUN [SETTING=VALUE] ...

run=RUN               a run's folder, outputs/DATE/TIME_MODEL_DATASET_ID
checkpoint=last       or best: the best on validation images, where the run had some
split=test            or train, val
image=PATH            instead: name what is on a picture, or on each picture in a folder, and draw the attention over it
output=FOLDER         where to draw that; otherwise in RUN/attention. Of a test: where to draw its reliability diagram
predictions=FILE.csv  also: each picture's file, class, predicted class, and the probability of each class, as a table
corruptions=all       instead: test it on images made worse, in the style of CIFAR-10-C: all nineteen corruptions, or a
                      list of them or of groups (noise, blur, weather, digital, extra), at each severity. A table; in
                      RUN robustness.json, .npz (which images were right) and .png. Given again, only what is missing
severity=3            of these, 1 to 5, or a list; corruptions_seed=0 is that of their random numbers
corruptions=official  with corruptions_root=FOLDER: the published arrays of CIFAR-10-C or CIFAR-100-C, by their digests
export=FILE           instead: write the network to FILE.safetensors, which any program reads without running code
against=DATASET       also: how often the network is surer of its own images than of another data set's (AUROC), like
                      cifar100, digits, synthetic; against_root=PATH where that lies, otherwise in dataset.root
plugins=FILE.py       the code of a run that was trained with a module of one's own: named here, it runs
eval.views=1          or 2 (with the mirror image), 6 (also shifted by a pixel); the run's own where not given

Settings that matter to a test can be given too: another place for the run's data (dataset.root=PATH), other data
(dataset=image_folder dataset.root=PATH), another device (device=cpu), eval.batch_size. Of a folder that the run was
not trained on all pictures are tested (PATH/CLASS/*), or those of the split (PATH/{train,val,test}/CLASS/*); classes
may be missing.

Examples
  attn-eval run=outputs/2026-01-31/12-00-00_gated_cifar10_a1b2c3
  attn-eval run=... split=val checkpoint=best
  attn-eval run=... corruptions=all
  attn-eval run=... 'corruptions=[noise,fog]' 'severity=[1,5]'
  attn-eval run=... against=cifar100
  attn-eval run=... image=cat.jpg"""


# By the word that follows `python -m attn_train`.
COMMANDS = {"train": train, "eval": evaluate, "bench": bench, "check": check, "compare": compare, "study": study}
