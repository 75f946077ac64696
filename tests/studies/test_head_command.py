"""`bertology heads` with its further analyses."""

import json
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from bertology.studies import head_command
from bertology.studies.cli import app


def call(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first texts of the sample as a CoNLL-U file of their own."""
    text = files("bertology.corpora").joinpath("sample.conllu").read_text(encoding="utf-8")
    path = tmp_path_factory.mktemp("corpus") / "c.conllu"
    path.write_text("\n\n".join(text.split("\n\n")[:24]) + "\n\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "all"
    done = call(
        "heads", "demo", "--corpus", corpus, "--analyses", "all", "--text", "passages",
        "--repeated", "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "semantic left out: the corpus has no predicates with arguments" in done.output
    return out


def test_all_analyses_of_one_pass_write_their_tables(run: Path) -> None:
    expected = {*head_command.FILES.values(), "decoder.csv", "decay.csv"} - {"semantic.csv"}
    assert {path.name for path in run.glob("*.csv")} == expected
    for name in expected:
        table = pd.read_csv(run / name)
        assert len(table) and not table.columns.duplicated().any(), name
    # Passages of several sentences, not the sentences themselves.
    assert pd.read_csv(run / "heads.csv")["n"].iloc[0] < 24
    coreference = pd.read_csv(run / "coreference.csv")
    assert {"all", "pronoun"} <= set(coreference["mention_type"])
    named = json.loads((run / "manifest.json").read_text())["provenance"]["heads"]["options"]
    assert named["not_fed"] == {"semantic": "the corpus has no predicates with arguments"}
    assert "clusters" in named["analyses"] and named["word_rows"] == "mean"


def test_a_corpus_that_feeds_nothing_more_still_gives_statistics(tmp_path: Path) -> None:
    text = tmp_path / "plain.txt"
    text.write_text("The old dog sleeps .\nA cat sees the dog .\nThey run .\n")
    done = call(
        "heads", "demo", "--corpus", text, "--analyses", "relations,coreference,features",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    for lacking in (
        "relations left out: the corpus has no dependency trees",
        "coreference left out: the corpus has no mentions",
        "features left out: the corpus has no part-of-speech tags",
    ):
        assert lacking in done.output
    assert {path.name for path in (tmp_path / "run").glob("*.csv")} == {"heads.csv", "roles.csv"}


def test_an_analysis_that_fails_after_the_pass_loses_nothing(tmp_path: Path) -> None:
    text = tmp_path / "plain.txt"
    text.write_text("The old dog sleeps .\n")
    done = call(
        "heads", "demo", "--corpus", text, "--analyses", "queries,clusters", "--out",
        tmp_path / "run",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "clusters left out:" in done.output
    names = {path.name for path in (tmp_path / "run").glob("*.csv")}
    assert names == {"heads.csv", "by_query.csv", "roles.csv"}


def test_pairs_of_texts_are_read_as_pairs(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("text\ttext_pair\nA man sleeps .\tHe is awake .\nA dog runs .\tIt moves .\n")
    done = call("heads", "demo", "--corpus", pairs, "--analyses", "patterns", "--out",
                tmp_path / "run")  # fmt: skip
    assert done.exit_code == 0, done.output
    heads = pd.read_csv(tmp_path / "run" / "heads.csv")
    assert heads["n"].unique().tolist() == [2]
    # [CLS] A man sleeps . [SEP] He is awake . [SEP]: two of 11 and of 10 tokens separate.
    even = heads[heads["statistic"] == "sep"]["baseline"].unique()
    assert even == pytest.approx((2 / 11 + 2 / 10) / 2)


def test_coreference_within_sentences_says_how_to_join_them(corpus: Path, tmp_path: Path) -> None:
    done = call(
        "heads", "demo", "--corpus", corpus, "--analyses", "coreference", "--out",
        tmp_path / "run",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "--text passages joins those of a document" in done.output


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--analyses", "relatons"), "--analyses names relatons; there are queries, patterns"),
        (("--text", "books"), "--text is 'books'; it must be one of sentences, passages"),
        (("--labels", "none"), "labels is 'none'; it must be one of subtypes, universal"),
        (("--all-words", "x"), "all_words is 'x'; it must be one of scored"),
        (("--word-rows", "last"), "word_rows is 'last'; it must be one of mean, first"),
        (("--segment-ids", "ones"), "segment_ids is 'ones'; it must be one of tokenizer, zeros"),
        (("--candidates", "next"), "candidates is 'next'; it must be one of preceding, all"),
    ],
)
def test_mistakes_are_refused_before_anything_is_loaded(
    option, message: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bertology.studies.commands.load_model", lambda *_, **__: pytest.fail("a model was loaded")
    )
    done = call("heads", "demo", "--corpus", corpus, "--out", tmp_path / "run", *option)
    assert done.exit_code == 1 and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_bert_base_is_shown_beside_the_published_numbers(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_command, "is_bert_base", lambda model: True)
    done = call("heads", "demo", "--corpus", corpus, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "Beside Clark et al. 2019" in done.output
    published = pd.read_csv(tmp_path / "run" / "published.csv").set_index("relation")
    assert published.loc["det", "published_accuracy"] == pytest.approx(0.943)
