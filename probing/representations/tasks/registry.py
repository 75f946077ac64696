"""The tasks by name."""

from collections.abc import Callable

from ....errors import BertologyError
from .pairs import PAIR_TASKS, proto_role_task
from .sentences import SENTENCE_TASKS
from .task import Task
from .words import WORD_TASKS, features_task

#: A new task is a new entry, or is passed as it is wherever a name is.
TASKS: dict[str, Task] = {task.name: task for task in (*WORD_TASKS, *PAIR_TASKS, *SENTENCE_TASKS)}
#: Tasks of which there is one for every name behind the colon.
FAMILIES: dict[str, tuple[str, Callable[[str], Task]]] = {
    "feats": ("feats:NAME (a UD feature, such as feats:Number)", features_task),
    "proto_role": ("proto_role:PROPERTY (such as proto_role:volition)", proto_role_task),
}


def task_named(name: str) -> Task:
    """The task of a name, such as `upos` or `feats:Number`.

    Raises:
        BertologyError: there is none; the message lists those that there are.
    """
    if name in TASKS:
        return TASKS[name]
    family, _, member = name.partition(":")
    if family in FAMILIES and member:
        return FAMILIES[family][1](member)
    known = ", ".join((*TASKS, *(shown for shown, _ in FAMILIES.values())))
    raise BertologyError(f"The task {name!r} is unknown; choose from {known}.")


def task_of(task: str | Task) -> Task:
    """A task by its name, or as it is.

    Raises:
        BertologyError: there is no task of this name.
    """
    return task_named(task) if isinstance(task, str) else task
