"""The classification problems of a task: its own labels, and those of every control draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ....corpora import Corpus
from ....errors import BertologyError, CorpusError
from ..checks import check_items
from ..controls import ControlTask
from ..controls.types import first_span
from ..items import Items, items_of
from ..states import States
from ..tasks import Task, task_of


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
    def control_seen(self) -> np.ndarray:
        """Whether what its control label hangs on does, the first span of a pair, (item,)."""
        own, known = (
            [first_span(kind) for kind in items.types] for items in (self.evaluate, self.train)
        )
        return np.isin(own, known)


@dataclass(frozen=True)
class Group:
    """Problems of one level with the same items, so that they share features."""

    problems: tuple[Problem, ...]

    @property
    def level(self) -> str:
        return self.problems[0].task.level


def chosen_tasks(tasks: Sequence[str | Task]) -> list[Task]:
    """The tasks that are asked for, by name or as they are.

    Raises:
        BertologyError: none, an unknown one, or two of one name.
    """
    if not tasks or isinstance(tasks, str):
        raise BertologyError(f"tasks is {tasks!r}; give a sequence of names such as ('upos',).")
    chosen = [task_of(task) for task in dict.fromkeys(tasks)]
    names = [task.name for task in chosen]
    if len(set(names)) < len(names):
        raise BertologyError(f"Two tasks have one name ({', '.join(names)}); rename one of them.")
    return chosen


def check_annotated(tasks: Sequence[Task], *corpora: Corpus) -> None:
    """Refuse corpora without the annotation of a task, before a model reads them.

    Raises:
        CorpusError: a corpus in which a task finds nothing to ask about.
    """
    for task in tasks:
        for corpus in corpora:
            if not any(task.items(sentence) for sentence in corpus.sentences):
                raise CorpusError(
                    f"The task {task.name!r} cannot be probed on {corpus.name}: nothing in it has "
                    f"{task.needs}. Give a file with that annotation, or another task."
                )


def pose(task: Task, train: States, evaluate: States, *, control_draws: int, seed: int) -> Problem:
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


def groups_of(problems: Sequence[Problem]) -> list[Group]:
    """Problems with the same items together: they share their features, and are solved together."""
    groups: list[list[Problem]] = []
    for problem in problems:
        alike = next((group for group in groups if _same_items(group[0], problem)), None)
        if alike is None:
            groups.append([problem])
        else:
            alike.append(problem)
    return [Group(tuple(group)) for group in groups]


def _same_items(one: Problem, other: Problem) -> bool:
    return one.task.level == other.task.level and all(
        np.array_equal(ours.spans, theirs.spans)
        for ours, theirs in ((one.train, other.train), (one.evaluate, other.evaluate))
    )
