"""attn-eval image=PATH: name what is on a person's own pictures, and draw the attention over them."""

import errno
import hashlib
import logging
import os
from pathlib import Path

import torch
from torch import Tensor

from attn_train.commands import predicted
from attn_train.commands.trained import Trained
from attn_train.data.overview import ALMOST_BLACK, BRIGHTEN
from attn_train.data.sources.cache import stamped_name
from attn_train.data.sources.folder import read_image
from attn_train.data.sources.walk import count_kinds, find_pictures
from attn_train.errors import DataError
from attn_train.machine import surroundings
from attn_train.runs import looking, pictures
from attn_train.training.inference import infer
from attn_train.writing import drawing
from attn_train.writing.best_effort import best_effort

# Bytes that a file's name may have, on nearly every file system.
LONGEST_NAME = 255

log = logging.getLogger(__name__)


def pictures_at(path: Path) -> list[Path]:
    """Return the picture `path`, or all pictures in and below the folder `path`."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"image={path} does not exist; name a picture or a folder of pictures")
    stamps, passed_over = find_pictures(path)
    others = f" (passed over: {count_kinds(passed_over)})" if passed_over else ""
    if not stamps:
        raise DataError(f"image={path} holds no picture, like .png or .jpg{others}; name another folder")
    log.info("%s: %d pictures%s", path, len(stamps), others)
    return [path / stamped_name(stamp) for stamp in stamps]


def name_pictures(trained: Trained, path: Path, output: Path, table: Path | None = None) -> None:
    """Print the class of each picture and its probability, and save it to `output` with the attention laid over it;
    write all of them into a `table`, too, where one is named."""
    config, device = trained.config, trained.device
    surroundings.settle_temporary_files(within=output)
    given, unreadable = pictures_at(path), []
    named: dict[str, Tensor] = {}
    with best_effort("; output=FOLDER names another place") as attempt:
        for picture in given:
            try:
                image = read_image(picture, config.dataset.image_size, trained.channels)[None].to(device.place)
            except DataError as error:
                if len(given) == 1:
                    raise
                log.warning("%s", error)
                unreadable.append(picture)
                continue
            if image.max() <= ALMOST_BLACK:
                log.warning("%s is almost black: %s", picture, BRIGHTEN)
            logits = infer(trained.model, image, trained.normalization, device, config.eval.views, 1, image.shape[-1])
            named[str(picture)] = logits[0].cpu()
            probability, said = (number.item() for number in logits.softmax(dim=1).max(dim=1))
            name = trained.classes[int(said)]
            where = ""
            with attempt(f"the picture of the attention on {picture}"):
                caption = f"{pictures.label(name)}, {100 * probability:.0f} %"
                where = draw_attention(trained, image, caption, drawing_path(picture, path, output), given)
            log.info("%s: %s, %.1f %%%s", picture, name, 100 * probability, where)
    if table is not None and named:
        predicted.write(table, torch.stack(list(named.values())), trained.classes, list(named))
        log.info("all of them, with the probability of each class: %s", table)
    if unreadable:
        raise DataError(
            f"{len(unreadable)} of {len(given)} pictures could not be read: {', '.join(map(str, unreadable))}"
        )


def draw_attention(trained: Trained, image: Tensor, caption: str, target: Path, given: list[Path]) -> str:
    """Draw the attention on a picture; return where, for the reader, or nothing for a model without attention maps.

    Raises OSError where that cannot be written or would replace one of the `given` pictures.
    """
    figure = looking.attention_on(trained.model, image, trained.normalization, [caption])
    if figure is None:
        return ""
    if target.exists() and any(picture.samefile(target) for picture in given):
        raise FileExistsError(errno.EEXIST, "it would replace a picture that was given", str(target))
    drawing.save(figure, target)
    return f"  {target}"


def drawing_path(picture: Path, given: Path, output: Path) -> Path:
    """Return where a picture is drawn: below `output` as it lies below the folder `given`, by its name and `.png`."""
    below = picture.relative_to(given) if picture != given else Path(picture.name)
    name = below.name
    if len(os.fsencode(name)) > LONGEST_NAME - len(".png"):
        # Two long names may begin alike.
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
        name = f"{os.fsencode(name)[:200].decode(errors='ignore')}_{digest}"
    return output / below.with_name(f"{name}.png")
