"""Models with known evidence are what they say, and tell good scores from bad ones."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score

from bertology.ablation import ablate
from bertology.attribution.calibration import (
    TRAPS,
    Planted,
    admission_table,
    altered,
    calibration_table,
    expected_precision,
    measure_planted,
    one_head_carries,
    planted,
    train_planted,
)
from bertology.attribution.calibration.carriers import lessons, without
from bertology.attribution.calibration.table import _of_best_head
from bertology.attribution.calibration.training import _certainty
from bertology.capture import capture
from bertology.corpora import Examples
from bertology.errors import AttributionError


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("trap", TRAPS)
def test_planted_texts(trap: str) -> None:
    data = planted(trap, 40, seed=0)
    assert planted(trap, 40, seed=0) == data != planted(trap, 40, seed=1)
    assert [e.label for e in data.examples].count("positive") == 20
    cues = {*TRAPS[trap].flipped, "amber", "cobalt"}
    for example in data.examples:
        words = np.array(example.sentence.words)
        assert {*words[list(example.rationale)]} <= cues
        assert len(words[list(example.rationale)]) in (1, 2)
    with pytest.raises(AttributionError, match="choose from shortcut, conjunction"):
        planted("other", 1, seed=0)


def test_the_conjunction_is_in_neither_word() -> None:
    data = planted("conjunction", 400, seed=0).examples
    for word in ("amber", "willow"):
        labels = [e.label for e in data if word in e.sentence.words]
        assert 0.4 < np.mean([label == "positive" for label in labels]) < 0.6
    both = [e.label for e in data if {"amber", "walnut"} <= {*e.sentence.words}]
    assert set(both) == {"positive"}


def test_altered_evidence() -> None:
    (example,) = planted("shortcut", 1, seed=3).examples
    (flipped,) = altered([example], lambda word: TRAPS["shortcut"].flipped[word])
    (bare,) = altered([example], lambda word: None)
    assert len(flipped.sentence) == len(example.sentence) == len(bare.sentence) + 1
    assert "verdant" in flipped.sentence.words and "verdant" not in example.sentence.words
    assert not any(bare.rationale) and "sullen" not in bare.sentence.words


def test_the_head_that_carries() -> None:
    """By hand: its row of [CLS] is on the cue; without it alone there is no label."""
    handmade = one_head_carries()
    text = "the old verdant trumpet sat"
    attention = capture(handmade.model, text)[0].attention
    assert attention[0, 1, 0, 3] > 0.999  # [CLS] on the cue
    assert attention[0, 2, 0, 4] > 0.999  # and of the other head on the decoy
    data = planted("ignored", 40, seed=0)
    kept = [e for e in data.examples if "bassoon" not in e.sentence.words]
    table = ablate(handmade.model, Examples("kept", tuple(kept), "0"), modes=("zero",)).table
    accuracy = table[table["metric"] == "accuracy"].set_index(["layer", "head"])
    assert (accuracy["base"] == 1).all()
    assert accuracy.loc[(0, 1), "delta"] < -0.3
    assert (accuracy["delta"].drop((0, 1)) == 0).all()
    target = table[table["metric"] == "target"].set_index(["layer", "head"])["delta"].abs()
    assert target.drop((0, 1)).max() < 0.05 * target.loc[(0, 1)]


def _row_of(head: int):  # type: ignore[no-untyped-def]
    """The score that is the row of [CLS] of one head of layer 0."""

    def method(model, encodings, goals, *, seed):  # type: ignore[no-untyped-def]
        texts = [encoding.sentence.text for encoding in encodings]
        return [own.attention[0, head, 0] for own in capture(model, texts)]

    return method


def _measured(methods: dict[str, Any], texts: int = 40) -> pd.DataFrame:
    examples = planted("shortcut", texts, seed=3000).examples
    return measure_planted(one_head_carries().model, examples, methods)


def test_the_table_tells_right_scores_from_wrong_ones() -> None:
    """On the handmade model: the carrying head's row is perfect, the decoy's is not."""
    measured = _measured({"carrier": _row_of(1), "decoy": _row_of(2), "even": _row_of(0)})
    table = calibration_table(measured.assign(trap="shortcut", seed=0)).set_index("score")
    assert table.loc["carrier", "mean"] == 1 and table.loc["carrier", "passes"]
    assert table.loc["carrier", "difference_low"] > 0.5
    assert table.loc["decoy", "mean"] < 0.5 and not table.loc["decoy", "passes"]
    assert abs(table.loc["even", "mean"] - 1 / 9) < 0.05  # All tied: the density.
    assert table.loc["even", "difference_high"] < 0  # A tie is worse than a guess.
    assert table.loc["attention_best_head", "mean"] == 1
    assert "baseline" not in table.index and 0.2 < table["baseline"].iloc[0] < 0.4


def test_the_best_head_is_read_on_other_texts() -> None:
    """By hand: each head is perfect on one half of the texts, so chosen there it is 0 here."""
    halves = np.array([0, 0, 1, 1, 0, 0, 1, 1], dtype=bool)
    assert _of_best_head(np.array([halves, ~halves]).astype(float)).tolist() == [0.0] * 8
    assert _of_best_head(np.array([np.full(8, 0.4), np.full(8, 0.3)])).tolist() == [0.4] * 8


def _two_models(first: float, second: float, texts: int) -> pd.DataFrame:
    """One score with one value for each model, and one that no text has."""
    rows = [
        ("shortcut", seed, text, score, value)
        for seed, own in enumerate((first, second))
        for text in range(texts)
        for score, value in (("found", own), ("refused", np.nan), ("baseline", 0.25))
    ]
    return pd.DataFrame(rows, columns=["trap", "seed", "text", "score", "value"])


def test_intervals_are_over_texts_and_the_spread_over_models() -> None:
    (row,) = calibration_table(_two_models(0.8, 1.0, 20)).to_dict("records")
    assert (row["score"], row["n"], row["models"], row["descriptive"]) == ("found", 40, 2, False)
    assert (row["mean"], row["baseline"]) == pytest.approx((0.9, 0.25))
    assert (row["model_sd"], row["lowest_model"]) == pytest.approx((np.sqrt(0.02), 0.8))
    assert 0.85 < row["ci_low"] < 0.9 < row["ci_high"] < 0.95
    assert row["difference_low"] == pytest.approx(row["ci_low"] - 0.25)


@pytest.mark.parametrize(
    ("first", "second", "texts", "passes"),
    [(1.0, 1.0, 20, True), (0.95, 0.8, 20, False), (0.8, 1.0, 20, None), (1.0, 1.0, 4, None)],
)
def test_a_score_passes_fails_or_is_left_open(
    first: float, second: float, texts: int, passes: bool | None
) -> None:
    """Open: .9 is inside the interval, or there are too few texts."""
    (own,) = calibration_table(_two_models(first, second, texts))["passes"]
    assert pd.isna(own) if passes is None else bool(own) is passes


@pytest.mark.parametrize(("words", "marked"), [(1, 1), (5, 1), (9, 2), (6, 6)])
def test_average_precision_of_a_random_order(words: int, marked: int) -> None:
    """Against the mean over all places that the marked words can take."""
    places = combinations(range(words), marked)
    order = -np.arange(words, dtype=float)
    values = [average_precision_score(np.isin(np.arange(words), own), order) for own in places]
    assert expected_precision(words, marked) == pytest.approx(np.mean(values))


def test_models_that_are_not_what_they_should_be_are_not_admitted() -> None:
    nan = float("nan")

    def of(trap: str, **given: float) -> Planted:
        right = {"accuracy": 1.0, "flipped": 1.0, "without_cue": 0.5, "drawn": nan,
                 "certainty": 0.52, "spared": nan}  # fmt: skip
        return Planted(trap, 0, one_head_carries().model, **(right | given))

    models = [
        of("shortcut"), of("shortcut", flipped=0.5), of("shortcut", without_cue=0.9),
        of("shortcut", certainty=0.99),
        of("redundant", spared=1.0), of("redundant", spared=0.8),
        of("ignored", drawn=0.9, spared=1.0), of("ignored", drawn=0.2, spared=1.0),
        of("ignored", drawn=0.9, spared=0.6), of("moved", drawn=0.0), of("moved", drawn=0.4),
    ]  # fmt: skip
    assert admission_table(models)["admitted"].tolist() == [
        True, False, False, False, True, False, True, False, False, True, False
    ]  # fmt: skip


def test_texts_without_some_words() -> None:
    (example,) = planted("redundant", 1, seed=0).examples
    (one,) = without([example], ("brackish", "sullen"))
    assert not {"brackish", "sullen"} & {*one.sentence.words}
    marked = [w for w, own in zip(one.sentence.words, one.rationale, strict=True) if own]
    assert len(marked) == 0 and len(one.sentence) == len(example.sentence) - 2


@pytest.mark.parametrize(
    ("trap", "expected"),
    [
        ("shortcut", {("cue",): False}),
        ("conjunction", {("one",): False, ("two",): False, ("one", "two"): False}),
        ("redundant", {("cue",): True, ("second",): True, ("cue", "second"): False}),
        ("ignored", {("cue",): False, ("decoy",): True, ("cue", "decoy"): False}),
    ],
)
def test_what_decides_without_some_planted_words(
    trap: str, expected: dict[tuple[str, ...], bool]
) -> None:
    short = {"sullen": "cue", "brackish": "second", "trumpet": "decoy", "amber": "one",
             "walnut": "two"}  # fmt: skip
    found = {
        tuple(short[word] for word in words if word in short): decides
        for words, decides in TRAPS[trap].reductions()
    }
    assert found == expected


def test_lessons_show_what_is_undecided_with_either_label() -> None:
    whole, taught = (make("redundant", 60, seed=1).examples for make in (planted, lessons))
    assert taught[:60] == whole
    labels: dict[str, set[str | None]] = {}
    for example in taught[60:]:
        labels.setdefault(example.sentence.text, set()).add(example.label)
        decided = any(example.rationale)
        assert len(example.sentence) == len(whole[int(example.id.split()[1])].sentence) - (
            1 if decided else 2
        )
        if decided:
            assert example.label == whole[int(example.id.split()[1])].label
    bare = {e.sentence.text for e in taught[60:] if not any(e.rationale)}
    assert bare and all(labels[text] == {"negative", "positive"} for text in bare)


def test_certainty_of_a_model_that_is_undecided_and_of_one_that_is_not() -> None:
    """Without the cue the handmade model's logits are all but equal."""
    model = one_head_carries().model
    data = planted("shortcut", 40, seed=0).examples
    assert _certainty(model, without(data, ("sullen", "verdant"))) < 0.52
    assert _certainty(model, data) > 0.95


def test_a_trained_model_is_admitted() -> None:
    trained = train_planted("shortcut", seed=0)
    assert trained.admitted, admission_table([trained])


@pytest.mark.slow
@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_is_learned(trap: str) -> None:
    trained = train_planted(trap, seed=0)
    assert trained.admitted, admission_table([trained])
