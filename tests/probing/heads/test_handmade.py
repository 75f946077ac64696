"""Heads made by hand are found by the analysis meant for them, and by no other."""

import numpy as np
import pytest

from bertology.corpora import Corpus
from bertology.corpora.text import words_to_sentence
from bertology.probing.heads import analyse_heads, scan_heads
from bertology.probing.heads.relations import OFFSETS, gold_dependents, relation_table, score

from .handmade import parser

#: Every word type hangs on one of a smaller number, the root on none.
TYPES = 20


def heads_of() -> dict[str, str]:
    generator = np.random.default_rng(0)
    return {f"w{i}": f"w{generator.integers(i)}" for i in range(1, TYPES)}


def corpus(count: int = 60) -> Corpus:
    """Sentences of distinct words in random order, each with the head that its type asks for."""
    generator, answers = np.random.default_rng(1), heads_of()
    sentences = []
    for number in range(count):
        words = set()
        for start in generator.integers(1, TYPES, size=4):
            word = f"w{start}"
            while word not in words:
                words.add(word)
                word = answers.get(word, word)
        order = generator.permutation(sorted(words)).tolist()
        heads = tuple(order.index(answers[w]) if w in answers else -1 for w in order)
        relations = tuple(f"r{int(w[1:]) % 2}" if w in answers else "root" for w in order)
        sentences.append(words_to_sentence(order, id=str(number), heads=heads, deprels=relations))
    return Corpus("made by hand", tuple(sentences), "")


@pytest.fixture(scope="module")
def analysis():
    return analyse_heads(parser(heads_of()), corpus())


def test_the_lookup_head_follows_every_relation_and_no_other_head_does(analysis) -> None:
    rows = analysis.relations
    perfect = rows[(rows["direction"] == "dependent_to_head") & (rows["accuracy"] == 1)]
    assert set(zip(perfect["layer"], perfect["head"], strict=True)) == {(0, 1)}
    assert set(perfect["relation"]) == {"all", "r0", "r1"}
    others = rows[(rows["layer"] != 0) | (rows["head"] != 1)]
    assert others["accuracy"].max() < 0.5


def test_the_held_out_choice_is_the_lookup_head(analysis) -> None:
    best = analysis.best
    assert (best[["layer", "head"]] == [0, 1]).all().all() and best["same_head"].all()
    assert (best["accuracy"] == 1).all() and (best["p_adjusted"] < 0.001).all()
    assert (best["baseline_accuracy"] < 0.5).all()


def test_surface_heads_are_what_they_were_made_to_be(analysis) -> None:
    means = analysis.table.set_index(["layer", "head", "statistic"])["mean"]
    lengths = np.array([len(sentence) + 2 for sentence in corpus().sentences])
    # The last token has no next one, so its row is even.
    assert means[0, 0, "next"] == pytest.approx(((lengths - 1) / lengths).mean(), abs=1e-5)
    assert means[1, 1, "sep"] == pytest.approx(1, abs=1e-5)
    assert means[1, 0, "entropy"] == pytest.approx(np.log(lengths).mean(), abs=1e-5)
    roles = analysis.roles.set_index(["layer", "head"])["looks_at"].to_dict()
    assert roles == {(0, 0): "next", (0, 1): "other", (1, 0): "broad", (1, 1): "sep"}


def test_the_next_token_head_is_the_offset_baseline_but_for_the_last_word() -> None:
    text = corpus()
    scan = scan_heads(parser(heads_of()), text)
    dependents = gold_dependents(scan.sentences, scan.word_tokens, scan.units.tolist())
    hits = score(dependents, scan.predicted())[:][:, 0, 0, 0]
    baseline = dependents.offset_correct()[:, OFFSETS.index(1)]
    last = dependents.word == dependents.length - 1
    assert (hits[~last] == baseline[~last]).all() and baseline[~last].any()
    # The last word's next token is [SEP], which is no word: what is left is rounding.
    table = relation_table(dependents, hits[:, None, None, None].repeat(2, 3), seed=0)
    assert table["accuracy"].iloc[0] <= table["baseline_accuracy"].iloc[0] + last.mean()


def test_in_shuffled_sentences_the_lookup_head_follows_nothing() -> None:
    """A negative control: trees that belong to other words."""
    generator, shuffled = np.random.default_rng(2), []
    for sentence in corpus().sentences:
        words = generator.permutation(sentence.words).tolist()
        shuffled.append(
            words_to_sentence(words, id=sentence.id, heads=sentence.heads, deprels=sentence.deprels)
        )
    found = analyse_heads(parser(heads_of()), Corpus("shuffled", tuple(shuffled), ""))
    assert found.relations["accuracy"].max() < 0.5
    assert not (found.best["p_adjusted"] < 0.05).any()
