"""What the classifiers that torch trains have in common: each adds its network."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ....errors import BertologyError
from .linear import HELD_OUT
from .parameters import check_device, check_strengths
from .training import (
    Epoch,
    Schedule,
    as_array,
    as_tensor,
    batches,
    full_precision,
    retrain,
    seeded,
    train,
)

#: Items that are read at a time where nothing is trained.
_AT_ONCE = 4096


class TorchClassifier(ClassifierMixin, BaseEstimator):
    """Standardised features, then a network with a softmax, trained by Adam on mini-batches.

    The objective is that of the linear probe: the negative log-likelihood summed over the items,
    and 1/(2C) times the squared weights (biases are free). C is chosen by the linear probe's rule,
    so that both are tuned alike: the best accuracy on a held-out fifth of the training groups, the
    smallest of equals, and the smallest where nothing can be held out. Training ends when the loss
    on that fifth no longer falls; the network is then trained anew on all training data, for as
    many epochs at the same rates. Items of weight 0 count as absent.

    The objective is not convex: where training ends depends on the seed, so report several.

    Subclasses set the parameters `Cs`, `epochs`, `seed` and `device`. A fitted probe has
    `classes_` (labels seen in training, sorted), `C_` (chosen), `held_out_score_` (its accuracy on
    the held-out fifth, NaN without one), `rates_` (the rate of each epoch), `scaler_`, and
    `network_`, kept on the CPU in double precision, so that the probabilities of an item do not
    depend on the items beside it.
    """

    Cs: tuple[float, ...]
    epochs: int
    seed: int
    device: str
    #: What X is; X of two axes, (item, feature), is read as if those between had length 1.
    _axes: tuple[str, ...] = ("item", "feature")
    #: How finite X must be, in the words of scikit-learn.
    _finite: bool | str = True
    #: Of Adam, to begin with.
    _rate = 1e-3

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Choose C and train.

        Args:
            X: features, of the shape the probe reads.
            y: labels, shape (item,).
            groups: what is held out together, such as the sentence, shape (item,); by default
                every item on its own.
            sample_weight: of the loss of every item, shape (item,).
        """
        check_strengths(self.Cs)
        check_device(self.device)
        features, labels = self._checked(X, as_array(y))
        check_classification_targets(labels)
        weights = _check_sample_weight(as_array(sample_weight), features, ensure_non_negative=True)
        rows = np.arange(len(labels)) if groups is None else np.asarray(as_array(groups))
        if len(rows) != len(labels):
            raise BertologyError(f"{len(rows)} groups were given for {len(labels)} items.")
        kept = weights > 0
        features, labels, rows, weights = features[kept], labels[kept], rows[kept], weights[kept]
        self.classes_, codes = np.unique(labels, return_inverse=True)
        columns = self._columns(features)
        # Where an item has several rows, its weight is that of each.
        by_row = np.repeat(weights, len(columns) // len(features))
        self.scaler_ = StandardScaler().fit(columns, sample_weight=by_row)
        data = _Data(
            as_tensor(self._scaled(features), self.device),
            torch.from_numpy(codes).to(self.device),
            as_tensor(weights, self.device),
        )
        with full_precision(self.device):
            self.C_, self.held_out_score_, self.rates_ = self._choose(data, rows)
            network = self._start(data)
            retrain(network, data.epochs(network, self.seed), self.rates_, data.decay(self.C_))
        self.network_ = network.cpu().double()
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Labels, shape (item,)."""
        places = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[places])

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probabilities, shape (item, class), in the order of `classes_`."""
        check_is_fitted(self)
        features = torch.from_numpy(self._scaled(self._checked(X)))
        with torch.no_grad():
            parts = [self.network_(part.double()) for part in features.split(_AT_ONCE)]
        return torch.cat(parts).softmax(dim=1).numpy()

    def _network(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """A new network from features (item, *shape) to logits (item, class)."""
        raise NotImplementedError

    def _shape(self, features: np.ndarray) -> tuple[int, ...]:
        """What must be the same whenever the probe is asked."""
        return features.shape[1:]

    def _columns(self, features: np.ndarray) -> np.ndarray:
        """Features as (row, column); every column is standardised."""
        return features.reshape(len(features), -1)

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        return self.scaler_.transform(self._columns(features)).reshape(features.shape)

    def _checked(self, X: ArrayLike, *y: ArrayLike) -> Any:
        """X in the shape the network reads, and y if the probe is being fitted."""
        array, axes = as_array(X), len(self._axes)
        checked = validate_data(
            self, array, *y, reset=bool(y), dtype=[np.float64, np.float32], allow_nd=axes > 2,
            ensure_all_finite=self._finite if np.asarray(array).ndim == axes else True,
        )  # fmt: skip
        features, labels = checked if y else (checked, None)
        if features.ndim not in (2, axes):
            raise BertologyError(
                f"X of shape {features.shape} was given to {type(self).__name__}, which reads "
                f"({', '.join(self._axes)}), or (item, feature)."
            )
        missing = axes - features.ndim
        features = features.reshape(len(features), *[1] * missing, *features.shape[1:])
        shape = self._shape(features)
        if y:
            self.shape_ = shape
        elif shape != self.shape_:
            raise BertologyError(
                f"X of shape {features.shape} was given to a {type(self).__name__} that was fitted "
                f"on {self.shape_} without the items."
            )
        return (features, labels) if y else features

    def _choose(self, data: "_Data", groups: np.ndarray) -> tuple[float, float, tuple[float, ...]]:
        """The best C, its accuracy on held-out groups, and the rates it was trained at."""
        grid, schedule = sorted(self.Cs), Schedule(rate=self._rate, epochs=self.epochs)
        nothing = grid[0], np.nan, (schedule.rate,) * self.epochs
        if len(np.unique(groups)) < 2:
            return nothing
        split = GroupShuffleSplit(n_splits=1, test_size=HELD_OUT, random_state=self.seed)
        rows, held = (data[part] for part in next(split.split(groups, groups=groups)))
        if len(rows.codes.unique()) < 2:
            return nothing
        trials = []
        for c in grid:
            network = self._start(data)
            rates = train(
                network, rows.epochs(network, self.seed), partial(held.loss, network), schedule,
                rows.decay(c),
            )  # fmt: skip
            trials.append((c, held.accuracy(network), rates))
        # The first of equals: the grid goes from strong to weak.
        return max(trials, key=lambda trial: trial[1])

    def _start(self, data: "_Data") -> nn.Module:
        shape, classes = tuple(data.features.shape[1:]), len(self.classes_)
        return seeded(lambda: self._network(shape, classes), self.seed).to(self.device)


@dataclass(frozen=True)
class _Data:
    """Items on the device."""

    features: Tensor
    codes: Tensor
    """(item,): indices of the labels."""
    weights: Tensor

    def __getitem__(self, rows: np.ndarray) -> "_Data":
        index = torch.from_numpy(rows).to(self.codes.device)
        return _Data(self.features[index], self.codes[index], self.weights[index])

    def decay(self, c: float) -> float:
        """The penalty λ/2 · Σ w² on the mean loss that is 1/(2C) · Σ w² on its sum."""
        return 1 / (c * float(self.weights.sum()))

    def epochs(self, network: nn.Module, seed: int) -> Epoch:
        """The losses of the batches of an epoch, in a new order every time."""
        generator = torch.Generator().manual_seed(seed)
        mean = self.weights.mean()

        def epoch() -> Iterator[Tensor]:
            for batch in batches(len(self.codes), generator):
                rows = batch.to(self.codes.device)
                losses = cross_entropy(
                    network(self.features[rows]), self.codes[rows], reduction="none"
                )
                yield (losses * self.weights[rows] / mean).mean()

        return epoch

    def loss(self, network: nn.Module) -> float:
        """Mean negative log-likelihood, in nats."""
        losses = cross_entropy(self._logits(network), self.codes, reduction="none")
        return float((losses * self.weights).sum() / self.weights.sum())

    def accuracy(self, network: nn.Module) -> float:
        with torch.no_grad():
            right = self._logits(network).argmax(dim=1) == self.codes
        return float(self.weights[right].double().sum() / self.weights.double().sum())

    def _logits(self, network: nn.Module) -> Tensor:
        return torch.cat([network(part) for part in self.features.split(_AT_ONCE)])
