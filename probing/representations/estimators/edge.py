"""The edge probe: spans that are pooled by what the probe learns to look at."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ....errors import BertologyError
from .classifier import TorchClassifier
from .linear import GRID


class EdgeProbe(TorchClassifier):
    """Classifies a span or a pair of spans (Tenney et al. 2019, "What do you learn from context?").

    Each word is projected to `width`, with weights of their own for the first and the second span;
    each span is pooled by an attention over its words; one hidden layer reads the pooled spans.
    An item has one label, from a softmax; the paper gives every label its own sigmoid and scores
    micro-F1, which is the same task where an item has exactly one label.

    X is (item, span, word, hidden) with NaN behind the end of a span; (item, feature) is one span
    of one word. See `TorchClassifier` for the objective, the choice of C, and the seed.

    Args:
        width: of the projected words.
        hidden: units of the hidden layer.
        Cs: inverse strengths of the penalty on the summed loss.
        epochs: at most so many.
        seed: of the split, the start and the order.
        device: where it is trained, such as "cpu" or "cuda".
    """

    _axes = ("item", "span", "word", "hidden")
    _finite = "allow-nan"

    def __init__(
        self, width: int = 256, hidden: int = 256, Cs: tuple[float, ...] = GRID,
        epochs: int = 40, seed: int = 0, device: str = "cpu",
    ) -> None:  # fmt: skip
        self.width = width
        self.hidden = hidden
        self.Cs = Cs
        self.epochs = epochs
        self.seed = seed
        self.device = device

    def _network(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        spans, _, features = shape
        return _Spans(spans, features, self.width, self.hidden, classes)

    def _shape(self, features: np.ndarray) -> tuple[int, ...]:
        # The longest span need not be as long as in training.
        return (features.shape[1], features.shape[3])

    def _columns(self, features: np.ndarray) -> np.ndarray:
        # Words are the rows; scikit-learn leaves NaN out of means and deviations.
        return features.reshape(-1, features.shape[-1])

    def _checked(self, X: ArrayLike, *y: ArrayLike) -> Any:
        checked = super()._checked(X, *y)
        missing = np.isnan(checked[0] if y else checked)
        absent = missing.all(axis=3)
        if (absent != missing.any(axis=3)).any():
            raise BertologyError("Some words of X are NaN in part; give all of a word, or none.")
        if absent[..., 0].any() or (absent[..., :-1] > absent[..., 1:]).any():
            raise BertologyError(
                "A span of X begins with NaN, or has words behind its end; NaN may only follow "
                "the words of a span, of which there must be at least one."
            )
        return checked


class _Spans(nn.Module):
    def __init__(self, spans: int, features: int, width: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(features, width) for _ in range(spans))
        self.scores = nn.ModuleList(nn.Linear(width, 1) for _ in range(spans))
        self.output = nn.Sequential(
            nn.Linear(spans * width, hidden), nn.Tanh(), nn.Linear(hidden, classes)
        )

    def forward(self, words: Tensor) -> Tensor:
        absent = words[..., 0].isnan()
        pooled = [
            self._pooled(project(span), score, off)
            for project, score, span, off in zip(
                self.projections, self.scores, words.nan_to_num().unbind(1), absent.unbind(1),
                strict=True,
            )
        ]  # fmt: skip
        logits: Tensor = self.output(torch.cat(pooled, dim=1))
        return logits

    @staticmethod
    def _pooled(words: Tensor, score: nn.Module, absent: Tensor) -> Tensor:
        """(item, width) from (item, word, width)."""
        attention = score(words).squeeze(2).masked_fill(absent, -torch.inf).softmax(dim=1)
        return (attention[..., None] * words).sum(1)
