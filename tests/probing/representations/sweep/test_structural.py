"""Structural probes in a sweep: trees that are there by construction, and the baselines."""

from dataclasses import replace

import numpy as np
import pytest

from bertology.corpora.text import words_to_sentence
from bertology.errors import CorpusError
from bertology.probing.representations.estimators.trees import chain_distances, distance_scores
from bertology.probing.representations.states import States
from bertology.probing.representations.sweep.options import ProbeOptions
from bertology.probing.representations.sweep.outcomes import Outcome
from bertology.probing.representations.sweep.pieces import Pieces
from bertology.probing.representations.sweep.readings import Reading
from bertology.probing.representations.sweep.run import sweep
from bertology.probing.representations.sweep.sources import Source
from bertology.probing.representations.sweep.structural import _rows, trees_of
from bertology.probing.representations.sweep.sums import Units
from bertology.stats import wilson

WORDS = 8


def trees(count: int, seed: int) -> States:
    """Layer 0 is noise; in layer 1 each word is the sum of the edges that lead to it from the root.

    Every edge has an axis of its own, so that squared distances are those of the tree.
    """
    rng = np.random.default_rng(seed)
    sentences, layers = [], [[], []]
    for number in range(count):
        words = WORDS - 2 * (number % 3 == 0)
        order = rng.permutation(words)
        heads = np.full(words, -1)
        vectors = np.zeros((words, WORDS), np.float32)
        for place in range(1, words):
            head = order[rng.integers(place)]
            heads[order[place]] = head
            vectors[order[place]] = vectors[head] + np.eye(WORDS)[place]
        sentences.append(
            words_to_sentence(
                [f"w{n}" for n in range(words)], id=f"s{number}", heads=tuple(heads.tolist()),
                upos=("NOUN",) * words,
            )
        )  # fmt: skip
        layers[0].append(rng.standard_normal((words, WORDS)).astype(np.float32))
        layers[1].append(vectors)
    joined = [np.concatenate(layer) for layer in layers]
    return States(
        sentences=tuple(sentences), layers=(0, 1), read=lambda layer: joined[layer],
        word_tokens=np.ones(len(joined[0]), np.int64), units=np.arange(count), unit="sentence",
        skipped=(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def tables():
    train, evaluate = trees(120, 0), trees(60, 1)
    reading = Reading(
        train, evaluate, (), (Source("model", 0, lambda: (train, evaluate)),),
        (trees_of(train), trees_of(evaluate)),
    )  # fmt: skip
    return sweep([reading], ProbeOptions(probes=("structural",)), Pieces()), evaluate


def test_trees_are_found_where_they_are(tables):
    table = tables[0]["table"].set_index(["metric", "layer"])["value"]
    assert table["uuas", 1] > 0.95 and table["root", 1] > 0.95
    assert table["dspr", 1] > 0.95 and table["nspr", 1] > 0.9
    assert table["uuas", 0] < 0.5 and abs(table["nspr", 0]) < 0.3


def test_baselines_are_those_of_the_trees(tables):
    table, evaluate = tables[0]["table"], tables[1]
    found = table[table["layer"].isna()].set_index(["metric", "probe"])
    neighbours = [
        abs(head - word) == 1
        for sentence in evaluate.sentences
        for word, head in enumerate(sentence.heads)
        if head >= 0
    ]
    assert found.loc[("uuas", "linear_chain"), "value"] == pytest.approx(np.mean(neighbours))
    assert found.loc[("uuas", "linear_chain"), "n"] == len(neighbours)
    first = [sentence.heads[0] == -1 for sentence in evaluate.sentences]
    assert found.loc[("root", "linear_chain"), "value"] == pytest.approx(np.mean(first))
    heads = [np.array(sentence.heads) for sentence in evaluate.sentences]
    chain = distance_scores([chain_distances(len(each)) for each in heads], heads)
    assert found.loc[("dspr", "linear_chain"), "value"] == pytest.approx(chain.dspr)
    assert len(set(chain.lengths)) == 2 and chain.dspr != pytest.approx(chain.spearman.mean())
    # A random spanning tree has each edge of the gold one with probability 2/n.
    assert found.loc[("uuas", "random"), "value"] == pytest.approx(2 / 7.2, abs=0.06)


def test_layers_are_tested_against_the_chain_and_each_other(tables):
    tests = tables[0]["tests"].set_index(["metric", "layer", "against"])
    for metric in ("uuas", "root", "dspr", "nspr"):
        for against in ("linear_chain", "layer_0", "previous_layer"):
            row = tests.loc[(metric, 1, against)]
            assert row["difference"] > 0.2 and row["p_adjusted"] < 0.01
            assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert "random" not in tests.index.get_level_values("against")


def test_intervals_hold_the_values(tables):
    table = tables[0]["table"]
    assert (table["ci_low"] <= table["value"]).all() and (table["value"] <= table["ci_high"]).all()
    assert not table["descriptive"].any()


def test_few_sentences_are_descriptive():
    outcomes = [Outcome("tree", "model", "structural", 0, np.ones(6), np.zeros((0, 6)))]
    units = Units(np.arange(6), 0, np.full(6, 4.0))
    table = _rows("uuas", outcomes, units).iloc[0]
    assert table["descriptive"] and table["n"] == 24 and table["value"] == 0.25
    low, high = wilson(np.array(6), np.array(24))
    assert (table["ci_low"], table["ci_high"]) == (low, high)
    assert _rows("dspr", outcomes, units)[["ci_low", "ci_high"]].isna().all(axis=None)


def test_lengths_are_counted_though_their_shares_are_rounded():
    assert Units(np.arange(49), 0, np.full(49, 1 / 49)).n == 1


def test_sentences_that_are_no_tree_or_lack_tokens_are_left_out():
    states = trees(4, 0)
    two_roots = replace(states.sentences[1], heads=(-1, -1, *[0] * (WORDS - 2)))
    tokens = states.word_tokens.copy()
    tokens[0] = 0
    sentences = (states.sentences[0], two_roots, *states.sentences[2:])
    kept = trees_of(replace(states, sentences=sentences, word_tokens=tokens))
    assert kept.rows.tolist() == list(range(*states.offsets[[2, 4]]))
    assert kept.units.tolist() == [2, 3]
    assert (kept.no_tree, kept.without_tokens) == (1, 1)
    # A sentence that fails on both counts is no tree.
    tokens[states.offsets[1]] = 0
    both = trees_of(replace(states, sentences=sentences, word_tokens=tokens))
    assert (both.no_tree, both.without_tokens) == (1, 1)
    with pytest.raises(CorpusError, match="1 of 4 sentences"):
        trees_of(replace(states, sentences=(*sentences[:3], two_roots), word_tokens=tokens))
