"""Segments of two consecutive paragraphs, and examples read as a corpus."""

import pytest
from tokenizers import pre_tokenizers

from bertology import BertologyError
from bertology.corpora import Corpus, corpus_of, encode, examples_of, paragraph_pairs, read_examples
from bertology.corpora.text import Sentence, words_to_sentence

LENGTHS = (3, 9, 1, 12, 5, 2, 30, 4, 7, 1, 1, 6, 8, 25, 3, 10)


def corpus_with(documents: int | None) -> Corpus:
    """Sentences of known lengths, every word of a document another one."""
    sentences = []
    for document in range(documents or 1):
        words = [f"{document}-{i}" for i in range(sum(LENGTHS))]
        start = 0
        for number, length in enumerate(LENGTHS):
            sentences.append(
                words_to_sentence(
                    words[start : start + length],
                    id=f"{document}.{number}",
                    document=None if documents is None else f"d{document}",
                )
            )
            start += length
    return Corpus("numbers", tuple(sentences), "0")


def named(text: Sentence) -> list[str]:
    """The ids of all sentences that the id of a text stands for."""
    first, _, last = text.id.partition("..")
    document, start = first.split(".")
    end = (last or first).split(".")[1]
    return [f"{document}.{number}" for number in range(int(start), int(end) + 1)]


@pytest.fixture(scope="module")
def spaced(tokenizer_of):
    """A tokenizer that makes one token of each word between spaces."""
    tokenizer = tokenizer_of()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


@pytest.mark.parametrize("documents", [None, 1, 4])
@pytest.mark.parametrize("max_tokens", [7, 21, 40, 1000])
def test_every_sentence_is_used_once_in_order(spaced, documents, max_tokens) -> None:
    corpus = corpus_with(documents)
    by_id = {sentence.id: sentence for sentence in corpus.sentences}
    segments = paragraph_pairs(corpus, spaced, max_tokens=max_tokens, seed=3).sentences
    used = {}
    for first in segments:
        second = first.pair
        assert first.document == second.document == by_id[named(first)[0]].document
        ids = named(first) + named(second)
        # B is the true continuation: its first sentence comes right after A's last one.
        used[tuple(map(int, ids[0].split(".")))] = ids
        words = [[w for i in named(text) for w in by_id[i].words] for text in (first, second)]
        kept = [list(first.words), list(second.words)]
        for part, left in zip(words, kept, strict=True):
            place = part.index(left[0])
            assert part[place : place + len(left)] == left
        assert len(encode(first, spaced)) == 3 + len(kept[0]) + len(kept[1]) <= max_tokens
        if (total := sum(map(len, words)) + 3) > max_tokens:
            assert sum(map(len, kept)) + 3 == max_tokens
            # Only the longer side loses words, B if they are equal.
            if len(kept[0]) < len(words[0]):
                assert len(kept[0]) >= len(kept[1])
            if len(kept[1]) < len(words[1]):
                assert len(kept[1]) >= len(kept[0]) - 1
        else:
            assert kept == words
        # One sentence fewer would not have filled the segment, unless there were only two; only
        # the end of a document leaves a segment that is not full.
        assert len(ids) == 2 or total - len(by_id[ids[-1]]) < max_tokens
        assert total >= max_tokens or int(ids[-1].split(".")[1]) >= len(LENGTHS) - 2
    order = [i for _, ids in sorted(used.items()) for i in ids]
    lone = [s.id for s in corpus.sentences if s.id not in order]
    # What is left at the end of a document is one sentence at most.
    assert order == [s.id for s in corpus.sentences if s.id not in lone]
    assert all(i.endswith(f".{len(LENGTHS) - 1}") for i in lone)


def test_draws_follow_the_seed(spaced) -> None:
    corpus = corpus_with(8)
    one, same, other = (
        paragraph_pairs(corpus, spaced, max_tokens=20, seed=seed) for seed in (0, 0, 1)
    )
    assert one == same
    assert one.sentences != other.sentences and one.sha256 != other.sha256
    assert one.sha256 != corpus.sha256
    # Shuffled: segments of one document do not stand together.
    documents = [segment.document for segment in one.sentences]
    assert documents != sorted(documents)
    # Cuts at every boundary, and words lost at the front and at the back.
    by_id = {sentence.id: sentence for sentence in corpus.sentences}
    cuts = {len(named(segment)) for segment in one.sentences}
    assert {1, 2} <= cuts
    texts = [text for segment in one.sentences for text in (segment, segment.pair)]
    front = [text.words[0] != by_id[named(text)[0]].words[0] for text in texts]
    back = [text.words[-1] != by_id[named(text)[-1]].words[-1] for text in texts]
    assert 0.1 < sum(front) / len(texts) < 0.9 and 0.1 < sum(back) / len(texts) < 0.9


def test_what_a_model_reads(demo, sample) -> None:
    segments = paragraph_pairs(sample, demo.tokenizer, max_tokens=48, seed=0)
    assert segments.documents and set(segments.documents) <= set(sample.documents)
    lengths = []
    for segment in segments.sentences:
        encoding = encode(segment, demo.tokenizer)
        text = demo.tokenizer(segment.text, segment.pair.text)
        assert encoding.ids.tolist() == text["input_ids"]
        assert encoding.segments.tolist() == text["token_type_ids"]
        assert encoding.sep.sum() == 2 and encoding.cls.sum() == 1
        lengths.append(len(encoding))
    # Words are dropped whole, so a segment may be a few tokens short of the budget.
    assert max(lengths) == 48 and sum(length > 43 for length in lengths) > len(lengths) / 2


def test_a_word_that_fills_the_segment_makes_none(demo) -> None:
    short = words_to_sentence(["so", "it", "goes"], id="short")
    digits = words_to_sentence(["1234567890" * 8], id="digits")
    assert len(encode(digits, demo.tokenizer)) == 50
    corpus = Corpus("few", (short, digits), "0")
    with pytest.raises(BertologyError, match="no segment of at most 12 tokens"):
        paragraph_pairs(corpus, demo.tokenizer, max_tokens=12)
    (segment,) = paragraph_pairs(corpus, demo.tokenizer, max_tokens=60).sentences
    assert (segment.words, segment.pair.words) == (short.words, digits.words)
    assert (segment.id, segment.pair.id) == ("short", "digits")


@pytest.mark.parametrize(
    ("sentences", "max_tokens", "message"),
    [
        (corpus_with(1).sentences, 4, "max_tokens is 4; give at least 5, for the 3 special"),
        (corpus_with(1).sentences[:1], 128, r"\(1 sentences\) gives no segment"),
        (corpus_with(2).sentences[15:17], 128, "two consecutive sentences of one document"),
        ((), 128, r"\(0 sentences\) gives no segment"),
    ],
)
def test_what_cannot_be_made_into_segments(spaced, sentences, max_tokens, message) -> None:
    with pytest.raises(BertologyError, match=message):
        paragraph_pairs(Corpus("few", sentences, "0"), spaced, max_tokens=max_tokens)


def test_examples_with_pairs_are_a_corpus_and_back(tmp_path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"text": "a b", "text_pair": "c"}\n{"text": "d"}\n')
    examples = read_examples(path)
    corpus = corpus_of(examples)
    assert [s.words for s in corpus.sentences] == [("a", "b"), ("d",)]
    assert corpus.sentences[0].pair is not None and corpus.sentences[0].pair.words == ("c",)
    assert corpus.sentences[1].pair is None
    assert (corpus.name, corpus.sha256) == (examples.name, examples.sha256)
    assert examples_of(corpus) == examples
