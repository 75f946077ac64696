"""`bertology ablate` and its study files, on tiny classifiers and language models."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bertology.ablation import Ablation, ablate
from bertology.ablation.structural import prune, save_pruned
from bertology.corpora import read_examples
from bertology.errors import BertologyError
from bertology.models import load_model
from bertology.studies import ablate_command
from bertology.studies.cli import app
from bertology.studies.study import read_study

RUNNER = CliRunner()
DATA = "text\tlabel\n" + "".join(
    f"w{n % 7} w{(n * 3) % 11} w{(n * 5) % 13} w{n}\t{n % 2}\n" for n in range(40)
)


def call(*words: object):
    return RUNNER.invoke(app, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path, tiny_model) -> Path:
    """Two models, labelled texts and minimal pairs beside each other."""
    for name, family, task in (
        ("classifier", "bert", "classification"),
        ("reader", "gpt2", "causal-lm"),
    ):
        model = tiny_model(family, task)
        model.module.save_pretrained(tmp_path / name)
        model.tokenizer.save_pretrained(tmp_path / name)
    (tmp_path / "d.tsv").write_text(DATA)
    pairs = [{"sentence_good": f"w1 w2 w{n}", "sentence_bad": f"w3 w2 w{n}"}
             for n in range(12)]  # fmt: skip
    (tmp_path / "pairs.jsonl").write_text("\n".join(json.dumps(pair) for pair in pairs))
    return tmp_path


def study(folder: Path, text: str) -> Path:
    path = folder / "s.toml"
    path.write_text(text)
    return path


def test_one_model_on_one_file_is_what_python_gives(folder: Path) -> None:
    done = call(
        "ablate", folder / "classifier", "--data", folder / "d.tsv", "--parts",
        "heads,layers,L0H1+L1H0", "--modes", "zero", "--metrics", "accuracy,loss", "--out",
        folder / "run", "--seed", 3,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    table = pd.read_csv(folder / "run" / "ablation.csv")
    assert table.columns[:11].tolist() == [
        "layer", "head", "mode", "metric", "base", "ablated", "delta", "ci_low", "ci_high",
        "p_adjusted", "n",
    ]  # fmt: skip
    model = load_model(folder / "classifier")
    expected = ablate(
        model, read_examples(folder / "d.tsv"), modes=("zero",), metrics=("accuracy", "loss"),
        seed=3,
    ).table  # fmt: skip
    heads = table[table["kind"] == "head"]
    np.testing.assert_allclose(heads["delta"], expected["delta"], atol=1e-6)
    layers = len(model.module.bert.encoder.layer)
    assert (table["kind"] == "layer").sum() == 2 * layers
    assert (table["part"] == "L0H1+L1H0").sum() == 2
    best = pd.read_csv(folder / "run" / "held_out.csv")
    assert best[["metric", "choice"]].to_numpy().tolist() == [
        ["accuracy", "highest"], ["loss", "lowest"],
    ]  # fmt: skip
    assert not (folder / "run" / "importance.csv").exists()  # the target was not asked for


def test_a_study_runs_every_combination(folder: Path) -> None:
    path = study(
        folder,
        f"""
        models = ["{folder}/classifier"]
        seeds = [0, 1]
        modes = ["zero"]

        [groups]
        first = ["L0H0", "L0H1"]

        [[data]]
        file = "d.tsv"
        parts = ["first", "attention"]
        metrics = ["accuracy", "mcc"]

        [[data]]
        file = "pairs.jsonl"
        models = ["{folder}/reader"]
        metrics = ["minimal_pairs"]
        parts = ["L0H0"]
        seeds = [0]
    """,
    )
    done = call("ablate", "--study", path, "--out", folder / "run")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(folder / "run" / "ablation.csv")
    runs = table.groupby(["model", "data", "seed"]).size()
    layers = load_model(folder / "classifier").config.num_hidden_layers
    assert runs.to_dict() == {
        (f"{folder}/classifier", "d.tsv", 0): 2 * (layers + 1),
        (f"{folder}/classifier", "d.tsv", 1): 2 * (layers + 1),
        (f"{folder}/reader", "pairs.jsonl", 0): 1,
    }
    assert (table.loc[table["part"] == "first", "kind"] == "set").all()
    over = pd.read_csv(folder / "run" / "over_runs.csv")
    assert set(over["runs"]) == {2} and set(over["data"]) == {"d.tsv"}
    own = table[(table["part"] == "first") & (table["metric"] == "mcc")]["delta"]
    row = over[(over["part"] == "first") & (over["metric"] == "mcc")].iloc[0]
    assert row["mean"] == pytest.approx(own.mean()) and row["sd"] == pytest.approx(own.std())
    # Resumed, nothing is computed again.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablate_command, "ablate", None)
        assert call("ablate", "--study", path, "--out", folder / "run", "--resume").exit_code == 0


def test_every_mistake_in_a_study_file_is_reported_at_once(folder: Path) -> None:
    path = study(
        folder,
        """
        models = []
        modes = ["off"]
        seed = 1
        limit = 0
        parts = ["L0H0", "everything"]

        [groups]
        verbs = ["L0"]

        [[data]]
        file = "e.txt"
        metrics = ["bleu"]
    """,
    )
    with pytest.raises(BertologyError) as error:
        read_study(path)
    for part in (
        "unknown key 'seed'", "models must be", "modes must be", "limit must be", "parts must be",
        "groups.verbs must be", "data[0]: there is no file", "data[0]: metrics must be",
    ):  # fmt: skip
        assert part in str(error.value)
    # Of a list, what is wrong with it alone.
    assert "such as L7H9, got 'everything';" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('models = ["demo"]', "data must be a list"),
        ('data = ["d.tsv"]', "data[0]: it has no models"),
        ('models = ["demo"]\ndata = [{columns = "a=b"}]', "data[0]: file must be"),
        ('models = ["demo"]\ndata = ["d.tsv"]\nseeds = [true]', "seeds must be"),
        ('models = ["demo"]\ndata = ["d.tsv"]\nseeds = [-1]', "seeds must be"),
        ("models = [", "is not a TOML file"),
    ],
)
def test_study_files_that_cannot_be_read_say_why(folder: Path, text: str, message: str) -> None:
    with pytest.raises(BertologyError, match=message.replace("[", r"\[")):
        read_study(study(folder, text))


def test_what_does_not_fit_the_models_is_listed_before_anything_runs(folder: Path) -> None:
    path = study(
        folder,
        f"""
        models = ["{folder}/classifier", "./nowhere"]

        [[data]]
        file = "d.tsv"
        parts = ["L9H0"]

        [[data]]
        file = "d.tsv"
        metrics = ["perplexity"]
    """,
    )
    done = call("ablate", "--study", path, "--out", folder / "run")
    assert done.exit_code == 1
    for part in ("L9H0", "perplexity", "nowhere", "3 mistakes"):
        assert part in done.stderr
    assert not (folder / "run").exists()


def test_data_labels_modes_and_targets_are_looked_at_before_anything_runs(folder: Path) -> None:
    (folder / "empty.tsv").write_text("text\tlabel\n")
    (folder / "foreign.tsv").write_text("text\tlabel\nw1 w2\tgood\nw3\tbad\n")
    path = study(
        folder,
        f"""
        models = ["{folder}/classifier", "{folder}/reader"]

        [[data]]
        file = "empty.tsv"

        [[data]]
        file = "foreign.tsv"
        models = ["{folder}/classifier"]
        parts = ["mlps"]
        modes = ["uniform"]

        [[data]]
        file = "d.tsv"
        target = "neutral"
        models = ["{folder}/classifier"]
    """,
    )
    done = call("ablate", "--study", path, "--out", folder / "run")
    assert done.exit_code == 1
    for part in ("empty.tsv", "['bad', 'good']", "uniform", "neutral", "4 mistakes"):
        assert part in done.stderr
    assert not (folder / "run").exists()


def test_data_files_of_one_name_are_told_apart_and_a_seed_runs_once(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "d.tsv").write_text(DATA[: len(DATA) // 2].rsplit("\n", 1)[0])
    path = study(
        folder,
        f"""
        models = ["{folder}/classifier"]
        data = ["d.tsv", "other/d.tsv"]
        metrics = ["accuracy"]
        modes = ["zero"]
        parts = ["L0H0"]
        seeds = [0, 0]
    """,
    )
    assert call("ablate", "--study", path, "--out", folder / "run").exit_code == 0
    table = pd.read_csv(folder / "run" / "ablation.csv")
    assert table["data"].tolist() == [f"{folder}/d.tsv", f"{folder}/other/d.tsv"]


def test_one_text_has_no_halves_but_effects(folder: Path) -> None:
    (folder / "one.tsv").write_text("text\tlabel\nw1 w2\t1\n")
    done = call("ablate", folder / "classifier", "--data", folder / "one.tsv", "--modes", "zero",
                "--out", folder / "run")  # fmt: skip
    assert done.exit_code == 0 and "No part is chosen by accuracy" in done.output
    assert not (folder / "run" / "held_out.csv").exists()
    assert len(pd.read_csv(folder / "run" / "ablation.csv"))


def test_metrics_that_are_empty_are_refused(folder: Path) -> None:
    done = call("ablate", folder / "classifier", "--data", folder / "d.tsv", "--metrics", "")
    assert done.exit_code == 1 and "at least one" in done.stderr


def test_a_run_that_fails_does_not_lose_the_others(folder: Path, monkeypatch) -> None:
    path = study(
        folder,
        f"""
        models = ["{folder}/classifier"]
        data = ["d.tsv"]
        modes = ["zero"]
        parts = ["L0H0"]
        seeds = [0, 1, 2]
    """,
    )
    real = ablate_command.ablate

    def failing(*arguments: object, seed: int, **options: object) -> Ablation:
        if seed == 1:
            raise BertologyError("no luck")
        return real(*arguments, seed=seed, **options)

    monkeypatch.setattr(ablate_command, "ablate", failing)
    done = call("ablate", "--study", path, "--out", folder / "run")
    assert done.exit_code == 1 and "1 of 3 runs" in done.stderr and "no luck" in done.stderr
    assert set(pd.read_csv(folder / "run" / "ablation.csv")["seed"]) == {0, 2}
    monkeypatch.setattr(ablate_command, "ablate", real)
    assert call("ablate", "--study", path, "--out", folder / "run", "--resume").exit_code == 0
    assert set(pd.read_csv(folder / "run" / "ablation.csv")["seed"]) == {0, 1, 2}


def test_parts_that_name_nothing_are_refused_before_the_model_is_loaded(folder: Path) -> None:
    done = call("ablate", "./nowhere", "--data", folder / "d.tsv", "--parts", "head7")
    assert done.exit_code == 1 and "--parts has 'head7'" in done.stderr


def test_a_study_takes_only_the_options_that_fit_every_model(folder: Path) -> None:
    path = study(
        folder,
        f"""
        models = ["{folder}/classifier"]
        data = ["d.tsv"]
        modes = ["zero"]
        parts = ["L0H0"]
    """,
    )
    words = ("ablate", "--study", path, "--out", folder / "run")
    for option in ("--revision", "--adapter", "--gguf-file"):
        wrong = call(*words, option, "x")
        assert wrong.exit_code == 1 and f"{option} cannot be given with --study" in wrong.stderr
    done = call(*words, "--dtype", "bfloat16")
    assert done.exit_code == 0, done.output
    manifest = json.loads((folder / "run" / "manifest.json").read_text())
    assert manifest["settings"]["dtype"] == "bfloat16"
    assert [p["options"]["dtype"] for p in manifest["provenance"].values()] == ["bfloat16"]


def test_a_model_that_was_pruned_unevenly_is_ablated(folder: Path, tiny_model) -> None:
    save_pruned(prune(tiny_model("bert", "classification"), [(0, 1)]), folder / "pruned")
    done = call(
        "ablate", folder / "pruned", "--data", folder / "d.tsv", "--modes", "zero", "--limit", 12,
        "--out", folder / "run",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "importance.csv is left out" in done.output
    table = pd.read_csv(folder / "run" / "ablation.csv")
    assert sorted(set(table.loc[table["layer"] == 0, "part"])) == ["L0H0", "L0H1", "L0H2"]


def test_a_limit_that_takes_one_label_alone_is_said(folder: Path) -> None:
    lines = DATA.splitlines()
    (folder / "sorted.tsv").write_text(
        "\n".join([lines[0], *sorted(lines[1:], key=lambda line: line[-1])])
    )
    words = ("ablate", folder / "classifier", "--parts", "L0H0", "--modes", "zero", "--limit", 12)
    done = call(*words, "--data", folder / "sorted.tsv", "--out", folder / "a")
    assert done.exit_code == 0, done.output
    assert "100% of the first 12 texts" in done.stderr and "50% of all 40" in done.stderr
    assert "Note" not in call(*words, "--data", folder / "d.tsv", "--out", folder / "b").stderr
