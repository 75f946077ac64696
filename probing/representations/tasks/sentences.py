"""Tasks about whole sentences, after SentEval (Conneau et al. 2018), from UD annotation.

What is asked of the main clause is asked of its root; passages of several sentences have none.
"""

from dataclasses import replace

from ....corpora import Sentence
from .bigrams import INTACT, SHIFTED, shift_bigrams
from .task import UNLABELLED, sentence_task
from .trees import dependents, depths, feature, root_of

#: Shortest and longest sentence of each class, in words (Conneau et al. 2018).
LENGTHS = ((5, 8), (9, 12), (13, 16), (17, 20), (21, 25), (26, 28))
MIN_DEPTH, MAX_DEPTH = 1, 7
_PASSIVE = frozenset(("nsubj:pass", "csubj:pass", "aux:pass"))
_TREE = "one dependency tree (HEAD and DEPREL, columns 7 and 8)"


def sentence_length(sentence: Sentence) -> str:
    """One of six classes of lengths; shorter and longer sentences are not asked about."""
    bins = (f"{low}-{high}" for low, high in LENGTHS if low <= len(sentence) <= high)
    return next(bins, UNLABELLED)


def sentence_depth(sentence: Sentence) -> str:
    """Edges between the root and the word that is farthest from it, from 1 or less to 7 or more."""
    if root_of(sentence) is None:
        return UNLABELLED
    depth = max(depths(sentence))
    if depth <= MIN_DEPTH:
        return f"<={MIN_DEPTH}"
    return str(depth) if depth < MAX_DEPTH else f">={MAX_DEPTH}"


def subject_number(sentence: Sentence) -> str:
    """Number (`Sing`, `Plur`) of the noun that is the subject of the main clause.

    Pronouns and names are not asked about, as in SentEval; nor is the subject of a clause around
    the main one (`nsubj:outer`).
    """
    return _number_of(sentence, "nsubj", "nsubj:pass")


def object_number(sentence: Sentence) -> str:
    """Number (`Sing`, `Plur`) of the noun that is the direct object of the main clause."""
    return _number_of(sentence, "obj")


def tense(sentence: Sentence) -> str:
    """Tense of the finite verb of the main clause: its root, else its auxiliary or copula."""
    root = root_of(sentence)
    if root is None:
        return UNLABELLED
    for word in (root, *dependents(sentence, root, "aux", "aux:pass", "cop")):
        if feature(sentence, word, "VerbForm") == "Fin":
            return feature(sentence, word, "Tense") or UNLABELLED
    return UNLABELLED


def voice(sentence: Sentence) -> str:
    """`passive` if any clause has a passive subject or auxiliary, else `active`."""
    if root_of(sentence) is None:
        return UNLABELLED
    return "passive" if _PASSIVE.intersection(sentence.deprels) else "active"


def bigram_shift(sentence: Sentence) -> str:
    """Whether two words have changed places, in a corpus made by `shift_bigrams`."""
    return sentence.label if sentence.label in (INTACT, SHIFTED) else UNLABELLED


def _number_of(sentence: Sentence, *relations: str) -> str:
    root = root_of(sentence)
    if root is None:
        return UNLABELLED
    for word in dependents(sentence, root, *relations):
        if sentence.upos and sentence.upos[word] == "NOUN":
            number = feature(sentence, word, "Number")
            return number if number in ("Sing", "Plur") else UNLABELLED
    return UNLABELLED


SENTENCE_TASKS = [
    sentence_task("sentence_length", sentence_length, "5 to 28 words"),
    sentence_task("sentence_depth", sentence_depth, _TREE),
    sentence_task("subject_number", subject_number, "a noun with Number as subject of its root"),
    sentence_task("object_number", object_number, "a noun with Number as object of its root"),
    sentence_task("tense", tense, "a finite verb with Tense in its main clause"),
    sentence_task("voice", voice, _TREE),
    replace(
        sentence_task("bigram_shift", bigram_shift, "the labels of shift_bigrams(corpus)"),
        reads=shift_bigrams,
    ),
    sentence_task("label", lambda s: s.label or UNLABELLED, "a label (TSV, CSV or JSONL)"),
]
