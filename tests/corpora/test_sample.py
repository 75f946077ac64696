"""The sample treebank is a correct, rich enough CoNLL-U file."""

from collections import Counter
from importlib.resources import files

from bertology.corpora import Corpus

RELATIONS = [
    "nsubj",
    "nsubj:pass",
    "obj",
    "iobj",
    "obl",
    "det",
    "amod",
    "advmod",
    "case",
    "aux",
    "aux:pass",
    "cop",
    "mark",
    "ccomp",
    "xcomp",
    "advcl",
    "acl:relcl",
    "conj",
    "cc",
    "nmod",
    "nmod:poss",
    "compound",
    "nummod",
]
LEGAL = {
    *RELATIONS,
    *[
        "acl",
        "appos",
        "cc:preconj",
        "compound:prt",
        "csubj",
        "csubj:pass",
        "det:predet",
        "discourse",
        "expl",
        "fixed",
        "flat",
        "goeswith",
        "list",
        "nmod:desc",
        "nmod:unmarked",
        "obl:agent",
        "obl:unmarked",
        "orphan",
        "parataxis",
        "punct",
        "root",
        "vocative",
    ],
}
UPOS = {
    "ADJ",
    "ADP",
    "ADV",
    "AUX",
    "CCONJ",
    "DET",
    "INTJ",
    "NOUN",
    "NUM",
    "PART",
    "PRON",
    "PROPN",
    "PUNCT",
    "SCONJ",
    "SYM",
    "VERB",
    "X",
}


def test_size(sample: Corpus) -> None:
    assert len(sample) >= 120
    assert len(sample.documents) >= 20
    assert sample.unit == "document"
    assert sum(bool(s.mentions) for s in sample.sentences) >= 40


def test_every_relation_occurs_often_enough(sample: Corpus) -> None:
    counts = Counter(label for s in sample.sentences for label in s.deprels)
    assert {r: counts[r] for r in RELATIONS if counts[r] < 5} == {}
    assert set(counts) <= LEGAL


def test_columns_are_filled(sample: Corpus) -> None:
    for s in sample.sentences:
        assert set(s.upos) <= UPOS
        assert all(s.lemmas) and "_" not in s.lemmas
        assert "_" not in s.xpos
        assert len(s.heads) == len(s.deprels) == len(s.feats) == len(s.words)
        for feats in s.feats:
            assert feats == "_" or feats.split("|") == sorted(feats.split("|"), key=str.lower)
        assert [label for label, head in zip(s.deprels, s.heads, strict=True) if head == -1] == [
            "root"
        ]
        # Punctuation is a leaf.
        assert not {s.upos[head] for head in s.heads if head >= 0} & {"PUNCT"}


def test_trees_are_projective(sample: Corpus) -> None:
    for s in sample.sentences:
        arcs = [(min(w, h), max(w, h)) for w, h in enumerate(s.heads) if h >= 0]
        crossing = [(a, b) for a in arcs for b in arcs if a[0] < b[0] < a[1] < b[1]]
        assert not crossing, s.id


def test_entities_are_chains(sample: Corpus) -> None:
    chains = Counter((s.document, m.entity) for s in sample.sentences for m in s.mentions)
    assert min(chains.values()) >= 2


def test_text_agrees_with_the_words() -> None:
    text = files("bertology.corpora").joinpath("sample.conllu").read_text(encoding="utf-8")
    ids = []
    for block in text.strip().split("\n\n"):
        lines = block.split("\n")
        comments = dict(line[1:].strip().split(" = ", 1) for line in lines if line.startswith("#"))
        ids.append(comments["sent_id"])
        built, covered = "", 0
        for line in lines:
            if line.startswith("#"):
                continue
            number, form, *_, misc = line.split("\t")
            if "-" in number:
                covered = int(number.split("-")[1])
            elif int(number) <= covered:
                continue
            built += form + ("" if "SpaceAfter=No" in misc.split("|") else " ")
        assert built.strip() == comments["text"]
    assert len(ids) == len(set(ids))
