"""Proto-role properties of predicates and arguments."""

import json
from pathlib import Path
from typing import Any

import pytest

from bertology.corpora import ProtoRole, read_corpus, read_proto_roles
from bertology.errors import CorpusError

PAIR = {"predicate": 1, "argument": 0, "properties": {"volition": [1.3, 1.0], "time": [-1, 0.5]}}
RECORD = {"sent_id": "a", "tokens": ["Ann", "left"], "pairs": [PAIR]}


def written(tmp_path: Path, *records: Any) -> Path:
    path = tmp_path / "roles.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_every_property_is_a_proto_role(tmp_path: Path) -> None:
    (sentence,) = read_corpus(written(tmp_path, RECORD)).sentences
    assert (sentence.id, sentence.words) == ("a", ("Ann", "left"))
    volition, time = ProtoRole("volition", 1, 0, 1.3), ProtoRole("time", 1, 0, -1.0)
    assert sentence.proto_roles == (volition, time)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (RECORD | {"tokens": []}, "'tokens' is"),
        (RECORD | {"sent_id": ""}, "'sent_id' is ''; a text"),
        (RECORD | {"pairs": {}}, "'pairs' is {}; a list of objects"),
        (RECORD | {"pairs": [PAIR | {"argument": 2}]}, "'argument' is 2; .* from 0 to 1"),
        (RECORD | {"pairs": [PAIR | {"predicate": True}]}, "'predicate' is True"),
        (RECORD | {"pairs": [PAIR | {"properties": [1]}]}, r"'properties' is \[1\]; an object"),
        (RECORD | {"pairs": [PAIR | {"properties": {"v": 1}}]}, "property 'v' is 1; its value"),
        (RECORD | {"pairs": [PAIR | {"properties": {"v": [1]}}]}, r"property 'v' is \[1\]"),
        (RECORD | {"pairs": [PAIR | {"properties": {"v": ["1", 1]}}]}, "two numbers"),
        (RECORD | {"pairs": [PAIR | {"properties": {"v": [float("nan"), 1]}}]}, "two numbers"),
        (RECORD, "'a' was there before"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, record: Any, message: str) -> None:
    with pytest.raises(CorpusError, match=rf"roles\.jsonl, line 2: .*{message}"):
        read_proto_roles(written(tmp_path, RECORD, record))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no sentence"):
        read_proto_roles(written(tmp_path))


def test_counts_of_a_real_file(shared_file) -> None:
    corpus = read_corpus(shared_file("srl/spr-uds-dev.jsonl"))
    roles = [(s.id, role) for s in corpus.sentences for role in s.proto_roles]
    assert len(corpus) == 291
    assert len({(name, role.predicate, role.argument) for name, role in roles}) == 751
    assert len({role.name for _, role in roles}) == 18
