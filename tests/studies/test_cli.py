"""The command line as a user types it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from bertology import BertologyError
from bertology.studies import ablate_command, commands
from bertology.studies.cli import app

RUNNER = CliRunner()


def call(*words: object):
    return RUNNER.invoke(app, [str(word) for word in words])


def write_corpus(sample, path: Path, count: int) -> Path:
    """The first sentences of the sample as a CoNLL-U file of their own."""
    from importlib.resources import files

    text = files("bertology.corpora").joinpath("sample.conllu").read_text(encoding="utf-8")
    path.write_text("\n\n".join(text.split("\n\n")[:count]) + "\n\n", encoding="utf-8")
    return path


def test_heads_writes_its_tables(sample, tmp_path: Path) -> None:
    corpus = write_corpus(sample, tmp_path / "c.conllu", 60)
    done = call("heads", "demo", "--corpus", corpus, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    heads = pd.read_csv(tmp_path / "run" / "heads.csv")
    assert list(heads.columns)[:8] == [
        "layer", "head", "statistic", "mean", "ci_low", "ci_high", "n", "baseline",
    ]  # fmt: skip
    assert len(heads) == 72 * 11
    assert (tmp_path / "run" / "relations.csv").is_file()
    assert (tmp_path / "run" / "best_heads.csv").is_file()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["provenance"]["heads"]["sentences"] == 60
    again = call("heads", "demo", "--corpus", corpus, "--out", tmp_path / "run")
    assert again.exit_code == 1 and "holds another run" in again.stderr
    resumed = call("heads", "demo", "--corpus", corpus, "--out", tmp_path / "run", "--resume")
    assert resumed.exit_code == 0


def test_heads_on_plain_text_with_a_sentence_that_is_too_long(tmp_path: Path) -> None:
    text = tmp_path / "t.txt"
    text.write_text("A short line.\n" + "long " * 600 + "\nAnother one, here.\n")
    done = call("heads", "demo", "--corpus", text, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "1 text was skipped: line 2 (602 tokens, the model reads at most 512)" in done.output
    assert not (tmp_path / "run" / "relations.csv").exists()
    assert pd.read_csv(tmp_path / "run" / "heads.csv")["n"].unique().tolist() == [2]


def test_probe(sample, tmp_path: Path) -> None:
    train = write_corpus(sample, tmp_path / "train.conllu", 60)
    blocks = train.read_text(encoding="utf-8").split("\n\n")
    (tmp_path / "eval.conllu").write_text("\n\n".join(blocks[36:]), encoding="utf-8")
    train.write_text("\n\n".join(blocks[:36]) + "\n\n", encoding="utf-8")
    done = call(
        "probe", "demo", "--train", train, "--eval", tmp_path / "eval.conllu", "--task", "upos",
        "--layers", "0,3", "--training-samples", "0", "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "run" / "probes.csv")
    assert list(table.columns)[:10] == [
        "task", "layer", "probe", "metric", "value", "ci_low", "ci_high", "n", "control",
        "selectivity",
    ]  # fmt: skip
    assert set(table["probe"]) == {"linear", "majority", "lookup"}


def test_explain_and_ablate(tmp_path: Path) -> None:
    data = tmp_path / "d.tsv"
    lines = [f"The {a} dog {v} a very old bone in the garden ." for a in ("big", "small", "sad")
             for v in ("found", "hid")]  # fmt: skip
    data.write_text("Words\n" + "\n".join(lines) + "\n")
    done = call(
        "explain", "demo", "--data", data, "--columns", "text=Words", "--declare", "steps=2",
        "--out", tmp_path / "e",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    agreement = pd.read_csv(tmp_path / "e" / "agreement.csv")
    assert list(agreement.columns)[:9] == [
        "score", "against", "layer", "head", "statistic", "mean", "ci_low", "ci_high", "n",
    ]  # fmt: skip
    assert len((tmp_path / "e" / "scores.jsonl").read_text().splitlines()) == 6
    assert json.loads((tmp_path / "e" / "verdict.json").read_text())["claims"]
    assert list(pd.read_csv(tmp_path / "e" / "faithfulness.csv").columns)[:7] == [
        "score", "metric", "operator", "mean", "ci_low", "ci_high", "n",
    ]  # fmt: skip
    done = call(
        "ablate", "demo", "--data", data, "--columns", "text=Words", "--out", tmp_path / "a"
    )
    assert done.exit_code == 0, done.output
    ablation = pd.read_csv(tmp_path / "a" / "ablation.csv")
    assert list(ablation.columns)[:11] == [
        "layer", "head", "mode", "metric", "base", "ablated", "delta", "ci_low", "ci_high",
        "p_adjusted", "n",
    ]  # fmt: skip
    assert len(ablation) == 72 * 2


def test_selftest_prints_a_line_a_site() -> None:
    done = call("selftest", "demo")
    assert done.exit_code == 0
    lines = done.output.strip().splitlines()
    assert len(lines) == 8
    assert lines[0].startswith("Checks on a small padded batch: rows sum to 1; attention x values")
    assert lines[1] == (
        "encoder self layer 0 (encoder.layer.0.attention.self): attention interface, 12 heads: "
        "all passed"
    )
    assert lines[-1] == "6 sites, all exact"


def test_selftest_fails_with_status_1(monkeypatch: pytest.MonkeyPatch, demo) -> None:
    real = commands.verify

    def failing(module):
        reports = real(module)
        reports[2].failures.append("edit acts: zeroing every head changes nothing")
        return reports

    monkeypatch.setattr(commands, "verify", failing)
    done = call("selftest", "demo")
    assert done.exit_code == 1
    assert "FAILED: edit acts" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("heads", "demo", "--corpus", "none.conllu"), "There is no file none.conllu"),
        (("heads", "no-such-model-at-all", "--corpus", "{corpus}"), "cannot be loaded"),
        (("heads", "./nowhere", "--corpus", "{corpus}"), "no model folder"),
        (("heads", "demo", "--corpus", "{bad}"), "line 2: 3 tab-separated columns"),
        (("heads", "demo", "--corpus", "{empty}"), "is empty"),
        (("explain", "demo", "--data", "{corpus}", "--columns", "text"), "write it like text=Text"),
        (("report", "demo", "--corpus", "{bad}"), "line 2: 3 tab-separated columns"),
        (("prune", "demo", "--data", "{corpus}"), "Nothing says what is to be removed"),
        (("explain", "demo", "--data", "{corpus}", "--target", "x"), "is an encoder"),
        (("explain", "demo", "--data", "{corpus}", "--unit", "letter"), "unit is 'letter'"),
        (("probe", "demo", "--train", "{corpus}", "--eval", "{corpus}", "--task", "x"), "'x'"),
        (("report", "demo", "--corpus", "{corpus}", "--sentence", "{long}"), "at most 512"),
        (("ablate", "demo"), "either MODEL with --data"),
        (("ablate", "--study", "{study}"), "unknown key 'model'"),
        (("heads", "demo", "--corpus", "{corpus}", "--device", "cuda:9"), "device 'cuda:9' cannot"),
    ],
)
def test_mistakes_give_one_message(sample, tmp_path: Path, words, message: str) -> None:
    places = {
        "corpus": write_corpus(sample, tmp_path / "c.conllu", 3),
        "bad": tmp_path / "bad.conllu",
        "empty": tmp_path / "empty.txt",
    }
    places["long"] = "word " * 600
    places["study"] = tmp_path / "s.toml"
    places["study"].write_text('model = "demo"\nmodels = []\ndata = ["none.tsv"]\nlimit = 0\n')
    places["bad"].write_text("# sent_id = 1\n1\ta\tb\n\n")
    places["empty"].write_text("\n")
    done = call(*[word.format(**places) for word in words], "--out", tmp_path / "run")
    assert done.exit_code == 1, done.output
    assert done.stderr.count("bertology: ") == 1
    assert message in done.stderr
    assert "Traceback" not in done.output + done.stderr
    assert not (tmp_path / "run").exists()  # refused before any work


def test_ctrl_c_keeps_what_is_finished(sample, tmp_path: Path, monkeypatch) -> None:
    data = tmp_path / "d.txt"
    data.write_text("\n".join(s.text for s in sample.sentences[:8]))

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ablate_command, "importance", stopped)
        done = call("ablate", "demo", "--data", data, "--out", tmp_path / "run")
    assert done.exit_code == 130
    assert "--resume" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "run" / "results" / "ablation").is_dir()
    with monkeypatch.context() as patch:
        patch.setattr(ablate_command, "ablate", stopped)  # must not be computed again
        done = call("ablate", "demo", "--data", data, "--out", tmp_path / "run", "--resume")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "importance.csv").is_file()


def test_help_teaches() -> None:
    text = call("--help").output
    for command in ("report", "heads", "probe", "explain", "ablate", "prune", "selftest"):
        assert command in text
    assert "--columns" in call("explain", "--help").output


def test_options_of_loading_reach_the_model(sample, tmp_path: Path) -> None:
    corpus = write_corpus(sample, tmp_path / "c.conllu", 12)
    words = ("heads", "demo", "--corpus", corpus, "--out", tmp_path / "run")
    assert call(*words, "--dtype", "bfloat16").exit_code == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["settings"]["dtype"] == "bfloat16"
    assert manifest["provenance"]["heads"]["options"]["dtype"] == "bfloat16"
    resumed = call(*words, "--resume")
    assert resumed.exit_code == 1 and "dtype was 'bfloat16', now None" in resumed.stderr


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--dtype", "int8", "dtype 'int8' is unknown"),
        ("--revision", "v2", "only models from the hub have revisions"),
        ("--adapter", "./none", "no model folder"),
        ("--gguf-file", "x.gguf", "has no file x.gguf"),
    ],
)
@pytest.mark.parametrize(
    "command", ["report", "heads", "probe", "explain", "ablate", "selftest"]
)  # fmt: skip
def test_every_command_takes_the_options_of_loading(
    sample, tmp_path: Path, command: str, option: str, value: str, message: str
) -> None:
    corpus = write_corpus(sample, tmp_path / "c.conllu", 3)
    inputs = {"probe": ("--train", corpus, "--eval", corpus), "selftest": (),
              "explain": ("--data", corpus), "ablate": ("--data", corpus)}  # fmt: skip
    out = () if command == "selftest" else ("--out", tmp_path / "run")
    given = inputs.get(command, ("--corpus", corpus))
    done = call(command, "demo", *given, option, value, *out)
    assert done.exit_code == 1 and message in done.stderr
    assert not (tmp_path / "run").exists()


def test_remote_code_is_run_when_the_option_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def load(name, **options):
        seen.update(options)
        raise BertologyError("enough")

    monkeypatch.setattr(commands, "load_model", load)
    call("selftest", "demo", "--trust-remote-code")
    assert seen["trust_remote_code"] is True
    call("selftest", "demo")
    assert seen["trust_remote_code"] is False
