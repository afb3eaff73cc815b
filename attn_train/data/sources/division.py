"""How a person's folder is divided: into train, val and test with the classes in each, or into classes alone."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from attn_train.data.sources.walk import class_folders, contents
from attn_train.errors import DataError

PART_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
PART_OF = {name: part for part, names in PART_NAMES.items() for name in names}
# Words beside those in the name of such a folder: test_set, Train Data, seg_train.
BESIDE = {"set", "data", "dataset", "images", "imgs", "pictures", "split", "seg", "folder"}


@dataclass(frozen=True)
class Division:
    """The classes of a folder, and the sub-folder of each part; without parts the classes lie in the folder itself."""

    parts: dict[str, str]
    classes: tuple[str, ...]
    notes: tuple[str, ...]  # which folder is taken for which part
    passed_over: Counter[str]  # entries beside the parts and beside the classes, by kind


def divide(root: Path) -> Division:
    """Return how `root` is divided for training; raise DataError where its parts or classes are incomplete.

    A folder with the name of a part, like train, is that part only where no picture lies directly in it: else it is a
    class of that name, as CIFAR-100 has one.
    """
    if not root.is_dir():
        raise DataError(
            f"dataset.root={root}: no such folder; expected pictures in train/<class>/ and "
            "test/<class>/ or in <class>/ under it"
        )
    names, passed_over = class_folders(root)
    parts = find_parts(root, names)
    if not parts:
        _check_not_parts(root, names)
        return Division({}, _at_least_two(names, root), _alike(root, names), passed_over)
    _check_complete(root, parts, names)
    notes: tuple[str, ...] = ()
    if "test" not in parts:
        parts["test"] = parts.pop("val")
        notes = (f"the test images are those of {parts['test']}/, since there is no test/",)
    elif any(part != name for part, name in parts.items()):
        notes = (", ".join(f"{name}/ is the {part} split" for part, name in parts.items()),)
    passed_over += Counter(f"folder {name}" for name in names if name not in parts.values())
    inside = {part: class_folders(root / name) for part, name in parts.items()}
    for folders, others in inside.values():
        passed_over += others
        if differing := sorted(set(folders) ^ set(inside["train"][0])):
            listed = ", ".join(f"{name}/" for name in parts.values())
            raise DataError(
                f"{root}: classes {', '.join(differing[:5])} are missing in some of {listed}; give all the same folders"
            )
    return Division(parts, _at_least_two(inside["train"][0], root / parts["train"]), notes, passed_over)


def part_of(name: str) -> str | None:
    """Return the part that a folder's name stands for, in any case and with any of the words BESIDE it."""
    words = [word for word in re.split(r"[ _.-]+", name.lower()) if word and word not in BESIDE]
    return PART_OF.get(re.sub(r"(?<=.)set$", "", words[0])) if len(words) == 1 else None


def find_parts(root: Path, names: list[str]) -> dict[str, str]:
    """Return the folder of each part, among the folders `names` in `root` in which no picture lies directly.

    Raises DataError where two folders stand for one part.
    """
    parts: dict[str, str] = {}
    for name in names:
        part = part_of(name)
        if part is None or contents(root / name).pictures:
            continue
        if part in parts:
            raise DataError(f"{root}: {parts[part]}/ and {name}/ are both names for the {part} split; keep one of them")
        parts[part] = name
    return {part: parts[part] for part in PART_NAMES if part in parts}


def _check_not_parts(root: Path, names: list[str]) -> None:
    if names and all(part_of(name) for name in names):
        raise DataError(
            f"{root}: the pictures of {', '.join(f'{name}/' for name in names)} are in no class folders; sort them "
            f"into a folder for each class, like {names[0]}/cat/"
        )


def _check_complete(root: Path, parts: dict[str, str], names: list[str]) -> None:
    """Raise DataError where there is only train, or no train."""
    if "train" in parts and len(parts) > 1:
        return
    missing = "test" if "train" in parts else "train"
    present = next(iter(parts.values()))
    otherwise = f"if {present} is a class, put its pictures directly into {present}/"
    if missing == "test":
        otherwise += f"; to have a part of each class set aside as test, say dataset.root={root / present}"
    for name in names:
        if part_of(name) == missing:
            raise DataError(
                f"{root / name}: its pictures are in no class folders, and those of {present}/ are; sort them "
                f"likewise; {otherwise}"
            )
    others = ", ".join(PART_NAMES[missing][1:])
    raise DataError(f"{root / missing}: no such folder beside {present}/ (nor {others}); add it; {otherwise}")


def _alike(root: Path, names: list[str]) -> tuple[str, ...]:
    """Return a note where each class has the same sub-folders and nothing else: these may be the classes meant."""
    inside = [class_folders(root / name)[0] for name in names]
    if len(names) < 2 or len(inside[0]) < 2 or any(folders != inside[0] for folders in inside):
        return ()
    if any(contents(root / name).pictures for name in names):
        return ()
    shown = ", ".join(names[:5])
    return (
        f"the classes are taken to be {shown}, each with the same sub-folders {', '.join(inside[0][:5])}: if those are "
        "the classes, call the folders around them train and test",
    )


def _at_least_two(classes: list[str], folder: Path) -> tuple[str, ...]:
    if len(classes) >= 2:
        return tuple(classes)
    present = f"only {classes[0]}" if classes else "none"
    inside = class_folders(folder / classes[0])[0] if classes else []
    hint = f", or say dataset.root={folder / classes[0]}" if len(inside) > 1 else ""
    raise DataError(f"{folder}: expected at least 2 class folders, found {present}; put each class into a folder{hint}")
