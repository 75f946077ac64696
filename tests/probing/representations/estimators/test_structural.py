"""Structural probes: a tree that is in the states is found, one that is not is at chance."""

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertology.errors import BertologyError
from bertology.probing.representations.estimators.structural import DepthProbe, DistanceProbe
from bertology.probing.representations.estimators.tree_batches import tree_batches
from bertology.probing.representations.estimators.trees import tree_depths, tree_distances

LONGEST = 12
both = pytest.mark.parametrize("probe", [DistanceProbe(epochs=2), DepthProbe(epochs=2)])


def _heads(length, rng):
    order = rng.permutation(length)
    heads = np.full(length, -1)
    for place in range(1, length):
        heads[order[place]] = order[rng.integers(place)]
    return heads


def _on_axes(heads):
    """The edge of each word on an axis of its own; a word is the sum of its edges to the root."""
    states = np.zeros((len(heads), LONGEST))
    for word in range(len(heads)):
        step = word
        while heads[step] >= 0:
            states[word, step] = 1
            step = heads[step]
    return states


def _treebank(sentences, seed=0):
    rng = np.random.default_rng(seed)
    heads = [_heads(rng.integers(5, LONGEST + 1), rng) for _ in range(sentences)]
    X = np.concatenate([_on_axes(sentence) for sentence in heads])
    return X, np.concatenate(heads), np.repeat(np.arange(sentences), [len(h) for h in heads])


def _with_identity(probe):
    """A fitted probe with B = I."""
    X, heads, groups = _treebank(4)
    fitted = clone(probe).set_params(rank=LONGEST).fit(X, heads, groups)
    fitted.projection_ = np.eye(LONGEST)
    return fitted


def test_edges_on_axes_are_the_tree_without_loss():
    X, heads, groups = _treebank(40, seed=1)
    distance, depth = _with_identity(DistanceProbe(epochs=1)), _with_identity(DepthProbe(epochs=1))
    trees = np.split(heads, np.flatnonzero(np.diff(groups)) + 1)
    for predicted, tree in zip(distance.predict(X, groups), trees, strict=True):
        np.testing.assert_array_equal(predicted, tree_distances(tree))
    np.testing.assert_array_equal(depth.predict(X), np.concatenate(list(map(tree_depths, trees))))
    scores, depths = distance.scores(X, heads, groups), depth.scores(X, heads, groups)
    assert (scores.uuas, depths.root_accuracy) == (1, 1)
    assert scores.dspr == pytest.approx(1) and depths.nspr == pytest.approx(1)
    for probe, gold in ((distance, tree_distances), (depth, tree_depths)):
        for batch in tree_batches(list(map(gold, trees)), np.arange(40), "cpu"):
            projected = torch.from_numpy(X).float()[batch.places]
            assert probe._losses(projected, batch).abs().max() == 0


def test_losses_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    trees = [_heads(length, rng) for length in (3, 6, 4)]
    h = rng.standard_normal((13, 5))
    (batch,) = tree_batches(list(map(tree_distances, trees)), np.arange(3), "cpu")
    losses = DistanceProbe()._losses(torch.from_numpy(h)[batch.places], batch)
    (batch_of_depths,) = tree_batches(list(map(tree_depths, trees)), np.arange(3), "cpu")
    of_depths = DepthProbe()._losses(torch.from_numpy(h)[batch_of_depths.places], batch_of_depths)
    # Batches are sorted by length.
    for row, (start, heads) in enumerate(((0, trees[0]), (9, trees[2]), (3, trees[1]))):
        n = len(heads)
        words = h[start : start + n]
        expected = sum(
            abs(tree_distances(heads)[i, j] - ((words[i] - words[j]) ** 2).sum())
            for i in range(n) for j in range(n)
        ) / n**2  # fmt: skip
        assert float(losses[row]) == pytest.approx(expected, rel=1e-5)
        expected = np.abs(tree_depths(heads) - (words**2).sum(axis=1)).sum() / n
        assert float(of_depths[row]) == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def hidden_trees():
    """Trees on axes, turned, at odd scales, among other features: training and evaluation."""
    X, heads, groups = _treebank(300)
    rng = np.random.default_rng(2)
    others = rng.standard_normal((len(X), 6))
    turn = np.linalg.qr(rng.standard_normal((18, 18)))[0]
    X = np.concatenate([X, others], axis=1) @ turn * np.geomspace(0.1, 10, 18)
    train = groups < 220
    return (X[train], heads[train], groups[train]), (X[~train], heads[~train], groups[~train])


def test_a_tree_in_the_states_is_found(hidden_trees):
    train, evaluate = hidden_trees
    scores = DistanceProbe(rank=16, epochs=12).fit(*train).scores(*evaluate)
    assert scores.uuas > 0.97 and scores.dspr > 0.9
    depths = DepthProbe(rank=16, epochs=6).fit(*train).scores(*evaluate)
    assert depths.root_accuracy > 0.97 and depths.nspr > 0.9


def test_permuted_words_are_near_chance(hidden_trees):
    # The probe that is right above is given each word's state in another word's place.
    rng = np.random.default_rng(0)

    def permuted(X, heads, groups):
        return X[np.lexsort((rng.random(len(X)), groups))], heads, groups

    train, evaluate = (permuted(*part) for part in hidden_trees)
    lengths = np.bincount(evaluate[2])
    chance = 2 * (lengths - 1)[lengths > 0] / lengths[lengths > 0]
    for fitted_on in (hidden_trees[0], train):
        scores = DistanceProbe(rank=16, epochs=12).fit(*fitted_on).scores(*evaluate)
        error = scores.correct.std() * np.sqrt(len(chance))
        assert abs(scores.correct.sum() - chance.sum()) < 4 * error
    roots = DepthProbe(rank=16, epochs=6).fit(*train).scores(*evaluate).root
    assert abs(roots.mean() - (1 / lengths[lengths > 0]).mean()) < 4 * np.sqrt(0.25 / len(roots))


def test_a_constant_added_to_all_states_changes_no_distance(hidden_trees):
    (X, heads, groups), _ = hidden_trees
    few = groups < 40
    first, second = (
        DistanceProbe(rank=8, epochs=3).fit(states[few], heads[few], groups[few])
        for states in (X, X + 100)
    )
    np.testing.assert_allclose(first.projection_, second.projection_, rtol=1e-2, atol=1e-3)


def test_predicted_trees_are_over_the_scored_words():
    X, heads, groups = _treebank(30)
    probe = _with_identity(DistanceProbe(epochs=1))
    for tree, edges in enumerate(probe.trees(X, groups)):
        own = heads[groups == tree]
        expected = {tuple(sorted((w, h))) for w, h in enumerate(own.tolist()) if h >= 0}
        assert set(map(tuple, edges.tolist())) == expected
    scored = np.r_[True, groups[1:] == groups[:-1]]  # All but the first word of each sentence.
    assert all((edges > 0).all() for edges in probe.trees(X, groups, scored)[1:])


@both
def test_the_seed_fixes_the_numbers_and_another_changes_them(probe):
    data = _treebank(30)
    first, same, other = (
        clone(probe).set_params(seed=seed).fit(*data).projection_ for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)
    assert clone(probe).get_params() == probe.get_params()


@both
def test_tensors_are_arrays(probe):
    X, heads, groups = _treebank(30)
    scored = np.ones(len(heads), dtype=bool)
    tensors = [torch.from_numpy(values) for values in (X, heads, groups)]
    plain, from_tensors = clone(probe).fit(X, heads, groups), clone(probe).fit(*tensors)
    np.testing.assert_array_equal(plain.projection_, from_tensors.projection_)
    assert from_tensors.score(*tensors, torch.from_numpy(scored)) == plain.score(
        X, heads, groups, scored
    )


@both
def test_works_in_pipeline_and_grid_search_with_groups_asked_for(probe):
    X, heads, groups = _treebank(40)
    with config_context(enable_metadata_routing=True):
        asking = clone(probe).set_params(epochs=3)
        asking.set_fit_request(groups=True).set_score_request(groups=True)
        search = GridSearchCV(asking, {"rank": [1, 12]}, cv=GroupKFold(2))
        found = make_pipeline(StandardScaler(), search).fit(X, heads, groups=groups)[-1]
    # One axis cannot hold a tree of many branches, and all axes can.
    assert found.best_params_ == {"rank": 12}
    assert found.cv_results_["mean_test_score"].min() > 0


@both
def test_what_cannot_be_learned_from_is_refused(probe):
    X, heads, groups = _treebank(5)
    with pytest.raises(BertologyError, match="One sentence was given"):
        probe.fit(X[groups == 0], heads[groups == 0], groups[groups == 0])
    missing = X.copy()
    missing[3] = np.nan
    with pytest.raises(BertologyError, match="1 words of X are NaN"):
        probe.fit(missing, heads, groups)
    with pytest.raises(BertologyError, match="are no tree"):
        probe.fit(X, np.zeros_like(heads), groups)
    with pytest.raises(BertologyError, match="do not follow one another"):
        probe.fit(X, heads, groups % 2)
