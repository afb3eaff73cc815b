"""attn-eval against=DATASET: held against scikit-learn's area under the ROC curve, and Pillow's grey."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command
from PIL import Image
from scipy.special import logsumexp, softmax
from sklearn.metrics import roc_auc_score
from test_data_folder import fill

from attn_train.commands.trained import Trained
from attn_train.data.sources.digits import Digits
from attn_train.data.sources.picture import with_channels
from attn_train.settings import saved
from attn_train.statistics.intervals import chance, chance_interval
from attn_train.training.inference import infer

LINE = re.compile(r"^  (confidence|energy) ([\d.]+), 95 % interval \[([\d.]+), ([\d.]+)\]$", re.MULTILINE)


def test_the_area_is_scikit_learns(evaluate: Command, attention_run: Path, tmp_path: Path) -> None:
    """Digits as the network would see them, grey made colour and as large as its own images."""
    ended = evaluate(f"run={attention_run}", "against=digits")
    assert ended.code == 0, ended.err
    assert "against 359 test images of digits: how often one of the 160 test images has the larger value" in ended.out
    trained = Trained(attention_run, "last", saved.evaluated(attention_run, []))
    source = Digits(root=tmp_path, download=False, url=None, digest=None, image_size=16, time_limit=1.0)
    images = source.load().test.images.repeat(1, 3, 1, 1)
    foreign = infer(trained.model, images, trained.normalization, trained.device, 6, 1000, 16).double().numpy()
    with np.load(attention_run / "predictions.npz") as arrays:
        own = arrays["logits"].astype(float)
    truth = np.repeat([1, 0], [len(own), len(foreign)])
    logits = np.concatenate([own, foreign])
    expected = {"confidence": softmax(logits, axis=1).max(axis=1), "energy": logsumexp(logits, axis=1)}
    found = {what: tuple(map(float, numbers)) for what, *numbers in LINE.findall(ended.out)}
    assert set(found) == set(expected)
    for what, sure in expected.items():
        area, low, high = found[what]
        assert area == pytest.approx(roc_auc_score(truth, sure), abs=2e-4)
        assert (low, high) == pytest.approx(chance_interval(area, 160, 359), abs=2e-4)
        assert low < area < high


def test_ties_count_half_as_in_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    ours, theirs = generator.integers(0, 6, 3000), generator.integers(0, 5, 2000)
    truth = np.repeat([1, 0], [3000, 2000])
    expected = roc_auc_score(truth, np.concatenate([ours, theirs]))
    assert chance(ours.tolist(), theirs.tolist()) == pytest.approx(expected, abs=1e-12)


def test_the_interval_of_an_area_over_images_holds_it() -> None:
    """Of normal values 1 apart the true area is Phi(1 / sqrt(2))."""
    generator, held = np.random.default_rng(0), 0
    for _ in range(400):
        ours, theirs = generator.normal(1, 1, 300), generator.normal(0, 1, 500)
        low, high = chance_interval(chance(ours.tolist(), theirs.tolist()), 300, 500)
        held += low <= 0.76025 <= high
    assert 0.93 < held / 400 < 0.98


def test_grey_is_pillows() -> None:
    images = torch.randint(0, 256, (4, 3, 9, 9), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    expected = [np.asarray(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")) for image in images]
    grey = with_channels(images, 1)
    np.testing.assert_array_equal(grey[:, 0].numpy(), expected)
    np.testing.assert_array_equal(with_channels(grey, 3).numpy(), np.stack([expected] * 3, axis=1))


def test_classes_that_both_have_are_named(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    fill(tmp_path / "mine", {"Pattern_3": 5, "ant": 5})
    ended = evaluate(f"run={plain_run}", "against=image_folder", "against_root=mine")
    assert ended.code == 0, ended.err
    assert "image_folder has classes of the run's own, which are nothing foreign: pattern_3" in ended.out
    assert "against 2 test images of image_folder" in ended.out


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["against=mnist"], 2, "against=mnist is not a data set; choose from cifar10, cifar100, digits"),
        (["against=synthetic"], 2, "against=synthetic is the data set that is tested itself; choose from cifar10"),
        (["against_root=x"], 2, "give against=NAME"),
        (["against=digits", "image=x.png"], 2, "against=digits is about a test, and image= is none"),
        (["against=cifar100", "against_root=x", "dataset.download=false"], 3, "no cifar100 under dataset.root=x"),
        (["against=image_folder", "against_root=x"], 3, "against_root=PATH names the folder"),
    ],
)
def test_what_there_is_nothing_against_is_refused(
    evaluate: Command, plain_run: Path, words: list[str], code: int, named: str
) -> None:
    ended = evaluate(f"run={plain_run}", *words)
    assert ended.code == code, ended
    assert named in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not ended.out
