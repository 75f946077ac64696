"""`bertology explain`: its files, its verdict, and what happens when it is cut short."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from bertology.attribution import Declaration
from bertology.attribution.verdict import CLAIMS
from bertology.models import LoadedModel
from bertology.studies.cli import app
from bertology.studies.verdict_page import WIDTH, bar_of, explained_of, verdict_page

module = import_module("bertology.studies.explain_command")
TEXTS = [
    "w40", "w1 w2 w3 w4 w5 w6 w7 .", "w5 w6 w9 w1 w2 w30 .", "w7 w8 w9 w10 w11 , w12 w13",
    "w20 w21 w22 w23 w24 w25 w26 .",
]  # fmt: skip
FILES = {
    "scores.jsonl", "agreement.csv", "faithfulness.csv", "counterfactual.csv", "alternatives.csv",
    "plausibility.csv", "verdict.json", "verdict.html",
}  # fmt: skip
FAST = "steps=3,texts=3"


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "<i>d</i>.jsonl"
    lines = [{"text": text, "rationale": [1] + [0] * (len(text.split()) - 1)} for text in TEXTS]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., LoadedModel]
) -> Path:
    """A tiny classifier on disk."""
    model, place = tiny_model("bert", "classification"), tmp_path_factory.mktemp("m") / "model"
    model.module.save_pretrained(place)
    model.tokenizer.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, folder: Path, data: Path) -> Path:
    out = tmp_path_factory.mktemp("out") / "run"
    done = call("explain", folder, "--data", data, "--declare", FAST, "--heads", "--out", out)
    assert done.exit_code == 0, done.output
    assert "1 text was skipped" in done.output
    assert "tried on 3 texts, drawn from 4 with seed 0" in done.output
    assert "needed: inconclusive. 3 texts in 3 units are too few" in done.output
    return out


def test_files(made: Path) -> None:
    assert FILES | {"explanation_heads.csv", "manifest.json"} <= {p.name for p in made.iterdir()}
    verdict = json.loads((made / "verdict.json").read_text())
    assert list(verdict) == ["declared", "claims", "between_importance_measures", "provenance"]
    assert verdict["declared"] == Declaration(steps=3, texts=3).as_dict()
    assert [claim["claim"] for claim in verdict["claims"]] == list(CLAIMS)
    for claim in verdict["claims"]:
        assert claim["outcome"] == "inconclusive" and claim["effect"] is not None
        assert claim["n"] in (3, 4) and claim["p"] is None
    assert set(verdict["provenance"]) == {"explanation", "scrambled", "searched"}
    assert verdict["provenance"]["searched"]["options"]["steps"] == 3
    # The words that are scored are those of the rationale.
    assert pd.read_csv(made / "plausibility.csv")["n"].eq(4).any()


def test_one_row_per_head(made: Path) -> None:
    table = pd.read_csv(made / "explanation_heads.csv")
    assert table[["layer", "head"]].drop_duplicates().shape == (12, 2)
    values = ["importance", "ablation", "agreement", "faithfulness", "counterfactual"]
    for value in values:
        low, own, high = (table[f"{value}{end}"] for end in ("_low", "", "_high"))
        assert own.notna().all() and (low <= own + 1e-12).all() and (own <= high + 1e-12).all()
    known = ~table["looks_at"].isin(["broad", "other"])
    assert table["share_low"].notna().equals(known)
    assert (table["share_low"] <= table["share"] + 1e-12)[known].all()
    agreement = pd.read_csv(made / "agreement.csv")
    own = agreement[
        (agreement["score"] == "attention") & (agreement["against"] == "leave_one_out")
        & (agreement["statistic"] == "kendall_tau_b")
    ]  # fmt: skip
    assert table["agreement"].tolist() == pytest.approx(own["mean"].tolist())
    # The same heads as the report counts: importance is Michel's, effects are of zeros.
    folder = made / "results"
    zero = pd.read_csv(folder / "ablation" / "table.csv")
    zero = zero[zero["metric"] == "target"]
    assert table["ablation"].tolist() == pytest.approx(zero["delta"].tolist())


def test_the_same_input_and_seed_give_the_same_bytes(
    made: Path, folder: Path, data: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    done = call("explain", folder, "--data", data, "--declare", FAST, "--out", again)
    assert done.exit_code == 0, done.output
    for name in FILES:
        assert (again / name).read_bytes() == (made / name).read_bytes(), name
    assert not (again / "explanation_heads.csv").exists()
    other = call(
        "explain", folder, "--data", data, "--declare", FAST, "--seed", 1, "--out", tmp_path / "o"
    )
    assert other.exit_code == 0
    assert (tmp_path / "o" / "verdict.json").read_bytes() != (made / "verdict.json").read_bytes()


def test_a_run_cut_short_loses_one_part(
    made: Path, folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("explain", folder, "--data", data, "--declare", FAST, "--out", tmp_path / "run")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "searched", stopped)
        assert call(*words).exit_code == 130
    kept = {path.name for path in (tmp_path / "run" / "results").iterdir()}
    assert kept == {"scores", "explanation", "scrambled"}
    # What is known is written already.
    assert (tmp_path / "run" / "agreement.csv").is_file()
    with monkeypatch.context() as patch:
        for name in ("score_examples", "explain", "scrambled"):
            patch.setattr(module, name, lambda *_, **__: pytest.fail("computed again"))
        done = call(*words, "--resume")
    assert done.exit_code == 0, done.output
    for name in FILES:
        assert (tmp_path / "run" / name).read_bytes() == (made / name).read_bytes(), name


def test_models_of_other_seeds(folder: Path, data: Path, tmp_path: Path) -> None:
    done = call(
        "explain", folder, "--data", data, "--declare", FAST, "--limit", 2, "--other-seeds",
        f"{folder},{folder}", "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())
    claim = verdict["claims"][2]
    assert (claim["part"], claim["margin"]) == ("beyond other seeds", 0)
    assert verdict["provenance"]["searched"]["options"]["seeds"] == [str(folder)] * 2


def test_seeds_of_another_task_are_refused_before_any_work(
    folder: Path, data: Path, tmp_path: Path
) -> None:
    done = call("explain", folder, "--data", data, "--other-seeds", "demo", "--out", tmp_path / "r")
    assert done.exit_code == 1 and "which does not compare with" in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        ("score", "write it like score=rollout"),
        ("colour=red", "with any of claims, score"),
        ("texts=many", "give a whole number"),
        ("alpha=-1", "alpha is -1.0; give a number above 0"),
        ("score=rolout", "score is 'rolout'"),
        ("operators=delete", "give two"),
    ],
)
def test_declarations_are_refused_before_any_work(
    declare: str, message: str, folder: Path, data: Path, tmp_path: Path
) -> None:
    done = call("explain", folder, "--data", data, "--declare", declare, "--out", tmp_path / "r")
    assert done.exit_code == 1 and message in done.stderr
    assert not (tmp_path / "r").exists()


class Page(HTMLParser):
    """The tags of a page and what they point to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]


def test_the_page_says_it_all_and_escapes(made: Path) -> None:
    text = (made / "verdict.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.links == [] and "script" not in page.tags and "i" not in page.tags
    assert "&lt;i&gt;d&lt;/i&gt;" in text
    declared, found = text.index("declared before the data"), text.index("claim by claim")
    assert declared < text.index("margin of agreement") < found
    assert page.tags.count("svg") == len(CLAIMS)
    verdict = json.loads((made / "verdict.json").read_text())
    for claim in verdict["claims"]:
        assert claim["claim"].capitalize() in text
        assert claim["sentence"].replace("'", "&#39;") in text


def test_bars_lie_on_their_line(made: Path) -> None:
    explanation = module.Explanation.load(made / "results" / "explanation")
    verdict = explanation.verdict()
    assert "Explained: logit of the predicted class (4 texts)." in verdict_page(verdict)
    for claim in verdict.claims:
        bar = bar_of(claim)
        if claim.effect is None:
            assert bar is None
            continue
        assert bar is not None
        assert min(vars(bar).values()) > 0 and max(vars(bar).values()) < WIDTH
        assert bar.low <= bar.effect <= bar.high
        assert (bar.effect > bar.margin) == (claim.effect > claim.margin)
        assert (bar.effect > bar.zero) == (claim.effect > 0)
    assert "It was not measured whether" in verdict_page(verdict)


def test_page_says_what_was_explained() -> None:
    asked = {"goals": {"class": 3}, "target": "positive", "foil": "negative", "quantity": "margin"}
    assert explained_of(asked) == "margin of the positive class (3 texts), against negative"
    assert explained_of(asked | {"target": "label", "foil": None}).startswith("margin of the label")
    assert explained_of(asked | {"goals": {"embedding": 2}}) == "embedding (2 texts)"


def test_quantity_is_explained(folder: Path, data: Path, tmp_path: Path) -> None:
    done = call("explain", folder, "--data", data, "--declare", FAST, "--quantity", "probability",
                "--out", tmp_path / "run")  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = (tmp_path / "run" / "scores.jsonl").read_text().splitlines()
    goals = [json.loads(line)["goal"] for line in lines]
    assert len(goals) == 4 and all(0 < goal["value"] < 1 for goal in goals)
    assert all(goal["name"].startswith("probability of ") for goal in goals)
    assert {goal["chosen"] for goal in goals} == {"predicted"}
    refused = call("explain", folder, "--data", data, "--quantity", "odds")
    assert refused.exit_code == 1 and "give one of logit, probability, margin" in refused.output
