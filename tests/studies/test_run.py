"""Output folders: nothing is overwritten, nothing finished is lost."""

import json
from pathlib import Path

import pandas as pd
import pytest

from bertology import BertologyError
from bertology.results import Provenance, Result
from bertology.studies.run import Run, skipped_texts

SETTINGS = {"command": "heads", "model": "demo", "seed": 0}


def outcome() -> Result:
    table = pd.DataFrame({"layer": [0, 1], "word": ["NA", "null"], "value": [0.1 + 0.2, None]})
    provenance = Provenance("demo", None, None, "T", "data", "0", 0, "sentence", 2, 0,
                            skipped=[["s3", "too long"]])  # fmt: skip
    return Result(table, provenance)


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def test_a_finished_result_is_loaded_not_computed_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = Run(folder, SETTINGS, resume=False)
    first = run.result("heads", Result, outcome)
    assert manifest(folder)["status"] == "unfinished"
    assert not list(folder.glob("**/*.partial"))

    def never() -> Result:
        raise AssertionError("computed again")

    resumed = Run(folder, SETTINGS, resume=True)
    again = resumed.result("heads", Result, never)
    pd.testing.assert_frame_equal(again.table, first.table)
    assert again.provenance == first.provenance
    resumed.close()
    assert manifest(folder)["status"] == "finished"
    assert manifest(folder)["provenance"]["heads"]["data"] == "data"


def test_an_interrupted_analysis_leaves_no_half_result(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", SETTINGS, resume=False)
    run.result("one", Result, outcome)

    def stopped() -> Result:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.result("two", Result, stopped)
    assert sorted(p.name for p in (tmp_path / "run" / "results").iterdir()) == ["one"]
    # What a kill in the middle of saving leaves behind is not taken for a result.
    (tmp_path / "run" / "results" / "two.partial").mkdir()
    run = Run(tmp_path / "run", SETTINGS, resume=True)
    run.result("two", Result, outcome)
    assert sorted(p.name for p in (tmp_path / "run" / "results").iterdir()) == ["one", "two"]


def test_a_damaged_result_is_computed_again(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", SETTINGS, resume=False)
    run.result("one", Result, outcome)
    (tmp_path / "run" / "results" / "one" / "provenance.json").write_text("{")
    again = Run(tmp_path / "run", SETTINGS, resume=True).result("one", Result, outcome)
    pd.testing.assert_frame_equal(again.table, outcome().table)


def test_no_folder_before_the_first_result(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", SETTINGS, resume=False)
    with pytest.raises(BertologyError):
        run.result("one", Result, lambda: (_ for _ in ()).throw(BertologyError("refused")))
    assert not (tmp_path / "run").exists()


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    Run(tmp_path / "run", SETTINGS, resume=False).result("one", Result, outcome)
    with pytest.raises(BertologyError, match=r"holds another run.*--resume"):
        Run(tmp_path / "run", SETTINGS, resume=False)
    with pytest.raises(BertologyError, match="seed was 0, now 1"):
        Run(tmp_path / "run", {**SETTINGS, "seed": 1}, resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(BertologyError, match="is not empty"):
        Run(tmp_path / "mine", SETTINGS, resume=True)
    with pytest.raises(BertologyError, match="is a file"):
        Run(tmp_path / "mine" / "thesis.tex", SETTINGS, resume=False)


def test_damaged_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"status": "runn')
    with pytest.raises(BertologyError, match=r"manifest\.json is damaged"):
        Run(tmp_path, SETTINGS, resume=True)


def test_result_of_another_kind_and_missing_result(tmp_path: Path) -> None:
    class Other(Result):
        pass

    folder = outcome().save(tmp_path / "r")
    with pytest.raises(BertologyError, match="holds a Result, not a Other"):
        Other.load(folder)
    with pytest.raises(BertologyError, match=r"provenance\.json is missing"):
        Result.load(tmp_path)


def test_skipped_texts_are_counted_and_named() -> None:
    assert skipped_texts(outcome().provenance) == "1 text was skipped: s3 (too long)"
