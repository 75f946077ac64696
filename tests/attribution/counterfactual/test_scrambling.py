"""Counterfactual attention: against hooks used by hand, and where the answer is known."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution import AttributionError, prepare
from bertology.attribution.counterfactual.maps import Scrambler, maps_of, partners, text_numbers
from bertology.attribution.counterfactual.outputs import distance, read_output
from bertology.attribution.counterfactual.scrambling import Changes, scramble
from bertology.attribution.targets import Prepared
from bertology.capture import Hook, collate, hooked, replace_attention, uniform_attention
from bertology.corpora import Example
from bertology.models import LoadedModel

CaseOf = Callable[[str], SimpleNamespace]
Make = Callable[..., Example]

TEXTS = ["w1 w2 w3 w4 w5 w6", "w7 w8 w9", "w10 w11 w12 w13 w14 , w15", "w16 w17 w18", "w19 w20"]


def prepared_of(model: LoadedModel, make_example: Make, texts: list[str] = TEXTS) -> Prepared:
    return prepare(model, [make_example(text) for text in texts])


def of(changes: Changes, scope: str, layer: int | None = None, head: int | None = None) -> int:
    return [(c.scope, c.layer, c.head) for c in changes.cells].index((scope, layer, head))


def single(prepared: Prepared, number: int) -> Prepared:
    return Prepared([prepared.encodings[number]], [prepared.goals[number]], [0], [])


def test_only_the_head_that_is_heard_matters(one_head: LoadedModel, make_example: Make) -> None:
    changes = scramble(one_head, prepared_of(one_head, make_example), draws=2)
    heard = {of(changes, "all"), of(changes, "layer", 1), of(changes, "head", 1, 2)}
    assert len(changes.cells) == 1 + 3 + 12
    for values in (changes.scrambled, changes.noise):
        for cell in range(len(changes.cells)):
            if cell in heard:
                assert np.nanmean(values[:, cell]) > 1e-3
            else:
                assert np.nanmax(values[:, cell]) < 1e-6
    # Permuting all heads permutes this one alike.
    np.testing.assert_allclose(
        changes.scrambled[:, of(changes, "all")],
        changes.scrambled[:, of(changes, "head", 1, 2)], atol=1e-6,
    )  # fmt: skip


def test_attention_over_equal_values_does_not_matter(
    constant_values: LoadedModel, make_example: Make
) -> None:
    changes = scramble(constant_values, prepared_of(constant_values, make_example), draws=1)
    assert np.nanmax(changes.scrambled) < 1e-6
    assert np.nanmax(changes.noise) < 1e-6


def test_even_attention_is_changed_by_random_maps_alone(
    even_attention: LoadedModel, make_example: Make
) -> None:
    changes = scramble(even_attention, prepared_of(even_attention, make_example), draws=1)
    for place, name in enumerate(changes.maps):
        values = changes.scrambled[:, :, place]
        if name == "random":
            assert np.nanmean(values) > 0.01
        else:
            assert np.nanmax(values) < 1e-5


@pytest.mark.parametrize("name", ["bert classifier", "gpt2 lm", "albert encoder"])
def test_uniform_and_other_maps_are_those_of_the_interventions(
    case_of: CaseOf, make_example: Make, name: str
) -> None:
    model = case_of(name).model
    prepared = prepared_of(model, make_example)
    changes = scramble(model, prepared, draws=1, maps=("uniform", "other"))
    chosen = partners(prepared.encodings, 0)
    assert chosen == [None, 3, None, 1, None]
    for number in range(len(TEXTS)):
        batch, goals = collate([prepared.encodings[number]], model), [prepared.goals[number]]
        with torch.no_grad():
            base = read_output(model, batch, goals)
        for layer, head in ((0, 1), (2, 3)):
            table = torch.zeros(3, 4, dtype=torch.bool)
            table[layer, head] = True
            hooks = [uniform_attention(table)]
            if (other := chosen[number]) is not None:
                donor = maps_of(model, collate([prepared.encodings[other]], model))
                hooks.append(replace_attention(donor, table))
            own = changes.scrambled[number, of(changes, "head", layer, head), :, 0]
            for place, hook in enumerate(hooks):
                with torch.no_grad(), hooked(model.module, hook):
                    moved = distance(changes.metric, read_output(model, batch, goals), base)
                assert own[place] == pytest.approx(moved.item(), rel=1e-3, abs=1e-6)
                assert own[place] > 1e-6
            assert np.isnan(own[1]) == (other is None)


@pytest.mark.parametrize("name", ["bert classifier", "gpt2 classifier", "llama lm"])
def test_batch_equals_singles(case_of: CaseOf, make_example: Make, name: str) -> None:
    model = case_of(name).model
    prepared = prepared_of(model, make_example)
    options = {"maps": ("permuted", "uniform", "random"), "scopes": ("all", "layer"), "draws": 2}
    together = scramble(model, prepared, **options)
    for number in (0, 1, 4):
        alone = scramble(model, single(prepared, number), **options)
        for values in ("scrambled", "noise"):
            np.testing.assert_allclose(
                getattr(together, values)[number], getattr(alone, values)[0], rtol=1e-3, atol=1e-5
            )


def test_draws_hang_on_seed_draw_and_text(case_of: CaseOf, make_example: Make) -> None:
    model = case_of("bert classifier").model
    prepared = prepared_of(model, make_example)
    first, again, other = (
        scramble(model, prepared, draws=2, scopes=("all",), seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.scrambled, again.scrambled)
    np.testing.assert_array_equal(first.noise, again.noise)
    for place in (0, 3):
        own = first.scrambled[:, 0, place]
        assert (own != other.scrambled[:, 0, place]).any()
        assert (own[:, 0] != own[:, 1]).any()


@pytest.mark.parametrize("kind", ["permuted", "random"])
@pytest.mark.parametrize("name", ["bert classifier", "gpt2 lm"])
def test_drawn_maps_and_changes_of_equal_norm(
    case_of: CaseOf, make_example: Make, name: str, kind: str
) -> None:
    """Rows stay distributions over the visible keys, and the noise is as large as the change."""
    model = case_of(name).model
    encodings = prepared_of(model, make_example).encodings
    batch = collate(encodings, model)
    outputs: list[torch.Tensor] = []
    maps: list[tuple[torch.Tensor, torch.Tensor]] = []

    def look(event: object) -> None:
        if event.site.layer == 1:
            outputs.append(event.head_output)
            maps.append((event.attention, event.visible.expand_as(event.attention)))

    heads = [torch.zeros(4, dtype=torch.bool) for _ in range(3)]
    heads[1][2] = True
    scrambler = Scrambler(text_numbers(encodings), {}, heads)
    with torch.no_grad(), hooked(model.module, scrambler.hook(), Hook(observe=look)):
        model.module(**batch.inputs)
        scrambler.map, scrambler.seed = kind, "0"
        model.module(**batch.inputs)
        scrambler.noise = True
        model.module(**batch.inputs)
    intact, scrambled, noise = outputs
    real = batch.mask.bool()
    moved, pushed = (scrambled - intact)[real].norm(dim=-1), (noise - intact)[real].norm(dim=-1)
    torch.testing.assert_close(moved, pushed, rtol=1e-4, atol=1e-5)
    assert (moved[:, 2] > 1e-3).float().mean() > 0.5
    assert (moved[:, [0, 1, 3]] == 0).all()
    cosine = torch.nn.functional.cosine_similarity(
        (scrambled - intact)[real][:, 2], (noise - intact)[real][:, 2]
    )
    assert cosine.mean().abs() < 0.4
    before, after = maps[0][0][:, 2][real], maps[1][0][:, 2][real]
    torch.testing.assert_close(after.sum(-1), torch.ones(len(after)))
    assert (after[~maps[1][1][:, 2][real]] == 0).all()
    same = torch.allclose(after.sort(-1).values, before.sort(-1).values)
    assert same == (kind == "permuted")


def test_random_rows_are_flat_over_the_simplex(case_of: CaseOf) -> None:
    """Weights of Dirichlet(1, …, 1) over n keys: mean 1/n, variance (n − 1)/(n²(n + 1))."""
    from bertology.attribution.counterfactual.maps import random_directions, random_map

    attention, visible = torch.zeros(40, 6, 8, 8), torch.ones(40, 1, 8, 8, dtype=torch.bool)
    visible[..., 5:] = False
    drawn = random_map(attention, visible, None, "0", torch.arange(40))[..., :5].reshape(-1, 5)
    np.testing.assert_allclose(drawn.mean(0), 1 / 5, atol=0.02)
    np.testing.assert_allclose(drawn.var(0), 4 / (25 * 6), rtol=0.1)
    directions = random_directions(torch.zeros(40, 8, 6, 5), None, "0", torch.arange(40))
    flat = directions.reshape(-1, 5)
    np.testing.assert_allclose(flat.norm(dim=1), 1, rtol=1e-6)
    np.testing.assert_allclose(flat.T @ flat / len(flat), np.eye(5) / 5, atol=0.02)


def test_partners_are_as_long_and_not_the_same_text(case_of: CaseOf, make_example: Make) -> None:
    model = case_of("bert classifier").model
    texts = ["w1 w2 w3", "w1 w2 w3", "w4 w5 w6 w7", "w8 w9 w10"]
    prepared = prepared_of(model, make_example, texts)
    assert partners(prepared.encodings, 0) == [3, 3, None, partners(prepared.encodings, 0)[3]]
    assert partners(prepared.encodings, 0)[3] in (0, 1)


def test_output_distances_by_hand() -> None:
    p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1]])
    assert distance("total_variation", p, q).item() == pytest.approx(0.4)
    assert distance("cosine_distance", p, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(
        1 - 0.5**0.5
    )
    number = torch.tensor([[1.5]]), torch.tensor([[-0.5]])
    assert distance("absolute_change", *number).item() == pytest.approx(2)


def test_metric_suits_the_output(case_of: CaseOf, make_example: Make) -> None:
    expected = {"bert classifier": "total_variation", "gpt2 lm": "total_variation",
                "albert encoder": "cosine_distance"}  # fmt: skip
    for name, metric in expected.items():
        model = case_of(name).model
        found = scramble(model, prepared_of(model, make_example), scopes=("all",), draws=1)
        assert found.metric == metric
        assert np.nanmin(found.scrambled) > 1e-6
    model = case_of("bert classifier").model
    own = prepare(model, [make_example("w1 w2 w3")], target=lambda out, batch: out.logits[:, 0])
    assert scramble(model, own, scopes=("all",), draws=1).metric == "absolute_change"


def test_bad_options_are_refused(case_of: CaseOf, make_example: Make) -> None:
    model = case_of("bert classifier").model
    prepared = prepared_of(model, make_example)
    with pytest.raises(AttributionError, match="any of all, layer, head"):
        scramble(model, prepared, scopes=("row",))
    with pytest.raises(AttributionError, match="any of permuted"):
        scramble(model, prepared, maps="uniform")
    with pytest.raises(AttributionError, match="at least 1"):
        scramble(model, prepared, draws=0)
