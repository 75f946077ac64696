"""The items of a task over a corpus, and their features."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ...corpora import Sentence
from ...errors import BertologyError, CorpusError
from .states import States
from .tasks.task import Item, Task


@dataclass(frozen=True)
class Items:
    """What a task asks about in a corpus: one entry of every array for each item."""

    task: str
    spans: np.ndarray
    """(item, span, 2): rows of the states from start to end, the end exclusive."""
    labels: np.ndarray
    """(item,) str objects."""
    types: np.ndarray
    """(item,) str objects: the forms of the item's words, spans apart by a tab."""
    sentences: np.ndarray
    """(item,): index into the sentences of the states."""
    units: np.ndarray
    """(item,): the document or sentence that is resampled."""
    without_tokens: int
    """Items left out because one of their words has no token."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: np.ndarray) -> "Items":
        """Some of the items, by index or by mask."""
        return Items(
            self.task, self.spans[rows], self.labels[rows], self.types[rows],
            self.sentences[rows], self.units[rows], self.without_tokens,
        )  # fmt: skip


def items_of(task: Task, states: States) -> Items:
    """Put a task to a corpus.

    Raises:
        CorpusError: no item is left.
        BertologyError: the task asks about words that are not there, or gives no label.
    """
    found = [
        (number, item)
        for number, sentence in enumerate(states.sentences)
        for item in task.items(sentence)
    ]
    if not found:
        raise CorpusError(
            f"The task {task.name!r} cannot be probed: no sentence that fits the model has "
            f"{task.needs}."
        )
    for number, item in found:
        _check(task, item, states.sentences[number])
    sentences = np.array([number for number, _ in found])
    spans = np.array([item.spans for _, item in found])
    spans = spans + states.offsets[sentences][:, None, None]
    covered = np.concatenate([[0], np.cumsum(states.word_tokens > 0)])
    owned = covered[spans[..., 1]] - covered[spans[..., 0]]
    whole = (owned == spans[..., 1] - spans[..., 0]).all(axis=1)
    if not whole.any():
        raise CorpusError(f"No token covers the words of any item of the task {task.name!r}.")
    types = [_type(states.sentences[number].words, item.spans) for number, item in found]
    return Items(
        task=task.name,
        spans=spans,
        # Objects, because a fixed width would give every item the room of the longest one.
        labels=np.array([item.label for _, item in found], dtype=object),
        types=np.array(types, dtype=object),
        sentences=sentences,
        units=states.units[sentences],
        without_tokens=int((~whole).sum()),
    )[whole]  # fmt: skip


def _check(task: Task, item: Item, sentence: Sentence) -> None:
    spans = 2 if task.level == "pair" else 1
    inside = all(0 <= start < end <= len(sentence) for start, end in item.spans)
    if len(item.spans) != spans or not inside or not isinstance(item.label, str):
        raise BertologyError(
            f"The task {task.name!r} gives {item} in {sentence.id!r}, which has {len(sentence)} "
            f"words; a text as label and {spans} span(s) of words were expected, ends exclusive."
        )


def pooled(states: np.ndarray, items: Items) -> np.ndarray:
    """The mean over the words of each span, spans side by side: (item, span × hidden).

    Args:
        states: (word, hidden) of one layer.
    """
    starts, ends = items.spans[..., 0], items.spans[..., 1]
    if (ends - starts == 1).all():
        return states[starts].reshape(len(items), -1)
    parts = [
        _averaging(start, end, len(states)) @ states
        for start, end in zip(starts.T, ends.T, strict=True)
    ]
    return np.concatenate(parts, axis=1)


def padded(states: np.ndarray, items: Items) -> np.ndarray:
    """The words of each span, for probes that pool themselves: (item, span, word, hidden).

    Places behind the end of a span are NaN.
    """
    starts, ends = items.spans[..., 0], items.spans[..., 1]
    places = starts[..., None] + np.arange((ends - starts).max())
    inside = places < ends[..., None]
    words = states[np.where(inside, places, 0)]
    words[~inside] = np.nan
    return words


def _averaging(starts: np.ndarray, ends: np.ndarray, words: int) -> sparse.csr_array:
    lengths = ends - starts
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    columns = np.arange(bounds[-1]) - np.repeat(bounds[:-1] - starts, lengths)
    weights = np.repeat((1 / lengths).astype(np.float32), lengths)
    return sparse.csr_array((weights, columns, bounds), shape=(len(starts), words))


def _type(words: tuple[str, ...], spans: tuple[tuple[int, int], ...]) -> str:
    return "\t".join(" ".join(words[start:end]) for start, end in spans)
