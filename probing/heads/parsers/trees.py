"""From scores of candidate heads to heads: one by one, or the best tree."""

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

    Every edge from ROOT is made dearer by more than the scores of any two trees differ, so that
    the maximum spanning arborescence has one of them alone.

    Args:
        scores: (word, candidate), finite but for a word as its own candidate.

    Returns:
        (word,), heads as word indices, `ROOT` for ROOT.
    """
    weights = _with_itself_barred(scores).astype(float)
    finite = weights[np.isfinite(weights)]
    weights[:, 0] -= (len(scores) + 1) * np.ptp(finite) + 1
    nothing_above = np.full((1, len(scores) + 1), -np.inf)
    return arborescence(np.concatenate([nothing_above, weights]))[1:] - 1


def arborescence(weights: np.ndarray) -> np.ndarray:
    """The maximum spanning arborescence from node 0 (Chu & Liu 1965; Edmonds 1967).

    Written here because networkx takes 34 ms for 30 words, and the package that is as quick as
    this (ufal.chu-liu-edmonds) is under the GPL and has no wheels beyond Python 3.12.

    Args:
        weights: (node, parent), -inf where there is no edge; each node can be reached.

    Returns:
        (node,), the parent of each; 0 for node 0.
    """
    parents = weights.argmax(1)
    parents[0] = 0
    cycle = _cycle(parents)
    if not len(cycle):
        return parents
    # The cycle becomes one node, the last. Who enters it takes the place of one of its edges.
    rest = np.setdiff1d(np.arange(len(weights)), cycle)
    enter = weights[np.ix_(cycle, rest)] - weights[cycle, parents[cycle]][:, None]
    leave = weights[np.ix_(rest, cycle)]
    smaller = np.full((len(rest) + 1, len(rest) + 1), -np.inf)
    smaller[:-1, :-1] = weights[np.ix_(rest, rest)]
    smaller[-1, :-1], smaller[:-1, -1] = enter.max(0), leave.max(1)
    solved = arborescence(smaller)
    above, entered_from = solved[:-1], solved[-1]
    parents[cycle[enter[:, entered_from].argmax()]] = rest[entered_from]
    parents[rest] = np.where(
        above == len(rest), cycle[leave.argmax(1)], rest[np.minimum(above, len(rest) - 1)]
    )
    return parents


def is_tree(heads: np.ndarray) -> bool:
    """Whether heads (word,) have one root and every word hangs from it."""
    return int((heads == ROOT).sum()) == 1 and not len(_cycle(np.append(0, heads + 1)))


def _cycle(parents: np.ndarray) -> np.ndarray:
    """The nodes of a cycle, none if every node hangs from node 0."""
    above = parents.tolist()
    seen_from = [0] + [-1] * (len(above) - 1)
    for start in range(1, len(above)):
        node = start
        while seen_from[node] < 0:
            seen_from[node] = start
            node = above[node]
        if node != 0 and seen_from[node] == start:
            cycle = [node]
            while above[cycle[-1]] != node:
                cycle.append(above[cycle[-1]])
            return np.array(cycle)
    return np.array([], dtype=int)


def _with_itself_barred(scores: np.ndarray) -> np.ndarray:
    itself = np.eye(scores.shape[0], scores.shape[1], k=1, dtype=bool)
    return np.where(itself, -np.inf, scores)
