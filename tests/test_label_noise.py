"""Wrong labels: how many and which, the same whatever stands beside an image, in training alone, and part of the
recipe."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY, Command, finished_run, run_here
from scipy import stats
from test_data_samples import CLASSES, python_files, small, write_files, write_tree
from torch import Tensor

from attn_train import build
from attn_train.data.dataset import Split, pick
from attn_train.data.labels.noise import LabelNoise, Pair, Symmetric, draw_by_content, partners
from attn_train.data.sources.cifar import Cifar
from attn_train.data.sources.cifar_spec import CIFAR10
from attn_train.settings import compose
from attn_train.training.inference import Evaluation
from attn_train.training.memorisation import SAMPLED, wrong_labels

COUNT = 6000
# The customary pairs of CIFAR-10, written out: airplane 0, automobile 1, bird 2, cat 3, deer 4, dog 5, frog 6, horse 7,
# ship 8, truck 9.
TAKEN_FOR = {0: 0, 1: 1, 2: 0, 3: 5, 4: 7, 5: 3, 6: 6, 7: 7, 8: 8, 9: 1}


def split(count: int = COUNT, classes: int = 10) -> Split:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, 4, 4), generator=random).to(torch.uint8)
    return Split(images, torch.randint(0, classes, (count,), generator=random))


@pytest.fixture
def cifar10(tmp_path: Path) -> Cifar:
    """CIFAR-10's classes, without its images."""
    return small(tmp_path, CIFAR10)


def given_by(noise: LabelNoise, data: Split, source: Cifar, seed: int = 0) -> Tensor:
    return noise.labels(data, source, seed)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.8, 1.0])
def test_symmetric_noise_gives_the_share_asked_and_each_other_class_alike(share: float, cifar10: Cifar) -> None:
    data = split()
    given = given_by(Symmetric(share=share), data, cifar10)
    wrong = given != data.labels
    assert stats.binomtest(int(wrong.sum()), COUNT, share).pvalue > 1e-4
    if share:
        step = ((given - data.labels) % 10)[wrong]
        counts = torch.bincount(step, minlength=10)
        assert counts[0] == 0
        assert stats.chisquare(counts[1:].numpy()).pvalue > 1e-4


def test_pair_noise_flips_the_customary_pairs_of_cifar10(cifar10: Cifar) -> None:
    data = split()
    given = given_by(Pair(share=0.4), data, cifar10)
    assert partners(CIFAR10.classes).tolist() == list(TAKEN_FOR.values())
    for label, other in TAKEN_FOR.items():
        mine = given[data.labels == label]
        assert set(mine.tolist()) == {label, other}
        if other != label:
            assert stats.binomtest(int((mine == other).sum()), len(mine), 0.4).pvalue > 1e-4


def test_pair_noise_takes_a_class_of_other_data_for_the_next(tmp_path: Path) -> None:
    data = split(classes=3)
    given = given_by(Pair(share=0.5), data, small(tmp_path))
    assert set(((given - data.labels) % 3).tolist()) == {0, 1}
    assert partners(CLASSES).tolist() == [1, 2, 0]


@pytest.mark.parametrize("kind", [Symmetric, Pair])
def test_neither_order_nor_company_changes_a_label(kind: type[Symmetric] | type[Pair], cifar10: Cifar) -> None:
    data, noise = split(1000), kind(share=0.5)
    state = torch.get_rng_state()
    given = given_by(noise, data, cifar10)
    for index in (
        torch.randperm(1000, generator=torch.Generator().manual_seed(1)),
        torch.arange(17),
        torch.tensor([3]),
    ):
        assert torch.equal(given_by(noise, pick(data, index), cifar10), given[index])
    assert torch.equal(torch.get_rng_state(), state)


def test_more_noise_leaves_wrong_what_was_wrong_with_less(cifar10: Cifar) -> None:
    data = split()
    less, more = (given_by(Symmetric(share=share), data, cifar10) for share in (0.2, 0.4))
    wrong = less != data.labels
    assert torch.equal(more[wrong], less[wrong])


def test_seeds_choose_unrelated_images(cifar10: Cifar) -> None:
    data = split()
    first, second = (given_by(Symmetric(share=0.3), data, cifar10, seed) != data.labels for seed in (0, 1))
    assert stats.binomtest(int((first & second).sum()), COUNT, 0.09).pvalue > 1e-4


def test_every_form_of_a_data_set_gets_the_same_wrong_labels(tmp_path: Path) -> None:
    write_files(tmp_path / "archive", python_files())
    write_tree(tmp_path / "tree" / "small")
    given = []
    for name in ("archive", "tree"):
        source = small(tmp_path / name)
        given.append(Symmetric(share=0.5).labels(source.load().train, source, 0))
    assert torch.equal(*given)


def test_what_a_network_makes_of_wrong_labels_is_counted() -> None:
    """Five images labelled right, of which the network knows four; four labelled wrong, of which it predicts one as
    labelled, two as they are, and one as neither."""
    true = torch.tensor([0, 1, 2, 0, 1, 0, 1, 2, 0])
    given = torch.tensor([0, 1, 2, 0, 1, 1, 2, 0, 2])
    predicted = torch.tensor([0, 1, 2, 0, 2, 1, 1, 2, 1])
    wrong = wrong_labels(Split(torch.zeros(9, 1, 2, 2, dtype=torch.uint8), true), given)
    assert (wrong.count, wrong.share) == (4, 4 / 9)
    outcome = Evaluation(torch.nn.functional.one_hot(predicted, 3).float(), wrong.sample.labels, loss=0.0)
    found = wrong.measure(outcome)
    assert (found.clean_accuracy, found.memorised, found.recovered) == (0.8, 0.25, 0.5)


def test_the_sample_is_the_first_images_of_either_kind() -> None:
    data = split(5000)
    given = torch.where(torch.arange(5000) % 3 == 0, (data.labels + 1) % 10, data.labels)
    wrong = wrong_labels(data, given)
    assert int((wrong.given != wrong.sample.labels).sum()) == SAMPLED
    assert len(wrong.given) == 2 * SAMPLED
    expected = sorted([*range(0, 3 * SAMPLED, 3), *[place for place in range(5000) if place % 3][:SAMPLED]])
    assert torch.equal(wrong.sample.images, data.images[expected])


def test_where_nothing_is_wrong_nothing_is_memorised() -> None:
    data = split(20)
    wrong = wrong_labels(data, data.labels)
    found = wrong.measure(Evaluation(torch.zeros(20, 10), wrong.sample.labels, loss=0.0))
    assert (found.memorised, found.recovered) == (None, None)


def test_only_training_is_given_wrong_labels() -> None:
    words = [*TINY, "noise=pair", "noise.share=0.5"]
    config = compose.to_config(compose.compose(words, compose.parse([])))
    splits, _ = build.load_splits(config.dataset)
    training = build.make_training(config)
    for name in ("train", "val", "test"):
        assert torch.equal(training.splits[name].labels, splits[name].labels)
    taught, true = training.batches.split.labels, splits["train"].labels
    assert 0.3 < (taught != true).double().mean() < 0.7
    assert torch.equal(training.batches.split.images, splits["train"].images)


@pytest.fixture(scope="module")
def noisy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on wrong labels, with mixup, CutMix and label smoothing."""
    folder = tmp_path_factory.mktemp("noisy")
    return finished_run(folder, "model=gated", "dataset.val_size=0", "noise=symmetric", "noise.share=0.4")


def test_a_run_says_how_many_labels_were_wrong_and_what_became_of_them(noisy_run: Path) -> None:
    result = json.loads((noisy_run / "result.json").read_text())
    config = compose.to_config(compose.compose([*TINY, "dataset.val_size=0"], compose.parse([])))
    train = build.load_splits(config.dataset)[0]["train"]
    given = Symmetric(share=0.4).labels(train, build.make_source(config.dataset), 0)
    assert result["noise_share"] == pytest.approx((given != train.labels).double().mean().item())
    assert result["seeds"] == [0, 0, 0, 0]
    rows = [json.loads(line) for line in (noisy_run / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["kind"] == "evaluation"][-1]
    for name in ("clean_accuracy", "memorised", "recovered"):
        assert 0 <= last[name] <= 1
        assert last[name] == result[name]
    assert last["memorised"] + last["recovered"] <= 1


def test_a_run_on_right_labels_says_nothing_of_wrong_ones(plain_run: Path) -> None:
    result = json.loads((plain_run / "result.json").read_text())
    assert {"noise_share", "memorised", "labels_digest"}.isdisjoint(result)
    assert "memorised" not in (plain_run / "metrics.jsonl").read_text()


def test_runs_of_other_noise_are_not_compared(noisy_run: Path, plain_run: Path, tmp_path: Path) -> None:
    """Neither with those of now nor with those of before there was noise, whose configuration says nothing of it."""
    old = shutil.copytree(plain_run, tmp_path / "old")
    values = yaml.safe_load((old / "config.yaml").read_text())
    del values["noise"], values["seeds"]["noise"], values["dataset"]["augment"]["noise"]
    values["dataset"]["augment"]["noise"] = 0.05  # as in the experiment of these runs
    (old / "config.yaml").write_text(yaml.safe_dump(values))
    for other in (plain_run, old):
        ended = run_here(tmp_path, str(noisy_run), str(other), command="compare")
        assert ended.code == 2
        assert "noise.name=none and symmetric" in ended.err.replace("symmetric and none", "none and symmetric")


def test_a_run_of_before_there_was_noise_goes_on_and_is_tested(plain_run: Path, tmp_path: Path) -> None:
    old = shutil.copytree(plain_run, tmp_path / "run")
    values = yaml.safe_load((old / "config.yaml").read_text())
    del values["noise"], values["seeds"]["noise"]
    (old / "config.yaml").write_text(yaml.safe_dump(values))
    ended = run_here(tmp_path, "run=run", command="evaluate")
    assert ended.code == 0, ended.err
    (old / "result.json").unlink()
    ended = run_here(tmp_path, "resume=run")
    assert ended.code == 0, ended.err


def test_a_run_does_not_go_on_with_other_labels(
    noisy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(noisy_run, tmp_path / "run")
    (run / "result.json").unlink()
    monkeypatch.setattr(Symmetric, "labels", lambda self, split, source, seed: split.labels)
    ended = run_here(tmp_path, "resume=run")
    assert ended.code == 5
    assert ended.err.count("\n") == 1
    assert "wrong labels are not those" in ended.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("noise=label", "unknown noise 'label'; choose from human, none, pair, symmetric"),
        ("noise.share=0.4", "unknown setting 'noise.share'; the chosen noise has no settings of its own"),
        ("noise=symmetric noise.share=1.5", "noise.share=1.5 is out of range; it must be at least 0 and at most 1"),
        ("noise=pair noise.share=much", "noise.share=much does not fit; it takes a number"),
        ("noise=pair seeds.noise=-1", "seeds.noise=-1 is out of range"),
    ],
)
def test_bad_words_are_refused_in_a_line(train: Command, tmp_path: Path, words: str, named: str) -> None:
    ended = train(*words.split())
    assert ended.code == 2
    assert named in ended.err
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_is_drawn_for_an_image_stays_the_same_for_ever() -> None:
    """Else a run that goes on with another version would do so on other labels."""
    drawn = draw_by_content(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), 0)
    np.testing.assert_allclose(torch.stack(drawn)[:, 0], [0.38402977609075606, 0.09800208266824484], rtol=1e-12)
