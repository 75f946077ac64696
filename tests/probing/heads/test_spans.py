"""Anaphors, links and shuffled pairs worked out on paper, and what a pass keeps of them."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from bertology.capture import capture
from bertology.corpora import Argument, Corpus, Frame, Mention, Sentence, encode
from bertology.corpora.text import words_to_sentence
from bertology.errors import CaptureError
from bertology.models import LoadedModel
from bertology.probing.heads import scan_heads
from bertology.probing.heads.answers import antecedents, link_weights
from bertology.probing.heads.options import ScanOptions
from bertology.probing.heads.spans import Link, anaphors, links, shuffled


def text(words: str, **annotation: object) -> Sentence:
    return words_to_sentence(words.split(), id=words[:8], **annotation)


#         0    1   2  3      4    5   6     7
STORY = ["Mary", "saw", "a", "friend", "of", "her", "sister", "."]
STORY_HEADS = (1, -1, 3, 1, 6, 6, 3, 1)


def story(mentions: list[tuple[str, int, int]]) -> Sentence:
    found = tuple(Mention(entity, start, end) for entity, start, end in mentions)
    return words_to_sentence(STORY, id="story", heads=STORY_HEADS, mentions=found)


def test_candidates_are_head_words_of_preceding_mentions() -> None:
    # "a friend of her sister" encloses "her" and "her sister"; its head word is "friend".
    sentence = story([("m", 0, 1), ("f", 2, 7), ("s", 5, 7), ("m", 5, 6)])
    (found,) = anaphors(sentence, "preceding")
    # "her sister" begins where "her" does and its head word stands behind: no candidate.
    assert (found.mention, found.word) == (3, 5)
    assert found.others == ((0, 0), (1, 3))
    assert found.candidates == (0, 3) and found.correct == (True, False)


def test_a_candidate_begins_before_and_so_does_its_head_word() -> None:
    # "Ann met [the [Lee] fund]": of either mention of the two, the other is no candidate: "fund"
    # stands behind "Lee", and "Lee" begins within "the Lee fund".
    mentions = (Mention("a", 0, 1), Mention("f", 2, 5), Mention("l", 3, 4))
    for number, entity in ((1, "f"), (2, "l")):
        sentence = words_to_sentence(
            ["Ann", "met", "the", "Lee", "fund"],
            id="s",
            heads=(1, -1, 4, 4, 1),
            mentions=(Mention(entity, 0, 1), *mentions[1:]),
        )
        (found,) = anaphors(sentence, "preceding")
        assert found.mention == number and found.candidates == (0,)


def test_mentions_with_one_head_word_are_one_candidate() -> None:
    # "Ann" and "Ann and Bo" have the head word "Ann"; either may be meant by "they".
    sentence = words_to_sentence(
        ["Ann", "and", "Bo", "say", "they", "left"],
        id="s",
        heads=(3, 2, 0, -1, 5, 3),
        mentions=(Mention("both", 0, 3), Mention("a", 0, 1), Mention("b", 2, 3),
                  Mention("both", 4, 5)),
    )  # fmt: skip
    (found,) = anaphors(sentence, "preceding")
    assert found.candidates == (0, 2) and found.correct == (True, False)
    assert found.others == ((0, 0), (1, 0), (2, 2))


def test_the_first_mention_and_single_mentions_are_no_anaphors() -> None:
    sentence = text("a b c d", mentions=tuple(Mention(e, i, i + 1) for i, e in enumerate("xyzx")))
    assert [one.mention for one in anaphors(sentence, "preceding")] == [3]
    assert anaphors(text("a b c"), "preceding") == []
    alone = text("a b", mentions=(Mention("x", 0, 1), Mention("y", 1, 2)))
    assert anaphors(alone, "preceding") == []


def test_all_candidates_of_a_pronoun_may_stand_behind_it() -> None:
    mentions = (Mention("a", 0, 1, "pronoun"), Mention("b", 1, 2), Mention("a", 3, 4))
    sentence = text("She Bea and Ann", mentions=mentions)
    (found,) = anaphors(sentence, "all")
    assert found.word == 0
    assert found.candidates == (1, 3) and found.correct == (False, True)
    # The same passage, read as a text: the name is the anaphor, and the pronoun stands before.
    (found,) = anaphors(sentence, "preceding")
    assert found.word == 3 and found.candidates == (0, 1) and found.correct == (True, False)


def test_antecedents_take_the_largest_weight_in_both_directions() -> None:
    sentence = text("a b c d", mentions=tuple(Mention(e, i, i + 1) for i, e in enumerate("xyyx")))
    maps = np.zeros((1, 3, 4, 4), np.float32)
    # Anaphors are c (of b) and d (of a). Head 0 reads rows, head 1 columns, head 2 nothing.
    maps[0, 0, 2, :2] = 0.1, 0.2
    maps[0, 0, 3] = 0.4, 0.3, 0.4, 0.9  # a tie of a and c; d is no candidate
    maps[0, 1, :2, 2] = 0.3, 0.1
    maps[0, 1, 1, 3] = 0.5
    found = antecedents(maps, sentence, ScanOptions())["antecedents"].numpy()
    assert found.shape == (2, 1, 3, 2) and found.dtype == np.int16
    assert found[:, 0, 0, 0].tolist() == [1, 0]
    assert found[:, 0, 1, 1].tolist() == [0, 1]
    assert (found[:, 0, 2] == -1).all() and (found[:, 0, 1, 0] == -1).all()
    assert antecedents(maps, text("a b c d"), ScanOptions())["antecedents"].shape == (0, 1, 3, 2)


FRAMES = (
    Frame(1, "saw.01", (Argument("ARG0", 0, 1), Argument("ARG1", 2, 7), Argument("V", 1, 2))),
)


def test_links_join_predicates_and_head_words() -> None:
    with_tree = words_to_sentence(STORY, id="s", heads=STORY_HEADS, frames=FRAMES)
    assert links(with_tree) == [Link("ARG0", 1, (0,)), Link("ARG1", 1, (3,))]
    without = words_to_sentence(STORY, id="s", frames=FRAMES)
    assert links(without) == [Link("ARG0", 1, (0,)), Link("ARG1", 1, (2, 3, 4, 5, 6))]


def test_link_weights_take_the_largest_of_the_argument() -> None:
    sentence = text("a b c d e f", frames=(Frame(1, "x", (Argument("ARG1", 2, 4),)),))
    maps = np.arange(36, dtype=np.float32).reshape(1, 1, 6, 6)
    options = ScanOptions(seed=3)
    record = link_weights(maps, sentence, options)
    assert record["links"].tolist() == [[[[9.0, 19.0]]]]  # (1, 3) and (3, 1)
    # As far apart: (p, p + 2) and (p + 2, p) for some other p.
    forth, back = record["shuffled_links"][0, 0, 0].tolist()
    assert (forth - 2) % 7 == 0 and forth != 9 and back == forth + 10
    again = link_weights(maps, sentence, options)
    assert again["shuffled_links"].equal(record["shuffled_links"])


def test_shuffled_pairs_are_as_far_apart_and_linked_nowhere() -> None:
    linked = [Link("A", 2, (5,)), Link("B", 6, (3,)), Link("C", 4, (3, 2)), Link("D", 0, (3,))]
    taken = {pair for link in linked for pair in link.pairs}
    places = set()
    for seed in range(200):
        found = shuffled(linked, 9, [seed])
        pairs = [pair for other in found for pair in other.pairs]
        assert taken.isdisjoint(pairs) and len(pairs) == len(set(pairs))
        for link, other in zip(linked, found, strict=True):
            offsets = [word - link.predicate for word in link.argument]
            assert [word - other.predicate for word in other.argument] == offsets
            assert all(0 <= word < 9 for word in (other.predicate, *other.argument))
            assert other.role == link.role
        places.add(found[0].predicate)
    # Of the places 0 … 5, the pairs (0, 3), (2, 5) and (3, 6), linked backwards, are taken.
    assert places == {1, 4, 5}


def test_no_shuffled_pair_where_every_one_is_linked() -> None:
    linked = [Link("A", place, (place + 1,)) for place in (0, 1)]
    assert shuffled(linked, 3, [0]) == [None, None]
    # Of two links, one takes the only place that is left.
    one, other = shuffled([Link("A", 0, (1,)), Link("B", 1, (2,))], 4, [0])
    assert one == Link("A", 2, (3,)) and other is None
    assert np.isnan(
        link_weights(
            np.ones((2, 3, 2, 2)), text("a b", frames=(Frame(0, "x", (Argument("A", 1, 2),)),)),
            ScanOptions(),
        )["shuffled_links"].numpy()
    ).all()  # fmt: skip


ANNOTATED = (
    text("w1 w2 w3 . w4", mentions=(Mention("x", 0, 1), Mention("y", 1, 2), Mention("x", 4, 5))),
    text("w5 w6"),
    text(
        "w7 w8 w9 w10 w11 , w12 w13",
        mentions=(Mention("x", 0, 2), Mention("x", 3, 4), Mention("x", 6, 8)),
        frames=(Frame(2, "x", (Argument("ARG0", 0, 2), Argument("ARG1", 3, 5))),
                Frame(7, "y", (Argument("ARG1", 4, 5),))),
    ),
)  # fmt: skip


def plain_maps(model: LoadedModel, sentence: Sentence) -> np.ndarray:
    """Word maps of a text of one token a word, by slicing: specials stand at its ends."""
    attention = capture(model, sentence)[0].attention.astype(np.float32)
    first = int(encode(sentence, model.tokenizer).words[0] < 0)
    words = slice(first, first + len(sentence))
    return attention[..., words, words] * (1 - np.eye(len(sentence), dtype=np.float32))


def plain_antecedent(one: np.ndarray, word: int, candidates: Sequence[int]) -> list[int]:
    answers = []
    for weights in ([one[word, c] for c in candidates], [one[c, word] for c in candidates]):
        answers.append(candidates[int(np.argmax(weights))] if max(weights) > 0 else -1)
    return answers


def plain_weights(one: np.ndarray, found: Sequence[Link]) -> list[list[float]]:
    return [
        [max(one[o.predicate, w] for w in o.argument), max(one[w, o.predicate] for w in o.argument)]
        for o in found
    ]


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_pass_keeps_what_plain_loops_find(tiny_model, family) -> None:
    model = tiny_model(family)
    options = ScanOptions(parts=("links", "antecedents"), seed=1)
    scan = scan_heads(model, Corpus("three", ANNOTATED, ""), options=options)
    kept = dict(scan.rows("antecedents", np.array([1, 0, 2])))
    weights = dict(scan.rows("links", np.array([0, 0, 3])))
    others = dict(scan.rows("shuffled_links", np.array([0, 0, 3])))
    of_links = links(ANNOTATED[2])
    of_others = shuffled(of_links, 8, [1, *ANNOTATED[2].id.encode()])
    for number, sentence in enumerate(ANNOTATED):
        maps = plain_maps(model, sentence)
        for layer, head in itertools.product(range(3), range(4)):
            assert kept[number][:, layer, head].tolist() == [
                plain_antecedent(maps[layer, head], one.word, one.candidates)
                for one in anaphors(sentence, "preceding")
            ]
    for layer, head in itertools.product(range(3), range(4)):  # of the last text
        one = maps[layer, head]
        for found, expected in ((weights, of_links), (others, of_others)):
            plain = plain_weights(one, expected)
            np.testing.assert_allclose(found[2][:, layer, head], plain, rtol=1e-4, atol=1e-7)


def test_parts_that_were_not_kept_are_named(tiny_model) -> None:
    scan = scan_heads(tiny_model("bert"), Corpus("three", ANNOTATED, ""))
    for part, asked in (("antecedents", "antecedents"), ("shuffled_links", "links")):
        with pytest.raises(CaptureError, match=f"not '{asked}'"):
            scan.rows(part, np.array([1, 0, 2]))
