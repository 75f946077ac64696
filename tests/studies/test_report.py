"""The report on the demo model, from end to end."""

import base64
import re
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

import bertology
from bertology.corpora import Corpus
from bertology.corpora.text import words_to_sentence


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.images: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.add(tag)
        values = dict(attributes)
        if tag == "a":
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values["src"])


def parsed(page: Path) -> Links:
    parser = Links()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The report on a quarter of the sample."""
    folder = tmp_path_factory.mktemp("report") / "run"
    corpus = bertology.sample_treebank().first(36)
    return bertology.report(bertology.load_model("demo"), corpus, out=folder)


def test_page_is_self_contained_and_small(made) -> None:
    text = made.page.read_text(encoding="utf-8")
    assert made.page.stat().st_size < 5 * 2**20
    found = parsed(made.page)
    assert found.images and all(i.startswith("data:image/svg+xml;base64,") for i in found.images)
    assert not found.tags & {"script", "link", "iframe"}
    assert "http:" not in text and "https:" not in text
    for link in found.links:
        assert (made.page.parent / link).is_file(), link


def test_first_screen(made) -> None:
    text = made.page.read_text(encoding="utf-8")
    for answer in made.answers:
        assert len(re.findall(r"\d", answer)) > 3
    assert text.count("<li>") >= 3
    assert "It is not BERT" in text
    assert "small sample: its intervals are wide" in text
    assert text.index("figures/head_atlas.pdf") < text.index("<h2>")
    assert text.index("figures/agreement.pdf") < text.index("<h2>")


def test_tables_and_figures(made) -> None:
    folder = made.page.parent
    tables = {path.name for path in (folder / "tables").iterdir()}
    assert tables == {
        "heads.csv", "relations.csv", "best_heads.csv", "examples.csv", "probes.csv",
        "agreement.csv", "faithfulness.csv", "ablation.csv", "importance.csv", "head_summary.csv",
    }  # fmt: skip
    names = {path.stem for path in (folder / "figures").glob("*.pdf")}
    for ending in ("svg", "png"):
        assert {path.stem for path in (folder / "figures").glob(f"*.{ending}")} == names
    assert {"head_atlas", "agreement", "attention_grid", "relations", "effects"} <= names
    summary = pd.read_csv(folder / "tables" / "head_summary.csv")
    assert len(summary) == 72
    assert summary[["layer", "head"]].drop_duplicates().shape[0] == 72
    ablation = made.ablation.table.set_index(["layer", "head", "mode", "metric"])
    first = summary.iloc[0]
    assert first["zero_delta"] == pytest.approx(ablation.loc[(0, 0, "zero", "target"), "delta"])


def test_resume_draws_the_page_again_without_computing(made, monkeypatch) -> None:
    module = import_module("bertology.studies.reporting")

    for name in ("analyse_heads", "probe", "explain", "ablate", "importance"):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("computed again"))
    corpus = bertology.sample_treebank().first(36)
    before = made.page.read_bytes()
    made.page.unlink()
    model = bertology.load_model("demo")
    again = bertology.report(model, corpus, out=made.page.parent, resume=True)
    assert again.page.read_bytes() == before


def test_text_from_data_is_escaped(demo, tmp_path: Path) -> None:
    sentences = tuple(
        words_to_sentence(
            ["<script>alert(1)</script>", "A&B", f"dog{i}", "saw", "</style>", "cats", "$x$", "."],
            id=f"<b>{i}</b>",
        )
        for i in range(4)
    )
    corpus = Corpus("<i>name</i>", sentences, "0")
    made = bertology.report(demo, corpus, out=tmp_path / "run")
    text = made.page.read_text(encoding="utf-8")
    assert "<script" not in text and "<i>name" not in text and "<b>0" not in text
    assert "&lt;i&gt;name" in text and "&lt;script&gt;alert(1)" in text
    for image in parsed(made.page).images:
        assert b"<script" not in base64.b64decode(image.partition(",")[2])
    assert "without a treebank" in made.answers[0]
    assert made.layers is None and "not asked" in made.answers[1]
    assert "<script" not in made._repr_html_()


def test_report_where_integrated_gradients_fail(shared_file, sample, tmp_path: Path) -> None:
    # With a zero baseline the path of a Llama-like model is singular.
    model = bertology.load_model(shared_file("models/stories260K/config.json").parent)
    made = bertology.report(model, sample.first(6), out=tmp_path / "run")
    text = made.page.read_text(encoding="utf-8")
    assert "are left out of their rows" in text
    assert "too few texts to test" in made.answers[2]


def test_an_empty_corpus_is_not_the_sample(demo, tmp_path: Path) -> None:
    with pytest.raises(bertology.BertologyError, match="has no sentence"):
        bertology.report(demo, Corpus("empty", (), "0"), out=tmp_path / "run")


def test_sentence_of_the_users_choice(demo, sample, made) -> None:
    shown_sentence = import_module("bertology.studies.reporting")._shown_sentence
    assert shown_sentence(sample, "What is it looking at ?").words[0] == "What"
    assert 7 <= len(shown_sentence(sample, None)) <= 12
