"""What can be asked of hidden states: tasks over words, pairs of spans and sentences."""

from .task import UNLABELLED, Item, Task, sentence_task, word_task

__all__ = ["UNLABELLED", "Item", "Task", "sentence_task", "word_task"]
