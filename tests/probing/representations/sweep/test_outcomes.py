"""Outcomes and mixes, worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from bertology.probing.representations.estimators.mix import expected_layer
from bertology.probing.representations.sweep.mixes import mix_table
from bertology.probing.representations.sweep.outcomes import Fitted, Outcome, outcome_of
from bertology.probing.representations.sweep.plan import Planned
from bertology.probing.representations.sweep.problems import pose
from bertology.probing.representations.sweep.sums import Units
from bertology.probing.representations.tasks import TASKS
from bertology.stats.intervals import DRAWS, _resample

PLAN = [Planned(0, 0), Planned(0, 1), Planned(0, 0, 7), Planned(0, 0, 8), Planned(1, 0),
        Planned(2, 0), Planned(3, 0)]  # fmt: skip
RIGHT = np.array([
    [1, 1, 1, 1], [1, 1, 0, 0],  # two starts
    [1, 1, 1, 0], [1, 0, 0, 0],  # two training samples
    [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0],  # three control draws
]).astype(bool)  # fmt: skip


def fitted(right):
    held = np.array([0.9, 0.7, 0.1, 0.1, 0.4, 0.2, 0.3])
    return Fitted(right, held, np.full(7, 0.1), np.zeros((7, 0)))


@pytest.fixture(scope="module")
def problem(make_states):
    return pose(TASKS["upos"], make_states(0, 60, 1.0), make_states(1, 60, 1.0),
                control_draws=3, seed=0)  # fmt: skip


def test_starts_samples_and_draws_are_told_apart(problem):
    found = outcome_of(problem, PLAN, [fitted(RIGHT)], source="model", probe="mlp", layer=2)
    assert found.own.tolist() == [1, 1, 0.5, 0.5]
    assert found.control.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]]
    assert found.held == pytest.approx(0.8) and found.held_control == pytest.approx(0.3)
    assert found.seed_sd == pytest.approx(np.std([1.0, 0.5], ddof=1))
    assert found.training_sd == pytest.approx(np.std([0.75, 0.25], ddof=1))
    assert np.isnan(found.random_model_sd)


def test_random_models_are_averaged_and_spread(problem):
    models = [fitted(RIGHT), fitted(~RIGHT)]
    found = outcome_of(problem, PLAN, models, source="random_layers", probe="mlp", layer=2)
    assert found.own.tolist() == [0.5] * 4
    assert found.random_model_sd == pytest.approx(np.std([0.75, 0.25], ddof=1))


def mix(layer, own, weights):
    return Outcome("upos", "model", "mix", layer, np.array(own, float), np.zeros((0, len(own))),
                   weights=np.array(weights))  # fmt: skip


def test_what_a_mix_draws_on():
    # 40 items; mixes of 0, of 0 and 3, and of 0, 3 and 6 get 10, 30 and 35 right.
    rights = {0: 10, 3: 30, 6: 35}
    even = np.full((2, 3), 1 / 3)
    mixes = [
        mix(layer, np.arange(40) < right, even[:, : place + 1])
        for place, (layer, right) in enumerate(rights.items())
    ]
    units = Units(np.arange(40), seed=0)
    found = mix_table(mixes, units).set_index("quantity")
    assert found.loc["centre_of_gravity", "value"] == pytest.approx(3)
    assert found.loc["weight_entropy", "value"] == pytest.approx(np.log(3))
    assert found.loc["centre_of_gravity", "seed_sd"] == pytest.approx(0)
    expected = found.loc["expected_layer"]
    assert expected["value"] == pytest.approx((3 * 20 + 6 * 5) / 25)
    assert 3 <= expected["ci_low"] < expected["value"] < expected["ci_high"] <= 6
    # Where the mix of all is no better than the embeddings, no layer is expected.
    worse = [*mixes[:2], replace(mixes[2], own=mixes[0].own)]
    assert np.isnan(mix_table(worse, units).set_index("quantity").loc["expected_layer", "value"])


def test_draws_without_a_gain_do_not_count():
    # Of 40 items the mix of all layers has 2 more right than layer 0: many draws have no gain.
    own = np.zeros((3, 40))
    own[0, :11], own[1, 8:20], own[2, 5:18] = 1, 1, 1
    mixes = [mix(k, own[k], np.full((1, k + 1), 1 / (k + 1))) for k in range(3)]
    found = mix_table(mixes, Units(np.arange(40), seed=0)).set_index("quantity")
    draws = expected_layer(_resample(np.random.default_rng(0), 40, DRAWS) @ own.T)
    assert 0.2 < np.isnan(draws).mean() < 0.5
    row = found.loc["expected_layer"]
    assert row["value"] == pytest.approx(1.5)
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(np.nanquantile(draws, [0.025, 0.975]))


def test_units_resample_counts_with_values():
    counts = np.arange(1.0, 41.0)
    units = Units(np.arange(40), 0, counts)
    value, low, high = units.intervals(np.stack([counts, counts / 2, np.minimum(counts, 10)]))
    assert value[:2].tolist() == [1.0, 0.5] and units.n == 820
    # What is the same share of every unit does not vary.
    np.testing.assert_allclose(np.stack([low[:2], high[:2]]), [[1.0, 0.5]] * 2)
    assert low[2] < value[2] < high[2]
