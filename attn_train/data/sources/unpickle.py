"""Read pickled arrays, as of the CIFAR batches, without running what a pickle may name: only NumPy arrays are made."""

import _codecs
import io
import pickle
from typing import Any

import numpy as np

from attn_train.errors import DataError


class _FromBuffer:
    """Stand-in for NumPy's function of that name, without attributes that a pickle could set."""

    __slots__ = ()

    def __call__(self, buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> Any:
        return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


# NumPy's own function for rebuilding an array, found the way a pickle names it.
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]

ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _codecs.encode,
    # The module's old name stands in the published files, the new one in those written by NumPy 2.
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer(),
    ("numpy._core.numeric", "_frombuffer"): _FromBuffer(),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which an array never needs") from None


def read_pickle(content: bytes, where: str, advice: str = "fetch the official archive again") -> dict[str, Any]:
    """Return a pickled dict of arrays, keys as text; raise DataError naming the file, `where`, for anything else."""
    try:
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    # A damaged pickle can raise nearly anything; none of it can have run code.
    except Exception as error:
        raise DataError(f"{where}: refused or damaged ({error}); {advice}") from error
    if not isinstance(batch, dict):
        raise DataError(f"{where}: expected a dict, found {type(batch).__name__}; {advice}")
    return {_text(key): value for key, value in batch.items()}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def text_list(value: Any) -> list[str]:
    """Return a pickled list of byte or text strings as text."""
    return [_text(item) for item in value] if isinstance(value, list) else []
