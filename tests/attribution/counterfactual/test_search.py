"""The search for other attention, where it is known whether there is any."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from bertology.attribution import AttributionError, prepare
from bertology.attribution.counterfactual.maps import maps_of
from bertology.attribution.counterfactual.reading import largest_divergence, map_divergence
from bertology.attribution.counterfactual.search import search_alternatives
from bertology.attribution.targets import Prepared
from bertology.capture import collate
from bertology.corpora import Example
from bertology.models import LoadedModel

CaseOf = Callable[[str], SimpleNamespace]
Make = Callable[..., Example]
TEXTS = ["w1 w5 w2 w3", "w4 w6 w5"]


def prepared_of(model: LoadedModel, make_example: Make, texts: list[str] = TEXTS) -> Prepared:
    return prepare(model, [make_example(text) for text in texts])


def test_over_equal_values_any_attention_has_the_same_output(
    constant_values: LoadedModel, make_example: Make
) -> None:
    found = search_alternatives(
        constant_values, prepared_of(constant_values, make_example), epsilons=[0.001], steps=100,
        restarts=1, scopes=("all",),
    )  # fmt: skip
    assert (found.jsd[..., 0] > 0.9 * found.bound).all()
    assert (found.jsd <= found.bound[..., None] + 1e-5).all()
    assert (found.bound <= math.log(2)).all()
    assert found.moved.max() < 1e-5


def test_the_only_word_that_is_read_must_stay_attended_to(
    one_reader: LoadedModel, make_example: Make
) -> None:
    """Its row may not move at a small ε, though all others may; with the output free it does."""
    prepared = prepared_of(one_reader, make_example, TEXTS[:1])
    attention = maps_of(one_reader, collate(prepared.encodings, one_reader))[0]
    assert attention[0, 0, 0, 2] > 0.98
    found = search_alternatives(
        one_reader, prepared, epsilons=[0.005, 1.0], steps=150, restarts=2, scopes=("layer",)
    )
    tight, free = found.read_jsd[0, 0]
    assert tight < 0.01
    assert free > 0.9 * found.read_bound[0, 0] > 0.6
    # The other five rows of the last layer reach no output.
    assert found.jsd[0, 0, 0] > 0.8 * found.bound[0, 0] * 5 / 6
    assert found.moved[0, 0, 0] <= 0.005 < 0.3 < found.moved[0, 0, 1]


def test_layers_are_searched_apart(one_head: LoadedModel, make_example: Make) -> None:
    """Layers that are not heard are free, so they move as far as they can."""
    found = search_alternatives(
        one_head, prepared_of(one_head, make_example), epsilons=[1e-5], steps=60, restarts=1,
        scopes=("all", "layer"),
    )  # fmt: skip
    assert found.layers == (None, 0, 1, 2)
    share = (found.jsd[..., 0] / found.bound).min(0)
    assert share[1] > 0.8 and share[3] > 0.8
    assert found.moved[:, [1, 3]].max() < 1e-6
    assert share[2] < share[1] and share[0] < share[1]


def test_a_larger_epsilon_never_finds_less(case_of: CaseOf, make_example: Make) -> None:
    model = case_of("bert classifier").model
    found = search_alternatives(
        model, prepared_of(model, make_example), epsilons=[0.1, 1e-9, 0.01], steps=40
    )
    assert found.epsilons == (1e-9, 0.01, 0.1)
    assert (np.diff(found.jsd, axis=-1) >= 0).all()
    assert (found.moved <= np.array(found.epsilons)).all()
    assert found.jsd[..., 2].min() > 0.01
    # Nothing but the observed attention has exactly the same output in the first layers.
    assert found.jsd[:, 0, 0].max() == 0 and found.moved[:, 0, 0].max() == 0


def test_batch_equals_singles_and_parameters_get_no_gradient(
    case_of: CaseOf, make_example: Make
) -> None:
    for name in ("bert classifier", "gpt2 lm", "albert encoder"):
        model = case_of(name).model
        prepared = prepared_of(model, make_example, ["w1 w2 w3 w4 w5 w6", "w7 w8 w9"])
        options = {"epsilons": [0.05], "steps": 5, "restarts": 2, "scopes": ("all",)}
        together = search_alternatives(model, prepared, **options)
        assert together.jsd.min() > 0
        for number in range(2):
            alone = Prepared([prepared.encodings[number]], [prepared.goals[number]], [0], [])
            single = search_alternatives(model, alone, **options)
            np.testing.assert_allclose(together.jsd[number], single.jsd[0], rtol=0.02, atol=1e-4)
            np.testing.assert_allclose(together.bound[number], single.bound[0], rtol=1e-4)
        assert all(parameter.grad is None for parameter in model.module.parameters())


def test_divergence_of_maps_is_the_mean_over_heads_and_rows() -> None:
    generator = np.random.default_rng(0)
    first, second = (
        generator.dirichlet(np.ones(4), (2, 2, 3, 4)),
        generator.dirichlet(np.ones(4), (2, 2, 3, 4)),
    )
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    found = map_divergence(list(map(torch.tensor, first)), list(map(torch.tensor, second)), mask)
    apart = jensenshannon(first, second, axis=-1) ** 2  # (layer, text, head, query)
    assert found[0].item() == pytest.approx(apart[:, 0].mean(), rel=1e-4)
    assert found[1].item() == pytest.approx(apart[:, 1, :, :2].mean(), rel=1e-4)


def test_no_distribution_is_farther_than_the_bound() -> None:
    row = torch.tensor([0.5, 0.3, 0.05, 0.15, 0.0])
    visible = torch.tensor([True, True, True, True, False])
    bound = largest_divergence(row, visible).item()
    assert bound == pytest.approx(jensenshannon(row[:4], [0, 0, 1, 0]) ** 2, abs=1e-6)
    drawn = np.random.default_rng(0).dirichlet(np.full(4, 0.2), 2000)
    assert (jensenshannon(drawn, row[None, :4].numpy(), axis=-1) ** 2).max() <= bound
    assert largest_divergence(torch.tensor([1.0]), torch.tensor([True])).item() == 0


def test_bad_options_are_refused(case_of: CaseOf, make_example: Make) -> None:
    model = case_of("bert classifier").model
    prepared = prepared_of(model, make_example)
    for options, message in (
        ({"scopes": ("head",)}, "any of all, layer"),
        ({"epsilons": [0.0]}, "positive"),
        ({"steps": 0}, "at least 1"),
    ):
        with pytest.raises(AttributionError, match=message):
            search_alternatives(model, prepared, **options)
