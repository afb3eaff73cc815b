"""The article's recipe in its exact form gives the losses of the article's own script, step by step."""

import tarfile
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import imported
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

from attn_train import build
from attn_train.commands import run
from attn_train.runs.tracking import read_metrics
from attn_train.seeds import generator
from attn_train.settings import compose

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
SCRIPT = SHARED / "peers" / "article_script.py"
IMAGES = SHARED / "data" / "cifar10-test.tar.gz"
STEPS, BATCH = 10, 128


@pytest.fixture(scope="module")
def script() -> ModuleType:
    if not SCRIPT.exists() or not IMAGES.exists():
        pytest.skip("needs the article's script and the CIFAR-10 images of ../shared")
    return imported(SCRIPT)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Lay out real images: 128 a class to train on, so that 10 batches of 128 are one epoch, and 2 a class to test."""
    seen: Counter[str] = Counter()
    with tarfile.open(IMAGES) as archive:
        for member in archive:
            if not member.isfile():
                continue
            label, name = member.name.split("/")[-2:]
            seen[label] += 1
            if seen[label] > 130:
                continue
            target = tmp_path / "pictures" / ("train" if seen[label] > 2 else "test") / label / name
            target.parent.mkdir(parents=True, exist_ok=True)
            source = archive.extractfile(member)
            assert source is not None
            target.write_bytes(source.read())
    return tmp_path / "pictures"


@pytest.mark.slow
def test_losses_are_those_of_the_articles_script(script: ModuleType, pictures: Path, tmp_path: Path) -> None:
    compose.register()
    overrides = [
        "+experiment=article",
        "dataset=image_folder",
        f"dataset.root={pictures}",
        "dataset.image_size=32",
        "train.epochs=1",
        "train.log_every=1",
        "device=cpu",
        "device.precision=float32",
        "device.compile=false",
        "device.channels_last=false",
    ]
    config = compose.to_config(compose.compose(overrides, compose.parse([])))

    torch.manual_seed(config.seed)
    ours = build.make_model(config, 3, 10).state_dict()
    network = script.AttentionNet()
    names = {"attention_after": "attention", "head": "fc"}
    network.load_state_dict(
        {".".join(names.get(part, part) for part in key.split(".")): value for key, value in ours.items()}
    )

    run.train(config, tmp_path / "run")
    measured = [row["loss"] for row in read_metrics(tmp_path / "run") if row["kind"] == "train"]

    # The script's own transforms, on the pictures as PIL images, in the order in which our run saw them.
    train = build.load_splits(config.dataset)[0]["train"]
    order = torch.randperm(len(train.labels), generator=generator("order", config.seed, 0))
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    expected = []
    for index in order.split(BATCH)[:STEPS]:
        batch = torch.stack([transform(to_pil_image(image)) for image in train.images[index]])
        loss = torch.nn.functional.cross_entropy(network(batch), train.labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())

    assert len(measured) == STEPS
    assert measured == pytest.approx(expected, rel=1e-4)
    # Training did happen: equal losses of a network that stands still would prove nothing.
    assert expected[-1] < 0.95 * expected[0]
