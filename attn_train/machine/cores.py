"""The number of cores that this process may use; without torch."""

import joblib


def usable_cores() -> int:
    """Count the cores that this process may use, within its affinity and its container's quota."""
    return joblib.cpu_count()
