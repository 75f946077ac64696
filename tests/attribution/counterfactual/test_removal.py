"""Decision flips: on a classifier that reads one word, and against masks by hand."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution import AttributionError, prepare
from bertology.attribution.counterfactual.removal import (
    decision_flips,
    hide_keys,
    removal_shares,
)
from bertology.attribution.targets import Prepared
from bertology.capture import Hook, collate, hooked
from bertology.corpora import Example
from bertology.models import LoadedModel

CaseOf = Callable[[str], SimpleNamespace]
Make = Callable[..., Example]


def test_the_word_that_is_read_flips_the_decision(
    one_reader: LoadedModel, make_example: Make
) -> None:
    """Hiding w5 flips LABEL_1; attention and gradient find it at once, random orders later."""
    one_reader.module.classifier.bias.data += torch.tensor([-0.3, 0.3])
    texts = ["w1 w5 w2 w3", "w4 w6 w5 w7 w8", "w5 w1"]
    prepared = prepare(one_reader, [make_example(text) for text in texts])
    assert {goal.name for goal in prepared.goals} == {"LABEL_1"}
    table = removal_shares(one_reader, prepared, range(3)).set_index("order")
    first = np.mean([1 / 4, 1 / 5, 1 / 2])
    for order in ("attention", "gradient", "attention_x_gradient"):
        assert table.loc[order, "mean"] == pytest.approx(first)
        assert table.loc[order, "never"] == 0 and table.loc[order, "n"] == 3
    assert table.loc["random", "mean"] > first
    assert table.loc["random", "difference"] == 0
    expected = table.loc["attention", "mean"] - table.loc["random", "mean"]
    if table.loc["random", "n"] == 3:
        assert table.loc["attention", "difference"] == pytest.approx(expected)
    assert table["descriptive"].all()


def test_texts_that_never_flip_are_kept_apart(one_reader: LoadedModel, make_example: Make) -> None:
    one_reader.module.classifier.bias.data += torch.tensor([-0.3, 0.3])
    texts = ["w1 w5 w2 w3", "w1 w2 w3", "w4 w6"]
    prepared = prepare(one_reader, [make_example(text) for text in texts])
    table = removal_shares(one_reader, prepared, range(3)).set_index("order")
    assert table.loc["attention", "n"] == 1
    assert table.loc["attention", "never"] == pytest.approx(2 / 3)
    assert table.loc["attention", "mean"] == pytest.approx(1 / 4)
    # w5 is the last word left in some of the random orders.
    assert table.loc["random", "never"] >= 2 / 3
    assert table.loc["random", "n"] == 1


def test_only_the_word_that_is_read_flips_alone(
    one_reader: LoadedModel, make_example: Make
) -> None:
    """w5 is the most attended and the one that is read; without it another word changes nothing."""
    one_reader.module.classifier.bias.data += torch.tensor([-0.3, 0.3])
    texts = ["w1 w5 w2 w3", "w5", "w1 w2 w3", "w4 w6 w5 w7 w8"]
    prepared = prepare(one_reader, [make_example(text) for text in texts])
    table = decision_flips(one_reader, prepared).set_index("example")
    assert table.index.tolist() == [0, 2, 3]  # A word alone is left out by `prepare`.
    assert table["flips_top"].tolist() == [True, False, True]
    assert not table["flips_random"].any()
    assert table.loc[[0, 3], "difference"].min() > 0.01
    assert table.loc[2, "difference"] == pytest.approx(0, abs=1e-3)
    never = removal_shares(one_reader, prepared, range(3)).set_index("order")["never"]
    assert never["attention"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", ["bert classifier", "gpt2 classifier"])
def test_hidden_keys_have_no_weight_and_rows_sum_to_one(case_of: CaseOf, name: str) -> None:
    case = case_of(name)
    batch = collate(prepare(case.model, case.examples).encodings, case.model)
    hidden = torch.zeros(batch.mask.shape, dtype=torch.bool)
    hidden[:, [0, 2]] = True
    maps: list[torch.Tensor] = []
    intact: list[torch.Tensor] = []
    with (
        torch.no_grad(),
        hooked(case.model.module, Hook(observe=lambda e: intact.append(e.attention))),
    ):
        case.model.module(**batch.inputs)
    with (
        torch.no_grad(),
        hooked(
            case.model.module, hide_keys(hidden), Hook(observe=lambda e: maps.append(e.attention))
        ),
    ):
        case.model.module(**batch.inputs)
    start = 1 if name == "gpt2 classifier" else 0  # the first row of a decoder sees itself alone
    for found in maps:
        for row, length in enumerate(batch.lengths):
            own = found[row, :, start:length, :length]
            assert (own[..., [0, 2]] == 0).all()
            torch.testing.assert_close(own.sum(-1), torch.ones(own.shape[:-1]))
    kept = intact[0][0, :, start:, :].clone()
    kept[..., [0, 2]] = 0
    torch.testing.assert_close(maps[0][0, :, start:], kept / kept.sum(-1, keepdim=True))


def test_batch_equals_singles(case_of: CaseOf) -> None:
    """The table of each text alone gives the means of the table of all."""
    case = case_of("llama classifier")
    prepared = prepare(case.model, case.examples)
    together = removal_shares(case.model, prepared, range(4)).set_index("order")
    shares = {order: [] for order in ("attention", "gradient", "attention_x_gradient")}
    for number in range(4):
        alone = Prepared([prepared.encodings[number]], [prepared.goals[number]], [0], [])
        single = removal_shares(case.model, alone, [0]).set_index("order")
        for order, own in shares.items():
            own.append(single.loc[order, "mean"])
    assert together["n"].max() > 0
    for order, own in shares.items():
        assert together.loc[order, "mean"] == pytest.approx(np.nanmean(own))
        assert together.loc[order, "never"] == pytest.approx(np.isnan(own).mean())


def test_gradient_is_that_of_the_decision(case_of: CaseOf) -> None:
    """Against finite differences: all weights on one key a little larger."""
    from bertology.attribution.counterfactual.removal import _weights

    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[1:2])
    batch = collate(prepared.encodings, case.model)
    ((scores, decision),) = _weights(case.model, batch, prepared.goals)

    def probability(step: float, key: int) -> float:
        def push(event: object) -> torch.Tensor:
            moved = event.attention.clone()
            moved[..., key] += step
            return moved

        with torch.no_grad(), hooked(case.model.module, Hook(edit_attention=push)):
            return case.model.module(**batch.inputs).logits.softmax(-1)[0, decision].item()

    slopes = [(probability(1e-3, key) - probability(-1e-3, key)) / 2e-3 for key in range(5)]
    np.testing.assert_allclose(scores[1], slopes, rtol=0.02, atol=2e-3)
    assert np.abs(slopes).max() > 0.02


def test_models_without_decisions_are_refused(case_of: CaseOf) -> None:
    case = case_of("albert encoder")
    prepared = prepare(case.model, case.examples)
    with pytest.raises(AttributionError, match="no decision that could flip"):
        removal_shares(case.model, prepared, range(4))
