"""Soft sufficiency and comprehensiveness of sums, whose expectation is known."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bertology.attribution import AttributionError
from bertology.attribution.faithfulness import soft_faithfulness
from bertology.attribution.faithfulness.soft import scaled
from bertology.models import LoadedModel

Make = Callable[..., SimpleNamespace]
WEIGHTS = np.array([3, 10, 1, 8, 5, 2, 9, 4])


def rows(table: pd.DataFrame, score: str) -> dict[str, float]:
    own = table[table["score"] == score]
    return dict(zip(own["metric"], own["mean"], strict=True))


def test_scores_are_scaled() -> None:
    np.testing.assert_array_equal(scaled(np.array([-1.0, 0, 1, 4])), [0, 0, 0.25, 1])
    np.testing.assert_array_equal(scaled(np.array([7.0, 7])), [1, 1])
    np.testing.assert_array_equal(scaled(np.array([-7.0, 0])), [0, 0])


def test_all_or_nothing_and_in_between(toy: Callable[..., LoadedModel], make_case: Make) -> None:
    model = toy(lambda x, mask: (x * mask).sum(1))
    case = make_case(
        model, [WEIGHTS], [WEIGHTS.sum()],
        attention_mean=np.ones_like, rollout=lambda own: -own, leave_one_out=lambda own: own,
    )  # fmt: skip
    table = soft_faithfulness(model, case.prepared, case.scores, [0], seed=0, draws=400)
    for score, whole in (("attention_mean", 1), ("rollout", 0)):
        expected = {"soft_sufficiency": whole, "soft_comprehensiveness": whole}
        assert rows(table, score) == pytest.approx(expected, abs=1e-6)
    # Each word is kept with probability weight / 10 and is worth weight / 42.
    share = (WEIGHTS * WEIGHTS / 10).sum() / WEIGHTS.sum()
    expected = {"soft_sufficiency": share, "soft_comprehensiveness": share}
    assert rows(table, "leave_one_out") == pytest.approx(expected, abs=0.03)
    flipped = rows(table, "leave_one_out_reversed")
    assert flipped["soft_comprehensiveness"] == pytest.approx(0, abs=1e-6)


def test_a_constant_function_is_left_out(toy: Callable[..., LoadedModel], make_case: Make) -> None:
    model = toy(lambda x, mask: 0 * x.sum(1) + 3)
    case = make_case(model, [WEIGHTS], [3.0], leave_one_out=lambda own: own)
    table = soft_faithfulness(model, case.prepared, case.scores, [0], seed=0)
    assert (table["n"] == 0).all() and set(table["operator"]) == {"soft"}
    with pytest.raises(AttributionError, match="draws is 0"):
        soft_faithfulness(model, case.prepared, case.scores, [0], seed=0, draws=0)
