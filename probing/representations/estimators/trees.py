"""Dependency trees as distances and depths, and how well predicted ones agree with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.stats import rankdata

from ....errors import BertologyError

#: The head of a root, as in `Sentence.heads`.
ROOT = -1
#: Shortest and longest sentences whose rank correlations are averaged (Hewitt & Manning 2019).
LENGTHS = (5, 50)


@dataclass(frozen=True)
class DistanceScores:
    """How predicted distances agree with a treebank; one entry of every array for a sentence."""

    lengths: np.ndarray
    """Words."""
    correct: np.ndarray
    """Edges of the predicted tree that are in the gold tree."""
    edges: np.ndarray
    """Edges of the gold tree."""
    spearman: np.ndarray
    """Mean over the words of the rank correlation of predicted and gold distances from the word."""

    @property
    def uuas(self) -> float:
        """Share of the gold edges that are found (NaN if there are none)."""
        return float(self.correct.sum() / self.edges.sum()) if self.edges.sum() else np.nan

    @property
    def dspr(self) -> float:
        return mean_over_lengths(self.spearman, self.lengths)


@dataclass(frozen=True)
class DepthScores:
    """How predicted depths agree with a treebank; one entry of every array for a sentence."""

    lengths: np.ndarray
    """Words."""
    root: np.ndarray
    """Whether the word of the smallest predicted depth is the root."""
    spearman: np.ndarray
    """Rank correlation of predicted and gold depths."""

    @property
    def root_accuracy(self) -> float:
        """Root% as a share."""
        return float(self.root.mean())

    @property
    def nspr(self) -> float:
        return mean_over_lengths(self.spearman, self.lengths)


def distance_scores(
    predicted: Sequence[np.ndarray],
    heads: Sequence[np.ndarray],
    scored: Sequence[np.ndarray] | None = None,
) -> DistanceScores:
    """UUAS and DSpr (Hewitt & Manning 2019, section 3) of every sentence.

    Both trees span the scored words alone: where a word that is not scored has dependents, the
    gold tree joins them by the shortest way, as the paper's code does. The rank correlations are
    over all words.

    Args:
        predicted: of each sentence, distances (word, word), of which only the order matters.
        heads: of each sentence, (word,), indices of words, -1 for the root.
        scored: of each sentence, (word,) bool, False for punctuation; by default all words.
    """
    lengths, correct, edges, spearman = [], [], [], []
    for number, (distances, sentence) in enumerate(zip(predicted, heads, strict=True)):
        gold = tree_distances(sentence)
        words = None if scored is None else scored[number]
        found, wanted = spanning_tree(distances, words), spanning_tree(gold, words)
        lengths.append(len(sentence))
        correct.append(len({*map(tuple, found.tolist())} & {*map(tuple, wanted.tolist())}))
        edges.append(len(wanted))
        spearman.append(_rank_correlations(distances, gold).mean())
    return DistanceScores(*map(np.array, (lengths, correct, edges, spearman)))


def depth_scores(
    predicted: Sequence[np.ndarray],
    heads: Sequence[np.ndarray],
    scored: Sequence[np.ndarray] | None = None,
) -> DepthScores:
    """Root% and NSpr (Hewitt & Manning 2019, section 3) of every sentence.

    Args:
        predicted: of each sentence, depths (word,), of which only the order matters.
        heads: of each sentence, (word,), indices of words, -1 for the root.
        scored: of each sentence, (word,) bool, False for words that cannot be predicted as the
            root; by default none. The rank correlations are over all words.
    """
    lengths, root, spearman = [], [], []
    for number, (depths, sentence) in enumerate(zip(predicted, heads, strict=True)):
        candidates = depths if scored is None else np.where(scored[number], depths, np.inf)
        lengths.append(len(sentence))
        root.append(bool(sentence[int(candidates.argmin())] == ROOT))
        spearman.append(_rank_correlations(depths[None], tree_depths(sentence)[None])[0])
    return DepthScores(*map(np.array, (lengths, root, spearman)))


def by_sentence(values: ArrayLike, groups: ArrayLike) -> list[np.ndarray]:
    """What is known of each word, cut into sentences.

    Args:
        groups: the sentence of each word, (word,); the words of a sentence follow one another.

    Raises:
        BertologyError: there is not one group for each word, or a sentence comes twice.
    """
    values, groups = np.asarray(values), np.asarray(groups)
    if groups.shape != (len(values),):
        raise BertologyError(
            f"groups of shape {groups.shape} were given for {len(values)} words; give the sentence "
            "of each word."
        )
    starts = np.flatnonzero(groups[1:] != groups[:-1]) + 1
    if len(np.unique(groups)) != len(starts) + 1:
        raise BertologyError(
            "The words of some sentences do not follow one another in groups; give whole "
            "sentences in order, each with a number of its own."
        )
    return np.split(values, starts)


def mean_over_lengths(spearman: np.ndarray, lengths: np.ndarray) -> float:
    """The mean over sentences of each length, then over the lengths from 5 to 50 that occur."""
    within = (lengths >= LENGTHS[0]) & (lengths <= LENGTHS[1])
    counts = np.bincount(lengths[within])
    sums = np.bincount(lengths[within], spearman[within])
    return float((sums[counts > 0] / counts[counts > 0]).mean()) if within.any() else np.nan


def tree_distances(heads: np.ndarray) -> np.ndarray:
    """Edges between every two words of a tree: (word, word).

    Raises:
        BertologyError: the heads do not form one tree.
    """
    ancestors = _ancestors(np.asarray(heads)).astype(float)
    depths = ancestors.sum(axis=1)
    # Two words share the ancestors of the word at which their ways to the root meet.
    return depths[:, None] + depths - 2 * ancestors @ ancestors.T


def tree_depths(heads: np.ndarray) -> np.ndarray:
    """Edges between every word and the root: (word,).

    Raises:
        BertologyError: the heads do not form one tree.
    """
    return _ancestors(np.asarray(heads)).sum(axis=1) - 1.0


def spanning_tree(distances: np.ndarray, scored: np.ndarray | None = None) -> np.ndarray:
    """The tree of the smallest sum of distances over the scored words: edges (edge, 2), i < j.

    Of equal distances the pair that comes first is taken. Only the upper triangle is read.
    """
    words = np.arange(len(distances)) if scored is None else np.flatnonzero(scored)
    first, second = np.triu_indices(len(words), k=1)
    # Ranks order all pairs, and none is 0, which scipy reads as no edge (two words may be equal).
    order = np.argsort(distances[words[first], words[second]], kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    graph = csr_array((ranks, (first, second)), shape=(len(words),) * 2)
    edges = np.stack(minimum_spanning_tree(graph).nonzero(), axis=1)
    return words[np.sort(edges, axis=1)]


def chain_distances(length: int) -> np.ndarray:
    """The linear-chain baseline: words are as far apart as in the text, (word, word).

    Its tree joins every scored word with the next. Depths of this baseline are 0, 1, 2, …
    """
    places = np.arange(length)
    return np.abs(places[:, None] - places)


def random_distances(length: int, generator: np.random.Generator) -> np.ndarray:
    """The random baseline, (word, word): its tree has every edge with probability 2/length."""
    upper = np.triu(generator.random((length, length)), k=1)
    return upper + upper.T


def _ancestors(heads: np.ndarray) -> np.ndarray:
    """Whether a word is on the way from another to the root, both ends included: (from, on)."""
    length = len(heads)
    found = np.eye(length, dtype=bool)
    if (heads == ROOT).sum() == 1 and ((heads >= ROOT) & (heads < length)).all():
        words, reached = np.arange(length), heads
        for _ in range(length):
            words, reached = words[reached != ROOT], reached[reached != ROOT]
            if not len(words):
                return found
            found[words, reached] = True
            reached = heads[reached]
    raise BertologyError(
        f"The heads {heads.tolist()} are no tree: give the index of each word's head in its "
        "sentence, and -1 for one root, from which every word hangs."
    )


def _rank_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation of the rows of two arrays; 0 where a row is constant."""
    x, y = (rankdata(values, axis=1) - (values.shape[1] + 1) / 2 for values in (first, second))
    scale = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return np.divide((x * y).sum(1), scale, out=np.zeros(len(x)), where=scale > 0)
