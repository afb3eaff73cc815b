"""What CIFAR-10 and CIFAR-100 must be: their files, counts, classes and digests.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from dataclasses import dataclass

from attn_train.data.sources.archive import BinaryForm, Form, PythonForm

HOME = "https://www.cs.toronto.edu/~kriz/"


@dataclass(frozen=True)
class CifarSpec:
    """One data set of the family; a test passes a small one of its own."""

    name: str  # also the folder of its image tree
    classes: tuple[str, ...]
    train_count: int
    test_count: int
    forms: tuple[Form, ...]  # in the order in which they are looked for; the last one is downloaded
    home: str = HOME
    image_size: int = 32
    channels: int = 3
    published: str | None = None  # content digest of the published pixels, where known


CIFAR10 = CifarSpec(
    name="cifar10",
    classes=(
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    train_count=50_000,
    test_count=10_000,
    published="0f5f8f59452b3892b59b1e38523af71518595c8837f77fb6626c8f21790b5eeb",
    forms=(
        PythonForm(
            archive="cifar-10-python.tar.gz",
            md5="c58f30108f718f92721af3b95e74349a",
            folder="cifar-10-batches-py",
            train=tuple(f"data_batch_{number}" for number in range(1, 6)),
            test=("test_batch",),
            meta="batches.meta",
            label_key="labels",
            names_key="label_names",
        ),
        BinaryForm(
            archive="cifar-10-binary.tar.gz",
            md5="c32a1d4ab5d03f1284b67883e8d87530",
            folder="cifar-10-batches-bin",
            train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
            test=("test_batch.bin",),
            meta="batches.meta.txt",
            label_bytes=1,
        ),
    ),
)  # fmt: skip

CIFAR100 = CifarSpec(
    name="cifar100",
    classes=(
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
        "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
        "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
        "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
        "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man",
        "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
        "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
        "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew",
        "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower",
        "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train", "trout",
        "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
    ),
    train_count=50_000,
    test_count=10_000,
    published="7713fb7f178413937f66156885efa312c5058bc9f660d897079b501b6a918659",
    forms=(
        PythonForm(
            archive="cifar-100-python.tar.gz",
            md5="eb9058c3a382ffc7106e4002c42a8d85",
            folder="cifar-100-python",
            train=("train",),
            test=("test",),
            meta="meta",
            label_key="fine_labels",
            names_key="fine_label_names",
        ),
        BinaryForm(
            archive="cifar-100-binary.tar.gz",
            md5="03b5dce01913d631647c71ecec9e9cb8",
            folder="cifar-100-binary",
            train=("train.bin",),
            test=("test.bin",),
            meta="fine_label_names.txt",
            label_bytes=2,  # the coarse class, then the fine one
        ),
    ),
)  # fmt: skip
