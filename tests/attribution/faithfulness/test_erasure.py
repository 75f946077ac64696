"""Comprehensiveness and sufficiency on an additive function, where they are sums of weights."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from bertology.attribution import Goal, Prepared, Scores, faithfulness
from bertology.attribution.faithfulness import RANKED
from bertology.attribution.words import items_of
from bertology.corpora import encode
from bertology.corpora.text import words_to_sentence
from bertology.models import LoadedModel

WEIGHTS = np.array([3.0, 10, 1, 8, 5, 2, 9, 4, 7, 6])
#: Sums of the one, two and five largest weights, over the sum of all.
TOP, BOTTOM = np.mean([10, 19, 40]) / 55, np.mean([1, 3, 15]) / 55


@pytest.fixture
def table(toy: Callable[..., LoadedModel]) -> pd.DataFrame:
    model = toy(lambda x, mask: (x * mask).sum(1))
    sentence = words_to_sentence([f"w{int(w)}" for w in WEIGHTS], id="ten")
    short = words_to_sentence(["w1", "w2"], id="short")
    encodings = [encode(text, model.tokenizer) for text in (sentence, short)]
    goals = [
        Goal("class", "only", value, np.zeros(len(e)), np.ones(len(e), dtype=bool), index=0)
        for e, value in zip(encodings, (55.0, 3.0), strict=True)
    ]
    scores = []
    for encoding, goal in zip(encodings, goals, strict=True):
        weights = WEIGHTS[: len(encoding)]
        named = dict.fromkeys(RANKED, weights)
        named["rollout"] = np.zeros(len(encoding))
        named["random"] = -weights
        none = np.zeros(0)
        scores.append(Scores(items_of(encoding, goal, "word"), none, none, none, named))
    prepared = Prepared(encodings, goals, [0, 1], [])
    return faithfulness(model, prepared, scores, [0, 1], seed=0)


def value(table: pd.DataFrame, score: str, metric: str, operator: str, column: str) -> float:
    chosen = table[(table["score"] == score) & (table["metric"] == metric)]
    return chosen[chosen["operator"] == operator][column].item()


@pytest.mark.parametrize("operator", ["delete", "pad"])
def test_drops_are_the_weights_erased(table: pd.DataFrame, operator: str) -> None:
    for score, share in (("leave_one_out", TOP), ("leave_one_out_reversed", BOTTOM)):
        found = value(table, score, "comprehensiveness", operator, "mean")
        assert found == pytest.approx(share, rel=1e-5)
        found = value(table, score, "sufficiency", operator, "mean")
        assert found == pytest.approx(1 - share, rel=1e-5)


def test_differences_are_paired_with_the_random_ranking(table: pd.DataFrame) -> None:
    for metric, sign in (("comprehensiveness", 1), ("sufficiency", -1)):
        found = value(table, "attention_mean", metric, "delete", "difference")
        assert found == pytest.approx(sign * (TOP - BOTTOM), rel=1e-5)
    advantage = value(table, "attention_mean", "advantage", "all", "mean")
    assert advantage == pytest.approx(TOP - BOTTOM, rel=1e-5)
    assert value(table, "random", "comprehensiveness", "delete", "difference") == 0


def test_ties_do_not_favour_the_first_words(table: pd.DataFrame) -> None:
    by_position = np.mean([3, 13, 27]) / 55
    found = value(table, "rollout", "comprehensiveness", "delete", "mean")
    assert found != pytest.approx(by_position, rel=1e-3)


def test_short_texts_are_left_out(table: pd.DataFrame) -> None:
    assert (table["n"] == 1).all()
    assert table["descriptive"].all()
