"""Gates keep the head that matters, close the others, and leave the model as it was."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from bertology import BertologyError
from bertology.ablation.gates import LearnedGates, learn_gates
from bertology.ablation.gates.material import halved
from bertology.ablation.gates.scoring import gated_sums
from bertology.capture import gate_heads, hooked
from bertology.corpora import Examples

FAST = {"steps": 60, "learning_rate": 0.2, "batch": 8, "seeds": (0,)}
FREE, FAIR, DEAR = 0.0, 0.5, 50.0


@pytest.fixture(scope="module")
def found(one_head):
    model, examples = one_head
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    result = learn_gates(model, examples, penalties=(FREE, FAIR, DEAR), **FAST)
    after = model.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(one.grad is None and one.requires_grad for one in model.module.parameters())
    return result


def of(result, penalty, metric):
    rows = result.summary
    return rows[(rows.penalty == penalty) & (rows.metric == metric)].iloc[0]


def test_the_only_head_that_matters_is_kept(found):
    gates = found.table[found.table.penalty == FAIR].set_index(["layer", "head"])
    assert gates.index[gates.kept].tolist() == [(1, 2)]
    assert gates.gate[1, 2] == 1 and gates.open_probability[1, 2] > 0.95
    assert (gates.drop((1, 2)).open_probability < 0.1).all()
    row = of(found, FAIR, "accuracy")
    assert row.base == row.value == 1 and row.heads_kept == 1 and row.undecided == 0
    # Among 12 heads, a random one is this one in one draw of 12.
    assert row.random < 0.8 and row.random_low < 0.6 and of(found, FAIR, "loss").random > 1


def test_without_a_penalty_the_model_stays_what_it_is(found):
    row = of(found, FREE, "accuracy")
    assert row.value == 1 and row.delta == 0 and row.heads_kept >= 11
    assert abs(of(found, FREE, "loss").delta) < 0.01


def test_a_large_penalty_closes_all_heads(found):
    assert not found.table[found.table.penalty == DEAR].kept.any()
    row = of(found, DEAR, "accuracy")
    assert row.heads_kept == 0 and row.value < 0.7 and row.ci_high < 1
    assert row.random == pytest.approx(row.value) and row.p_random == 1, "nothing is left to deal"
    assert of(found, DEAR, "loss").delta_low > 1


def test_the_tables_and_their_files(found, tmp_path):
    assert list(found.table.columns) == [
        "penalty", "seed", "layer", "head", "log_alpha", "open_probability", "gate", "kept"
    ]  # fmt: skip
    assert len(found.table) == 3 * 12 and len(found.summary) == 3 * 2
    rows = found.summary
    assert ((rows.ci_low <= rows.value) & (rows.value <= rows.ci_high)).all()
    np.testing.assert_allclose(rows.value - rows.base, rows.delta, atol=1e-12)
    options = found.provenance.options
    assert options["learned_on"] + options["scored_on"] == found.provenance.sentences
    assert not rows.descriptive.any() and (rows.n == options["scored_on"]).all()
    loaded = LearnedGates.load(found.save(tmp_path / "gates"))
    pd.testing.assert_frame_equal(loaded.table, found.table)
    pd.testing.assert_frame_equal(loaded.summary, found.summary)


def test_a_seed_says_everything(one_head):
    model, examples = one_head
    short = {**FAST, "steps": 4, "penalties": (FAIR,), "draws": 2}
    first, again = (learn_gates(model, examples.first(40), **short) for _ in range(2))
    pd.testing.assert_frame_equal(first.table, again.table)
    pd.testing.assert_frame_equal(first.summary, again.summary)
    other = learn_gates(model, examples.first(40), **{**short, "seeds": (0, 1)})
    assert set(other.table.seed) == {0, 1}
    by_seed = [part.log_alpha.to_numpy() for _, part in other.table.groupby("seed")]
    np.testing.assert_array_equal(by_seed[0], first.table.log_alpha)
    assert not np.array_equal(*by_seed)


def test_a_trained_copy_recovers_what_gates_alone_cannot(one_head):
    """The labels turned round: no gate can learn them, and the weights can."""
    model, examples = one_head
    names = {"LABEL_0": "LABEL_1", "LABEL_1": "LABEL_0"}
    turned = Examples(
        "turned", tuple(replace(e, label=names[str(e.label)]) for e in examples.examples), ""
    )
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    options = {**FAST, "penalties": (FREE,), "draws": 1}
    frozen = of(learn_gates(model, turned, **options), FREE, "accuracy")
    trained = learn_gates(model, turned, train_model=True, model_learning_rate=5e-4, **options)
    row = of(trained, FREE, "accuracy")
    assert row.base == frozen.base == 0
    assert row.value > 0.8 and row.ci_low > frozen.ci_high
    after = model.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(one.grad is None for one in model.module.parameters())


@pytest.mark.parametrize(("family", "task"), [("gpt2", "causal-lm"), ("bert", "masked-lm")])
def test_language_models_are_scored_by_the_tokens_they_predict(
    tiny_model, random_examples, family, task
):
    model, examples = tiny_model(family, task), random_examples(12)
    material = halved(model, examples, 0)
    gates = torch.linspace(0, 1, 12).view(3, 4)
    settings = [torch.ones(3, 4), gates]
    sums = gated_sums(model, material.objective, material.scoring, settings, 0)
    again = gated_sums(model, material.objective, material.scoring, settings[:1], 0)
    np.testing.assert_allclose(sums[:1], again, atol=1e-5, err_msg="the same tokens are masked")
    assert not np.allclose(sums[0, :, 0], sums[1, :, 0], atol=1e-2)
    tokens = np.array([len(encoding) for encoding in material.scoring.encodings])
    if task == "causal-lm":
        assert (sums[..., 2] == tokens - 1).all()
        for place, encoding in enumerate(material.scoring.encodings):
            ids = torch.from_numpy(encoding.ids)[None].long()
            with torch.no_grad(), hooked(model.module, gate_heads(gates)):
                logits = model.module(input_ids=ids).logits[0, :-1]
            loss = functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
            assert sums[1, place, 0] == pytest.approx(loss, rel=1e-4)
            assert sums[1, place, 1] == (logits.argmax(-1) == ids[0, 1:]).sum()
    else:
        assert (sums[..., 2] == np.maximum(1, np.round(0.15 * (tokens - 2)))).all()
    result = learn_gates(model, examples, penalties=(0.1,), **{**FAST, "steps": 3, "draws": 2})
    row = of(result, 0.1, "loss")
    assert row.base == pytest.approx(sums[0, :, 0].sum() / sums[0, :, 2].sum(), rel=1e-5)
    assert row.n == 6 and row.descriptive and math.isfinite(row.value)


def test_labels_by_index_and_examples_without_one(one_head):
    model, examples = one_head
    part = examples.first(20)
    numbers = {"LABEL_0": "0", "LABEL_1": "1"}
    indexed = [replace(e, label=numbers[str(e.label)]) for e in part.examples]
    indexed[3] = replace(indexed[3], label=None)
    material = halved(model, Examples("indexed", tuple(indexed), ""), 0)
    assert len(material.learning) + len(material.scoring) == 19
    assert material.skipped == [[part.examples[3].id, "no label to learn from"]]
    assert set(material.scoring.labels) <= {"LABEL_0", "LABEL_1"}


def test_documents_stay_whole(tiny_model, random_examples):
    model, examples = tiny_model("gpt2", "causal-lm"), random_examples(60, document_size=3)
    material = halved(model, examples, 1)
    parts = [
        {encoding.sentence.document for encoding in half.encodings}
        for half in (material.learning, material.scoring)
    ]
    assert len(parts[0]) == len(parts[1]) == 10 and not parts[0] & parts[1]
    assert len(np.unique(material.units)) == 10


def test_bad_input_is_refused(one_head, tiny_model):
    model, examples = one_head
    few = examples.first(10)
    for options, message in (
        ({"penalties": ()}, "penalties"),
        ({"penalties": (-1.0,)}, "0 or above"),
        ({"seeds": ()}, "seeds"),
        ({"draws": 0}, "draws"),
        ({"steps": 0}, "steps is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"train_model": True, "model_learning_rate": -1.0}, "model_learning_rate"),
    ):
        with pytest.raises(BertologyError, match=message):
            learn_gates(model, few, **options)
    with pytest.raises(BertologyError, match="no loss that gates could keep"):
        learn_gates(tiny_model("bert"), few)
    with pytest.raises(BertologyError, match="at least two"):
        learn_gates(model, examples.first(1))
    wrong = Examples("wrong", (replace(few.examples[0], label="other"), *few.examples[1:]), "")
    with pytest.raises(BertologyError, match="labels"):
        learn_gates(model, wrong)
