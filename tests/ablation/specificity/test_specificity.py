"""Two heads with a behaviour each dissociate; one head with both does not."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from bertology import BertologyError
from bertology.ablation.specificity import (
    Behaviour,
    Specificity,
    by_class,
    by_paradigm,
    probing_behaviour,
    specificity,
)
from bertology.capture import collate, gate_heads, hooked
from bertology.corpora import Examples, MinimalPair, MinimalPairs, encode
from bertology.probing.representations import LinearProbe, states_of_model

A, B = (0, 3), (0, 7)
GROUPS = {"A": [A], "B": [B], "neither": [(0, 1)]}
TEST = [(("A", "a"), ("B", "b"))]


@pytest.fixture(scope="module")
def behaviours(texts_of):
    return {"a": texts_of("a"), "b": texts_of("b")}


@pytest.fixture(scope="module")
def apart(handmade, behaviours):
    model = handmade(24, {A[1]: "a", B[1]: "b"})
    return specificity(model, behaviours, parts=GROUPS, dissociations=TEST)


def accuracy(model, examples, off=()):
    """From one whole pass with gates, an independent way to the same number."""
    gates = torch.ones(1, model.config.num_attention_heads)
    for layer, head in off:
        gates[layer, head] = 0
    batch = collate([encode(e.sentence, model.tokenizer) for e in examples.examples], model)
    with torch.no_grad(), hooked(model.module, gate_heads(gates)):
        predicted = model.module(**batch.inputs).logits.argmax(-1).tolist()
    pairs = zip(predicted, examples.examples, strict=True)
    return float(np.mean([model.labels[code] == example.label for code, example in pairs]))


def test_two_heads_with_a_behaviour_each_dissociate(apart):
    (row,) = apart.dissociations.itertuples()
    assert row.supported and row.p_adjusted == row.p < 0.05
    assert row.b_without_a == row.a_without_b == 0
    assert min(row.a_without_a, row.b_without_b) > 0.3
    assert row.interaction == pytest.approx(row.a_without_a + row.b_without_b)
    assert row.ci_low > 0.5 and row.p_contrasts == pytest.approx(1 / 2001)
    # One of 24 heads of the layer, and the worst to lose.
    assert row.sets_a == row.sets_b == 23
    assert row.p_matched_a == row.p_matched_b == pytest.approx(1 / 24) == row.p
    contrasts = apart.contrasts
    assert len(contrasts) == 5 and (contrasts.ci_low > 0).all()
    assert contrasts.set_index("contrast").value["A hurts a more than b"] == row.a_without_a


def test_the_table_says_what_each_part_does(apart, handmade, behaviours):
    model = handmade(24, {A[1]: "a", B[1]: "b"})
    assert list(apart.table.columns[:10]) == [
        "part", "behaviour", "metric", "base", "ablated", "delta", "ci_low", "ci_high",
        "p_adjusted", "n",
    ]  # fmt: skip
    table = apart.table.set_index(["part", "behaviour"])
    assert len(table) == 6 and (table.metric == "accuracy").all() and (table.n == 60).all()
    for (part, name), row in table.iterrows():
        assert row.base == pytest.approx(accuracy(model, behaviours[name])) == 1
        assert row.ablated == pytest.approx(accuracy(model, behaviours[name], GROUPS[part]))
        own = (part, name) in (("A", "a"), ("B", "b"))
        assert (row.p_adjusted < 0.01) == own and (row.delta < 0) == own


def test_one_head_with_both_behaviours_does_not_dissociate(handmade, behaviours):
    model = handmade(24, {A[1]: "ab"})
    found = specificity(model, behaviours, parts=GROUPS, dissociations=TEST)
    (row,) = found.dissociations.itertuples()
    assert not row.supported and row.p > 0.5
    assert min(row.a_without_a, row.b_without_a) > 0.3, "A hurts both"
    assert row.a_without_b == row.b_without_b == 0
    assert row.p_matched_a < 0.05 < row.p_matched_b
    by_name = found.contrasts.set_index("contrast")
    assert by_name.ci_low["a is hurt by A more than by B"] > 0
    assert by_name.p["B hurts b more than a"] == 1


def test_a_head_among_few_cannot_be_told_from_its_layer(handmade, behaviours):
    model = handmade(12, {A[1]: "a", B[1]: "b"})
    (row,) = specificity(
        model, behaviours, parts=GROUPS, dissociations=TEST
    ).dissociations.itertuples()
    assert row.p_contrasts < 0.001 and row.sets_a == 11
    assert row.p == row.p_matched_a == pytest.approx(1 / 12) and not row.supported


def test_tests_are_corrected_together(handmade, behaviours):
    model = handmade(24, {A[1]: "a", B[1]: "b"})
    turned = (("A", "b"), ("B", "a"))
    found = specificity(
        model, behaviours, parts=GROUPS, dissociations=[*TEST, turned]
    ).dissociations
    assert found.p_adjusted[0] == pytest.approx(2 / 24) and not found.supported.any()
    assert found.p[1] == 1 and found.interaction[1] == -found.interaction[0]


def test_every_head_is_measured_unless_parts_are_named(handmade, behaviours):
    found = specificity(handmade(12, {A[1]: "a"}), {"a": behaviours["a"]})
    assert found.table.part.tolist() == [f"L0H{head}" for head in range(12)]
    assert found.table.delta.idxmin() == 3
    assert found.contrasts.empty and found.dissociations.empty


def test_a_loss_that_grows_is_a_hurt(handmade, behaviours):
    model = handmade(24, {A[1]: "a", B[1]: "b"})
    losses = {name: Behaviour(data, metric="loss") for name, data in behaviours.items()}
    found = specificity(model, losses, parts=GROUPS, dissociations=TEST)
    (row,) = found.dissociations.itertuples()
    assert row.supported and row.a_without_a > 0.3
    assert found.table.set_index(["part", "behaviour"]).delta["A", "a"] == pytest.approx(
        row.a_without_a
    )


def test_too_little_data_only_describes(handmade, texts_of):
    model = handmade(24, {A[1]: "a", B[1]: "b"})
    few = {"a": texts_of("a", 12), "b": texts_of("b", 60)}
    (row,) = specificity(model, few, parts=GROUPS, dissociations=TEST).dissociations.itertuples()
    assert row.descriptive and np.isnan(row.p) and np.isnan(row.p_adjusted) and not row.supported
    assert row.a_without_a > 0.3


def test_the_files(apart, tmp_path):
    loaded = Specificity.load(apart.save(tmp_path / "s"))
    for name in ("table", "contrasts", "dissociations"):
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(apart, name))
    assert loaded.provenance.sentences == 120
    assert set(loaded.provenance.options["behaviours"]) == {"a", "b"}


def test_paradigms_and_classes(tiny_model, handmade, texts_of):
    pairs = MinimalPairs(
        "pairs",
        tuple(
            MinimalPair(
                f"w{i} w{i + 1} w2", f"w{i} w{i + 2} w3", f"p{i % 2}", "agreement", id=str(i)
            )
            for i in range(12)
        ),
        "0" * 64,
    )  # fmt: skip
    model = tiny_model("gpt2", "causal-lm")
    found = specificity(model, by_paradigm(pairs), parts={"some": [(0, 1), (2, 3)]})
    assert found.table[["behaviour", "metric", "n"]].to_numpy().tolist() == [
        ["p0", "minimal_pairs", 6], ["p1", "minimal_pairs", 6]
    ]  # fmt: skip
    hits = []
    for pair in pairs.pairs[::2]:
        scores = []
        for text in (pair.good, pair.bad):
            ids = model.tokenizer(text, return_tensors="pt").input_ids
            with torch.no_grad():
                logits = model.module(input_ids=ids).logits[0, :-1].log_softmax(-1)
            scores.append(logits.gather(1, ids[0, 1:, None]).sum().item())
        hits.append(scores[0] > scores[1])
    assert found.table.base[0] == pytest.approx(np.mean(hits))

    classes = by_class(texts_of("a"))
    assert {name: len(each.data) for name, each in classes.items()} == {
        "LABEL_0": 30, "LABEL_1": 30
    }  # fmt: skip
    table = specificity(handmade(12, {A[1]: "a"}), classes, parts={"A": [A]}).table
    # Without the head all texts get the class that the rest prefers: one is lost, one is kept.
    assert table.base.tolist() == [1, 1] and table.ablated.sum() == pytest.approx(1, abs=0.35)


def test_a_probing_task_is_a_behaviour(tiny_model, sample):
    model = tiny_model("bert")
    train, held_out = sample.first(40), sample.first(60)
    held_out = type(held_out)(held_out.name, held_out.sentences[40:], held_out.sha256)
    behaviour = probing_behaviour(model, train, held_out)
    table = specificity(model, {"upos": behaviour}, parts={"all": [(2, h) for h in range(4)]}).table
    states = {name: states_of_model(model, data) for name, data in (("t", train), ("e", held_out))}
    labels = {
        name: np.array([tag for s in own.sentences for tag in s.upos])
        for name, own in states.items()
    }
    there = {name: own.word_tokens > 0 for name, own in states.items()}
    sentence = np.repeat(np.arange(len(states["t"].sentences)), np.diff(states["t"].offsets))
    probe = LinearProbe().fit(
        states["t"].read(3)[there["t"]], labels["t"][there["t"]],
        groups=states["t"].units[sentence][there["t"]],
    )  # fmt: skip
    right = probe.predict(np.nan_to_num(states["e"].read(3))) == labels["e"]
    offsets = states["e"].offsets
    shares = [right[i:j][there["e"][i:j]].mean() for i, j in pairwise(offsets)]
    assert table.base[0] == pytest.approx(np.mean(shares), abs=1e-3)
    assert table.metric[0] == "target" and table.delta[0] != 0


def test_bad_input_is_refused(handmade, behaviours, tiny_model, sample):
    model = handmade(12, {A[1]: "a"})
    for tests, message in (
        ([(("C", "a"), ("B", "b"))], "part 'C'"),
        ([(("A", "c"), ("B", "b"))], "behaviour 'c'"),
        ([(("A", "a"), ("A", "b"))], "two groups"),
        ([(("A", "a"), ("B", "a"))], "two behaviours"),
    ):
        with pytest.raises(BertologyError, match=message):
            specificity(model, behaviours, parts=GROUPS, dissociations=tests)
    mixed = {"a": behaviours["a"], "b": Behaviour(behaviours["b"], metric="loss")}
    with pytest.raises(BertologyError, match="measure both by the same"):
        specificity(model, mixed, parts=GROUPS, dissociations=TEST)
    with pytest.raises(BertologyError, match="no mean"):
        specificity(model, {"a": Behaviour(behaviours["a"], metric="mcc")})
    with pytest.raises(BertologyError, match="No behaviour"):
        specificity(model, {})
    with pytest.raises(BertologyError, match="head 12"):
        specificity(model, behaviours, parts={"A": [(0, 12)]})
    with pytest.raises(BertologyError, match="task='encoder'"):
        probing_behaviour(model, sample.first(3), sample.first(3))
    with pytest.raises(BertologyError, match="give one of words"):
        probing_behaviour(tiny_model("bert"), sample.first(3), sample.first(3), "arc")
    with pytest.raises(BertologyError):
        specificity(model, {"none": Examples("none", (), "")})
