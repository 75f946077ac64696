"""Deletion and insertion of words of known weight."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from bertology.attribution import AttributionError
from bertology.attribution.faithfulness import Curves, curves
from bertology.models import LoadedModel

Make = Callable[..., SimpleNamespace]


def run(case: SimpleNamespace, **options: object) -> Curves:
    return curves(  # type: ignore[misc]
        case.model, case.prepared, case.scores, case.units, seed=0, **options
    )


def test_areas_and_points_by_hand(toy: Callable[..., LoadedModel], make_case: Make) -> None:
    model = toy(lambda x, mask: (x * mask).sum(1))
    case = make_case(model, [np.array([1, 4, 2, 3, 6, 4])], [20.0], leave_one_out=lambda own: own)
    found = run(case, steps=6)
    left = np.array([20, 14, 10, 6, 3, 1, 0]) / 20
    points = found.points[found.points["score"] == "leave_one_out"]
    deletion = points[points["metric"] == "deletion"]
    np.testing.assert_allclose(deletion["mean"], left, atol=1e-6)
    np.testing.assert_allclose(deletion["share"], np.arange(7) / 6)
    insertion = points[points["metric"] == "insertion"]
    np.testing.assert_allclose(insertion["mean"], 1 - left, atol=1e-6)
    area = ((left[1:] + left[:-1]) / 2).mean()
    # More steps than words change nothing.
    for table in (found.table, run(case, steps=20).table):
        own = table[table["score"] == "leave_one_out"].set_index("metric")["mean"]
        assert own.to_dict() == pytest.approx({"deletion": area, "insertion": 1 - area}, abs=1e-6)


def test_a_perfect_ranking_falls_first_and_rises_first(planted: SimpleNamespace) -> None:
    table = run(planted).table
    rows = table.set_index(["metric", "score"])
    assert set(table["operator"]) == {"pad"}
    for metric, sign in (("deletion", -1), ("insertion", 1)):
        own = rows.loc[(metric, "leave_one_out")]
        for baseline in ("random", "leave_one_out_reversed", "position", "frequency"):
            assert sign * (own["mean"] - rows.loc[(metric, baseline), "mean"]) > 0.05
        ends = sorted([sign * own["difference_low"], sign * own["difference_high"]])
        assert ends[0] > 0
        # Chance takes and gives the words evenly.
        assert rows.loc[(metric, "random"), "mean"] == pytest.approx(0.5, abs=0.05)


def test_a_constant_function_stays_where_it_is(
    toy: Callable[..., LoadedModel], make_case: Make
) -> None:
    model = toy(lambda x, mask: 0 * x.sum(1) + 3)
    case = make_case(model, [np.arange(1, 9)], [3.0], leave_one_out=lambda own: own)
    table = run(case).table
    assert (table[table["n"] > 0]["mean"] == 1).all()


def test_no_steps_are_refused(planted: SimpleNamespace) -> None:
    with pytest.raises(AttributionError, match="steps is 0"):
        run(planted, steps=0)
