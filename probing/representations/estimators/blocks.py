"""Standardised features in blocks of rows, from memory or from anything that is larger."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch


@dataclass(frozen=True)
class RowBlocks:
    """Features that are read a block at a time, again for every pass over them."""

    shape: tuple[int, int]
    """(rows, features)."""
    read: Callable[[], Iterable[np.ndarray]]
    """All rows, in blocks of shape (rows of the block, features), float32 or float64."""


def row_blocks(array: np.ndarray, size: int = 8192) -> RowBlocks:
    """The blocks of what can be sliced, such as a numpy memory map."""

    def read() -> Iterator[np.ndarray]:
        for start in range(0, array.shape[0], size):
            yield np.asarray(array[start : start + size])

    return RowBlocks((array.shape[0], array.shape[1]), read)


class Features:
    """Features with mean 0 and standard deviation 1 over all rows, constant ones all 0.

    An array is standardised once and held on the device; row blocks are read and standardised
    anew whenever they are asked for, and nothing is held beyond one.

    Args:
        source: float32 or float64, (rows, features): products are computed in its precision.

    Raises:
        ValueError: a feature is NaN or infinite.
    """

    def __init__(self, source: np.ndarray | RowBlocks, device: str | torch.device = "cpu") -> None:
        self.source = source
        self.device = torch.device(device)
        self.rows, self.width = source.shape
        self.dtype = torch.from_numpy(np.empty(0, next(self._read()).dtype)).dtype
        self.mean, self.inverse = self._moments()
        if not np.isfinite(self.mean).all():
            raise ValueError(
                f"{int((~np.isfinite(self.mean)).sum())} of {self.width} features hold NaN or "
                "infinity; leave such rows out."
            )
        self._held = (
            [self._standardised(source).to(self.device)] if isinstance(source, np.ndarray) else None
        )

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Blocks of standardised rows on the device."""
        if self._held is not None:
            return iter(self._held)
        return (self._standardised(block).to(self.device) for block in self._read())

    @cached_property
    def gram(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Eigenvalues (features,) and eigenvectors (features, features) of X'X / rows, float64."""
        total = torch.zeros(self.width, self.width, dtype=torch.float64, device=self.device)
        for block in self:
            total += (block.T @ block).double()
        values, vectors = torch.linalg.eigh(total / self.rows)
        return values.clamp_(min=0), vectors

    def moments(self, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weighted means and inverse standard deviations: float64 (sets, features) each.

        The inverse is 0 for a feature that is constant where the weights are not 0.

        Args:
            weights: (sets, rows), on the device.
        """
        totals = weights.sum(dim=1, dtype=torch.float64)[:, None]
        mean = torch.zeros(len(weights), self.width, dtype=torch.float64, device=self.device)
        square = torch.zeros_like(mean)
        start = 0
        for block in self:
            part = weights[:, start : start + len(block)].double()
            mean += part @ block.double()
            square += part @ block.double().square()
            start += len(block)
        mean /= totals
        deviation = (square / totals - mean.square()).clamp_(min=0).sqrt()
        # The difference of squares leaves the square root of their rounding.
        return mean, _inverse(deviation, mean.abs(), 1e-7)

    def _read(self) -> Iterator[np.ndarray]:
        return iter([self.source] if isinstance(self.source, np.ndarray) else self.source.read())

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and inverse standard deviation of every feature, float64."""
        mean, square = np.zeros(self.width), np.zeros(self.width)
        for block in self._read():
            mean += block.sum(axis=0, dtype=np.float64)
        mean /= self.rows
        for block in self._read():
            # The square of a feature of size 1e-32 is 0 in single precision.
            square += np.square((block - mean.astype(block.dtype)).astype(np.float64)).sum(axis=0)
        deviation = torch.from_numpy(np.sqrt(square / self.rows))
        noise = 10 * torch.finfo(self.dtype).eps
        return mean, _inverse(deviation, torch.from_numpy(np.abs(mean)), noise).numpy()

    def _standardised(self, block: np.ndarray) -> torch.Tensor:
        centred = block - self.mean.astype(block.dtype)
        centred *= self.inverse.astype(block.dtype)
        return torch.from_numpy(centred)


def _inverse(deviation: torch.Tensor, size: torch.Tensor, noise: float) -> torch.Tensor:
    """1 / deviation, and 0 where the deviation is only rounding of values of that size."""
    return torch.where(deviation > noise * size, 1 / deviation, 0.0)
