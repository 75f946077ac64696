"""What a probe is asked to read off a word: tasks, and whether a treebank can pose them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...corpora import Corpus, Sentence
from ...errors import BertologyError, CorpusError

#: What a label function gives for a word that has no label; CoNLL-U's own sign.
UNLABELLED = "_"


@dataclass(frozen=True)
class Task:
    """A label for every word of a sentence."""

    labels: Callable[[Sentence], Sequence[str]]
    """One label a word, `_` where a word has none; empty where the sentence is not annotated."""
    needs: str
    """The annotation the labels come from, as a user would look for it in the file."""


#: The tasks by name; a new one is a new entry.
TASKS = {
    "upos": Task(lambda sentence: sentence.upos, "universal part-of-speech tags (UPOS, column 4)"),
    "deprel": Task(lambda sentence: sentence.deprels, "dependency relations (DEPREL, column 8)"),
}


def check_tasks(tasks: Iterable[str], *corpora: Corpus) -> None:
    """Refuse unknown tasks, and corpora without the annotation a task needs.

    Raises:
        BertologyError: a task that is not in `TASKS`.
        CorpusError: a corpus in which no word has a label.
    """
    for name in tasks:
        if name not in TASKS:
            raise BertologyError(f"The task {name!r} is unknown; choose from {', '.join(TASKS)}.")
        for corpus in corpora:
            if not has_task(name, corpus):
                raise CorpusError(
                    f"The task {name!r} cannot be probed on {corpus.name}: none of its words has "
                    f"{TASKS[name].needs}. Give a CoNLL-U file with that column filled, or "
                    "another task."
                )


def has_task(name: str, corpus: Corpus) -> bool:
    """Whether any word of the corpus has a label for the task."""
    return any(
        label != UNLABELLED
        for sentence in corpus.sentences
        for label in TASKS[name].labels(sentence)
    )
