"""`bertology probe` with its further probes, controls and measures."""

import json
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from bertology.probing.representations.sweep import run as sweeping
from bertology.studies.cli import app


def call(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two parts of the sample as CoNLL-U files of their own."""
    text = files("bertology.corpora").joinpath("sample.conllu").read_text(encoding="utf-8")
    blocks = text.split("\n\n")
    folder = tmp_path_factory.mktemp("parts")
    found = folder / "train.conllu", folder / "eval.conllu"
    for path, own in zip(found, (blocks[:24], blocks[24:40]), strict=True):
        path.write_text("\n\n".join(own) + "\n\n", encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def options(parts: tuple[Path, Path]) -> tuple[object, ...]:
    return ("probe", "demo", "--train", parts[0], "--eval", parts[1], "--layers", "0,3")


@pytest.fixture(scope="module")
def run(options, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("probe")
    done = call(
        *options, "--task", "upos,deprel", "--controls", "random_layers", "--measures",
        "information", "--training-samples", "0", "--store", folder / "states", "--out",
        folder / "run",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return folder, done


def test_every_table_is_written_and_named(run) -> None:
    folder, done = run
    names = {path.name for path in (folder / "run").glob("*.csv")}
    assert names == {
        "probes.csv", "probe_tests.csv", "best_layers.csv", "information.csv"
    }  # fmt: skip
    for name in names:
        assert f"{name}\n" in done.output.replace("\r", "\n")
    probes = pd.read_csv(folder / "run" / "probes.csv")
    assert list(probes.columns)[:10] == [
        "task", "layer", "probe", "metric", "value", "ci_low", "ci_high", "n", "control",
        "selectivity",
    ]  # fmt: skip
    assert set(probes["source"].dropna()) == {"model", "random_layers"}
    assert set(probes["layer"].dropna()) == {0, 3}


def test_labels_that_training_lacks_are_named_in_a_line(run) -> None:
    lines = [line for line in run[1].stderr.splitlines() if line.startswith("Note: ")]
    assert len(lines) == len(set(lines)) > 0
    assert any("of the task 'deprel' have a label that training has not" in line for line in lines)
    assert "UserWarning" not in run[1].stderr


NOTE = "Note: one random model: its spread is unknown; --random-models 5 for a paper."


def test_one_random_model_is_said_to_be_one(run) -> None:
    assert run[1].stderr.splitlines().count(NOTE) == 1


def test_stores_of_both_parts_are_written_and_used_again(run, options) -> None:
    folder, _ = run
    assert {path.name for path in (folder / "states").iterdir()} == {"train", "eval"}
    done = call(
        *options, "--controls", "none", "--training-samples", "0", "--store", folder / "states",
        "--out", folder / "again",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert NOTE not in done.stderr  # no random model, no note
    manifest = json.loads((folder / "again" / "manifest.json").read_text())
    assert manifest["provenance"]["probes"]["options"]["stores"][0]["dtype"] == "float32"
    assert set(pd.read_csv(folder / "again" / "probes.csv")["source"].dropna()) == {"model"}


def test_a_stopped_run_goes_on_with_its_pieces(options, tmp_path: Path, monkeypatch) -> None:
    words = (*options, "--controls", "none", "--training-samples", "0", "--out")
    whole = call(*words, tmp_path / "whole")
    assert whole.exit_code == 0, whole.output

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweeping, "_tables", stopped)  # all is fitted, and nothing tabled
        assert call(*words, tmp_path / "run").exit_code == 130
    assert len(list((tmp_path / "run" / "shards" / "probes").glob("*.piece"))) == 2
    with monkeypatch.context() as patch:
        patch.setattr("bertology.probing.representations.sweep.kinds.fit_together", stopped)
        resumed = call(*words, tmp_path / "run", "--resume")
    assert resumed.exit_code == 0, resumed.output
    for name in ("probes.csv", "probe_tests.csv", "best_layers.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_senteval_file_is_trained_and_scored_on_its_parts(tmp_path: Path) -> None:
    nouns = ("dog", "cat", "boy", "girl", "man", "fox")
    lines = [
        f"{part}\t{label}\tThe {noun} {verb} {what} bone ."
        for part, what in (("tr", "a very old"), ("va", "the other"))
        for noun in nouns
        for label, verb in (("PAST", "found"), ("PRES", "finds"))
    ]
    data = tmp_path / "past_present.txt"
    data.write_text("\n".join(lines) + "\n")
    words = ("probe", "demo", "--train", data, "--eval", data, "--task", "label", "--layers", "2",
             "--controls", "none", "--training-samples", "0", "--out")  # fmt: skip
    done = call(*words, tmp_path / "run")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "run" / "probes.csv").set_index("probe")
    assert table.loc["linear", "n"] == 12 and table.loc["linear", "value"] > 0.9
    data.write_text("\n".join(lines).replace("va\t", "te\t") + "\n")
    wrong = call(*words, tmp_path / "other")
    assert wrong.exit_code == 1 and "has no part va" in wrong.stderr


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--probe", "svm"), "probes has 'svm', there are linear, mlp"),
        (("--controls", "noise"), "controls has 'noise', there are random_weights"),
        (("--measures", "bits"), "measures has 'bits', there are mdl"),
        (("--layers", "0,x"), "--layers is '0,x'; write it like 0,3,6"),
        (("--seeds", "0"), "seeds is 0, at least 1"),
        (("--probe", "bilinear"), "These do not go together: bilinear, upos"),
        (("--task", "tags"), "The task 'tags' is unknown; choose from upos"),
    ],
)
def test_mistakes_are_refused_before_anything_is_loaded(
    option, message: str, options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bertology.studies.commands.load_model", lambda *_, **__: pytest.fail("a model was loaded")
    )
    done = call(*options, *option, "--out", tmp_path / "run")
    assert done.exit_code == 1 and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_help_teaches() -> None:
    text = call("probe", "--help").output
    for word in ("selectivity", "random_layers", "--random-models", "feats:NAME", "SentEval"):
        assert word in text
