"""What docs/ has the reader run runs, and docs/ names every column of what comes out."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conllu import TokenList, parse
from transformers import GPT2Config, GPT2LMHeadModel

import bertology
from bertology.corpora import Corpus
from bertology.models import LoadedModel
from bertology.studies import head_command, probe_command

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = "\n".join((DOCS / name).read_text() for name in ("tables.md", "head_tables.md"))
PROBE_TABLES = (DOCS / "probe_tables.md").read_text()
ABLATION_TABLES = (DOCS / "ablation_tables.md").read_text()
GAP = (
    "ID\tText\tPronoun\tPronoun-offset\tA\tA-offset\tA-coref\tB\tB-offset\tB-coref\tURL\n"
    "d-1\tAnn met Beth when she was ill.\tshe\t18\tAnn\t0\tTRUE\tBeth\t8\tFALSE\tu\n"
    "d-2\tMary saw Jane before she left.\tshe\t21\tMary\t0\tFALSE\tJane\t9\tTRUE\tu\n"
)
MINIMAL_PAIRS = "good\tbad\nThe dogs sleep.\tThe dogs sleeps.\nShe sees him.\tShe see him.\n"
PAIRS = "text\ttext_pair\nA man sleeps.\tHe is awake.\nA dog runs.\tAn animal moves.\n"


def snippets(kind: str, page: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", (DOCS / page).read_text(), re.M | re.S)


def frames_of(treebank: list[TokenList]) -> str:
    """Each verb with the subjects and objects that hang from it."""
    lines = []
    for sentence in treebank:
        tokens = [token for token in sentence if isinstance(token["id"], int)]
        frames = [
            {
                "predicate": verb["id"] - 1,
                "roleset": f"{verb['lemma']}.01",
                "arguments": [
                    {"role": role, "start": token["id"] - 1, "end": token["id"] - 1}
                    for token in tokens
                    for role, label in (("ARG0", "nsubj"), ("ARG1", "obj"))
                    if token["head"] == verb["id"] and token["deprel"] == label
                ],
            }
            for verb in tokens
            if verb["upos"] == "VERB"
        ]
        words = [token["form"] for token in tokens]
        record = {"sent_id": sentence.metadata["sent_id"], "tokens": words, "frames": frames}
        lines.append(json.dumps(record))
    return "\n".join(lines)


def review(number: int) -> dict[str, Any]:
    """Eight words of the tiny models' vocabulary, two of them marked."""
    words = [f"w{word}" for word in np.random.default_rng(number).permutation(50)[:8]]
    label = ("negative", "positive")[number % 2]
    return {"text": " ".join(words), "label": label, "rationale": [1, 1] + [0] * 6}


def save_classifiers(folder: Path, build: Callable[..., LoadedModel]) -> None:
    """Three classifiers of the reviews that predict both classes."""
    for seed, name in enumerate(("my-classifier", "my-classifier-1", "my-classifier-2")):
        model = build("bert", "classification")
        model.module.config.id2label = {0: "negative", 1: "positive"}
        model.module.config.label2id = {"negative": 0, "positive": 1}
        texts = [review(number)["text"] for number in range(12)]
        torch.manual_seed(seed)
        with torch.no_grad():
            for weights in model.module.parameters():
                weights.add_(0.05 * torch.randn_like(weights))
            logits = model.module(**model.tokenizer(texts, return_tensors="pt")).logits
            model.module.classifier.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
        model.module.save_pretrained(folder / name)
        model.tokenizer.save_pretrained(folder / name)


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
    demo: LoadedModel,
    tiny_model: Callable[..., LoadedModel],
) -> Path:
    """A folder with the files that the pages take as the reader's own, made small."""
    folder = tmp_path_factory.mktemp("reader")
    text = (DOCS.parent / "corpora" / "sample.conllu").read_text()
    treebank = parse(text)
    for name, part in (("dev", treebank[:40]), ("train", treebank[40:100])):
        (folder / f"en_ewt-ud-{name}.conllu").write_text("".join(s.serialize() for s in part))
    (folder / "propbank.jsonl").write_text(frames_of(treebank[:40]))
    (folder / "gap-development.tsv").write_text(GAP)
    (folder / "pairs.tsv").write_text(PAIRS)
    (folder / "my-pairs.tsv").write_text(MINIMAL_PAIRS)
    lines = [json.dumps(review(number)) + "\n" for number in range(12)]
    (folder / "reviews.jsonl").write_text("".join(lines))
    save_classifiers(folder, tiny_model)
    for seed, name in enumerate(("my-model", "my-tuned-model", "my-seed-1", "my-seed-2")):
        model = bertology.load_model("demo")
        torch.manual_seed(seed)
        with torch.no_grad():
            for weights in model.module.parameters():
                weights.add_(0.02 * torch.randn_like(weights))
        model.module.save_pretrained(folder / name)
        model.tokenizer.save_pretrained(folder / name)
    config = GPT2Config(
        vocab_size=len(demo.tokenizer), n_positions=128, n_embd=24, n_layer=2, n_head=3
    )
    GPT2LMHeadModel(config).save_pretrained(folder / "my-language-model")
    demo.tokenizer.save_pretrained(folder / "my-language-model")
    (folder / "night.toml").write_text(snippets("toml", "ablation.md")[0])
    return folder


@pytest.mark.slow
def test_the_page_of_heads_runs_and_every_column_is_explained(
    place: Path, sample: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = run(snippets("python", "heads.md"), place, sample, monkeypatch)
    assert names["heads"].not_fed == {"semantic": "the corpus has no predicates with arguments"}
    assert len(list((place / "figures").glob("*.pdf"))) == 6
    results = [names[name] for name in ("heads", "found", "parsers", "both", "seeds")]
    tables = [getattr(one, name) for one in results for name in one.__dataclass_fields__]
    columns = {name for table in tables if isinstance(table, pd.DataFrame) for name in table}
    assert len(columns) > 60
    assert not {name for name in columns if f"`{name}`" not in PAGES} - {"layer", "head"}


@pytest.mark.slow
def test_the_page_of_probes_runs(
    place: Path, sample: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = run(snippets("python", "probes.md"), place, sample, monkeypatch)
    assert not any(names[name].table.empty for name in ("probes", "mine", "erasure", "preferences"))
    assert {file.stem for file in (place / "figures").glob("*.pdf")} >= {"upos", "map"}


@pytest.mark.slow
def test_the_page_of_attribution_runs(
    place: Path, sample: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = run(snippets("python", "attribution.md"), place, sample, monkeypatch)
    assert names["asked"].goals[0].name == "probability of positive"
    assert names["asked"].goals[0].chosen == "given"
    assert not names["explanation"].provenance.skipped and names["known"].admitted
    assert [claim.outcome for claim in names["verdict"].claims] == ["inconclusive"] * 5
    pictures = {"words", "agreement", "epsilon", "deletion", "calibration"}
    assert {file.stem for file in (place / "figures").glob("*.pdf")} >= pictures
    tables = [*vars(names["debate"]).values(), *vars(names["explanation"]).values()]
    tables += [names["adversaries"], names["curves_of_epsilon"], names["table"], names["sanity"]]
    columns = {name for table in tables if isinstance(table, pd.DataFrame) for name in table}
    assert len(columns) > 60
    assert not {name for name in columns if f"`{name}`" not in PAGES} - {"layer", "head"}


@pytest.mark.slow
def test_the_page_of_ablation_runs_and_every_column_is_explained(
    place: Path, sample: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = run(snippets("python", "ablation.md"), place, sample, monkeypatch)
    results = [names[name] for name in
               ("ablation", "curve", "gates", "comparison", "found", "kept")]  # fmt: skip
    tables = [value for one in results for value in vars(one).values()]
    columns = {name for table in tables if isinstance(table, pd.DataFrame) for name in table}
    assert len(columns) > 60
    known = {"layer", "head", "statistic"}
    assert not {name for name in columns if f"`{name}`" not in ABLATION_TABLES} - known


def run(
    snippets: list[str], place: Path, sample: Corpus, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The names that snippets leave behind, run in a folder on a small part of the sample."""
    monkeypatch.chdir(place)
    small = replace(sample, sentences=sample.sentences[:40])
    for module in (bertology, bertology.corpora):
        monkeypatch.setattr(module, "sample_treebank", lambda: small)
    names: dict[str, Any] = {}
    for snippet in snippets:
        exec(compile(snippet, "docs", "exec"), names)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("page", ["heads.md", "probes.md", "attribution.md", "ablation.md"])
def test_the_commands_of_the_page_run(place: Path, page: str) -> None:
    commands = snippets("sh", page)
    assert commands
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    for command in commands:
        subprocess.run(["sh", "-ec", command], cwd=place, env={**os.environ, "PATH": path},
                       check=True)  # fmt: skip


@pytest.mark.parametrize(
    "file", [*head_command.FILES.values(), "decoder.csv", "decay.csv", "published.csv"]
)
def test_every_file_has_a_section(file: str) -> None:
    assert re.search(rf"^## .*\b{re.escape(file)}", PAGES, re.M)


@pytest.mark.parametrize(
    "file",
    [
        "scores.jsonl", "agreement.csv", "faithfulness.csv", "plausibility.csv", "verdict.json",
        "counterfactual.csv", "alternatives.csv", "explanation_heads.csv",
    ],
)  # fmt: skip
def test_every_file_of_explain_has_a_section(file: str) -> None:
    assert re.search(rf"^## .*\b{re.escape(file)}", PAGES, re.M)


@pytest.mark.parametrize("file", probe_command.FILES.values())
def test_every_file_of_probes_has_a_section(file: str) -> None:
    assert re.search(rf"^## {re.escape(file)}$", PROBE_TABLES, re.M)


@pytest.mark.parametrize(
    "file",
    [
        "ablation.csv",
        "held_out.csv",
        "importance.csv",
        "over_runs.csv",
        "pruning.csv",
        "latency.csv",
    ],
)
def test_every_file_of_ablation_has_a_section(file: str) -> None:
    assert re.search(rf"^## {re.escape(file)}$", ABLATION_TABLES, re.M)
