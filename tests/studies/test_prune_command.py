"""`bertology prune` as a user types it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import bertology
from bertology.ablation.structural import comparison, cost
from bertology.studies import prune_command
from bertology.studies.cli import app

RUNNER = CliRunner()


def call(*words: object):
    return RUNNER.invoke(app, ["prune", *(str(word) for word in words)])


@pytest.fixture
def classifier(tiny_model, tmp_path: Path) -> Path:
    """A tiny classifier on disk and labelled texts in its vocabulary."""
    model = tiny_model("bert", "classification")
    model.module.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    rows = [f"w{i % 7} w{i % 11} w{i % 50}\t{i % 2}" for i in range(60)]
    (tmp_path / "d.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    return tmp_path


@pytest.fixture(autouse=True)
def few_timings(monkeypatch):
    """Time is measured at one small size."""
    real = cost.latency
    monkeypatch.setattr(
        comparison, "latency",
        lambda *models, **_: real(*models, batch_sizes=(1,), lengths=(8,), repeats=5),
    )  # fmt: skip


def test_writes_a_checkpoint_that_loads_and_the_tables(classifier: Path):
    words = (classifier / "model", "--data", classifier / "d.tsv", "--keep", "0.5",
             "--fine-tune", "1", "--export", "--out", classifier / "run")  # fmt: skip
    done = call(*words)
    assert done.exit_code == 0, done.output
    run = classifier / "run"
    found = bertology.load_model(run / "checkpoint")
    heads = {site.layer: site.heads for site in bertology.capture.find_sites(found.module)}
    assert sum(heads.values()) == 6 and min(heads.values()) >= 1
    assert (run / "checkpoint" / "modeling_pruned.py").is_file()
    table = pd.read_csv(run / "pruning.csv")
    assert list(table.columns)[:7] == [
        "metric", "before", "after", "delta", "ci_low", "ci_high", "n"
    ]  # fmt: skip
    assert table["metric"].tolist() == ["accuracy", "loss", "heads", "parameters", "file_bytes"]
    assert table.set_index("metric").loc["accuracy", "n"] == 30  # the other half
    assert len(pd.read_csv(run / "latency.csv")) == 1
    ranked = pd.read_csv(run / "importance.csv")
    assert ranked["removed"].sum() == 6
    assert ranked.groupby("layer").apply(
        lambda rows: not rows.loc[rows["importance"].idxmax(), "removed"]
    ).all()  # fmt: skip
    assert len(pd.read_csv(run / "fine_tuning.csv")) == 1
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["provenance"]["pruning"]["options"]["pruned_weights_sha256"] == (
        found.weights_sha256
    )
    # No example ranks and scores.
    ids = [pd.Series(_ids(run, name)) for name in ("importance",)]
    assert len(ids[0]) == 30
    again = call(*words)
    assert again.exit_code == 1 and "holds another run" in again.stderr


def _ids(run: Path, name: str) -> list[str]:
    import numpy as np

    return np.load(run / "results" / name / "ids.npy").tolist()


def test_goes_on_with_the_checkpoint_that_is_there(classifier: Path, monkeypatch):
    words = (classifier / "model", "--data", classifier / "d.tsv", "--keep", "6",
             "--out", classifier / "run")  # fmt: skip

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prune_command, "compare", stopped)
        assert call(*words).exit_code == 130
    with monkeypatch.context() as patch:
        patch.setattr(prune_command, "importance", stopped)
        patch.setattr(prune_command, "save_pruned", stopped)
        done = call(*words, "--resume")
    assert done.exit_code == 0, done.output
    assert (classifier / "run" / "pruning.csv").is_file()


def test_named_heads_and_layers(classifier: Path):
    done = call(classifier / "model", "--data", classifier / "d.tsv", "--remove", "L0H1,L1H3",
                "--layers", "2", "--out", classifier / "run")  # fmt: skip
    assert done.exit_code == 0, done.output
    found = bertology.load_model(classifier / "run" / "checkpoint")
    assert [site.heads for site in bertology.capture.find_sites(found.module)] == [3, 3]
    ranked = pd.read_csv(classifier / "run" / "importance.csv").query("removed")
    assert list(zip(ranked["layer"], ranked["head"], strict=True)) == [
        (0, 1), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3)]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Nothing says what is to be removed"),
        (("--keep", "0"), "--keep is 0; give a share"),
        (("--keep", "0.0"), "--keep is 0.0; give a share"),
        (("--keep", "1.5"), "--keep is 1.5; give a share"),
        (("--keep", "half"), "--keep is half; give a share"),
        (("--keep", "2"), "2 of 12 heads would be kept"),
        (("--keep", "13"), "13 of 12 heads would be kept"),
        (("--keep", "1.0"), "keeps all heads"),
        (("--remove", "L0H4"), "L0H4"),
        (("--remove", "L0"), "is no head"),
        (("--remove", ",".join(f"L{i}H{j}" for i in range(3) for j in range(4))), "All 12 heads"),
        (("--layers", "0,1,2"), "All 3 layers"),
        (("--layers", "x"), "write it like 4,5"),
        (("--layers", "3"), "no layer 3"),
        (("--keep", "0.5", "--remove", "L0H1"), "give one"),
        (("--keep", "0.5", "--order", "luck"), "choose one of"),
    ],
)
def test_mistakes_give_one_message_before_any_work(classifier: Path, words, message):
    done = call(classifier / "model", "--data", classifier / "d.tsv", *words,
                "--out", classifier / "run")  # fmt: skip
    assert done.exit_code == 1, done.output
    assert done.stderr.count("bertology: ") == 1 and message in done.stderr
    assert not (classifier / "run").exists()


def test_a_pruned_model_is_refused(tiny_model, classifier: Path):
    from bertology.ablation.structural import prune, save_pruned

    save_pruned(prune(tiny_model("bert", "classification"), [(0, 1)]), classifier / "small")
    done = call(classifier / "small", "--data", classifier / "d.tsv", "--keep", "0.5",
                "--out", classifier / "run")  # fmt: skip
    assert done.exit_code == 1 and "has been pruned already" in done.stderr
    assert not (classifier / "run").exists()


def test_help_teaches():
    text = call("--help").output
    for part in ("--keep", "--remove", "--layers", "--order", "--fine-tune", "--export", "Example"):
        assert part in text
