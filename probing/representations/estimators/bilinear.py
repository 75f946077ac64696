"""The bilinear probe of a pair of words."""

from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ....errors import BertologyError
from .classifier import TorchClassifier
from .linear import GRID


class BilinearProbe(TorchClassifier):
    """Logits that are bilinear in the two words of a pair (after Hewitt & Liang 2019).

    The logits are W ((U x₁ + a) ⊙ (V x₂ + b)) + c with `rank` products: those of the paper, which
    scores candidate heads by one form x₁ᵀ A x₂ of limited rank, with a form per label, all of them
    sharing U and V, and with the terms that are linear in one word. X is (item, 2 × hidden), the
    words side by side. See `TorchClassifier` for the objective, the choice of C, and the seed.

    Args:
        rank: number of products.
        Cs: inverse strengths of the penalty on the summed loss.
        epochs: at most so many.
        seed: of the split, the start and the order.
        device: where it is trained, such as "cpu" or "cuda".
    """

    def __init__(
        self, rank: int = 64, Cs: tuple[float, ...] = GRID, epochs: int = 40, seed: int = 0,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        self.rank = rank
        self.Cs = Cs
        self.epochs = epochs
        self.seed = seed
        self.device = device

    def _network(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        return _Bilinear(shape[0] // 2, self.rank, classes)

    def _checked(self, X: ArrayLike, *y: ArrayLike) -> Any:
        checked = super()._checked(X, *y)
        if self.n_features_in_ % 2:
            raise BertologyError(
                f"X has {self.n_features_in_} features; a bilinear probe takes the features of "
                "two words side by side, so their number must be even."
            )
        return checked


class _Bilinear(nn.Module):
    def __init__(self, width: int, rank: int, classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, rank), nn.Linear(width, rank)
        self.output = nn.Linear(rank, classes)

    def forward(self, pairs: Tensor) -> Tensor:
        first, second = torch.tensor_split(pairs, 2, dim=1)
        logits: Tensor = self.output(self.first(first) * self.second(second))
        return logits
