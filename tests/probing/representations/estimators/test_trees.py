"""Trees and the scores of predicted ones: closed forms, and networkx and scipy as oracles."""

import networkx as nx
import numpy as np
import pytest
from scipy.stats import spearmanr

from bertology.errors import BertologyError
from bertology.probing.representations.estimators.trees import (
    by_sentence,
    chain_distances,
    depth_scores,
    distance_scores,
    mean_over_lengths,
    random_distances,
    spanning_tree,
    tree_depths,
    tree_distances,
)


def _random_heads(length, rng):
    """A tree whose words hang from words drawn before them, in random order."""
    order = rng.permutation(length)
    heads = np.full(length, -1)
    for place in range(1, length):
        heads[order[place]] = order[rng.integers(place)]
    return heads


@pytest.mark.parametrize("length", [1, 2, 7, 30])
def test_distances_and_depths_are_those_of_the_graph(length):
    heads = _random_heads(length, np.random.default_rng(length))
    graph = nx.Graph([(word, head) for word, head in enumerate(heads.tolist()) if head >= 0])
    graph.add_nodes_from(range(length))
    lengths = dict(nx.all_pairs_shortest_path_length(graph))
    expected = [[lengths[i][j] for j in range(length)] for i in range(length)]
    np.testing.assert_array_equal(tree_distances(heads), expected)
    root = heads.tolist().index(-1)
    np.testing.assert_array_equal(tree_depths(heads), expected[root])


@pytest.mark.parametrize("heads", [[-1, -1, 0], [1, 0], [-1, 2, 1], [-1, 3], [-1, -2], [0]])
def test_heads_that_are_no_tree_are_refused(heads):
    with pytest.raises(BertologyError, match="are no tree"):
        tree_distances(np.array(heads))


def test_a_spanning_tree_is_the_smallest():
    rng = np.random.default_rng(0)
    for length in (2, 5, 20):
        distances = random_distances(length, rng)
        graph = nx.from_numpy_array(distances)
        expected = sorted(tuple(sorted(e)) for e in nx.minimum_spanning_edges(graph, data=False))
        assert sorted(map(tuple, spanning_tree(distances).tolist())) == expected


def test_equal_words_are_joined_first():
    # Distances of 0 are edges, not gaps; equal ones are taken in order.
    distances = np.array([[0, 2, 0, 3], [2, 0, 2, 3], [0, 2, 0, 3], [3, 3, 3, 0]])
    assert sorted(map(tuple, spanning_tree(distances).tolist())) == [(0, 1), (0, 2), (0, 3)]


@pytest.mark.parametrize("scored", [[], [2]])
def test_fewer_than_two_words_have_no_edges(scored):
    mask = np.isin(np.arange(4), scored)
    assert spanning_tree(chain_distances(4), mask).shape == (0, 2)


def _perfect(sentences):
    return (
        distance_scores([tree_distances(heads) for heads in sentences], sentences),
        depth_scores([tree_depths(heads) for heads in sentences], sentences),
    )


def test_the_gold_tree_is_perfect():
    rng = np.random.default_rng(0)
    distance, depth = _perfect([_random_heads(n, rng) for n in (5, 8, 8, 20)])
    assert (distance.uuas, depth.root_accuracy) == (1, 1)
    assert distance.dspr == pytest.approx(1) and depth.nspr == pytest.approx(1)
    assert distance.edges.tolist() == distance.correct.tolist() == [4, 7, 7, 19]
    assert distance.lengths.tolist() == depth.lengths.tolist() == [5, 8, 8, 20]


def test_depths_upside_down_are_as_wrong_as_can_be():
    heads = _random_heads(12, np.random.default_rng(3))
    scores = depth_scores([-tree_depths(heads)], [heads])
    assert scores.nspr == pytest.approx(-1) and not scores.root.any()


def test_the_linear_chain_is_right_on_a_chain():
    heads = np.arange(-1, 9)
    distance = distance_scores([chain_distances(10)], [heads])
    assert distance.uuas == 1 and distance.dspr == pytest.approx(1)
    depth = depth_scores([np.arange(10)], [heads])
    assert depth.root_accuracy == 1 and depth.nspr == pytest.approx(1)
    # And wrong on a star: only the neighbours of the hub are joined to it.
    star = np.where(np.arange(10) == 4, -1, 4)
    assert distance_scores([chain_distances(10)], [star]).correct.tolist() == [2]


def test_random_trees_find_two_edges_in_n():
    rng = np.random.default_rng(0)
    sentences = [_random_heads(10, rng) for _ in range(600)]
    scores = distance_scores([random_distances(10, rng) for _ in sentences], sentences)
    error = scores.correct.std() / np.sqrt(len(sentences))
    assert abs(scores.correct.mean() - 2 * 9 / 10) < 4 * error
    assert abs(scores.spearman.mean()) > 0.05  # A word is nearest to itself in both.


def test_words_that_are_not_scored_are_collapsed():
    # 0 ← 1 ← 2, and 3 hangs from 0; without 1 the shortest way from 2 is to 0.
    heads = np.array([-1, 0, 1, 0])
    scored = [np.array([True, False, True, True])]
    gold = distance_scores([tree_distances(heads)], [heads], scored)
    assert (gold.edges.tolist(), gold.correct.tolist()) == ([2], [2])
    chain = distance_scores([chain_distances(4)], [heads], scored)
    assert (chain.edges.tolist(), chain.correct.tolist()) == ([2], [1])


def test_punctuation_is_no_root():
    heads, depths = np.array([1, -1, 1]), np.array([0.1, 0.5, 0.9])
    assert not depth_scores([depths], [heads]).root[0]
    assert depth_scores([depths], [heads], [np.array([False, True, True])]).root[0]


def test_rank_correlations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    heads = _random_heads(9, rng)
    predicted = random_distances(9, rng).round(1)
    gold = tree_distances(heads)
    expected = np.mean([spearmanr(a, b).statistic for a, b in zip(predicted, gold, strict=True)])
    assert distance_scores([predicted], [heads]).spearman[0] == pytest.approx(expected)
    depths = rng.random(9)
    expected = spearmanr(depths, tree_depths(heads)).statistic
    assert depth_scores([depths], [heads]).spearman[0] == pytest.approx(expected)
    assert depth_scores([np.ones(9)], [heads]).spearman[0] == 0


def test_every_length_from_5_to_50_counts_the_same():
    spearman, lengths = np.array([0.2, 0.4, 0.9, 1.0, 1.0]), np.array([5, 5, 50, 4, 51])
    assert mean_over_lengths(spearman, lengths) == pytest.approx((0.3 + 0.9) / 2)
    assert np.isnan(mean_over_lengths(spearman[3:], lengths[3:]))


def test_words_are_cut_into_sentences():
    parts = by_sentence(np.arange(6), [7, 7, 3, 3, 3, 9])
    assert [part.tolist() for part in parts] == [[0, 1], [2, 3, 4], [5]]
    with pytest.raises(BertologyError, match="do not follow one another"):
        by_sentence(np.arange(3), [0, 1, 0])
    with pytest.raises(BertologyError, match="sentence of each word"):
        by_sentence(np.arange(3), [0, 1])
