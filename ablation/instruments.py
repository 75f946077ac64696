"""The metrics by name: which fit a model and its data, and how each is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from ..corpora import Examples, MinimalPairs
from ..errors import CorpusError
from ..probing.representations.minimal_pairs.table import preferred
from . import metrics, readers
from .labels import UNLABELLED, classes_of, values_of
from .metrics import Metric, Scoring
from .readers import Reader

#: Names of the metrics; a function of predictions and labels is one, too.
METRICS = ("target", "accuracy", "f1", "macro_f1", "mcc", "pearson", "spearman", "loss",
           "perplexity", "minimal_pairs")  # fmt: skip
_LANGUAGE = ("causal-lm", "masked-lm")


@dataclass(frozen=True)
class Instrument:
    """A metric, how its statistics are read off a pass, and what it wants of a text."""

    metric: Metric
    read: Reader
    wants: str
    """`goal`, `class`, `value`, `tokens` or `pair`."""
    finish: Callable[[np.ndarray], np.ndarray] | None = None
    """Makes the statistics of an example, (…, k), of what its texts add up to."""


def default_metrics(model: Any, data: Examples | MinimalPairs) -> tuple[str, ...]:
    """The target always, and the accuracy where there are labels; of pairs, their accuracy."""
    if isinstance(data, MinimalPairs):
        return ("minimal_pairs",)
    labelled = any(example.label is not None for example in data.examples)
    return ("target", "accuracy") if labelled and len(model.labels) > 1 else ("target",)


def instruments_for(
    model: Any, data: Examples | MinimalPairs, asked: Sequence[str | Scoring]
) -> tuple[Instrument, ...]:
    """One instrument a metric.

    Raises:
        CorpusError: an unknown metric, one that does not fit the model and the data, or labels
            that do not.
    """
    fitting = _fitting(model, data)
    found = []
    for name in asked:
        instrument = fitting.get("a function") if callable(name) else fitting.get(name)
        if instrument is None:
            raise CorpusError(_unfit(name, model, data, list(fitting)))
        found.append(instrument(name) if callable(name) else instrument())
    names = [instrument.metric.name for instrument in found]
    if not names or len(set(names)) < len(names):
        raise CorpusError(f"The metrics {names} were given; name at least one, and none twice.")
    return tuple(found)


def _unfit(name: str | Scoring, model: Any, data: Examples | MinimalPairs, fit: list[str]) -> str:
    """Why a metric is refused."""
    choice = f"choose from {', '.join(fit) or 'none'}"
    if isinstance(name, str) and name not in METRICS:
        near = get_close_matches(name, METRICS, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else "."
        return f"There is no metric {name!r}{meant} For {model.name} on {data.name} {choice}."
    shown = name if isinstance(name, str) else getattr(name, "__name__", repr(name))
    return (
        f"The metric {shown!r} does not fit {model.name}, loaded as {model.task!r}, on "
        f"{data.name}{_why(model, data)}; {choice}."
    )


def _fitting(model: Any, data: Examples | MinimalPairs) -> dict[str, Any]:
    """What makes the instrument of each metric that fits."""
    if isinstance(data, MinimalPairs):
        scores = {"minimal_pairs": _minimal_pairs}
        return scores if model.task in _LANGUAGE else {}
    fitting: dict[str, Any] = {
        "target": lambda: Instrument(
            metrics.mean("target", higher_is_better=None), readers.target, "goal"
        )
    }
    if model.task == "masked-lm" and model.tokenizer.mask_token_id is None:
        return fitting
    if model.task in _LANGUAGE:
        return fitting | {
            "loss": lambda: Instrument(
                metrics.mean("loss", higher_is_better=False), readers.token_loss, "tokens"
            ),
            "perplexity": lambda: Instrument(metrics.perplexity(), readers.token_loss, "tokens"),
        }
    if model.task != "classification" or all(e.label is None for e in data.examples):
        return fitting
    return fitting | (_of_classes(model) if len(model.labels) > 1 else _of_values())


def _of_classes(model: Any) -> dict[str, Any]:
    classes = len(model.labels)
    found = {
        "accuracy": lambda: Instrument(metrics.mean("accuracy"), readers.accuracy, "class"),
        "macro_f1": lambda: Instrument(metrics.macro_f1(classes), readers.class_counts, "class"),
        "mcc": lambda: Instrument(metrics.mcc(classes), readers.class_counts, "class"),
        "loss": lambda: Instrument(
            metrics.mean("loss", higher_is_better=False), readers.class_loss, "class"
        ),
        "a function": lambda given: Instrument(
            metrics.scored_by(given), readers.class_prediction, "class"
        ),
    }
    if classes == 2:
        found["f1"] = lambda: Instrument(metrics.f1(classes), readers.class_counts, "class")
    return found


def _of_values() -> dict[str, Any]:
    return {
        "pearson": lambda: Instrument(metrics.pearson(), readers.value_moments, "value"),
        "spearman": lambda: Instrument(metrics.spearman(), readers.value_prediction, "value"),
        "loss": lambda: Instrument(
            metrics.mean("loss", higher_is_better=False), readers.squared_error, "value"
        ),
        "a function": lambda given: Instrument(
            metrics.scored_by(given), readers.value_prediction, "value"
        ),
    }


def _minimal_pairs() -> Instrument:
    def finish(sums: np.ndarray) -> np.ndarray:
        correct = preferred(sums[..., 0], sums[..., 1])
        return np.stack([correct, np.ones_like(correct)], axis=-1)

    return Instrument(metrics.mean("minimal_pairs"), readers.pair_side, "pair", finish)


def _why(model: Any, data: Examples | MinimalPairs) -> str:
    if isinstance(data, MinimalPairs):
        return ", which holds minimal pairs"
    if model.task == "classification":
        if all(example.label is None for example in data.examples):
            return ", which has no labels"
        return f", a model with {len(model.labels)} output(s)"
    return ""


def wanted_labels(model: Any, data: Examples, wants: str) -> list[Any]:
    """The class or the value that a metric wants of each example; None where it has no label.

    Raises:
        CorpusError: a label that the model does not have, or that is no number.
    """
    if wants == "value":
        return [None if np.isnan(v) else float(v) for v in values_of(data.examples)]
    return [None if c == UNLABELLED else int(c) for c in classes_of(model, data.examples)]
