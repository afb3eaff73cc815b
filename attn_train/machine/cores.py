"""The cores that there are for this process. Nothing here knows torch."""

import joblib


def usable_cores() -> int:
    """Count the cores that this process may really use: its affinity and its container's quota can leave fewer than
    the machine has."""
    return joblib.cpu_count()
