"""What is measured of a model with each eraser of a family."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.base import ClassifierMixin, clone

from ....capture import Batch, eval_mode, hidden_states, stream
from ....corpora import Encoding
from ....models import LoadedModel
from ..items import Items, pooled
from ..states import word_means
from .family import Fitted
from .forward import erased
from .prediction import Question, effects


@dataclass(frozen=True)
class Score:
    """One metric: the intact model, then every eraser of a family."""

    metric: str
    is_share: bool
    """Whether it is a share of right answers."""
    sums: tuple[np.ndarray, ...]
    """For the intact model and each kind of eraser (draw, item), the sum over an item's parts."""
    counts: np.ndarray
    """(item,): parts of each item, such as the predicted tokens of a sentence."""
    units: np.ndarray
    """(item,): the document or sentence that is resampled."""
    probed_task: str = ""
    probed_layer: int | None = None
    majority: float = np.nan
    """What the most frequent training label of the probed task scores."""


@dataclass(frozen=True)
class Text:
    """A part of the data: its tokens, and the items of each task in it."""

    encodings: tuple[Encoding, ...]
    items: Mapping[str, Items]


@dataclass(frozen=True)
class Probing:
    """Trains probes on the states of one text and scores them on those of another."""

    probes: Mapping[str, ClassifierMixin]
    train: Text
    evaluate: Text
    done: Callable[[], object]
    """Called after each fit."""

    def right(self, states: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        """1 where a probe is right, else 0: (states, item) for each task, and in it each probe.

        Args:
            states: (word, hidden) of both texts, several times.
        """
        return [
            np.array([self._right(probe, task, *pair) for pair in states])
            for task in self.train.items
            for probe in self.probes.values()
        ]

    def scores(
        self,
        probed_layer: int,
        intact: Sequence[np.ndarray],
        family: Sequence[np.ndarray],
        draws: Sequence[int],
    ) -> list[Score]:
        """What `right` found of the intact model and of the draws of a family, as scores."""
        pairs = [(task, name) for task in self.train.items for name in self.probes]
        return [
            Score(
                f"{name}_accuracy", True, _by_kind(np.concatenate([before, after]), draws),
                np.ones(after.shape[1]), self.evaluate.items[task].units, task, probed_layer,
                self._majority(task),
            )
            for (task, name), before, after in zip(pairs, intact, family, strict=True)
        ]  # fmt: skip

    def _right(
        self, probe: ClassifierMixin, task: str, words: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        learned, asked = self.train.items[task], self.evaluate.items[task]
        fitted = clone(probe).fit(pooled(words, learned), learned.labels, learned.sentences)
        self.done()
        return np.asarray(fitted.predict(pooled(others, asked)) == asked.labels, dtype=float)

    def _majority(self, task: str) -> float:
        names, counts = np.unique(self.train.items[task].labels, return_counts=True)
        return float((self.evaluate.items[task].labels == names[counts.argmax()]).mean())


def erased_words(
    model: LoadedModel, encodings: Sequence[Encoding], layer: int, family: Sequence[Fitted]
) -> np.ndarray:
    """The last hidden state of the words with each draw of each eraser: (draw, word, hidden)."""

    def run(batch: Batch) -> list[np.ndarray]:
        found = []
        with torch.no_grad(), eval_mode(model.reader):
            for eraser in (one for fitted in family for one in fitted.draws):
                with erased(model.reader, {layer: eraser}), hidden_states(model.reader) as states:
                    model.reader(**batch.inputs)
                found.append(states[-1])
        together = torch.stack(found)
        return [
            word_means(encoding, together[:, i, : len(encoding)])
            for i, encoding in enumerate(batch.encodings)
        ]

    return np.concatenate(stream(model, encodings, run, description="erased states"), axis=1)


def prediction_scores(
    model: LoadedModel,
    questions: Sequence[Question],
    units: np.ndarray,
    layer: int,
    family: Sequence[Fitted],
) -> list[Score]:
    """The effect of each eraser on what the model predicts; see `prediction.effects`."""
    erasers = [eraser for fitted in family for eraser in fitted.draws]
    found = effects(model, questions, len(units), layer, erasers)
    asked = found.counts > 0
    draws = [len(fitted.draws) for fitted in family]
    return [
        Score(
            metric, metric.endswith("accuracy"), _by_kind(found.sums[:, asked, number], draws),
            found.counts[asked], units[asked],
        )
        for number, metric in enumerate(found.measures)
    ]  # fmt: skip


def _by_kind(values: np.ndarray, draws: Sequence[int]) -> tuple[np.ndarray, ...]:
    """Rows of the intact model and of all draws, apart by kind of eraser."""
    return tuple(np.split(values, np.cumsum([1, *draws])[:-1]))
