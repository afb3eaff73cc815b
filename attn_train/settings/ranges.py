"""What the values of a run's settings may be together; each alone has its bound in the schema."""

from attn_train.errors import ConfigError
from attn_train.settings.bounds import check_values
from attn_train.settings.schema import Settings
from attn_train.settings.widths import check as check_control


def check_ranges(config: Settings) -> None:
    """Raise ConfigError for the first value outside its range, naming it and what is allowed."""
    for section in ("model", "backbone", "optimizer", "schedule", "noise"):
        if not isinstance(getattr(config, section).get("name"), str):
            raise ConfigError(f"{section} has no name; its file needs a line 'name: ...'")
    check_values(config)
    check_control(config.control, config.control_width, config.model["name"])
    train, dataset = config.train, config.dataset
    if train.batch_size % train.accumulate:
        raise ConfigError(f"train.accumulate={train.accumulate} does not divide train.batch_size={train.batch_size}")
    if dataset.augment.crop >= dataset.image_size:
        raise ConfigError(
            f"dataset.augment.crop={dataset.augment.crop} must be below dataset.image_size={dataset.image_size}"
        )
