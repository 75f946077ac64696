"""One call for every analysis: what is recorded, and what is left out."""

import pytest

from bertology.corpora import Corpus
from bertology.corpora.text import words_to_sentence
from bertology.errors import CaptureError
from bertology.probing.heads import ANALYSES, AnalysisOptions, ScanOptions, analyse_heads


def chain(words: int, number: int) -> object:
    """A sentence in which each word hangs from the next."""
    heads = (*range(1, words), -1)
    deprels = (*["dep"] * (words - 1), "root")
    forms = [f"w{i % 40}" for i in range(words)]
    return words_to_sentence(forms, id=f"s{number}", heads=heads, deprels=deprels)


def corpus_of(*sentences: object) -> Corpus:
    return Corpus("made", tuple(sentences), "0")


def test_options_and_what_was_counted_are_recorded(tiny_model) -> None:
    corpus = corpus_of(*(chain(4, i) for i in range(5)))
    options = AnalysisOptions(labels="universal", all_words="every", absent="zero")
    scan_options = ScanOptions(word_rows="first")
    found = analyse_heads(
        tiny_model("bert"), corpus, ("relations",), scan_options=scan_options, options=options
    )
    recorded = found.provenance.options
    assert recorded["labels"] == "universal" and recorded["all_words"] == "every"
    assert recorded["absent"] == "zero" and recorded["word_rows"] == "first"
    # Roots count, too, as they do in the table.
    rows = found.relations[found.relations["relation"] == "all"]
    assert (rows["n"] == recorded["dependents"]).all() and recorded["dependents"] == 5 * 4
    usual = analyse_heads(tiny_model("bert"), corpus, ("relations",)).provenance.options
    assert usual["dependents"] == 5 * 3 and usual["labels"] == "subtypes"


def test_trees_that_do_not_fit_are_named_and_the_rest_runs(tiny_model) -> None:
    short = [words_to_sentence([f"w{i}", "w1"], id=f"s{i}") for i in range(3)]
    corpus = corpus_of(*short, chain(60, 9))
    found = analyse_heads(tiny_model("bert"), corpus, ("queries", "relations"))
    assert found.relations.empty and not found.by_query.empty and not found.table.empty
    assert "fits the model" in found.not_fed["relations"]
    assert found.provenance.options["analyses"] == ["queries"]
    fed = analyse_heads(tiny_model("bert"), corpus_of(*short, chain(9, 9)), ("relations",))
    assert fed.not_fed == {} and not fed.relations.empty


def test_all_may_stand_beside_other_names(tiny_model) -> None:
    corpus = corpus_of(*(chain(3, i) for i in range(3)))
    found = analyse_heads(tiny_model("bert"), corpus, ("all", "queries"))
    asked = set(found.provenance.options["analyses"]) | set(found.not_fed)
    assert asked == set(ANALYSES)
    with pytest.raises(CaptureError, match=r"\['relatons'\] do not exist; .*, and all"):
        analyse_heads(tiny_model("bert"), corpus, ("all", "relatons"))
