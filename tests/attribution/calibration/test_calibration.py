"""Models with known evidence are what they say, and tell good scores from bad ones."""

import numpy as np
import pytest
import torch

from bertology.ablation import ablate
from bertology.attribution.calibration import (
    TRAPS,
    Planted,
    admission_table,
    altered,
    calibration_table,
    one_head_carries,
    planted,
    train_planted,
)
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


def _known(trap: str) -> Planted:
    return Planted(trap, 0, one_head_carries().model, 1.0, 1.0, 0.5, float("nan"))


def test_the_table_tells_right_scores_from_wrong_ones() -> None:
    """On the handmade model: the carrying head's row is perfect, the decoy's is not."""

    def row_of(head: int):  # type: ignore[no-untyped-def]
        def method(model, encodings, goals, *, seed):  # type: ignore[no-untyped-def]
            texts = [encoding.sentence.text for encoding in encodings]
            return [own.attention[0, head, 0] for own in capture(model, texts)]

        return method

    methods = {"carrier": row_of(1), "decoy": row_of(2), "even": row_of(0)}
    table = calibration_table([_known("shortcut")], methods, texts=40).set_index("score")
    assert table.loc["carrier", "mean"] == 1 and table.loc["carrier", "passes"]
    assert table.loc["decoy", "mean"] < 0.5 and not table.loc["decoy", "passes"]
    assert abs(table.loc["even", "mean"] - 1 / 9) < 0.05  # All tied: the density.
    assert table.loc["even", "baseline"] < 0.5


def test_models_that_are_not_admitted_are_left_out() -> None:
    good = _known("shortcut")
    bad = Planted("redundant", 0, good.model, 1.0, 1.0, 0.9, float("nan"))
    drawn = Planted("ignored", 0, good.model, 1.0, 1.0, 0.5, 0.2)
    assert good.admitted and not bad.admitted and not drawn.admitted
    assert admission_table([good, bad, drawn])["admitted"].tolist() == [True, False, False]
    methods = {"none": lambda model, encodings, goals, *, seed: [None] * len(encodings)}
    table = calibration_table([good, bad, drawn], methods, texts=12)
    assert set(table["trap"]) == {"shortcut"} and table["mean"].isna().all()


def test_a_trained_model_is_admitted() -> None:
    trained = train_planted("shortcut", seed=0)
    assert trained.admitted, admission_table([trained])


@pytest.mark.slow
@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_is_learned(trap: str) -> None:
    trained = train_planted(trap, seed=0)
    assert trained.admitted, admission_table([trained])
