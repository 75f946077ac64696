"""Structural probes: a linear map under which squared distances or lengths are those of a tree."""

from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from ....errors import BertologyError
from .linear import HELD_OUT
from .parameters import check_device, check_rank
from .training import Schedule, as_array, as_tensor, batches, full_precision, seeded, train
from .tree_batches import TreeBatch, tree_batches
from .trees import (
    DepthScores,
    DistanceScores,
    by_sentence,
    depth_scores,
    distance_scores,
    spanning_tree,
    tree_depths,
    tree_distances,
)

#: Batches an epoch has at least.
_STEPS = 100


class _StructuralProbe(BaseEstimator):
    """What both probes share: one matrix B, trained by Adam, stopped by held-out sentences."""

    rank: int
    epochs: int
    seed: int
    device: str
    #: What is predicted of a gold tree, from the heads of its words.
    _gold: Callable[[np.ndarray], np.ndarray]
    #: Whether it is the same for states moved by a constant, and so trained on centred ones.
    _centred: bool

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike) -> Self:
        """Train.

        Args:
            X: hidden states of whole sentences, (word, hidden).
            y: the head of each word as its index in the sentence, -1 for the root, (word,).
            groups: the sentence of each word, (word,).

        Raises:
            BertologyError: a sentence is no tree, a word is NaN, there is one sentence only, or a
                parameter cannot be.
        """
        check_rank(self.rank)
        check_device(self.device)
        features, heads = self._checked(X, as_array(y))
        sentences = by_sentence(heads, as_array(groups))
        if len(sentences) < 2:
            raise BertologyError(
                "One sentence was given; a structural probe needs at least one to train on and "
                "one to stop by."
            )
        # Deviations are divided out for the sake of Adam, and multiplied into B in the end.
        scaler = StandardScaler(with_mean=self._centred).fit(features)
        states = as_tensor(scaler.transform(features), self.device)
        golds = [type(self)._gold(sentence) for sentence in sentences]
        order = np.random.default_rng(self.seed).permutation(len(sentences))
        count = max(1, int(len(sentences) * HELD_OUT))
        held, fitted = (tree_batches(golds, part, self.device) for part in np.split(order, [count]))
        generator = torch.Generator().manual_seed(self.seed)

        def epoch() -> Iterator[Tensor]:
            for number in batches(len(fitted), generator, size=1, least=_STEPS):
                batch = fitted[int(number)]
                yield self._losses(network(states[batch.places]), batch).mean()

        def held_out() -> float:
            losses = [self._losses(network(states[batch.places]), batch) for batch in held]
            return float(torch.cat(losses).mean())

        with full_precision(self.device):
            network = seeded(lambda: _start(states.shape[1], self.rank), self.seed).to(self.device)
            schedule = Schedule(factor=0.1, epochs=self.epochs)
            self.rates_ = train(network, epoch, held_out, schedule)
        weight = network.state_dict()["weight"].cpu().double().numpy()
        self.projection_ = (weight / scaler.scale_).T
        return self

    def _losses(self, projected: Tensor, batch: TreeBatch) -> Tensor:
        """The loss of each sentence (sentence,) of states (sentence, word, rank)."""
        raise NotImplementedError

    def _projected(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        return np.asarray(self._checked(X) @ self.projection_)

    def _checked(self, X: ArrayLike, *y: ArrayLike) -> Any:
        features = np.asarray(as_array(X))
        if features.dtype.kind == "f" and np.isnan(features).any():
            raise BertologyError(
                f"{np.isnan(features).any(axis=-1).sum()} words of X are NaN, as words without "
                "tokens are; leave out their sentences."
            )
        return validate_data(self, features, *y, reset=bool(y), dtype=[np.float64, np.float32])


class DistanceProbe(_StructuralProbe):
    """Squared distances ‖B(h_i − h_j)‖² that are the distances in the tree (Hewitt & Manning 2019).

    Trained as in the paper: Σ |d_T − d²| / n² over the pairs of a sentence of n words, mean over
    sentences; Adam on batches of 20 sentences of nearly one length, with a rate of 1e-3 that falls
    to a tenth when an epoch does not improve the loss on held-out sentences (a fifth of those
    given); the B of the best epoch. With fewer than 100 batches an epoch goes through them
    several times. It is not convex: report several seeds.

    scikit-learn's estimator checks do not apply, because a word without its sentence has no tree:
    `groups` is required. There is no `sample_weight`, because the loss is one of pairs, not items;
    repeat or leave out sentences instead. In `GridSearchCV` switch on metadata routing and ask for
    `groups` with `set_fit_request` and `set_score_request`.

    Args:
        rank: rows of B; 64 are enough for BERT in the paper.
        epochs: at most so many.
        seed: of the held-out sentences, the start and the order.
        device: where it is trained, such as "cpu" or "cuda".

    Attributes:
        projection_: Bᵀ on states as given, (hidden, rank).
        rates_: the rate of each epoch that B has seen.
    """

    _gold = staticmethod(tree_distances)
    _centred = True

    def __init__(
        self, rank: int = 64, epochs: int = 40, seed: int = 0, device: str = "cpu"
    ) -> None:
        self.rank = rank
        self.epochs = epochs
        self.seed = seed
        self.device = device

    def predict(self, X: ArrayLike, groups: ArrayLike) -> list[np.ndarray]:
        """Squared distances between the words of each sentence, (word, word)."""
        projected = by_sentence(self._projected(X), as_array(groups))
        return [cdist(sentence, sentence, "sqeuclidean") for sentence in projected]

    def trees(
        self, X: ArrayLike, groups: ArrayLike, scored: ArrayLike | None = None
    ) -> list[np.ndarray]:
        """The edges of the predicted tree of each sentence, (edge, 2), over the scored words."""
        predicted = self.predict(X, groups)
        every = np.ones(len(as_array(groups)), dtype=bool)
        masks = by_sentence(every if scored is None else scored, as_array(groups))
        return [spanning_tree(*pair) for pair in zip(predicted, masks, strict=True)]

    def scores(
        self, X: ArrayLike, y: ArrayLike, groups: ArrayLike, scored: ArrayLike | None = None
    ) -> DistanceScores:
        """How the predicted trees and distances agree with heads y, for every sentence.

        Args:
            scored: words that count in UUAS, (word,) bool: those that are not punctuation.
        """
        heads = by_sentence(as_array(y), as_array(groups))
        return distance_scores(self.predict(X, groups), heads, _mask(scored, groups))

    def score(
        self, X: ArrayLike, y: ArrayLike, groups: ArrayLike, scored: ArrayLike | None = None
    ) -> float:
        """UUAS."""
        return self.scores(X, y, groups, scored).uuas

    def _losses(self, projected: Tensor, batch: TreeBatch) -> Tensor:
        inner = projected @ projected.mT
        squares = inner.diagonal(dim1=1, dim2=2)
        distances = squares[:, :, None] + squares[:, None, :] - 2 * inner
        deviations = (distances - batch.gold).abs().masked_fill(~batch.pairs, 0.0)
        return deviations.sum((1, 2)) / batch.lengths**2


class DepthProbe(_StructuralProbe):
    """Squared lengths ‖B h‖² that are the depths of words in the tree (Hewitt & Manning 2019).

    The loss is Σ |depth − ‖B h‖²| / n over the words of a sentence; all else, and what is said of
    seeds, checks and weights, is as in `DistanceProbe`.

    Args:
        rank: rows of B.
        epochs: at most so many.
        seed: of the held-out sentences, the start and the order.
        device: where it is trained, such as "cpu" or "cuda".

    Attributes:
        projection_: Bᵀ on states as given, (hidden, rank).
        rates_: the rate of each epoch that B has seen.
    """

    _gold = staticmethod(tree_depths)
    _centred = False

    def __init__(
        self, rank: int = 64, epochs: int = 40, seed: int = 0, device: str = "cpu"
    ) -> None:
        self.rank = rank
        self.epochs = epochs
        self.seed = seed
        self.device = device

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Squared lengths, (word,): the root's is the smallest of its sentence."""
        return np.asarray((self._projected(X) ** 2).sum(axis=1))

    def scores(
        self, X: ArrayLike, y: ArrayLike, groups: ArrayLike, scored: ArrayLike | None = None
    ) -> DepthScores:
        """How the predicted depths agree with heads y, for every sentence.

        Args:
            scored: words that may be predicted as the root, (word,) bool: no punctuation.
        """
        heads = by_sentence(as_array(y), as_array(groups))
        depths = by_sentence(self.predict(X), as_array(groups))
        return depth_scores(depths, heads, _mask(scored, groups))

    def score(
        self, X: ArrayLike, y: ArrayLike, groups: ArrayLike, scored: ArrayLike | None = None
    ) -> float:
        """The share of sentences whose root is found."""
        return self.scores(X, y, groups, scored).root_accuracy

    def _losses(self, projected: Tensor, batch: TreeBatch) -> Tensor:
        deviations = ((projected**2).sum(2) - batch.gold).abs().masked_fill(~batch.words, 0.0)
        return deviations.sum(1) / batch.lengths


def _start(hidden: int, rank: int) -> nn.Module:
    # The start of the paper's code.
    network = nn.Linear(hidden, rank, bias=False)
    nn.init.uniform_(network.weight, -0.05, 0.05)
    return network


def _mask(scored: ArrayLike | None, groups: ArrayLike) -> list[np.ndarray] | None:
    if scored is None:
        return None
    return by_sentence(np.asarray(as_array(scored), dtype=bool), as_array(groups))
