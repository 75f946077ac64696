"""What docs/attribution_findings.md shows can be parsed, and what it has the reader run runs."""

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bertology.models import LoadedModel

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "attribution_findings.md").read_text()
VERDICT = (DOCS / "verdict_sst2.html").read_text()
NUMBER = r"[+−]?\d*\.?\d+"
INTERVAL = re.compile(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]")


def snippets(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.M | re.S)


def tables() -> list[list[list[str]]]:
    """The cells of every table, row by row, without the line of dashes."""
    found = re.findall(r"(?:^\|.*\|\n)+", PAGE, re.M)
    cells = [[row.strip("|").split("|") for row in table.splitlines()] for table in found]
    return [[table[0], *table[2:]] for table in cells]


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def test_tables_are_tables() -> None:
    assert len(tables()) >= 6
    for table in tables():
        assert len(table) > 1
        assert {len(row) for row in table} == {len(table[0])}, table[0]
    # Outside of code, a line with a bar is a row.
    text = re.sub(r"^```.*?^```", "", PAGE, flags=re.M | re.S)
    assert all(line.startswith("|") for line in text.splitlines() if line.endswith("|"))


def test_every_interval_holds_its_mean() -> None:
    found = INTERVAL.findall(PAGE)
    assert len(found) > 40
    for mean, low, high in found:
        assert number(low) <= number(mean) <= number(high), (mean, low, high)


def test_figures_and_links_are_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert {"attribution.md", "verdict_sst2.html"} <= {*links}
    for link in links:
        assert (DOCS / link).exists(), link
    images = [DOCS / link for link in links if link.endswith(".png")]
    assert len(images) >= 3
    assert all(image.stat().st_size < 150 * 1024 for image in images)


class Elements(HTMLParser):
    """Names and attributes of a page, which must close what it opens."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs
        if tag not in ("meta", "br", "hr", "link", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_verdict_page_stands_alone() -> None:
    parser = Elements()
    parser.feed(VERDICT)
    assert parser.open == []
    assert "script" not in parser.names and "link" not in parser.names
    assert not [name for name, _ in parser.attributes if name in ("src", "srcset", "data")]
    assert not re.search(r"url\(|@import", VERDICT)
    assert not re.search(r"(?<![\w<])/(?:\w[\w.-]*/)+", VERDICT), "the path of a file"


def test_the_page_quotes_the_verdict() -> None:
    shown = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", VERDICT)).split())
    quotes = re.findall(r"(?:^>.*\n)+", PAGE, re.M)
    quoted = [" ".join(own.replace("> ", "").split()) for own in quotes]
    assert len(quoted) == 5
    for sentence in quoted:
        assert re.search(r"Effect \([\w ]+\) [+-]\d.*interval.*margin.*n = \d+\.$", sentence)
        assert sentence in shown


@pytest.fixture
def place(tmp_path: Path, tiny_model: Callable[..., LoadedModel]) -> Path:
    """A folder with the files that the page takes as given, made small."""
    model = tiny_model("bert", "classification")
    model.module.config.id2label = {0: "negative", 1: "positive"}
    model.module.config.label2id = {"negative": 0, "positive": 1}
    model.module.save_pretrained(tmp_path / "minilm-sst2")
    model.tokenizer.save_pretrained(tmp_path / "minilm-sst2")
    texts = [" ".join(f"w{(7 * n + 3 * k) % 40}" for k in range(6 + n % 4)) for n in range(12)]
    trees = "".join(
        f"({1 + 2 * (n % 2)} " + " ".join(f"(2 {word})" for word in text.split()) + ")\n"
        for n, text in enumerate(texts)
    )
    for name in ("train", "dev"):
        (tmp_path / f"{name}.txt").write_text(trees)
    pairs = [
        (label, text.replace("w3", word), n)
        for n, text in enumerate(texts)
        for label, word in (("Negative", "w1"), ("Positive", "w2 <br />"))
    ]
    rows = "".join(f"{label}\t{text}\t{n}\n" for label, text, n in pairs)
    (tmp_path / "dev_paired.tsv").write_text("Sentiment\tText\tbatch_id\n" + rows)
    reviews = [
        {"annotation_id": f"r{n}", "document": f"{text} \n{text}",
         "classification": ("NEG", "POS")[n % 2], "evidences": [{"start_char": 0, "end_char": 4}]}
        for n, text in enumerate(texts)
    ]  # fmt: skip
    (tmp_path / "movies-rationales.jsonl").write_text("\n".join(map(json.dumps, reviews)) + "\n")
    return tmp_path


@pytest.mark.slow
def test_what_the_page_has_the_reader_run_runs(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    for command in snippets("sh"):
        small = re.sub(r"--limit \d+", "--limit 8", command)
        small = re.sub(r"texts=\d+", "texts=4,steps=3", small)
        subprocess.run(["sh", "-ec", small], cwd=place, env={**os.environ, "PATH": path},
                       check=True)  # fmt: skip
    monkeypatch.chdir(place)
    names: dict[str, object] = {}
    for snippet in snippets("python"):
        exec(compile(snippet, "docs", "exec"), names)
    assert len(list(place.glob("figures/*.png"))) >= 3
