"""Frames, alone and joined with a treebank."""

import json
from pathlib import Path
from typing import Any

import pytest

from bertology import BertologyError
from bertology.corpora import Argument, Corpus, Frame, Sentence, read_corpus, read_propbank
from bertology.corpora.text import words_to_sentence

WORDS = ["Ann", "gave", "Bob", "tea", "."]
ARGUMENTS = [
    {"role": "ARG0", "start": 0, "end": 0},
    {"role": "ARG1", "start": 2, "end": 3},
]
FRAME = {"predicate": 1, "roleset": "give.01", "arguments": ARGUMENTS}
RECORD = {"sent_id": "d-1", "tokens": WORDS, "frames": [FRAME]}


def written(tmp_path: Path, *records: Any) -> Path:
    path = tmp_path / "frames.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def treebank(*sentences: Sentence) -> Corpus:
    return Corpus("trees", sentences, "0")


def tree(words: list[str], id: str = "d-1") -> Sentence:
    heads = tuple(-1 if word == 1 else 1 for word in range(len(words)))
    return words_to_sentence(words, id=id, document="d", heads=heads, upos=("X",) * len(words))


def test_ends_become_exclusive(tmp_path: Path) -> None:
    (sentence,) = read_corpus(written(tmp_path, RECORD)).sentences
    assert (sentence.id, sentence.text) == ("d-1", "Ann gave Bob tea .")
    expected = Frame(1, "give.01", (Argument("ARG0", 0, 1), Argument("ARG1", 2, 4)))
    assert sentence.frames == (expected,)
    assert (sentence.heads, sentence.document) == ((), None)


def test_a_treebank_brings_trees_and_documents(tmp_path: Path) -> None:
    path = written(tmp_path, RECORD)
    trees = treebank(tree(["Hello", "there"], "d-0"), tree(WORDS))
    joined = read_propbank(path, trees)
    (sentence,) = joined.sentences
    assert (sentence.heads, sentence.document) == ((1, -1, 1, 1, 1), "d")
    assert sentence.frames == read_propbank(path).sentences[0].frames
    # What was read is both files.
    assert len({joined.sha256, read_propbank(path).sha256, "0"}) == 3
    assert joined.name.endswith("frames.jsonl with trees")


@pytest.mark.parametrize(
    ("trees", "message"),
    [
        (
            treebank(tree(["Ann", "gave", "Bill", "tea", "."])),
            "'d-1' has the word 'Bob' at 2.*Bill",
        ),
        (treebank(tree(WORDS[:-1])), r"line 1: sentence 'd-1' has the word '\.' at 4.*None"),
        (treebank(tree([*WORDS, "."])), r"line 1: sentence 'd-1' has the word None at 5.*'\.'"),
        (treebank(tree(WORDS, "d-2")), "line 1: the treebank has no sentence 'd-1'"),
        (treebank(tree(WORDS), tree(WORDS)), "trees has two sentences 'd-1'"),
    ],
)
def test_treebanks_that_do_not_fit(tmp_path: Path, trees: Corpus, message: str) -> None:
    with pytest.raises(BertologyError, match=message):
        read_propbank(written(tmp_path, RECORD), trees)


def with_frame(**changed: Any) -> dict[str, Any]:
    return {**RECORD, "sent_id": "d-2", "frames": [{**FRAME, **changed}]}


def with_argument(**changed: Any) -> dict[str, Any]:
    return with_frame(arguments=[{**ARGUMENTS[1], **changed}])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (with_frame(predicate=5), "'predicate' is 5; the number of a token, from 0 to 4"),
        (with_frame(predicate=-1), "'predicate' is -1"),
        (with_frame(predicate=True), "'predicate' is True"),
        (with_frame(predicate="1"), "'predicate' is '1'"),
        (with_frame(roleset=None), "'roleset' is None"),
        (with_frame(arguments={}), "'arguments' is {}; a list"),
        (with_argument(end=5), "'end' is 5"),
        (with_argument(end=1), "an argument begins at 2 and ends at 1"),
        (with_argument(role=""), "'role' is ''"),
        ({**RECORD, "frames": None}, "'frames' is None; a list"),
        ({**RECORD, "frames": [1]}, "'frames' is .1.; a list"),
        ({**RECORD, "tokens": []}, r"'tokens' is \[\]"),
        ({**RECORD, "tokens": ["a", ""]}, "'tokens' is"),
        ({**RECORD, "sent_id": 7}, "'sent_id' is 7"),
        (RECORD, "the sentence 'd-1' was there before"),
        ([1], "a JSON object was expected"),
    ],
)
def test_mistakes_name_the_line(tmp_path: Path, record: Any, message: str) -> None:
    with pytest.raises(BertologyError, match=f"jsonl, line 2: {message}"):
        read_corpus(written(tmp_path, RECORD, record))


def test_no_sentence(tmp_path: Path) -> None:
    with pytest.raises(BertologyError, match="holds no sentence"):
        read_corpus(written(tmp_path))


@pytest.mark.parametrize(
    ("part", "counts"),
    [
        ("dev", (1959, 4956, 9567, 44)),
        pytest.param("train", (6000, 23166, 45572, 54), marks=pytest.mark.slow),
    ],
)
def test_ewt_counts(shared_file, part: str, counts: tuple[int, ...]) -> None:
    sentences = read_corpus(shared_file(f"srl/ewt-{part}-propbank.jsonl")).sentences
    frames = [frame for sentence in sentences for frame in sentence.frames]
    arguments = [argument for frame in frames for argument in frame.arguments]
    roles = {argument.role for argument in arguments}
    assert (len(sentences), len(frames), len(arguments), len(roles)) == counts


def test_ewt_dev_joins_its_treebank(shared_file) -> None:
    trees = read_corpus(shared_file("ud/en_ewt-ud-dev.conllu"))
    joined = read_propbank(shared_file("srl/ewt-dev-propbank.jsonl"), trees).sentences
    assert len(joined) == 1959 and all(sentence.heads for sentence in joined)
    predicates = [s.upos[frame.predicate] for s in joined for frame in s.frames]
    # Frames on the wrong words would not be verbs and a few nouns and adjectives.
    assert predicates.count("VERB") + predicates.count("AUX") > 0.75 * len(predicates)
