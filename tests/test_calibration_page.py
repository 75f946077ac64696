"""docs/calibration.md says what docs/calibration.csv says."""

import re
from pathlib import Path

import pandas as pd
import pytest

from bertology.attribution.calibration import TRAPS
from bertology.attribution.from_attention import FROM_ATTENTION
from bertology.attribution.methods import METHODS

DOCS = Path(__file__).resolve().parents[1] / "docs"
TABLE = pd.read_csv(DOCS / "calibration.csv", dtype={"passes": "boolean"})
PAGE = (DOCS / "calibration.md").read_text()
#: Refused by every model.
REFUSED = {"deeplift"}


def test_every_score_is_in_every_trap() -> None:
    scores = {*METHODS, *FROM_ATTENTION, "attention_best_head"} - REFUSED
    assert list(dict.fromkeys(TABLE["trap"])) == ["handmade", *TRAPS]
    for _, own in TABLE.groupby("trap"):
        assert {*own["score"]} == scores


def test_the_marks_follow_the_rule_of_the_page() -> None:
    low, high = TABLE["ci_low"] >= 0.9, TABLE["ci_high"] < 0.9
    assert (TABLE["passes"].isna() == ~(low | high)).all()
    assert (TABLE["passes"].fillna(False) == low).all()
    assert not TABLE["descriptive"].any()


@pytest.mark.parametrize("score", TABLE["score"].unique())
def test_the_page_has_the_numbers_of_the_table(score: str) -> None:
    (line,) = re.findall(rf"^\| `{score}` \| (.*) \|$", PAGE, re.M)
    own = TABLE[TABLE["score"] == score]
    marks = (
        own["passes"].map({True: "✓", False: "✗"}).astype(object).where(own["passes"].notna(), "?")
    )
    marks = marks.where(own["difference_low"] > 0, marks + "✗")
    expected = [f"{mean:.2f} {mark}" for mean, mark in zip(own["mean"], marks, strict=True)]
    assert line.split(" | ") == expected
