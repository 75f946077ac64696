"""What docs/ablation_findings.md shows can be parsed, and what it has the reader run exists."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from bertology.corpora import read_examples
from bertology.studies.cli import app
from bertology.studies.study import read_study

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "ablation_findings.md").read_text()
NUMBER = r"[+−]?\d[\d,]*\.?\d*|[+−]?\.\d+"
INTERVAL = re.compile(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]")


def snippets(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.M | re.S)


def tables() -> list[list[list[str]]]:
    """The cells of every table, row by row, without the line of dashes."""
    found = re.findall(r"(?:^\|.*\|\n)+", PAGE, re.M)
    cells = [[row.strip("|").split("|") for row in table.splitlines()] for table in found]
    return [[table[0], *table[2:]] for table in cells]


def number(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


def commands() -> Iterator[list[str]]:
    for snippet in snippets("sh"):
        for line in snippet.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "bertology":
                yield words[1:]


def test_tables_are_tables() -> None:
    assert len(tables()) >= 8
    for table in tables():
        assert len(table) > 1
        assert {len(row) for row in table} == {len(table[0])}, table[0]
    text = re.sub(r"^```.*?^```", "", PAGE, flags=re.M | re.S)
    assert all(line.startswith("|") for line in text.splitlines() if line.endswith("|"))


def test_every_interval_holds_its_mean() -> None:
    found = INTERVAL.findall(PAGE)
    assert len(found) > 60
    for mean, low, high in found:
        assert number(low) <= number(mean) <= number(high), (mean, low, high)


def test_figures_and_links_are_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    for link in links:
        assert (DOCS / link).exists(), link
    images = [DOCS / link for link in links if link.endswith(".png")]
    assert len(images) >= 5
    assert all(image.stat().st_size < 150 * 1024 for image in images)


def test_commands_and_their_options_exist() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    asked = list(commands())
    assert {words[0] for words in asked} == {"ablate", "prune"}
    for name, *words in asked:
        known = {option for one in group.commands[name].params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= known, words


@pytest.mark.parametrize("snippet", snippets("python"))
def test_names_that_snippets_import_exist(snippet: str) -> None:
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.ImportFrom):
            names = ", ".join(alias.name for alias in node.names)
            exec(f"from {node.module} import {names}", {})


def test_the_study_is_read(tmp_path: Path) -> None:
    (study,) = snippets("toml")
    (tmp_path / "study.toml").write_text(study)
    for file in re.findall(r'^file = "(.*)"', study, re.M):
        (tmp_path / file).touch()
    tasks = read_study(tmp_path / "study.toml").tasks
    assert len(tasks) == 2 and all(len(task.models) == 2 for task in tasks)


def test_the_stories_are_forty_texts() -> None:
    texts = [example.sentence.text for example in read_examples(DOCS / "stories.txt").examples]
    assert len(texts) == len(set(texts)) == 40
