"""Weights of semantic links against those of shuffled pairs, on maps made by hand."""

import numpy as np
import pytest

from bertology.corpora import Argument, Corpus, Frame, Sentence, read_conllu
from bertology.corpora.propbank import read_propbank
from bertology.corpora.text import words_to_sentence
from bertology.errors import CaptureError, CorpusError
from bertology.probing.heads import scan_heads
from bertology.probing.heads.options import ScanOptions
from bertology.probing.heads.semantic import DIRECTIONS, semantic_table

LINKS = ScanOptions(parts=("links",))
WORDS = 9


def linked(number: int, *pairs: tuple[int, int], words: int = WORDS) -> Sentence:
    """A sentence with links of predicates and arguments, of the roles ARG0, ARG1 and so on."""
    frames = tuple(
        Frame(predicate, "x.01", (Argument(f"ARG{role}", word, word + 1),))
        for role, (predicate, word) in enumerate(pairs)
    )
    return words_to_sentence([f"w{i}" for i in range(words)], id=f"s{number}", frames=frames)


def random_links(generator: np.random.Generator, number: int) -> Sentence:
    """Two links of different words, the first between neighbours."""
    start = int(generator.integers(WORDS - 1))
    others = generator.choice([i for i in range(WORDS) if i not in (start, start + 1)], 2, False)
    return linked(number, (start, start + 1), (int(others[0]), int(others[1])))


def attention(generator: np.random.Generator, layers: int = 3, heads: int = 10) -> np.ndarray:
    weights = generator.exponential(size=(layers, heads, WORDS, WORDS))
    weights[..., range(WORDS), range(WORDS)] = 0
    return weights / weights.sum(-1, keepdims=True)


def test_a_head_of_links_stands_out_and_a_head_of_places_does_not(scan_of_maps) -> None:
    generator = np.random.default_rng(0)
    sentences = [random_links(generator, i) for i in range(40)]
    maps = [attention(generator) for _ in sentences]
    for sentence, own in zip(sentences, maps, strict=True):
        # Mostly to the next word, which is an argument in every sentence.
        own[0, 2] = np.eye(WORDS, k=1) * 0.85
        for frame in sentence.frames:
            row = own[1, 3, frame.predicate]
            row *= 0.1
            row[frame.arguments[0].start] = 0.9
    table = semantic_table(scan_of_maps(sentences, maps, LINKS), seed=0)
    assert list(table.columns) == [
        "direction", "layer", "head", "mean", "ci_low", "ci_high", "n", "shuffled", "difference",
        "difference_low", "difference_high", "p_adjusted", "percentile_99", "above", "descriptive",
    ]  # fmt: skip
    assert len(table) == 60 and (table["n"] == 40).all()
    cells = table.set_index(["direction", "layer", "head"])
    knows = cells.loc["predicate_to_argument", 1, 3]
    assert knows["mean"] > 0.89 and knows["shuffled"] < 0.5
    assert knows["p_adjusted"] < 0.001 and knows["difference_low"] > 0.4
    places = cells.loc["predicate_to_argument", 0, 2]
    assert places["mean"] == pytest.approx(0.85) == places["shuffled"]
    assert places["difference"] == places["difference_high"] == 0 and places["p_adjusted"] == 1
    # The percentile lies between the two: both weigh more on links than 58 other cells.
    assert cells["percentile_99"].nunique() == 1
    assert cells.index[cells["above"]].tolist() == [("predicate_to_argument", 1, 3)]
    assert (cells["mean"] > 0.8).sum() == 2
    flagged = cells.index[cells["p_adjusted"] < 0.05].tolist()
    assert flagged == [("predicate_to_argument", 1, 3)]


def test_means_of_the_largest_weight_by_hand(scan_of_maps) -> None:
    sentences = [linked(0, (0, 1), (4, 2)), linked(1, (0, 2), words=3), linked(2, (3, 4))]
    maps = [np.zeros((1, 2, len(s), len(s))) for s in sentences]
    maps[0][0, 0, 0, 1], maps[0][0, 0, 4, 2] = 0.2, 0.5
    maps[0][0, 1, 1, 0], maps[0][0, 1, 2, 4] = 0.4, 0.3
    maps[1] += 1  # its link has no other pair: it counts on neither side
    maps[2][0, 0, 3, 4] = 0.1
    scan = scan_of_maps(sentences, maps, LINKS)
    table = semantic_table(scan).set_index(["direction", "layer", "head"])
    forth, back = (table.loc[direction] for direction in DIRECTIONS)
    assert forth["mean"].tolist() == pytest.approx([(0.5 + 0.1) / 2, 0])
    assert back["mean"].tolist() == pytest.approx([0, 0.4 / 2])
    assert (table["shuffled"] == 0).all() and (table["n"] == 2).all()
    assert table["percentile_99"].iloc[0] == pytest.approx(np.percentile([0.3, 0, 0, 0.2], 99))
    assert table["above"].tolist() == [True, False, False, False]
    assert table["descriptive"].all() and table["p_adjusted"].isna().all()
    one_role = semantic_table(scan, role="ARG0").set_index("direction")
    assert one_role.loc[DIRECTIONS[0], "mean"].tolist() == pytest.approx([(0.2 + 0.1) / 2, 0])


def test_a_link_counts_on_both_sides_or_on_none(scan_of_maps) -> None:
    # As far apart as the first link are words 1 and 8; as the second, none.
    sentence = linked(0, (0, 7), (8, 0))
    maps = np.zeros((1, 1, WORDS, WORDS))
    maps[0, 0, 0, 7], maps[0, 0, 8, 0], maps[0, 0, 1, 8] = 0.3, 0.9, 0.2
    table = semantic_table(scan_of_maps([sentence], [maps], LINKS))
    row = table.set_index("direction").loc["predicate_to_argument"]
    assert row["mean"] == pytest.approx(0.3) and row["shuffled"] == pytest.approx(0.2)


def test_maps_that_know_no_links_are_seldom_flagged(scan_of_maps) -> None:
    generator = np.random.default_rng(1)
    runs, flagged = 50, 0
    for _ in range(runs):
        sentences = [random_links(generator, i) for i in range(30)]
        maps = [attention(generator, 2, 4) for _ in sentences]
        for own in maps:  # attention to places: the next word, one that is near
            own[0, 0] = own[0, 0] * 0.3 + np.eye(WORDS, k=1) * 0.7
            own[0, 1] *= np.exp(-abs(np.subtract.outer(np.arange(WORDS), np.arange(WORDS))))
        table = semantic_table(scan_of_maps(sentences, maps, LINKS), seed=0)
        flagged += (table["p_adjusted"] < 0.05).any()
    assert flagged / runs <= 0.05 + 1.96 * np.sqrt(0.05 * 0.95 / runs)


def test_text_without_links_is_refused(tiny_model, scan_of_maps) -> None:
    plain = words_to_sentence(["w1", "w2"], id="plain")
    corpus = Corpus("plain", (plain,), "")
    with pytest.raises(CorpusError, match="predicates and arguments"):
        semantic_table(scan_heads(tiny_model("bert"), corpus, options=LINKS))
    with pytest.raises(CaptureError, match="not 'links'"):
        semantic_table(scan_heads(tiny_model("bert"), corpus))
    scan = scan_of_maps([linked(0, (0, 1))], [np.ones((1, 1, WORDS, WORDS))], LINKS)
    with pytest.raises(CorpusError, match=r"'A0' .*its roles ARG0"):
        semantic_table(scan, role="A0")


@pytest.mark.slow
def test_heads_of_places_lie_beyond_the_percentile_and_not_beyond_shuffled_pairs(
    shared_file, demo
) -> None:
    treebank = read_conllu(shared_file("ud/en_ewt-ud-dev.conllu"))
    corpus = read_propbank(shared_file("srl/ewt-dev-propbank.jsonl"), treebank).first(500)
    scan = scan_heads(demo, corpus, options=LINKS)
    table = semantic_table(scan).set_index(["direction", "layer", "head"])
    # The demo's L0H2 attends to the next and the previous word; L3H1 to objects, among others.
    places = table.loc["predicate_to_argument", 0, 2]
    assert places["above"] and places["p_adjusted"] > 0.5 and abs(places["difference"]) < 0.02
    objects = semantic_table(scan, role="ARG1").set_index(["direction", "layer", "head"])
    knows = objects.loc["predicate_to_argument", 3, 1]
    assert knows["p_adjusted"] < 0.001 and knows["mean"] > 2 * knows["shuffled"]
