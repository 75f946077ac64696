"""Comprehensiveness text by text is what the table of faithfulness averages."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bertology.attribution import AttributionError, faithfulness, head_maps, prepare, score_all
from bertology.attribution.faithfulness import comprehensiveness
from bertology.attribution.verdict import FAITHFUL, RANKS, Declaration
from bertology.attribution.verdict.evidence import text_evidence
from bertology.corpora import Examples

CaseOf = Callable[[str], SimpleNamespace]


@pytest.fixture(scope="module")
def scored(case_of: CaseOf) -> SimpleNamespace:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples)
    scores, _ = score_all(case.model, prepared, unit="word", seed=0)
    table = faithfulness(case.model, prepared, scores, range(len(scores)), seed=0)
    return SimpleNamespace(
        model=case.model, examples=case.examples, prepared=prepared, scores=scores,
        table=table.set_index(["score", "metric", "operator"]),
    )  # fmt: skip


def test_means_are_those_of_faithfulness(scored: SimpleNamespace) -> None:
    names = ["attention_mean", "leave_one_out", "random"]
    rankings = [np.stack([own.named[name] for name in names]) for own in scored.scores]
    items = [own.items for own in scored.scores]
    drops = comprehensiveness(
        scored.model, scored.prepared, items, rankings, operators=None, seed=0
    )
    assert list(drops) == ["delete", "mask"]
    for operator, values in drops.items():
        # The text of three words is too short.
        assert np.isnan(values).any(1).tolist() == [len(own) < 6 for own in items]
        for place, name in enumerate(names):
            mean = scored.table.loc[(name, "comprehensiveness", operator), "mean"]
            assert np.nanmean(values[:, place]) == pytest.approx(mean, abs=1e-6)


def test_a_missing_ranking_is_left_out(scored: SimpleNamespace) -> None:
    items = [own.items for own in scored.scores]
    whole = [own.attention[:2] for own in scored.scores]
    gap = [np.vstack([own, np.full(own.shape[1], np.nan)]) for own in whole]
    gap = [own[[0, 2, 1]] for own in gap]
    both = [
        comprehensiveness(scored.model, scored.prepared, items, own, operators=("delete",), seed=0)[
            "delete"
        ]
        for own in (whole, gap)
    ]
    assert np.isnan(both[1][:, 1]).all()
    np.testing.assert_allclose(both[0], both[1][:, [0, 2]], atol=1e-6)
    with pytest.raises(AttributionError, match="operator is 'cut'"):
        comprehensiveness(scored.model, scored.prepared, items, whole, operators=("cut",), seed=0)


def test_evidence_is_the_paired_difference_of_the_table(scored: SimpleNamespace) -> None:
    units = range(len(scored.scores))
    evidence, record = text_evidence(
        scored.model, scored.prepared, scored.scores, units, Declaration(), seed=0
    )
    for operator in ("delete", "mask"):
        own = evidence[(evidence["claim"] == FAITHFUL) & (evidence["part"] == operator)]
        row = scored.table.loc[("attention_mean", "comprehensiveness", operator)]
        assert own["value"].mean() == pytest.approx(row["difference"], abs=1e-6)
        assert own["example"].tolist() == [0, 2, 3]
    assert record["operators"] == ["delete", "mask"]
    assert set(record["best_method"]) <= set(Declaration.importance)
    # Set beside itself, a method is as good as the best.
    alone = Declaration(score="leave_one_out", importance=("leave_one_out",))
    evidence, _ = text_evidence(scored.model, scored.prepared, scored.scores, units, alone, seed=0)
    assert (evidence[evidence["claim"] == RANKS]["value"] == 0).all()


def test_the_map_of_a_head_ranks_like_a_score(scored: SimpleNamespace) -> None:
    examples = Examples("texts", tuple(scored.examples), "0")
    table = head_maps(scored.model, examples).table
    assert table[["layer", "head"]].to_numpy().tolist() == [
        [layer, head] for layer in range(3) for head in range(4)
    ]
    for own in scored.scores:
        own.named["one_head"] = own.attention[6]
    by_name = faithfulness(
        scored.model, scored.prepared, scored.scores, range(len(scored.scores)), seed=0,
        names=["one_head"],
    )  # fmt: skip
    rows = by_name[(by_name["score"] == "one_head") & (by_name["metric"] == "comprehensiveness")]
    assert table.loc[6, "advantage"] == pytest.approx(rows["difference"].mean(), abs=1e-6)
    assert table["n"].eq(3).all() and table["descriptive"].all()
    fewer = head_maps(scored.model, examples, declared=Declaration(texts=2))
    assert fewer.provenance.sentences == 2 and fewer.provenance.options["drawn_from"] == 4


def test_texts_that_are_all_too_short_give_empty_cells(scored: SimpleNamespace) -> None:
    short = next(n for n, own in enumerate(scored.scores) if len(own.items) < 6)
    prepared = replace(
        scored.prepared, encodings=[scored.prepared.encodings[short]],
        goals=[scored.prepared.goals[short]], kept=[short],
    )  # fmt: skip
    table = faithfulness(scored.model, prepared, [scored.scores[short]], [0], seed=0)
    assert len(table) > 0 and table["mean"].isna().all() and (table["n"] == 0).all()
    ranked = scored.scores[short].attention[:2]
    drops = comprehensiveness(
        scored.model, prepared, [scored.scores[short].items], [ranked], operators=None, seed=0
    )
    assert all(own.shape == (1, 2) and np.isnan(own).all() for own in drops.values())
