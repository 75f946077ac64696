"""Scores by name, of words and tokens, with special tokens and without."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bertology.attribution import AttributionError, attention_scores, explain, prepare, score_all
from bertology.attribution.floors import FLOORS
from bertology.attribution.from_attention import FROM_ATTENTION
from bertology.attribution.methods import METHODS
from bertology.attribution.scores import AVAILABLE, SCORES
from bertology.corpora import Examples

CaseOf = Callable[[str], SimpleNamespace]


@pytest.mark.parametrize("unit", ["word", "token"])
def test_every_name_gives_what_its_method_gives(case_of: CaseOf, unit: str) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples)
    # DeepLIFT refuses models that it is not exact for.
    names = [name for name in AVAILABLE if name != "deeplift"]
    scores, checks = score_all(case.model, prepared, unit=unit, seed=3, names=names)
    assert len(checks) == len(prepared.encodings)
    for number, own in enumerate(scores):
        assert set(own.named) - {"integrated_gradients", "other_sentence"} == (
            {*names, *FLOORS} - {"integrated_gradients", "other_sentence"}
        )
        assert all(score.shape == (len(own.items),) for score in own.named.values())
        assert ("integrated_gradients" in own.named) == checks[number].holds
    parts = prepared.encodings, prepared.goals
    by_token = {
        "value_zeroing": FROM_ATTENTION["value_zeroing"].method(case.model, *parts, seed=3),
        "smoothgrad": METHODS["smoothgrad"].run(case.model, *parts, seed=3),
        "occlusion": METHODS["occlusion"].run(case.model, *parts, seed=3, unit=unit),
    }
    for name, found in by_token.items():
        for own, score in zip(scores, found, strict=True):
            np.testing.assert_allclose(own.named[name], own.items.sums(score), atol=1e-5)


def test_the_default_is_small_and_in_the_order_of_the_tables(case_of: CaseOf) -> None:
    case = case_of("gpt2 classifier")
    prepared = prepare(case.model, case.examples[:1])
    (own,), _ = score_all(case.model, prepared, unit="word", seed=0)
    expected = [name for name in (*SCORES, *FLOORS) if name in own.named]
    assert list(own.named) == expected
    assert set(SCORES) <= set(AVAILABLE)


def test_special_tokens_are_items_if_asked_for(case_of: CaseOf) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:1])
    with_them, without = (
        score_all(case.model, prepared, unit="token", seed=0, specials=specials)[0][0]
        for specials in (True, False)
    )
    assert with_them.items.names == ("[CLS]", *without.items.names, "[SEP]")
    (attention,) = attention_scores(case.model, prepared.encodings, prepared.goals)
    np.testing.assert_allclose(with_them.attention.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(with_them.attention, attention.attention, atol=1e-5)
    for name in ("input_x_gradient", "leave_one_out", "attention_mean"):
        np.testing.assert_allclose(with_them.named[name][1:-1], without.named[name], atol=1e-5)
        assert with_them.named[name][-1] != 0
    # The goals themselves stay as they were.
    assert not prepared.goals[0].scored[0]


def test_texts_too_long_for_a_score_lack_it(
    case_of: CaseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples)
    lengths = [len(encoding) for encoding in prepared.encodings]
    shorter = replace(FROM_ATTENTION["attention_flow"], longest=sorted(lengths)[-2])
    monkeypatch.setitem(FROM_ATTENTION, "attention_flow", shorter)
    scores, _ = score_all(case.model, prepared, unit="word", seed=0, names=["attention_flow"])
    there = ["attention_flow" in own.named for own in scores]
    assert there == [length < max(lengths) for length in lengths]


def test_explanations_of_other_scores(case_of: CaseOf) -> None:
    case = case_of("bert classifier")
    names = ("attention_mean", "leave_one_out", "globenc")
    result = explain(case.model, Examples("texts", tuple(case.examples), "0"), names=names)
    assert set(result.table["score"]) == {"attention", *names, *FLOORS} - {"leave_one_out"}
    assert set(result.table["against"]) == {"leave_one_out"}
    assert {"globenc", "position", "frequency"} <= set(result.faithfulness["score"])
    assert result.provenance.options["scores"] == list(names)
    result.verdict()


def test_what_cannot_be_scored_is_refused(case_of: CaseOf) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:1])
    with pytest.raises(AttributionError, match="score is 'integrated'; give some of attention_"):
        score_all(case.model, prepared, unit="word", seed=0, names=["integrated"])
    with pytest.raises(AttributionError, match="give unit='token'"):
        score_all(case.model, prepared, unit="word", seed=0, specials=True)
    examples = Examples("texts", tuple(case.examples), "0")
    with pytest.raises(AttributionError, match="verdict is about leave_one_out"):
        explain(case.model, examples, names=["attention_mean"])
    with pytest.raises(AttributionError, match="score is 'integrated'"):
        explain(case.model, examples, names=["integrated"])
