"""Parsers that read words too: attention weighed by the word pair, and distances with words."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ....errors import BertologyError
from .features import LEFT_OUT, ParserInput
from .objective import map_deviations, special_deviations
from .training import attachment, hold_out
from .trees import best_candidates

#: Word vectors are reduced to so many principal components, the width of the paper's GloVe.
WIDTH = 100
#: Half the rate of the paper's code: features here are divided by their deviation.
RATE = 0.001
_HIDDEN, _DISTANCES = 256, 8


class WordVectors(nn.Module):
    """Frozen word vectors: centred, reduced to `WIDTH`, scaled to a mean square length."""

    mean: Tensor
    axes: Tensor

    def __init__(self, sentences: Sequence[ParserInput], length: float) -> None:
        super().__init__()
        vectors = torch.cat([sentence.vectors for sentence in sentences]).numpy()
        width = min(WIDTH, *vectors.shape)
        found = PCA(width, svd_solver="covariance_eigh").fit(vectors)
        size = np.sqrt(((vectors - found.mean_) ** 2).sum(1).mean())
        axes = found.components_.T * (length / max(size, 1e-12))
        self.width = width
        self.register_buffer("mean", torch.from_numpy(found.mean_).float())
        self.register_buffer("axes", torch.from_numpy(axes).float())

    def forward(self, vectors: Tensor) -> Tensor:
        """(word, width)."""
        return (vectors - self.mean) @ self.axes


class AttentionAndWords(nn.Module):
    """The attention-only model with every weight a linear map of the pair of words.

    Σ_k (W_k·(v_i ⊕ v_j) + b_k) α^k_ij + (U_k·(v_i ⊕ v_j) + c_k) α^k_ji for candidate i of word j;
    ROOT keeps its weights on the attention from j to [CLS] and [SEP], and a bias. All begin at 0.
    """

    deviations: Tensor
    special_deviations: Tensor

    def __init__(self, sentences: Sequence[ParserInput]) -> None:
        super().__init__()
        self.words = WordVectors(sentences, length=1.0)
        heads = len(sentences[0].maps)
        self.register_buffer("deviations", torch.from_numpy(map_deviations(sentences)).float())
        scale = torch.from_numpy(special_deviations(sentences)).float()
        self.register_buffer("special_deviations", scale)
        self.candidate = nn.Linear(self.words.width, 2 * heads, bias=False)
        self.dependent = nn.Linear(self.words.width, 2 * heads)
        self.root = nn.Linear(2 * heads, 1)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, sentence: ParserInput) -> Tensor:
        """Scores (word, candidate)."""
        specials = (sentence.specials / self.special_deviations[..., None]).flatten(0, 1)
        vectors = self.words(sentence.vectors)
        shape = (*self.deviations.shape, len(vectors))
        of_candidate = self.candidate(vectors).T.view(shape) / self.deviations[..., None]
        of_dependent = self.dependent(vectors).T.view(shape) / self.deviations[..., None]
        # In the order of DIRECTIONS: the dependent is the row of the map, then its column.
        to_head = sentence.maps * (of_dependent[0][:, :, None] + of_candidate[0][:, None, :])
        to_dependent = sentence.maps * (of_candidate[1][:, :, None] + of_dependent[1][:, None, :])
        return torch.cat([self.root(specials.T), to_head.sum(0) + to_dependent.sum(0).T], dim=1)


class DistanceAndWords(nn.Module):
    """Eight features of the distance and both words, one hidden layer of 256 tanh units.

    With d = i − j for candidate i of word j: d/10, |d|/10, whether d > 0, and whether d is −2, −1,
    1 and 2; for ROOT all of these and the candidate's vector are 0, and the eighth feature is 1.
    """

    def __init__(self, sentences: Sequence[ParserInput]) -> None:
        super().__init__()
        # Longer vectors than those that multiply attention: hidden units start far from 0.
        self.words = WordVectors(sentences, length=3.0)
        self.distance = nn.Linear(_DISTANCES, _HIDDEN, bias=False)
        self.candidate = nn.Linear(self.words.width, _HIDDEN, bias=False)
        self.dependent = nn.Linear(self.words.width, _HIDDEN)
        self.output = nn.Linear(_HIDDEN, 1)

    def forward(self, sentence: ParserInput) -> Tensor:
        """Scores (word, candidate)."""
        vectors = self.words(sentence.vectors)
        candidates = nn.functional.pad(self.candidate(vectors), (0, 0, 1, 0))
        distances = self.distance(distance_features(len(vectors)).to(vectors))
        hidden = torch.tanh(distances + candidates + self.dependent(vectors)[:, None])
        return self.output(hidden).squeeze(-1)


def distance_features(words: int) -> Tensor:
    """The features of `DistanceAndWords`: (word, candidate, feature)."""
    places = torch.arange(words)
    d = (places - places[:, None]).float()
    near = [(d == offset).float() for offset in (-2, -1, 1, 2)]
    features = torch.stack([d / 10, d.abs() / 10, (d > 0).float(), *near, 0 * d], dim=-1)
    root = torch.zeros(words, 1, _DISTANCES)
    root[..., -1] = 1
    return torch.cat([root, features], dim=1)


NETWORKS = {"attention + words": AttentionAndWords, "distance + words": DistanceAndWords}


class NetworkParser(BaseEstimator):
    """A parser of `NETWORKS`, trained by Adam with one sentence a step.

    Training stops when an epoch does not improve UAS on a held-out fifth of the sentences, and
    takes the parameters of the best epoch.

    Args:
        network: name in `NETWORKS`.
        epochs: at most so many.
        seed: of the split, the start and the order.

    Attributes:
        network_: the trained module.
        epochs_: how many epochs the parameters have seen.
    """

    def __init__(
        self, network: str = "attention + words", epochs: int = 5, seed: int = 0,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        self.network = network
        self.epochs = epochs
        self.seed = seed
        self.device = device

    def fit(self, X: Sequence[ParserInput], y: None = None) -> Self:
        """Train on four fifths of the sentences and choose the epoch by the others."""
        if self.network not in NETWORKS:
            raise BertologyError(
                f"network is {self.network!r}; it must be one of {', '.join(NETWORKS)}."
            )
        fitted, held = hold_out(X, self.seed)
        fitted = [sentence for sentence in fitted if (sentence.gold != LEFT_OUT).any()]
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            self.network_ = NETWORKS[self.network](fitted).to(self.device)
            self._train(fitted, held)
        return self

    def scores(self, sentence: ParserInput) -> np.ndarray:
        """Log-odds of the candidates of each word, up to a constant a word: (word, candidate)."""
        check_is_fitted(self)
        with torch.no_grad():
            return self.network_(sentence.to(self.device)).double().cpu().numpy()

    def predict(self, X: Sequence[ParserInput]) -> list[np.ndarray]:
        """The best head of each word, per sentence (word,), -1 for ROOT."""
        return [best_candidates(self.scores(sentence)) for sentence in X]

    def _train(self, fitted: list[ParserInput], held: list[ParserInput]) -> None:
        optimizer = torch.optim.Adam(self.network_.parameters(), lr=RATE)
        best, kept = -1.0, self.network_.state_dict()
        self.epochs_ = 0
        for epoch in range(1, self.epochs + 1):
            for place in torch.randperm(len(fitted)).tolist():
                sentence = fitted[place].to(self.device)
                optimizer.zero_grad()
                _loss(self.network_(sentence), sentence.gold).backward()
                optimizer.step()
            reached = attachment(self.scores, held)
            if reached <= best:
                break
            best, kept, self.epochs_ = reached, deepcopy(self.network_.state_dict()), epoch
        self.network_.load_state_dict(kept)


def _loss(scores: Tensor, gold: Tensor) -> Tensor:
    """Sum of the negative log-likelihoods of the gold heads, in nats."""
    barred = torch.eye(*scores.shape, dtype=torch.bool, device=scores.device).roll(1, dims=1)
    return nn.functional.cross_entropy(
        scores.masked_fill(barred, -torch.inf), gold, ignore_index=LEFT_OUT, reduction="sum"
    )
