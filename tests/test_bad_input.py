"""Wrong commands and wrong files: the exit code, one line with the value and the choices, and nothing left behind."""

import shutil
import socket
from pathlib import Path

import pytest
import torch
import yaml
from conftest import TINY, Command
from PIL import Image


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Fail a command that reaches for the network or for the cache of the person who runs the tests."""

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"a wrong command connected to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "outputs")


def check_line(err: str, command: str, named: tuple[str, ...]) -> None:
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1, err
    assert err.startswith(f"{command}: ")
    for part in named:
        assert part in err


# Laid under each row: should a wrong value pass, a run of a second says so, and not one of minutes.
SMALL = (*TINY, "train.max_steps=1")

# A word each: the wrong setting, and what the line on stderr must name.
SETTINGS = [
    ("model=sse", "sse", "gated", "none", "self_attention"),
    ("backbone=vgg", "vgg", "article", "fast", "resnet"),
    ("dataset=mnist", "mnist", "cifar10", "cifar100", "digits", "image_folder", "synthetic"),
    ("device=tpu", "tpu", "auto", "cpu", "cuda", "mps"),
    ("optimizer=lion", "lion", "adam", "adamw", "muon", "sgd"),
    ("schedule=step", "step", "constant", "cosine", "linear", "one_cycle"),
    ("train.epoch=3", "train.epoch", "train.epochs"),
    ("epochs=3", "epochs", "train.epochs"),
    ("lr=0.1", "lr", "did you mean optimizer.lr?"),
    ("modle=gated", "modle", "did you mean model?"),
    ("dataset.name=cifar10", "dataset.name", "dataset=cifar10"),
    ("dataset.augment=none", "dataset.augment", "section"),
    ("+train.momentum=3", "train.momentum"),
    ("model.heads=2", "model.heads"),
    ("+model.heads=2", "model.heads"),
    ("train.epochs=2.5", "train.epochs", "2.5", "integer"),
    ("train.epochs=0", "train.epochs", "0", "at least 1"),
    ("train.epochs=-1", "train.epochs", "-1", "at least 1"),
    ("train.epochs=null", "train.epochs", "null"),
    ("train.epochs=abc", "train.epochs", "abc", "integer"),
    ("train.epochs=[1]", "train.epochs"),
    ("train.max_steps=0", "train.max_steps", "0"),
    ("optimizer.lr=abc", "optimizer.lr", "abc", "number"),
    ("optimizer.lr=0", "lr=0", "above 0"),
    ("optimizer.lr=-1", "lr=-1", "above 0"),
    ("optimizer.lr=nan", "lr", "nan"),
    ("optimizer.momentum=1", "momentum=1"),
    ("optimizer.weight_decay=-0.1", "weight_decay=-0.1"),
    ("optimizer.adam_betas=[0.9]", "adam_betas", "0.9"),
    ("train.batch_size=0", "train.batch_size", "0"),
    ("train.batch_size=1000000", "train.batch_size", "1000000", "128", "drop_last"),
    ("train.accumulate=3", "train.accumulate", "3", "64"),
    ("train.accumulate=0", "train.accumulate", "0"),
    ("train.clip_norm=0", "train.clip_norm", "0", "null"),
    ("train.clip_norm=nan", "train.clip_norm", "nan"),
    ("train.label_smoothing=1", "train.label_smoothing", "1", "below 1"),
    ("train.label_smoothing=nan", "train.label_smoothing", "nan"),
    ("train.checkpoint_every=0", "train.checkpoint_every", "0"),
    ("train.drop_last=perhaps", "train.drop_last", "perhaps", "true or false"),
    ("seed=-1", "seed", "-1", "at least 0"),
    ("seed=x", "seed", "x", "integer"),
    ("seed=99999999999999999999999", "seed", "99999999999999999999999"),
    ("seeds.order=-1", "seeds.order", "-1"),
    ("eval.views=3", "eval.views", "3", "1, 2, 6"),
    ("device.precision=float16", "float16", "float32", "bfloat16"),
    ("device.compile=maybe", "maybe", "auto", "true", "false"),
    ("device.channels_last=7", "7", "auto", "true", "false"),
    ("device.threads=0", "device.threads", "0"),
    ("schedule.warmup=2", "warmup", "2", "below 1"),
    ("schedule.final=-1", "final", "-1"),
    ("backbone.placement.stages=[9]", "9", "1 to 3"),
    ("backbone.placement.stages=some", "backbone.placement.stages", "some", "all"),
    ("backbone.placement.position=nowhere", "nowhere", "before_activation", "after_activation"),
    ("backbone.widths=[8,0,8]", "widths", "0"),
    ("dataset.augment.flip=sideways", "sideways", "none", "random", "alternating"),
    ("dataset.augment.crop=64", "dataset.augment.crop", "64", "16"),
    ("dataset.augment.policy=autoaugment", "autoaugment", "none", "randaugment", "trivialaugment"),
    ("dataset.augment.policy_ops=0", "dataset.augment.policy_ops", "0", "at least 1"),
    ("dataset.augment.policy_magnitude=31", "dataset.augment.policy_magnitude", "31", "at least 0 and at most 30"),
    ("dataset.augment.mixup=-1", "dataset.augment.mixup", "-1", "at least 0"),
    ("dataset.augment.cutmix=nan", "dataset.augment.cutmix", "nan", "at least 0"),
    ("dataset.mean=[0.5,0.5]", "dataset.mean", "[0.5, 0.5]", "3"),
    ("dataset.mean=0.5", "dataset.mean", "list"),
    ("dataset.mean=[nan]", "dataset.mean", "nan"),
    ("dataset.deviation=[0]", "dataset.deviation", "0"),
    ("dataset.val_size=100000", "dataset.val_size", "100000"),
    ("dataset.val_size=-1", "dataset.val_size", "-1"),
    ("dataset.image_size=0", "dataset.image_size", "0"),
    ("dataset.limit=0", "dataset.limit", "0"),
    ("~train", "train"),
    ("~model", "model"),
    ("train.epochs", "train.epochs"),
    ("=3", "=3"),
    ("+=3", "+=3"),
    ("model=[null]", "model=[null]"),
    ("++device.compile.x=1", "device.compile"),
    ("train.epochs=99999999999", "train.epochs", "99999999999", "1000000"),
    ("train.epochs=[1", "train.epochs=[1"),
    ("model=gated,none", "model", "-m"),
    ("seed=0,1", "seed", "-m"),
    ("hydra.run.dir=a_file/run", "a_file/run", "hydra.run.dir"),
    ("hydra.job_logging.root.level=LOUD", "hydra.job_logging.root.level=LOUD", "WARNING"),
    ("seed=${nothing}", "nothing"),
    ("seed=${no_such_resolver:1}", "no_such_resolver"),
]


@pytest.mark.parametrize(("word", "named"), [(row[0], row[1:]) for row in SETTINGS], ids=[row[0] for row in SETTINGS])
def test_wrong_setting(train: Command, tmp_path: Path, word: str, named: tuple[str, ...]) -> None:
    (tmp_path / "a_file").touch()
    ended = train(*SMALL, word)
    assert ended.code == 2, ended
    check_line(ended.err, "attn-train", named)
    assert left_in(tmp_path) == ["a_file"]


COMMANDS = [
    (("+experiment=mlp",), ("mlp", "article", "fast", "smoke")),
    (("experiment=smoke",), ("experiment", "+experiment")),
    (("backbone=resnet", "backbone.depth=19"), ("19", "18, 20")),
    (("backbone=resnet", "backbone.width=0"), ("width", "0")),
    (("model=self_attention", "model.heads=3"), ("heads", "3", "64")),
    (("model=self_attention", "model.heads=0"), ("heads", "0")),
    (("model=self_attention", "model.scale=log"), ("model.scale", "log", "none", "sqrt")),
    (("dataset=cifar10", "dataset.root=/nowhere/at/all"), ("/nowhere/at/all", "/nowhere/at")),
    (("dataset=cifar10", "dataset.url=http://example.org/x"), ("http://example.org/x", "https")),
    (("dataset=cifar10", "dataset.url=https://example.org/x", "dataset.digest=12"), ("12", "32", "64")),
    (("-m", "model=gated,sse", "seed=0,1"), ("sse", "gated")),
    (("-m", "seed=0,1", "optimizer.lr=0.1,-1"), ("lr=-1",)),
    (("-m", "train.epochs=1,2.5"), ("train.epochs", "2.5")),
    (("-m", "train.epoch=1,2"), ("train.epoch", "train.epochs")),
    (("-m", "resume=RUN"), ("resume", "sweep")),
    (("resume=/nope",), ("/nope", "config.yaml")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "named"), COMMANDS, ids=lambda row: " ".join(row))
def test_wrong_command(
    train: Command, plain_run: Path, tmp_path: Path, words: tuple[str, ...], named: tuple[str, ...]
) -> None:
    ended = train(*(word.replace("RUN", str(plain_run)) for word in words))
    assert ended.code == 2, ended
    check_line(ended.err, "attn-train", named)
    assert left_in(tmp_path) == []


def test_unknown_option(train: Command, tmp_path: Path) -> None:
    """Python's parser of options would put its usage before the line."""
    ended = train("--no-such-option")
    assert ended.code == 2
    check_line(ended.err, "attn-train", ("--no-such-option", "NAME=VALUE", "--help"))
    assert left_in(tmp_path) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_device(train: Command, tmp_path: Path) -> None:
    ended = train(*SMALL, "device=cuda")
    assert ended.code == 2
    check_line(ended.err, "attn-train", ("cuda", "cpu"))
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    "word", ["+model._target_=os.system", "+dataset._target_=os.system", "+evil._target_=os.system"]
)
def test_hostile_target(train: Command, tmp_path: Path, word: str) -> None:
    """A configuration cannot name a callable."""
    ended = train(*SMALL, word)
    assert ended.code == 2
    check_line(ended.err, "attn-train", ("_target_",) if "evil" not in word else ("evil",))
    assert left_in(tmp_path) == []


def test_a_single_image_where_a_mechanism_normalises_over_the_batch(train: Command) -> None:
    words = ("model=srm", "train.drop_last=false", "train.batch_size=127", "train.accumulate=1", "train.max_steps=null")
    ended = train(*SMALL, *words)
    assert ended.code == 2
    check_line(ended.err, "attn-train", ("single image", "train.batch_size", "train.drop_last=true"))


def test_data_that_is_not_there(train: Command) -> None:
    ended = train("dataset=cifar10", "dataset.download=false", "dataset.root=data")
    assert ended.code == 3
    check_line(ended.err, "attn-train", ("cifar10", "data", "dataset.root"))


def make_pictures(root: Path) -> None:
    for number, name in enumerate(("cat", "dog")):
        for part in ("train", "test"):
            folder = root / part / name
            folder.mkdir(parents=True)
            for shade in (10, 200):
                Image.new("RGB", (20, 20), (shade, 100 * number, 0)).save(folder / f"{shade}.png")


def image_folder(root: Path) -> tuple[str, ...]:
    return (*SMALL, "dataset=image_folder", f"dataset.root={root}", "dataset.val_size=0", "train.batch_size=4")


def test_empty_image_folder(train: Command, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    ended = train(*image_folder(tmp_path / "pictures"))
    assert ended.code == 3
    check_line(ended.err, "attn-train", ("pictures", "class"))


@pytest.mark.parametrize(
    "content", [b"", b"not a picture at all", b"\x89PNG\r\n\x1a\n" + bytes(40)], ids=["empty", "text", "cut"]
)
def test_file_that_is_no_picture(train: Command, tmp_path: Path, content: bytes) -> None:
    make_pictures(tmp_path / "pictures")
    wrong = tmp_path / "pictures" / "train" / "dog" / "wrong.png"
    wrong.write_bytes(content)
    ended = train(*image_folder(tmp_path / "pictures"))
    assert ended.code == 3, ended
    check_line(ended.err, "attn-train", (str(wrong),))


def test_good_image_folder(train: Command, tmp_path: Path) -> None:
    """Without the wrong file the same command trains: the tests above fail for their own reason."""
    make_pictures(tmp_path / "pictures")
    ended = train(*image_folder(tmp_path / "pictures"), "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    assert (tmp_path / "run" / "result.json").is_file()


@pytest.mark.parametrize("word", ["seed=3", "model=gated", "optimizer.lr=0.5", "dataset.limit=3", "train.batch_size=8"])
def test_forbidden_change_on_resume(train: Command, plain_run: Path, tmp_path: Path, word: str) -> None:
    ended = train(f"resume={plain_run}", word)
    assert ended.code == 2
    check_line(ended.err, "attn-train", (word, "train.epochs"))
    assert left_in(tmp_path) == []


def test_folder_of_another_configuration(train: Command, plain_run: Path) -> None:
    before = {path: path.read_bytes() for path in plain_run.rglob("*") if path.is_file()}
    ended = train(*TINY, "model=none", "dataset.val_size=0", "seed=7", f"hydra.run.dir={plain_run}")
    assert ended.code == 2
    check_line(ended.err, "attn-train", (str(plain_run), "seed", "7"))
    assert {path: path.read_bytes() for path in plain_run.rglob("*") if path.is_file()} == before


def test_traceback_on_request(train: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """HYDRA_FULL_ERROR=1 asks for the traceback; the last line and the code stay."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    ended = train("train.epochs=0")
    assert ended.code == 2
    assert "Traceback" in ended.err
    assert ended.err.splitlines()[-1].startswith("attn-train: train.epochs=0")


@pytest.mark.parametrize("value", ["0", "false", "", "2"])
def test_no_traceback_unasked(train: Command, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Hydra takes nothing but 1 for a yes."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", value)
    ended = train("train.epochs=0")
    assert ended.code == 2
    check_line(ended.err, "attn-train", ("train.epochs=0",))


# attn-eval


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("split=val",), 2, ("run=",)),
        (("run=nope",), 2, ("nope", "config.yaml")),
        (("run=RUN", "split=all"), 2, ("split=all", "test, train, val")),
        (("run=RUN", "checkpoint=first"), 2, ("checkpoint=first", "last, best")),
        (("run=RUN", "split=val"), 2, ("split=val", "dataset.val_size")),
        (("run=RUN", "checkpoint=best"), 5, ("best", "dataset.val_size")),
        (("run=RUN", "image=missing.png"), 3, ("missing.png",)),
        (("run=RUN", "image=."), 3, ("image=.", ".png")),
        (("run=RUN", "spilt=val"), 2, ("spilt",)),
        (("run=RUN", "eval.view=2"), 2, ("eval.view", "eval.views")),
        (("run=RUN", "eval.views=5"), 2, ("eval.views", "5", "1, 2, 6")),
        (("run=RUN", "last"), 2, ("last", "NAME=VALUE")),
        (("run=RUN", "device.precision=half"), 2, ("half", "float32", "bfloat16")),
        (("run=RUN", "dataset=mnist"), 2, ("mnist", "cifar10")),
        (("run=RUN", "dataset.root=/nowhere/at/all"), 2, ("/nowhere/at/all",)),
        (("run=RUN", "split"), 2, ("split",)),
        (("run=RUN", "eval.views=1,2"), 2, ("eval.views=1,2", "one value")),
        (("run=RUN", "seed=range(3)"), 2, ("seed=range(3)", "one value")),
        (("run=RUN", "~eval"), 2, ("~eval", "NAME=VALUE")),
        (("run=RUN", "seed=a(b"), 2, ("seed=a(b", "NAME=VALUE")),
        (("run=RUN", "dataset.root="), 2, ("dataset.root=", "empty")),
    ],
    ids=lambda row: " ".join(row) if isinstance(row, tuple) else str(row),
)
def test_wrong_evaluation(
    evaluate: Command,
    plain_run: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    code: int,
    named: tuple[str, ...],
) -> None:
    ended = evaluate(*(word.replace("RUN", str(plain_run)) for word in words))
    assert ended.code == code, ended
    check_line(ended.err, "attn-eval", named)
    assert left_in(tmp_path) == []


def test_picture_that_is_none(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    ended = evaluate(f"run={plain_run}", "image=text.png")
    assert ended.code == 3
    check_line(ended.err, "attn-eval", ("text.png",))


@pytest.mark.parametrize("damage", ["bit", "text"])
def test_damaged_checkpoints(evaluate: Command, plain_run: Path, tmp_path: Path, damage: str) -> None:
    """What else can become of one is in test_checkpoint."""
    run = shutil.copytree(plain_run, tmp_path / "run")
    for name in ("last", "previous"):
        path = run / "checkpoints" / f"{name}.pt"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content if damage == "bit" else b"no checkpoint")
    ended = evaluate(f"run={run}")
    assert ended.code == 5
    check_line(ended.err, "attn-eval", (str(run / "checkpoints"), "damaged"))


@pytest.mark.slow
def test_checkpoint_of_another_model(evaluate: Command, plain_run: Path, attention_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(plain_run, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(attention_run / "checkpoints", run / "checkpoints")
    ended = evaluate(f"run={run}")
    assert ended.code == 5
    check_line(ended.err, "attn-eval", ("another model", "query.weight"))


def test_no_checkpoint_at_all(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(plain_run, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    ended = evaluate(f"run={run}")
    assert ended.code == 5
    check_line(ended.err, "attn-eval", (str(run / "checkpoints"), "last"))


def test_damaged_configuration(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(plain_run, tmp_path / "run")
    (run / "config.yaml").write_text("model: [unclosed\n")
    ended = evaluate(f"run={run}")
    assert ended.code == 2, ended
    check_line(ended.err, "attn-eval", (str(run / "config.yaml"),))


def test_configuration_of_an_older_version(evaluate: Command, plain_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(plain_run, tmp_path / "run")
    saved = yaml.safe_load((run / "config.yaml").read_text())
    del saved["train"]["ema_decay"]
    (run / "config.yaml").write_text(yaml.safe_dump(saved))
    ended = evaluate(f"run={run}")
    assert ended.code == 2, ended
    check_line(ended.err, "attn-eval", (str(run / "config.yaml"), "lacks train.ema_decay", "another version"))
