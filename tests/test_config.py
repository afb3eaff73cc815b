"""Every YAML on disk composes into a configuration that passes every check; ranges, identity, the written form."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from small import CPU

from attn_train import build
from attn_train.attention import ATTENTION
from attn_train.backbones import BACKBONES
from attn_train.data.labels.noise import NOISES
from attn_train.data.sources import DATASETS
from attn_train.errors import ConfigError
from attn_train.machine.device import available
from attn_train.optim.optimizers import OPTIMIZERS
from attn_train.optim.schedule import SCHEDULES
from attn_train.settings import compose, identity, saved, written
from attn_train.settings.roles import flatten
from attn_train.settings.schema import Settings

# These are of other commands, whose tests compose them.
OTHERS = {f"{name}.yaml" for name in compose.OTHER_GROUPS}
FILES = sorted(
    path.relative_to(compose.CONF).as_posix() for path in compose.CONF.rglob("*.yaml") if path.name not in OTHERS
)
GROUPS = {
    "model": set(ATTENTION),
    "backbone": set(BACKBONES),
    "dataset": set(DATASETS),
    "optimizer": set(OPTIMIZERS),
    "schedule": set(SCHEDULES),
    "noise": set(NOISES),
    "device": {"auto", "cpu", "cuda", "mps"},
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The default dataset.root is ./data: the folder must exist, and stays empty."""
    monkeypatch.chdir(tmp_path)
    compose.register()
    yield
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "outputs").exists()


def composed(*overrides: str) -> Settings:
    return compose.to_config(compose.compose(list(overrides), compose.parse([])))


def choice(file: str) -> list[str]:
    """The override that chooses a file of conf/."""
    group, _, name = file.removesuffix(".yaml").rpartition("/")
    if not group:
        return []
    return [f"{'+' if group == 'experiment' else ''}{group}={name}"]


def test_every_group_has_a_file_for_each_name_and_no_more() -> None:
    assert len(FILES) >= 24
    for group, names in GROUPS.items():
        assert {Path(file).stem for file in FILES if file.startswith(f"{group}/")} == names
    assert {file.partition("/")[0] for file in FILES} - {"config.yaml", "experiment"} == set(GROUPS)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_every_file_composes_and_passes_all_checks(file: str, tmp_path: Path) -> None:
    overrides = choice(file)
    if file in ("dataset/image_folder.yaml", "experiment/photos.yaml"):
        for split in ("train", "test"):
            for name in ("cat", "dog"):
                folder = tmp_path / "pictures" / split / name
                folder.mkdir(parents=True)
                Image.new("RGB", (8, 8)).save(folder / "one.png")
        overrides.append(f"dataset.root={tmp_path / 'pictures'}")
    if file == "noise/human.yaml":
        np.save(tmp_path / "labels.npy", np.zeros(50_000, dtype=np.int64))
        overrides += ["dataset=cifar10", f"noise.file={tmp_path / 'labels.npy'}"]
    config = composed(*overrides)
    kind = config.device.kind
    if kind != "auto" and kind not in available():
        with pytest.raises(ConfigError, match=f"device={kind}: "):
            build.check(config)
        return
    build.check(config)
    # Each value of the file reached the configuration.
    written = yaml.safe_load((compose.CONF / file).read_text())
    reached = asdict(config)
    if "/" in file and not file.startswith("experiment/"):
        group = file.partition("/")[0]
        aside = {"dataset.epochs", "dataset.batch_size", "noise.file"}
        flat = flatten({group: written})
        found = flatten(reached)
        own = {key: value for key, value in flat.items() if key not in aside and "${" not in str(value)}
        assert {key: found[key] for key in own} == own


@pytest.fixture(scope="module")
def on_backbones() -> list[Settings]:
    return [
        composed(f"backbone={name}", *(["train.resolution=[0.5,1]"] if backbone.any_size else []))
        for name, backbone in BACKBONES.items()
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "model"), list(enumerate(sorted(ATTENTION))))
def test_every_mechanism_goes_with_a_backbone(number: int, model: str, on_backbones: list[Settings]) -> None:
    """In turn with each; that each network takes each mechanism is test_backbones' matter."""
    config = on_backbones[number % len(on_backbones)]
    build.check(replace(config, model=composed(f"model={model}").model))


def test_a_datasets_own_recipe_becomes_the_runs() -> None:
    own = yaml.safe_load((compose.CONF / "dataset" / "cifar10.yaml").read_text())
    config = composed("dataset=cifar10")
    assert (config.train.epochs, config.train.batch_size, config.eval.views) == (
        own["epochs"],
        own["batch_size"],
        own["views"],
    )
    config = composed("dataset=cifar10", "train.epochs=7")
    assert config.train.epochs == 7


def test_the_article_experiment_is_the_articles_recipe() -> None:
    config = composed("+experiment=article", "dataset=cifar10")
    assert config.backbone["name"] == "article"
    assert config.optimizer == {"name": "adam", "lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0}
    assert config.schedule == {"name": "constant", "warmup": 0}
    train = config.train
    assert (train.epochs, train.batch_size, train.drop_last, train.label_smoothing) == (10, 128, False, 0)
    assert (config.dataset.mean, config.dataset.deviation) == ([0.5], [0.5])
    off = {
        "policy": "none",
        "policy_ops": 2,
        "policy_magnitude": 9,
        "mixup": 0,
        "cutmix": 0,
        "noise": 0,
        "resized_crop": 0,
    }
    assert asdict(config.dataset.augment) == {"flip": "none", "crop": 0, "cutout": 0, **off}
    assert asdict(config.eval) == {"views": 1, "batch_size": 128, "corruptions": "none"}


def digest(*overrides: str) -> str:
    return identity.digest(asdict(composed(*overrides)))


@pytest.mark.slow
def test_the_digest_is_that_of_what_the_run_is_not_of_where_it_lies() -> None:
    plain = digest()
    assert len(plain) == 64
    assert digest() == plain
    for aside in (
        "dataset.root=/tmp",
        "dataset.download=false",
        "dataset.url=https://example.org/x",
        "dataset.digest=0123",
        "dataset.time_limit=5",
        "sweep=mine",
    ):
        assert digest(aside) == plain
    others = [
        "seed=1",
        "seeds.init=1",
        "seeds.order=1",
        "seeds.augment=1",
        "model=none",
        "backbone=article",
        "dataset=synthetic",
        "optimizer.lr=0.1",
        "train.epochs=6",
        "dataset.augment.crop=1",
        "dataset.augment.policy=randaugment",
        "dataset.augment.cutmix=1",
        "backbone.placement.stages=[1]",
        "device.precision=float32",
    ]
    assert len({plain, *map(digest, others)}) == len(others) + 1


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    values = asdict(composed())
    backwards = {key: values[key] for key in reversed(values)}
    assert identity.digest(backwards) == identity.digest(values)


def test_seeds_default_to_the_one_seed() -> None:
    config = composed("seed=5", "seeds.order=0")
    assert [config.seed_for(purpose) for purpose in ("init", "order", "augment", "noise")] == [5, 0, 5, 5]


def test_flatten_gives_dotted_names() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}


def test_the_written_configuration_reads_back_the_same(tmp_path: Path) -> None:
    config = composed("model=self_attention", "backbone=resnet", "seed=3", "train.clip_norm=1", "train.epochs=4")
    decided = build.decide(config, CPU)
    written.write(tmp_path, decided)
    assert asdict(compose.to_config(saved.read(tmp_path))) == asdict(decided)
    assert asdict(decided) == yaml.safe_load((tmp_path / "config.yaml").read_text())


@pytest.mark.parametrize("words", [[], ["dataset=cifar10"], ["model=gated", "control=macs", "control_width=1.5"]])
def test_nothing_is_left_open_in_what_a_run_does(words: list[str]) -> None:
    decided = asdict(build.decide(composed(*words), CPU))
    del decided["device"]["cuda_graphs"]  # a permission, which another device may use
    values = flatten(decided)
    assert "auto" not in values.values()
    assert len(decided["train"]["resolution"]) == decided["train"]["epochs"]
    assert None not in [value for key, value in values.items() if key.startswith("device.")]


AT_LEAST = {
    "train.epochs": 1,
    "train.max_steps": 1,
    "train.batch_size": 1,
    "train.accumulate": 1,
    "train.prune_from": 1,
    "train.checkpoint_every": 1,
    "train.eval_every": 1,
    "train.log_every": 1,
    "eval.batch_size": 1,
    "dataset.limit": 1,
    "dataset.image_size": 4,
    "dataset.augment.crop": 0,
    "dataset.augment.cutout": 0,
    "dataset.augment.policy_ops": 1,
    "device.threads": 1,
    "seed": 0,
    "seeds.init": 0,
    "seeds.order": 0,
    "seeds.augment": 0,
    "seeds.noise": 0,
}


@pytest.mark.slow
@pytest.mark.parametrize(("key", "least"), AT_LEAST.items())
def test_a_number_below_its_least_is_refused(key: str, least: int) -> None:
    below = f"{key}={least - 1}"
    with pytest.raises(ConfigError, match=f"^{below} is out of range; it must be at least {least}( and|$)"):
        composed(below)
    if key == "dataset.image_size":  # the default crop of 2 fits into 4 pixels
        assert composed(f"{key}={least}").dataset.image_size == 4
    else:
        composed(f"{key}={least}")


CHOICES = {
    "dataset.augment.flip": ("sideways", "none, random, alternating"),
    "dataset.augment.policy": ("autoaugment", "none, randaugment, trivialaugment"),
    "eval.views": ("3", "1, 2, 6"),
    "device.kind": ("tpu", "auto, cpu, cuda, mps"),
    "device.precision": ("float16", "auto, float32, bfloat16"),
    "device.channels_last": ("maybe", "auto, true, false"),
    "device.compile": ("maybe", "auto, true, false"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value", "listed"), [(key, *rest) for key, rest in CHOICES.items()])
def test_a_value_that_is_no_choice_is_refused_with_the_choices(key: str, value: str, listed: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}={value} is not a choice; choose from {listed}$"):
        composed(f"{key}={value}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.label_smoothing=1"], r"train.label_smoothing=1.0 is out of range; it must be at least 0 and below 1"),
        (["train.label_smoothing=-0.1"], r"train.label_smoothing=-0.1 is out of range"),
        (["train.label_smoothing=nan"], r"train.label_smoothing=nan is out of range"),
        (
            ["train.resolution=[]"],
            r"train.resolution=\[\] is out of range; it must be auto, or a list .* share of the images' side",
        ),
        (["train.resolution=[0,1]"], r"train.resolution=\[0, 1\] is out of range; .* above 0 and at most 1"),
        (["train.resolution=[1.5]"], r"train.resolution=\[1.5\] is out of range; .* share"),
        (["train.resolution=half"], r"train.resolution=half is out of range; .* share"),
        (["dataset.resolution=[2]"], r"dataset.resolution=\[2.0\] is out of range; it must be a list .* share"),
        (
            ["train.ema_decay=1"],
            r"train.ema_decay=1.0 is out of range; it must be at least 0 and below 1 \(0: no average\)",
        ),
        (["train.clip_norm=0"], r"train.clip_norm=0.0 is out of range; it must be above 0, or null"),
        (["train.clip_norm=nan"], r"train.clip_norm=nan is out of range; it must be above 0"),
        (["dataset.time_limit=0"], r"dataset.time_limit=0.0 is out of range; it must be above 0"),
        (["train.batch_size=10", "train.accumulate=4"], r"train.accumulate=4 does not divide train.batch_size=10"),
        (["dataset.augment.crop=32"], r"dataset.augment.crop=32 must be below dataset.image_size=32"),
        (
            ["dataset.augment.policy_magnitude=31"],
            r"dataset.augment.policy_magnitude=31 is out of range; .* at least 0 and at most 30",
        ),
        (["dataset.augment.policy_magnitude=-1"], r"dataset.augment.policy_magnitude=-1 is out of range"),
        (["dataset.augment.policy_magnitude=9.5"], r"dataset.augment.policy_magnitude=9.5 does not fit; .* an integer"),
        (["dataset.augment.mixup=-0.1"], r"dataset.augment.mixup=-0.1 is out of range; it must be at least 0 .*finite"),
        (["dataset.augment.mixup=nan"], r"dataset.augment.mixup=nan is out of range; it must be at least 0 .*finite"),
        (["dataset.augment.cutmix=inf"], r"dataset.augment.cutmix=inf is out of range; it must be at least 0 .*finite"),
        (["dataset.augment.cutmix=on"], r"dataset.augment.cutmix=on does not fit; it takes a number"),
        (
            ["dataset.deviation=[[1],[2]]"],
            r"dataset.deviation=\[\[1\], \[2\]\] is out of range; it must be a list of numbers",
        ),
        (["dataset.mean=[[1],[2]]"], r"dataset.mean=\[\[1\], \[2\]\] is out of range; it must be a list of numbers"),
        (["dataset.deviation=[0]"], r"dataset.deviation=\[0.0\] is out of range; .* each above 0"),
        (["dataset.deviation=[-1,1,1]"], r"dataset.deviation=\[-1.0, 1.0, 1.0\] is out of range"),
        (["dataset.mean=[nan]"], r"dataset.mean=\[nan\] is out of range"),
        (
            ["dataset.mean=[125.3]"],
            r"dataset.mean=\[125.3\] is out of range; .* at least 0 and at most 1.* divide by 255",
        ),
        (["dataset.mean=[0.5,0.5,123.675]"], r"dataset.mean=\[0.5, 0.5, 123.675\] is .* divide by 255"),
        (["dataset.mean=[1.01]"], r"dataset.mean=\[1.01\] is out of range"),
        (["dataset.mean=[-0.5]"], r"dataset.mean=\[-0.5\] is out of range; .* at least 0 and at most 1"),
        (["dataset.deviation=[63.0]"], r"dataset.deviation=\[63.0\] is .* divide by 255"),
        (["dataset.deviation=[58.4,57.1,57.4]"], r"dataset.deviation=\[58.4, 57.1, 57.4\] is .* divide by 255"),
        *(
            ([f"dataset.val_size={size}"], r"dataset.val_size=\S+ is out of range; .* number of images.* share")
            for size in ("1.0", "-1", "-0.1", "1.5", "5e3", "nan", "inf", "10%", "true", "null", "[1]", "all")
        ),
        (["dataset.val_size={share: 0.1}"], r"dataset.val_size takes one value"),
        (["seed=18446744073709551616"], r"seed=18446744073709551616 "),
        (["train.epochs=2.5"], r"train.epochs=2.5 does not fit; it takes an integer"),
        (["train.epochs=null"], r"train.epochs=null does not fit; it needs a value"),
        (
            ["train.epocs=2"],
            r"unknown setting 'train.epocs' \(did you mean train.epochs.*\); train has epochs, max_steps",
        ),
        (["model=sse"], r"unknown model 'sse'; choose from .*gated, .*none, .*self_attention"),
        # The names beside a wrong one are those of what was chosen, not of the default.
        (["model=se", "model.heads=2"], r"unknown setting 'model.heads'; model has name, reduction$"),
        (
            ["model=none", "model.bias=true"],
            r"unknown setting 'model.bias'; the chosen model has no settings of its own$",
        ),
        (
            ["+experiment=article", "optimizer.nesterof=true"],
            r"unknown setting 'optimizer.nesterof'.* name, lr, betas, ",
        ),
    ],
)
def test_what_composition_refuses(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}") as refused:
        composed(*overrides)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.lr=abc"], r"optimizer.lr=abc does not fit; it takes a number"),
        (["optimizer.lr=0"], r"optimizer.lr=0.0 is out of range; it must be above 0"),
        (
            ["backbone=article", "train.resolution=[0.5]"],
            r"train.resolution=.*: backbone=article takes .* own size only",
        ),
        (["train.resolution=[0.01]"], r"model=gated in backbone=fast fails on images of 1x1, .*larger shares"),
        (["backbone.drop_path=0.1"], r"backbone=fast: drop_path=0.1 is a share, .* needs depth=3"),
        (["backbone.whitening_epochs=-1"], r"backbone=fast: whitening_epochs=-1 must be at least 0"),
        (["backbone.depth=4"], r"backbone.depth=4 does not fit; it takes one of 2, 3"),
        (["backbone=resnet", "backbone.drop_path=1"], r"backbone=resnet: drop_path=1.0 is a share"),
        (["schedule.warmup=1"], r"schedule.warmup=1.0 is out of range; .*share of the whole run"),
        (["model=self_attention", "model.heads=5"], r"model=self_attention: heads=5 .*choose from 1, 2, 4"),
        (["model=self_attention", "model.scale=half"], r"model.scale=half does not fit; it takes one of sqrt, none"),
        (["backbone.placement.stages=[4]"], r"backbone=fast: placement.stages has 4; this backbone has stages 1 to 3"),
        (["backbone.placement.position=branch"], r"backbone=fast: placement.position=branch .*choose from before"),
        (["backbone=resnet", "backbone.depth=34"], r"backbone.depth=34 does not fit; it takes one of 18, 20, 56"),
        (["dataset.mean=[0.1,0.2]"], r"dataset.mean=\[0.1, 0.2\] must hold one number, or 1"),
        (["dataset.root=/nowhere/at/all"], r"dataset.root=/nowhere/at/all: its parent folder"),
    ],
)
def test_what_the_check_refuses_before_any_work(overrides: list[str], message: str) -> None:
    config = composed(*overrides)
    with pytest.raises(ConfigError, match=f"^{message}"):
        build.check(config)


def test_a_value_without_its_line_in_the_schema_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As whoever adds a setting may leave it: the list of settings, for a hint, cannot be had then."""
    shutil.copytree(compose.CONF, tmp_path / "conf")
    file = tmp_path / "conf" / "config.yaml"
    file.write_text(file.read_text().replace("\ntrain:\n", "\ntrain:\n  patience: 3\n"))
    monkeypatch.setattr(compose, "CONF", tmp_path / "conf")
    for words in ([], ["train.epocs=2"]):
        with pytest.raises(
            ConfigError, match=r"^train.patience has a value in conf/ and no line in settings/schema.py$"
        ):
            composed(*words)


def test_a_name_that_no_table_has_is_refused() -> None:
    """A configuration read from a run's folder did not pass Hydra's own check of the groups."""
    config = composed()
    changes: list[dict[str, Any]] = [
        {"model": {"name": "sse"}},
        {"backbone": config.backbone | {"name": "vgg"}},
        {"optimizer": config.optimizer | {"name": "lion"}},
        {"schedule": {"name": "step"}},
        {"dataset": replace(config.dataset, name="mnist")},
    ]
    for change in changes:
        section = next(iter(change))
        with pytest.raises(ConfigError, match=f"^unknown {section} '.*'; choose from "):
            build.check(replace(config, **change))
