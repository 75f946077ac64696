"""The loss of the attention-only parser with its slopes and curvature, as closed forms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .features import LEFT_OUT, ParserInput


@dataclass(frozen=True)
class _Group:
    """Sentences of one length; features are divided by their deviation."""

    features: Tensor
    """(direction × head, sentence, word, word): of each word, for each candidate."""
    specials: Tensor
    """(special × head, sentence × word)."""
    gold: Tensor
    """(sentence, word)."""

    def log_odds(self, parameters: Tensor) -> Tensor:
        """Log-probabilities of the candidates: (sentence, word, candidate)."""
        sentences, words = self.gold.shape
        split = len(self.features)
        # Of heads that look nearly everywhere alike, large terms of the sum cancel.
        sums = parameters[:split] @ self.features.flatten(1).double()
        root = parameters[split:-1] @ self.specials.double() + parameters[-1]
        shape = sentences, words, -1
        logits = torch.cat([root.view(shape), sums.view(shape)], dim=-1)
        logits[..., 1:].diagonal(dim1=1, dim2=2).fill_(-torch.inf)
        return logits.log_softmax(-1)

    @property
    def counted(self) -> Tensor:
        """(sentence, word, 1)."""
        return (self.gold != LEFT_OUT)[..., None]

    def loss(self, parameters: Tensor) -> tuple[float, Tensor]:
        """Sum over words, in nats, and its gradient."""
        logs = self.log_odds(parameters)
        gold = self.gold.clamp(min=0)[..., None]
        loss = -(logs.gather(-1, gold) * self.counted).sum()
        slopes = logs.exp().scatter_add_(-1, gold, -torch.ones_like(logs[..., :1]))
        slopes *= self.counted
        of_root, of_words = slopes[..., 0].flatten(), slopes[..., 1:].flatten()
        gradient = [
            self.features.flatten(1).double() @ of_words,
            self.specials.double() @ of_root,
            of_root.sum()[None],
        ]
        return float(loss), torch.cat(gradient)

    def curvature(self, parameters: Tensor) -> Tensor:
        """Sum over words of the covariance of the features under the model.

        In single precision: it says where to look for the minimum, not where that is.
        """
        share = (self.log_odds(parameters).exp() * self.counted).float()
        weighed = self.features * share[..., 1:]
        root = torch.cat([self.specials, torch.ones_like(self.specials[:1])])
        weighed_root = root * share[..., 0].flatten()
        squares = torch.block_diag(
            weighed.flatten(1) @ self.features.flatten(1).T, weighed_root @ root.T
        )
        mean = torch.cat([weighed.sum(3).flatten(1), weighed_root])
        return squares - mean @ mean.T


@dataclass(frozen=True)
class Objective:
    """Mean negative log-likelihood a word in nats, plus an L2 penalty on all but the bias.

    Parameters stand in one vector: (direction, head), (special, head), the bias of ROOT; features
    are divided by their standard deviation.
    """

    groups: list[_Group]
    deviations: np.ndarray
    """(direction, head)."""
    special_deviations: np.ndarray
    """(special, head)."""
    words: int
    """How many words have a loss."""

    @staticmethod
    def of(sentences: Sequence[ParserInput]) -> "Objective":
        deviations, of_specials = map_deviations(sentences), special_deviations(sentences)
        by_length: dict[int, list[ParserInput]] = {}
        for sentence in sentences:
            by_length.setdefault(len(sentence), []).append(sentence)
        groups = []
        for alike in by_length.values():
            maps = torch.stack([s.maps for s in alike], dim=1).float()
            features = torch.cat([maps, maps.mT])
            features /= torch.from_numpy(deviations).to(maps).flatten()[:, None, None, None]
            specials = torch.stack([s.specials for s in alike], dim=2).float()
            specials /= torch.from_numpy(of_specials).to(maps)[..., None, None]
            gold = torch.stack([s.gold for s in alike])
            groups.append(_Group(features, specials.flatten(2).flatten(0, 1), gold))
        words = sum(int((s.gold != LEFT_OUT).sum()) for s in sentences)
        return Objective(groups, deviations, of_specials, words)

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return self.deviations.size + self.special_deviations.size + 1

    def loss(self, parameters: np.ndarray, strength: float) -> tuple[float, np.ndarray]:
        """The value and its gradient."""
        loss, gradient = 0.0, np.zeros(self.size)
        for group in self.groups:
            part, slopes = group.loss(torch.from_numpy(parameters))
            loss += part
            gradient += slopes.numpy()
        penalised = np.append(parameters[:-1], 0.0)
        loss = loss / self.words + strength / 2 * float(penalised @ penalised)
        return loss, gradient / self.words + strength * penalised

    def curvature(self, parameters: np.ndarray, strength: float) -> np.ndarray:
        """The Hessian."""
        total = torch.zeros(self.size, self.size, dtype=torch.float64)
        for group in self.groups:
            total += group.curvature(torch.from_numpy(parameters)).double()
        penalised = np.append(np.full(self.size - 1, strength), 0.0)
        return np.asarray(total.numpy() / self.words + np.diag(penalised))


def map_deviations(sentences: Sequence[ParserInput]) -> np.ndarray:
    """Standard deviation of attention among the candidates of a word: (direction, head).

    Around the mean of each word's candidates, because a choice among them knows no more; ROOT is
    none of them here.
    """
    squares = torch.zeros(2, len(sentences[0].maps), dtype=torch.float64)
    pairs = 0
    for sentence in sentences:
        others = len(sentence) - 1
        if others:
            maps = sentence.maps.double()
            total = (maps * maps).sum((1, 2))
            sums = torch.stack([maps.sum(2), maps.sum(1)])  # over candidates: rows, then columns
            squares += total - (sums * sums).sum(2) / others
            pairs += len(sentence) * others
    return _deviation(squares / max(pairs, 1))


def special_deviations(sentences: Sequence[ParserInput]) -> np.ndarray:
    """Standard deviation of the attention of a word to a special: (special, head)."""
    rows = torch.cat([sentence.specials.double() for sentence in sentences], dim=-1)
    return _deviation(rows.var(-1, correction=0))


def _deviation(variance: Tensor) -> np.ndarray:
    deviation = variance.clamp(min=0).sqrt().numpy()
    # A feature that is always the same has nothing to learn from.
    return np.where(deviation > 1e-6, deviation, 1.0)
