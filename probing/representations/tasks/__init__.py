"""What can be asked of hidden states: tasks over words, pairs of spans and sentences.

A new task is a function of a sentence:

    word_task("capital", lambda s: ["yes" if w[0].isupper() else "no" for w in s.words], "words")
"""

from .bigrams import shift_bigrams
from .pairs import proto_role_task
from .registry import TASKS, task_named, task_of
from .task import UNLABELLED, Item, Task, sentence_task, word_task
from .words import features_task

__all__ = [
    "TASKS",
    "UNLABELLED",
    "Item",
    "Task",
    "features_task",
    "proto_role_task",
    "sentence_task",
    "shift_bigrams",
    "task_named",
    "task_of",
    "word_task",
]
