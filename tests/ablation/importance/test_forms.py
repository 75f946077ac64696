"""Michel's importance in three forms, of the target and of the loss."""

import numpy as np
import pytest
import torch

from bertology import BertologyError
from bertology.ablation.importance import importance, losses, signed_gradients
from bertology.ablation.importance.gradients import per_position, positions_read
from bertology.ablation.importance.loss import loss_goal
from bertology.attribution.targets import prepare
from bertology.capture import collate, gate_heads, hooked
from bertology.corpora import Example, Examples
from bertology.corpora.text import text_to_sentence

#: Two texts of four words: b is 2 in the first and −2 in the second, c is 3 and −3 in turn.
TEXTS = ("w0 w1 w0 w1", "w2 w3 w2 w3")
WRITTEN = 31


def written(outputs, batch):
    return (outputs[0][..., WRITTEN] * batch.mask).sum(1)


def last_layer(result):
    return result.table.importance.to_numpy().reshape(3, 4)[2]


def test_the_three_forms_rank_the_heads_differently(additive, texts):
    forms = {"position": {}, "example": {}, "batch": {"batch_size": 2}}
    found = {
        name: importance(additive, texts(*TEXTS), method=name, target=written, **options)
        for name, options in forms.items()
    }
    np.testing.assert_allclose(last_layer(found["position"]), [1, 2, 3, 0], atol=1e-6)
    np.testing.assert_allclose(last_layer(found["example"]), [4, 8, 0, 0], atol=1e-6)
    np.testing.assert_allclose(last_layer(found["batch"]), [4, 0, 0, 0], atol=1e-6)
    for result in found.values():
        assert (result.per_example[:, :2] == 0).all(), "heads whose output nobody reads"
    norm = np.sqrt(1 + 4 + 9)
    normalised = found["position"].table.normalised.to_numpy().reshape(3, 4)
    np.testing.assert_allclose(normalised[2], np.array([1, 2, 3, 0]) / norm, atol=1e-6)
    assert (normalised[:2] == 0).all(), "a layer without any importance is not divided by 0"


def test_the_order_decides_what_cancels_in_a_batch(additive, texts):
    mixed, apart = texts(TEXTS[0], TEXTS[1], *TEXTS), texts(*TEXTS[:1] * 2, *TEXTS[1:] * 2)
    for examples, b in ((mixed, 0), (apart, 8)):
        result = importance(additive, examples, method="batch", batch_size=2, target=written)
        np.testing.assert_allclose(last_layer(result), [4, b, 0, 0], atol=1e-6)


def test_batches_of_one_are_examples_and_one_batch_is_the_mean(tiny_model, random_examples):
    model, examples = tiny_model("bert", "classification"), random_examples(12)
    example = importance(model, examples)
    one, odd, whole = (
        importance(model, examples, method="batch", batch_size=size) for size in (1, 5, 12)
    )
    columns = ["importance", "ci_low", "ci_high", "normalised"]
    np.testing.assert_array_equal(one.table[columns], example.table[columns])
    np.testing.assert_array_equal(one.per_example, example.per_example)
    prepared = prepare(model, examples.examples)
    signed = signed_gradients(model, prepared.encodings, prepared.goals)
    np.testing.assert_allclose(whole.table.importance, np.abs(signed.mean(0)).ravel(), 1e-5)
    sums = sum(np.abs(signed[at].sum(0)) for at in (slice(0, 5), slice(5, 10), slice(10, 12)))
    np.testing.assert_allclose(odd.table.importance, sums.ravel() / 12, 1e-5)
    assert whole.table.ci_low.isna().all(), "one batch has no interval"
    assert odd.table.ci_low.notna().all() and (odd.table.n == 12).all()


def test_examples_of_a_batch_are_resampled_together(tiny_model, random_examples):
    model = tiny_model("bert", "classification")
    examples = random_examples(60, document_size=3)
    in_documents = importance(model, examples, method="batch", batch_size=3)
    across = importance(model, examples, method="batch", batch_size=4)
    assert in_documents.table.ci_low.notna().all()
    assert not in_documents.table.descriptive.any()
    # Batches of 4 chain documents of 3 in groups of four documents: 5 groups of 12 examples.
    assert across.table.descriptive.all() and across.table.ci_low.notna().all()


def test_positions_are_gates_of_their_own(tiny_model, random_examples):
    """Against finite differences of a gate at one position, by an independent hook."""
    model = tiny_model("bert", "encoder")
    prepared = prepare(model, random_examples(2).examples)
    encoding, goal = prepared.encodings[1], prepared.goals[1]
    batch, step = collate([encoding], model), 1e-2
    from bertology.attribution.targets import measure

    found = per_position(model, [encoding], [goal], seed=0)[0]
    expected = np.zeros((3, 4))
    for layer in range(3):
        for head in range(4):
            for position in range(len(encoding)):
                ends = []
                for sign in (1, -1):
                    gates = torch.ones(3, 4)
                    gates[layer, head] += sign * step
                    hook = gate_heads(gates, positions=[position])
                    with torch.no_grad(), hooked(model.module, hook):
                        ends.append(measure(model, batch, [goal]).double().item())
                expected[layer, head] += abs(ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(found, expected, 2e-2, 2e-2 * expected.max())


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_positions_in_batches_equal_singles(tiny_model, random_examples, family):
    model = tiny_model(family, "causal-lm" if family != "bert" else "classification")
    prepared = prepare(model, random_examples(6).examples)
    together = per_position(model, prepared.encodings, prepared.goals, seed=0)
    alone = [
        per_position(model, [e], [g], seed=0)[0]
        for e, g in zip(prepared.encodings, prepared.goals, strict=True)
    ]
    np.testing.assert_allclose(together, alone, 1e-3, 1e-4)
    signed = signed_gradients(model, prepared.encodings, prepared.goals)
    assert (together >= np.abs(signed) - 1e-5).all(), "the triangle inequality"
    assert (together[:, :2] > 1.01 * np.abs(signed[:, :2])).any(), "and not always equal"


def test_the_last_layer_is_divided_by_the_rows_that_are_read(tiny_model, random_examples):
    examples = random_examples(5)
    for family, task, last in (
        ("bert", "classification", 1), ("gpt2", "causal-lm", 1), ("bert", "encoder", None),
    ):  # fmt: skip
        model = tiny_model(family, task)
        prepared = prepare(model, examples.examples)
        counts = positions_read(prepared.encodings, prepared.goals, 3)
        lengths = [len(encoding) for encoding in prepared.encodings]
        assert counts[:, 0].tolist() == counts[:, 1].tolist() == lengths
        assert counts[:, 2].tolist() == (lengths if last is None else [last] * 5)
        result = importance(model, examples, method="position")
        expected = result.per_example.sum(0) / counts.sum(0)[:, None]
        np.testing.assert_allclose(result.table.importance, expected.ravel(), 1e-5)


LOSSES = [("bert", "classification"), ("bert", "masked-lm"), ("gpt2", "causal-lm"),
          ("llama", "causal-lm")]  # fmt: skip


def torch_loss(model, encoding, goal, label):
    """What transformers itself computes as the loss of one text."""
    inputs = collate([encoding], model).inputs
    if model.task == "classification":
        answers = torch.tensor([label])
    elif model.task == "masked-lm":
        answers = torch.full_like(inputs["input_ids"], -100)
        answers[0, goal.position] = goal.index
    else:
        answers = inputs["input_ids"]
    return model.module(**inputs, labels=answers).loss.double().item()


@pytest.mark.parametrize(("family", "task"), LOSSES)
def test_the_loss_is_that_of_transformers_and_its_slope_is_found(
    tiny_model, random_examples, family, task
):
    model = tiny_model(family, task)
    labels = ("LABEL_0", "LABEL_1") if task == "classification" else (None,)
    examples = random_examples(4, labels)
    wanted = "label" if task == "classification" else None
    prepared = prepare(model, examples.examples, target=wanted)
    goals = [
        loss_goal(model, *row)
        for row in zip(prepared.encodings, prepared.goals, examples.examples, strict=True)
    ]
    batch = collate(prepared.encodings, model)

    def alone():
        rows = enumerate(zip(prepared.encodings, goals, strict=True))
        return np.array([torch_loss(model, e, g, number % 2) for number, (e, g) in rows])

    with torch.no_grad():
        np.testing.assert_allclose(losses(model, batch, goals).numpy(), alone(), 1e-4)
        if task == "causal-lm":
            left = collate(prepared.encodings, model, "left")
            np.testing.assert_allclose(losses(model, left, goals).numpy(), alone(), 1e-4)
    found = importance(model, examples, against="loss").per_example
    step = 1e-2
    for layer, head in ((0, 1), (1, 3), (2, 0)):
        ends = []
        for sign in (1, -1):
            gates = torch.ones(3, 4)
            gates[layer, head] += sign * step
            with torch.no_grad(), hooked(model.module, gate_heads(gates)):
                ends.append(alone())
        slope = np.abs(ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(found[:, layer, head], slope, 3e-2, 3e-2 * found.max())


def test_the_loss_of_a_number_is_its_squared_error(tiny_model, random_examples):
    model = tiny_model("bert", "classification")
    model.module.classifier = torch.nn.Linear(32, 1)
    model.module.config.id2label = {0: "value"}
    model.module.config.num_labels = 1
    examples = random_examples(5, ("0.5", "-1", "word"))
    result = importance(model, examples, against="loss")
    assert list(result.ids) == ["s0", "s1", "s3", "s4"]
    assert result.provenance.skipped == [["s2", "its label 'word' is no number"]]
    kept = [examples.examples[number] for number in (0, 1, 3, 4)]
    prepared = prepare(model, kept)
    signed = signed_gradients(model, prepared.encodings, prepared.goals)
    wrong = [g.value - float(e.label) for g, e in zip(prepared.goals, kept, strict=True)]
    expected = np.abs(2 * np.array(wrong)[:, None, None] * signed)
    np.testing.assert_allclose(result.per_example, expected, 1e-3, 1e-5)


def test_a_word_behind_a_mask_that_the_text_has_is_not_known(tiny_model, texts):
    model = tiny_model("bert", "masked-lm")
    result = importance(model, texts("w1 w2 w3", "w1 [MASK] w3 w5"), against="loss")
    assert [name for name, _ in result.provenance.skipped] == ["s1"]
    with pytest.raises(BertologyError, match="not known"):
        importance(model, texts("w1 [MASK] w3 w5"), against="loss")


def test_a_loss_that_is_not_there_is_refused_before_any_work(
    tiny_model, random_examples, monkeypatch
):
    from bertology.ablation.importance import question

    monkeypatch.setattr(question, "settle", lambda *a, **k: pytest.fail("work was done"))
    classifier, examples = tiny_model("bert", "classification"), random_examples(3)
    for model, options, words in (
        (classifier, {"against": "loss"}, "needs labels"),
        (tiny_model("bert"), {"against": "loss"}, "is an encoder"),
        (classifier, {"against": "loss", "target": "LABEL_0"}, "leave them out"),
        (classifier, {"against": "loss", "method": "confidence"}, "not a gradient"),
        (classifier, {"against": "accuracy"}, "target or loss"),
        (classifier, {"method": "taylor"}, "choose one of position, example"),
        (classifier, {"method": "batch"}, "batch_size is None"),
        (classifier, {"method": "batch", "batch_size": 0}, "batch_size is 0"),
        (classifier, {"batch_size": 4}, "batch_size is 4"),
    ):
        with pytest.raises(BertologyError, match=words):
            importance(model, examples, **options)


def test_an_unlabelled_example_is_left_out(tiny_model):
    made = [Example(text_to_sentence(f"w{n} w2 w3", id=str(n)), label=label)
            for n, label in enumerate(["LABEL_1", None, "LABEL_0"])]  # fmt: skip
    model = tiny_model("bert", "classification")
    result = importance(model, Examples("x", tuple(made), ""), against="loss")
    assert list(result.ids) == ["0", "2"] and set(result.table.against) == {"loss"}
