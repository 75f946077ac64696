"""The classification problems of a task: its own labels, and those of every control draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ....errors import BertologyError
from ..controls import ControlTask
from ..items import Items, check_items, items_of
from ..states import States
from ..tasks import TASKS, Task


@dataclass(frozen=True)
class Problem:
    """The items of one task, with rows of labels: 0 the task's own, then the control draws."""

    task: Task
    train: Items
    evaluate: Items
    train_labels: np.ndarray
    """(1 + draw, training item)."""
    labels: np.ndarray
    """(1 + draw, evaluation item)."""

    @cached_property
    def seen(self) -> np.ndarray:
        """Whether the type of each evaluation item occurs in training, shape (item,)."""
        return np.isin(self.evaluate.types, self.train.types)

    @cached_property
    def classes(self) -> np.ndarray:
        """The labels of training, sorted; the control labels are drawn from them."""
        return np.unique(self.train_labels[0])

    @cached_property
    def gold(self) -> np.ndarray:
        """(1 + draw, evaluation item), the place of each label in `classes`; -1 where unseen."""
        return encoded(self.classes, self.labels)


def chosen_tasks(tasks: Sequence[str | Task]) -> list[Task]:
    """The tasks that are asked for, by name or as they are.

    Raises:
        BertologyError: none, an unknown one, or two of one name.
    """
    if not tasks or isinstance(tasks, str):
        raise BertologyError(f"tasks is {tasks!r}; give a sequence of names such as ('upos',).")
    if unknown := [task for task in tasks if isinstance(task, str) and task not in TASKS]:
        names = ", ".join(map(repr, unknown))
        raise BertologyError(f"The task {names} is unknown; choose from {', '.join(TASKS)}.")
    chosen = [TASKS[task] if isinstance(task, str) else task for task in dict.fromkeys(tasks)]
    names = [task.name for task in chosen]
    if len(set(names)) < len(names):
        raise BertologyError(f"Two tasks have one name ({', '.join(names)}); rename one of them.")
    return chosen


def encoded(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The place of each label among sorted classes, -1 where it is not one of them."""
    places = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    return np.where(classes[places] == labels, places, -1).astype(np.int16)


def pose(
    task: Task, train: States, evaluate: States, *, control_draws: int, seed: int
) -> Problem:
    """Put a task to both parts, check it, and draw the control labels.

    Raises:
        CorpusError: a part has no item, or the items cannot be learned.
    """
    learned, scored = items_of(task, train), items_of(task, evaluate)
    check_items(learned, scored)
    draws = [
        ControlTask(seed=int(draw)).fit(learned.types, learned.labels)
        for draw in np.random.SeedSequence(seed).generate_state(control_draws)
    ]
    return Problem(
        task=task,
        train=learned,
        evaluate=scored,
        train_labels=np.stack([learned.labels, *(d.transform(learned.types) for d in draws)]),
        labels=np.stack([scored.labels, *(d.transform(scored.types) for d in draws)]),
    )
