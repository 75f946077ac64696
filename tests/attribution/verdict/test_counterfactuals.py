"""What other attention says, on models where it is known."""

import copy
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution import AttributionError, Declaration, scrambled, searched
from bertology.attribution.verdict import NEEDED, NO_ALTERNATIVE, drawn
from bertology.corpora import Examples
from bertology.models import LoadedModel

CaseOf = Callable[[str], SimpleNamespace]
SHORT = Declaration(steps=12, restarts=1)


@pytest.fixture(scope="module")
def case(case_of: CaseOf) -> SimpleNamespace:
    own = case_of("bert classifier")
    return SimpleNamespace(model=own.model, examples=Examples("texts", tuple(own.examples), "0"))


@pytest.fixture(scope="module")
def deaf(case: SimpleNamespace) -> LoadedModel:
    """The same model, whose heads bring next to nothing whatever they attend to."""
    module = copy.deepcopy(case.model.module)
    with torch.no_grad():
        for layer in module.bert.encoder.layer:
            layer.attention.self.value.weight.mul_(1e-3)
    return replace(case.model, module=module)


def test_evidence_is_what_the_table_averages(case: SimpleNamespace) -> None:
    found = scrambled(case.model, case.examples)
    row = found.table[found.table["metric"] == "total_variation"].iloc[0]
    assert (row["scope"], row["map"]) == ("all", "permuted")
    assert found.evidence["value"].mean() == pytest.approx(row["difference"])
    assert set(found.evidence["claim"]) == {NEEDED} and len(found.evidence) == 4
    assert (found.evidence["value"] != 0).all()


def test_heads_alone_bear_on_no_claim(case: SimpleNamespace) -> None:
    found = scrambled(case.model, case.examples.first(2), scopes=("head",))
    assert found.evidence.empty
    assert set(found.table["scope"]) == {"head"}


def test_attention_that_brings_nothing_is_not_needed(deaf: LoadedModel, case: SimpleNamespace):
    assert scrambled(deaf, case.examples).evidence["value"].abs().max() < 1e-3
    # Any other attention does as well: the search moves nearly all of it.
    strict = replace(SHORT, epsilon=1e-4)
    found = searched(deaf, case.examples, declared=strict)
    assert found.evidence["value"].min() > 0.5
    found = searched(case.model, case.examples, declared=strict)
    assert found.evidence["value"].max() < 0.2


def test_other_seeds_are_subtracted(case: SimpleNamespace, deaf: LoadedModel) -> None:
    plain = searched(case.model, case.examples, declared=SHORT)
    same = searched(case.model, case.examples, declared=SHORT, seeds=[case.model])
    other = searched(case.model, case.examples, declared=SHORT, seeds=[deaf])
    np.testing.assert_allclose(plain.evidence["value"], same.evidence["value"], atol=1e-6)
    assert (other.evidence["value"] < plain.evidence["value"] - 1e-3).all()
    assert set(plain.evidence["claim"]) == {NO_ALTERNATIVE}
    assert (plain.evidence["part"].iloc[0], same.evidence["part"].iloc[0]) == (
        "divergence", "beyond other seeds",
    )  # fmt: skip
    assert same.provenance.options["seeds"] == [case.model.name]
    stranger = replace(case.model, task="encoder")
    with pytest.raises(AttributionError, match="same classes"):
        searched(case.model, case.examples, declared=SHORT, seeds=[stranger])


def test_texts_are_drawn_with_the_seed_and_counted(case: SimpleNamespace) -> None:
    few = Declaration(texts=2)
    found = scrambled(case.model, case.examples, declared=few, seed=3)
    assert found.provenance.sentences == 2
    assert found.provenance.options["drawn_from"] == 4
    assert found.provenance.options["most_texts"] == 2
    assert drawn(case.model, case.examples, 4, seed=3).kept == [0, 1, 2, 3]
    draws = {tuple(drawn(case.model, case.examples, 2, seed=seed).kept) for seed in range(20)}
    assert len(draws) > 1
    assert all(first < second for first, second in draws)


def test_texts_that_cannot_be_read_are_not_drawn(case: SimpleNamespace) -> None:
    bad = replace(case.examples.examples[0], rationale=(True,))
    given = replace(case.examples, examples=(bad, bad, *case.examples.examples))
    for seed in range(5):
        prepared = drawn(case.model, given, 3, seed=seed)
        assert len(prepared.kept) == 3 and min(prepared.kept) >= 2
        ids = [own.sentence.text for own in prepared.encodings]
        assert ids == [own.sentence.text for own in given.part(prepared.kept).examples]
    found = scrambled(case.model, given, declared=Declaration(texts=3))
    assert found.provenance.sentences == 3 and found.provenance.options["drawn_from"] == 4
    # Texts are numbered as those of the explanation are.
    assert found.evidence["example"].min() >= 2


def test_quantity_is_what_is_explained(case: SimpleNamespace) -> None:
    prepared = drawn(case.model, case.examples, 4, quantity="probability")
    assert all(0 < goal.value < 1 and goal.quantity == "probability" for goal in prepared.goals)
    found = scrambled(case.model, case.examples, quantity="margin")
    assert found.provenance.options["quantity"] == "margin"
