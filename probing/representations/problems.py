"""The classification problems of a task: its own labels, and those of every control draw."""

from dataclasses import dataclass

import numpy as np

from ...errors import CorpusError
from .baselines import ControlTask
from .features import WordStates
from .word_tasks import UNLABELLED


@dataclass(frozen=True)
class Problem:
    """The words of one task, with rows of labels: 0 the task's own, then the control draws."""

    task: str
    train_rows: np.ndarray
    """Index into the training words of each labelled one."""
    rows: np.ndarray
    """The same of the evaluation words."""
    train_words: np.ndarray
    words: np.ndarray
    train_labels: np.ndarray
    """(1 + draw, training word)."""
    labels: np.ndarray
    """(1 + draw, evaluation word)."""

    @property
    def seen(self) -> np.ndarray:
        """Whether the form of each evaluation word occurs in training, shape (word,)."""
        return np.isin(self.words, self.train_words)


def pose(
    task: str, train: WordStates, evaluate: WordStates, *, control_draws: int, seed: int
) -> Problem:
    """Select the words with labels and draw the control labels.

    Raises:
        CorpusError: no labelled word is left in a part, or training has one label only.
    """
    train_rows, rows = (np.flatnonzero(_is_labelled(task, part)) for part in (train, evaluate))
    own, gold = train.labels[task][train_rows], evaluate.labels[task][rows]
    if len(np.unique(own)) < 2:
        raise CorpusError(
            f"The training part has {len(np.unique(own))} label for the task {task!r} "
            f"on {len(own)} words; at least 2 different ones are needed. Give more sentences."
        )
    # Objects, because a fixed width would give every word the room of the longest one.
    train_words = np.array(train.words, dtype=object)[train_rows]
    words = np.array(evaluate.words, dtype=object)[rows]
    draws = [
        ControlTask(seed=int(draw)).fit(train_words, own)
        for draw in np.random.SeedSequence(seed).generate_state(control_draws)
    ]
    return Problem(
        task=task,
        train_rows=train_rows,
        rows=rows,
        train_words=train_words,
        words=words,
        train_labels=np.stack([own, *(draw.transform(train_words) for draw in draws)]),
        labels=np.stack([gold, *(draw.transform(words) for draw in draws)]),
    )


def _is_labelled(task: str, part: WordStates) -> np.ndarray:
    """Whether each word has a label for the task, shape (word,)."""
    labelled = part.labels[task] != UNLABELLED if task in part.labels else np.zeros(0, bool)
    if not labelled.any():
        raise CorpusError(f"No word that fits the model has a label for the task {task!r}.")
    return labelled
