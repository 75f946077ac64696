"""From scores of candidate heads to heads: one by one, or the best tree."""

import networkx as nx
import numpy as np

#: The head of the root of a sentence, as in `Sentence.heads`.
ROOT = -1


def best_candidates(scores: np.ndarray) -> np.ndarray:
    """The best head of each word, whatever the others have; ties take ROOT, then the first word.

    Args:
        scores: (word, candidate): ROOT, then the words; a word is no candidate of itself.

    Returns:
        (word,), heads as word indices, `ROOT` for ROOT.
    """
    return _with_itself_barred(scores).argmax(1) - 1


def best_tree(scores: np.ndarray) -> np.ndarray:
    """The tree of the largest sum of scores in which exactly one word has the head ROOT.

    Chu & Liu 1965, Edmonds 1967. Every edge from ROOT is made dearer by more than the scores of
    any two trees differ, so that the maximum spanning arborescence has one of them alone.

    Args:
        scores: (word, candidate), finite but for a word as its own candidate.

    Returns:
        (word,), heads as word indices, `ROOT` for ROOT.
    """
    heads = best_candidates(scores)
    if is_tree(heads):
        return heads  # The best of all choices is the best of all trees.
    weights = _with_itself_barred(scores).astype(float)
    weights[:, 0] -= (len(scores) + 1) * np.ptp(weights[np.isfinite(weights)]) + 1
    words, candidates = np.nonzero(np.isfinite(weights))
    graph = nx.DiGraph()
    graph.add_weighted_edges_from(
        zip(candidates.tolist(), (words + 1).tolist(), weights[words, candidates].tolist(),
            strict=True)
    )  # fmt: skip
    for candidate, word in nx.maximum_spanning_arborescence(graph).edges:
        heads[word - 1] = candidate - 1
    return heads


def is_tree(heads: np.ndarray) -> bool:
    """Whether heads (word,) have one root and every word hangs from it."""
    graph = nx.DiGraph(zip(heads.tolist(), range(len(heads)), strict=True))
    return int((heads == ROOT).sum()) == 1 and nx.is_arborescence(graph)


def _with_itself_barred(scores: np.ndarray) -> np.ndarray:
    itself = np.eye(scores.shape[0], scores.shape[1], k=1, dtype=bool)
    return np.where(itself, -np.inf, scores)
