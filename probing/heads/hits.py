"""Hits and misses of every head on every dependent, one bit each."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

#: Dependents to unpack at a time, so that memory does not grow with the corpus.
_BLOCK = 4096


@dataclass(frozen=True)
class Hits:
    """A boolean array (dependent, layer, head, direction), eight to a byte.

    `hits[rows]` is the array at some dependents.
    """

    packed: np.ndarray
    """(dependent, byte)."""
    shape: tuple[int, ...]
    """(layer, head, direction)."""

    @staticmethod
    def empty(dependents: int, shape: tuple[int, ...]) -> "Hits":
        """Room for so many dependents; all are misses."""
        return Hits(np.zeros((dependents, -(-int(np.prod(shape)) // 8)), np.uint8), shape)

    def put(self, rows: slice, correct: np.ndarray) -> None:
        """Set the hits of some dependents from booleans (dependent, layer, head, direction)."""
        self.packed[rows] = np.packbits(
            correct.reshape(len(correct), int(np.prod(self.shape))), axis=1
        )

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        bits = np.unpackbits(self.packed[rows], axis=1, count=int(np.prod(self.shape)))
        return bits.reshape(-1, *self.shape).astype(bool)


def hits_by_unit(
    correct: Hits | np.ndarray, rows: np.ndarray, units: np.ndarray, count: int
) -> np.ndarray:
    """Hits of each head on the dependents `rows`, summed over units.

    Args:
        correct: (dependent, layer, head, direction).
        units: (dependent,), of all dependents.
        count: how many units there are.

    Returns:
        (unit, layer, head, direction).
    """
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    sums = sums_by_unit(correct[blocks[0]], units[blocks[0]], count)
    for block in blocks[1:]:
        sums += sums_by_unit(correct[block], units[block], count)
    return sums


def hits_of(correct: Hits | np.ndarray, rows: np.ndarray, cell: tuple[int, int, int]) -> np.ndarray:
    """Whether one head got each of the dependents `rows` right: (row,), boolean.

    Args:
        cell: layer, head, direction.
    """
    layer, head, direction = cell
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    return np.concatenate([correct[block][:, layer, head, direction] for block in blocks])


def sums_by_unit(values: np.ndarray, units: np.ndarray, count: int) -> np.ndarray:
    """Sum rows over units: (unit, …)."""
    places = np.arange(len(units))
    belongs = csr_array((np.ones(len(units)), (units, places)), shape=(count, len(units)))
    sums = belongs @ values.reshape(len(values), -1).astype(float)
    return sums.reshape(count, *values.shape[1:])
