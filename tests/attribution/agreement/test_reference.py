"""Agreement of importance with itself: between operators and between seeds."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from bertology.attribution import AttributionError, leave_one_out, prepare
from bertology.attribution.agreement import (
    PAIRS,
    agreement_between,
    leave_one_out_versions,
    operators_for,
    seed_versions,
)
from bertology.attribution.words import items_of

CaseOf = Callable[[str], SimpleNamespace]


@pytest.fixture
def prepared(case_of: CaseOf) -> SimpleNamespace:
    case = case_of("bert classifier")
    own = prepare(case.model, case.examples)
    pairs = zip(own.encodings, own.goals, strict=True)
    return SimpleNamespace(model=case.model, own=own, items=[items_of(*p, "word") for p in pairs])


def test_operators_that_a_tokenizer_has(case_of: CaseOf) -> None:
    assert operators_for(case_of("bert classifier").model.tokenizer) == (
        "delete", "mask", "pad", "hide",
    )  # fmt: skip
    assert operators_for(case_of("llama lm").model.tokenizer) == ("delete", "pad", "hide")


def test_operators_agree_less_than_fully(prepared: SimpleNamespace) -> None:
    versions = leave_one_out_versions(prepared.model, prepared.own)
    assert list(versions) == ["delete", "mask", "pad", "hide"]
    # The second text has three words.
    assert [score is None for score in versions["mask"]] == [False, True, False, False]
    own = leave_one_out(prepared.model, prepared.own.encodings, prepared.own.goals, seed=0)
    for items, score, found in zip(prepared.items, own, versions["delete"], strict=True):
        if found is not None:
            np.testing.assert_allclose(items.sums(score), found, atol=1e-5)
    table = agreement_between(versions, prepared.items, range(4), seed=0)
    assert len(table) == 6 + 1
    pairs, overall = table[table["score"] != PAIRS], table[table["score"] == PAIRS]
    assert overall["mean"].item() == pytest.approx(pairs["mean"].mean())
    assert (pairs["n"] == 3).all() and pairs["mean"].max() < 1
    assert set(zip(pairs["score"], pairs["against"], strict=True)) >= {("delete", "hide")}


def test_equal_versions_agree_fully_and_negated_ones_only_without_sign(
    prepared: SimpleNamespace,
) -> None:
    scores = leave_one_out_versions(prepared.model, prepared.own, operators=["delete"])["delete"]
    same = {"one": scores, "two": [None if s is None else -s for s in scores]}
    for signed, expected in ((False, 1), (True, -1)):
        table = agreement_between(same, prepared.items, range(4), seed=0, signed=signed)
        assert table["mean"].tolist() == pytest.approx([expected, expected])
    with pytest.raises(AttributionError, match="two or more"):
        agreement_between({"one": scores}, prepared.items, range(4), seed=0)


def test_seeds_of_a_method_of_known_noise(prepared: SimpleNamespace) -> None:
    def drawn(model: object, encodings: list, goals: list, *, seed: int) -> list[np.ndarray]:
        generator = np.random.default_rng(seed)
        return [generator.random(len(encoding)) for encoding in encodings]

    def fixed(model: object, encodings: list, goals: list, *, seed: int) -> list[np.ndarray]:
        return [np.arange(len(encoding)) ** 2.0 for encoding in encodings]

    means = []
    for method in (drawn, fixed):
        versions = seed_versions(method, prepared.model, prepared.own, seeds=range(12))
        table = agreement_between(versions, prepared.items, range(4), seed=0)
        assert len(table) == 12 * 11 / 2 + 1
        means.append(table[table["score"] == PAIRS]["mean"].item())
    # 66 pairs of seeds in 3 texts.
    assert abs(means[0]) < 0.15
    assert means[1] == pytest.approx(1)
