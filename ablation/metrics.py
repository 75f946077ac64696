"""Metrics: a few numbers of every example, and what is made of them over many.

Each example gives a row of k statistics from which the metric is computed over any set of
examples, so that a resample costs no pass of the model: the counts of each class for F1,
the moments for Pearson's correlation. Most metrics are functions of the sums of the rows; those
that are not, such as Spearman's, are computed from all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from ..errors import CorpusError

#: Of the predictions and the labels of all examples, (example,) each: one number.
Scoring = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Metric:
    """How a metric is computed from the statistics of examples."""

    name: str
    columns: tuple[str, ...]
    """What the k statistics of an example are."""
    value: Callable[[np.ndarray], np.ndarray]
    """(…, k) to (…), of the sums; (…, example, k) to (…), of the rows, if not `of_sums`."""
    of_sums: bool = True
    higher_is_better: bool | None = True
    """None where it depends on what is measured."""

    @property
    def is_mean(self) -> bool:
        """Whether it is a sum over a count that parts do not change."""
        return self.value is _ratio

    def of(self, rows: np.ndarray) -> np.ndarray:
        """The metric over examples: (…, example, k) to (…).

        Examples that have no statistics (NaN, without a label for instance) are left out.
        """
        known = ~np.isnan(rows).any(-1).reshape(-1, rows.shape[-2]).any(0)
        rows = rows[..., known, :].astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.value(rows.sum(-2) if self.of_sums else rows)


def mean(name: str, *, higher_is_better: bool | None = True) -> Metric:
    """A mean over what is counted: examples, or tokens."""
    return Metric(name, ("sum", "count"), _ratio, higher_is_better=higher_is_better)


def perplexity() -> Metric:
    """The exponential of the mean loss over all predicted tokens."""
    return Metric(
        "perplexity", ("sum", "count"), lambda sums: np.exp(_ratio(sums)), higher_is_better=False
    )


def f1(classes: int) -> Metric:
    """F1 of class 1 of two; 0 where there is nothing to find and nothing was found."""
    return Metric("f1", counts(classes), lambda sums: _f1(sums)[..., 1])


def macro_f1(classes: int) -> Metric:
    """The mean of the F1 of every class."""
    return Metric("macro_f1", counts(classes), lambda sums: _f1(sums).mean(-1))


def mcc(classes: int) -> Metric:
    """Matthews' correlation, for any number of classes (Gorodkin 2004); 0 if one is constant."""
    return Metric("mcc", counts(classes), _mcc)


def pearson() -> Metric:
    """Pearson's correlation of predictions and labels."""
    columns = ("n", "predicted", "true", "predicted²", "true²", "predicted x true")
    return Metric("pearson", columns, _pearson)


def spearman() -> Metric:
    """Spearman's correlation of predictions and labels, ties having their average rank."""
    return Metric("spearman", ("predicted", "true"), _spearman, of_sums=False)


def named(name: str, statistics: int) -> Metric | None:
    """The metric of that name with so many statistics an example; None for a user's function."""
    if name in ("target", "accuracy", "loss", "minimal_pairs"):
        better = {"target": None, "loss": False}.get(name, True)
        return mean(name, higher_is_better=better)
    plain = {"perplexity": perplexity, "pearson": pearson, "spearman": spearman}
    of_classes = {"f1": f1, "macro_f1": macro_f1, "mcc": mcc}
    if name in of_classes:
        return of_classes[name](statistics // 3)
    return plain[name]() if name in plain else None


def scored_by(function: Scoring) -> Metric:
    """A user's function of the predictions and the labels: classes as numbers, or values.

    Where it fails, `Metric.of` raises a CorpusError.
    """
    name = getattr(function, "__name__", type(function).__name__)

    def one(rows: np.ndarray) -> float:
        try:
            return float(function(rows[:, 0], rows[:, 1]))
        except Exception as error:
            raise CorpusError(
                f"The metric {name} failed ({type(error).__name__}: {error}); it is called with "
                "the predictions and the labels, (example,) each, and returns one number, NaN "
                "where it is not defined (in a resample without one of the classes, say)."
            ) from error

    def value(rows: np.ndarray) -> np.ndarray:
        found = [one(own) for own in rows.reshape(-1, *rows.shape[-2:])]
        return np.array(found).reshape(rows.shape[:-2])

    return Metric(name, ("predicted", "true"), value, of_sums=False, higher_is_better=None)


def counts(classes: int) -> tuple[str, ...]:
    """What F1 and Matthews' correlation are made of: three numbers a class."""
    return tuple(f"{what} {c}" for what in ("found", "predicted", "true") for c in range(classes))


def moments(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The statistics of Pearson's correlation: (…, 6)."""
    one = np.ones_like(predicted)
    return np.stack([one, predicted, true, predicted**2, true**2, predicted * true], axis=-1)


def _ratio(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def _f1(sums: np.ndarray) -> np.ndarray:
    """(…, class)."""
    found, predicted, true = np.split(sums, 3, axis=-1)
    there = predicted + true
    return np.divide(2 * found, there, out=np.zeros_like(there), where=there > 0)


def _mcc(sums: np.ndarray) -> np.ndarray:
    found, predicted, true = np.split(sums, 3, axis=-1)
    n = true.sum(-1)
    above = found.sum(-1) * n - (true * predicted).sum(-1)
    spread = (n**2 - (predicted**2).sum(-1)) * (n**2 - (true**2).sum(-1))
    return np.divide(above, np.sqrt(spread), out=np.zeros_like(above), where=spread > 0)


def _pearson(sums: np.ndarray) -> np.ndarray:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread_x, spread_y = n * xx - x**2, n * yy - y**2
    # Of a constant only rounding is left.
    constant = (spread_x <= 1e-12 * n * xx) | (spread_y <= 1e-12 * n * yy)
    return np.where(constant, np.nan, (n * xy - x * y) / np.sqrt(spread_x * spread_y))


def _spearman(rows: np.ndarray) -> np.ndarray:
    ranks = rankdata(rows, axis=-2)
    ranks -= ranks.mean(-2, keepdims=True)
    x, y = ranks[..., 0], ranks[..., 1]
    size = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.divide((x * y).sum(-1), size, out=np.full(size.shape, np.nan), where=size > 0)
