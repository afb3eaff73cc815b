"""A run that ended at a step drawn by chance ends as one that did not, whatever it is made of.

That a process is really killed is tested in test_resume and by scripts/torture.py; here it is the breadth: all
optimizers, schedules and backbones, with what else keeps a state or draws random numbers.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import TINY, run_here
from test_resume import assert_same_run

from attn_train.backbones import BACKBONES
from attn_train.optim.optimizers import OPTIMIZERS
from attn_train.optim.schedule import SCHEDULES
from attn_train.runs.journal import FolderJournal
from attn_train.training.journal import Window

pytestmark = pytest.mark.slow

SMALL = {
    # Two stages: after three the map has one pixel, on which batch normalisation refuses a part of a single image.
    "fast": ["backbone.widths=[8,8]"],
    "resnet": ["backbone.depth=20", "backbone.width=4", "backbone.drop_path=0.2"],
    "article": ["backbone.widths=[4,8]", "train.resolution=auto"],
    "timm": ["backbone.architecture=test_resnet", "train.resolution=auto"],
    "hybrid": ["backbone.widths=[4,8]", "backbone.drop_path=0.2"],
    "lstm": ["backbone.widths=[4,4]", "train.resolution=auto"],
}
# A schedule sets the rate of parameter groups, whatever optimizer has them: each need not meet each.
NAMES = [sorted(names) for names in (OPTIMIZERS, SCHEDULES, SMALL)]
CASES = [tuple(names[number % len(names)] for names in NAMES) for number in range(max(map(len, NAMES)))]


class Killed(BaseException):
    """Ends a run without its saving anything: neither a failure nor a signal."""


def test_all_are_drawn() -> None:
    optimizers, schedules, backbones = (set(names) for names in zip(*CASES, strict=True))
    assert (optimizers, schedules, backbones) == (set(OPTIMIZERS), set(SCHEDULES), set(BACKBONES))


def drawn(draw: random.Random, backbone: str) -> list[str]:
    """Draw what else a run has; 96 images, of which some epochs leave some out."""
    words = [
        "train.epochs=4",
        "train.max_steps=null",
        f"train.batch_size={draw.choice((20, 24))}",
        f"train.checkpoint_every={draw.choice((1, 2, 3, 5))}",
        f"train.eval_every={draw.choice((1, 3))}",
        f"train.log_every={draw.choice((1, 2, 4))}",
        f"train.accumulate={draw.choice((1, 2))}",
        f"train.drop_last={draw.choice(('true', 'false'))}",
        f"train.clip_norm={draw.choice(('null', '0.5'))}",
        f"train.ema_decay={draw.choice((0, 0.9))}",
        f"train.prune={draw.choice((0, 0.25))}",
        f"train.prune_from={draw.choice((1, 2))}",
        f"train.prune_until={draw.choice(('null', '3'))}",
        f"dataset.augment.mixup={draw.choice((0, 0.4))}",
        f"dataset.augment.cutmix={draw.choice((0, 1))}",
        f"dataset.augment.policy={draw.choice(('none', 'randaugment', 'trivialaugment'))}",
        f"dataset.val_size={draw.choice((0, 60))}",
        f"model={draw.choice(('none', 'gated', 'placebo_shuffled'))}",
    ]
    return [word for word in TINY if not word.startswith("backbone.widths")] + SMALL[backbone] + words


@pytest.mark.parametrize(("optimizer", "schedule", "backbone"), CASES)
def test_a_run_cut_off_at_any_step(
    optimizer: str, schedule: str, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    draw = random.Random(seed)
    words = [*drawn(draw, backbone), f"backbone={backbone}", f"optimizer={optimizer}", f"schedule={schedule}"]
    told = f"drawn from {seed}: {' '.join(words)}"
    shown: list[int] = []
    step = FolderJournal.step

    def counted(journal: FolderJournal, window: Window | None) -> None:
        shown.append(1)
        step(journal, window)

    monkeypatch.setattr(FolderJournal, "step", counted)
    ended = run_here(tmp_path, *words, "hydra.run.dir=reference")
    assert ended.code == 0, (told, ended.err)

    left = len(shown)
    times = draw.choice((1, 2))  # cut off, then perhaps again after it went on
    for _ in range(times):
        left = draw.randrange(1, max(2, left))
        steps = iter(range(left - 1))

        def cut(journal: FolderJournal, window: Window | None, steps: Iterator[int] = steps) -> None:
            if next(steps, None) is None:
                raise Killed
            step(journal, window)

        with monkeypatch.context() as patch:
            patch.setattr(FolderJournal, "step", cut)
            with pytest.raises(Killed):
                run_here(tmp_path, *words, "hydra.run.dir=run")
        left = len(shown) - left
        torch.manual_seed(seed)  # nothing may come from what this process drew before
        if left <= 1:
            break
    ended = run_here(tmp_path, *words, "hydra.run.dir=run")
    assert ended.code == 0, (told, ended.err)
    try:
        assert_same_run(tmp_path / "run", tmp_path / "reference")
    except AssertionError as error:
        raise AssertionError(f"{told}: {error}") from error
