"""Targets: the right number, from the right row, of the right words."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import bertology
from bertology.attribution import AttributionError, measure, prepare, probability
from bertology.capture import collate
from bertology.corpora import Example
from bertology.models import LoadedModel

CaseOf = Callable[[str], SimpleNamespace]
Make = Callable[..., Example]


def test_value_is_what_measure_gives_on_the_intact_text(case: SimpleNamespace) -> None:
    prepared = prepare(case.model, case.examples)
    expected = [goal.value for goal in prepared.goals]
    # Left padding shifts what reads [CLS] and what counts positions from the padding index.
    sides = ["right"] if case.model.name in ("tiny bert", "tiny roberta") else ["right", "left"]
    for side in sides:
        with torch.no_grad():
            batch = collate(prepared.encodings, case.model, side=side)
            values = measure(case.model, batch, prepared.goals)
        np.testing.assert_allclose(values.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_rows_sum_to_one_and_are_where_the_task_reads(case: SimpleNamespace) -> None:
    read = {"bert classifier": 0, "gpt2 classifier": -1, "llama classifier": -1, "gpt2 lm": -1}
    name = f"{case.model.name.removeprefix('tiny ')} " + {
        "classification": "classifier", "causal-lm": "lm",
    }.get(case.model.task, "")  # fmt: skip
    prepared = prepare(case.model, case.examples)
    for encoding, goal in zip(prepared.encodings, prepared.goals, strict=True):
        assert goal.rows.shape == (len(encoding),)
        assert goal.rows.sum() == pytest.approx(1)
        if name in read:
            assert goal.rows[read[name]] == 1
        if case.model.task == "encoder":
            np.testing.assert_allclose(goal.rows, 1 / len(encoding))
        if case.model.task == "masked-lm":
            assert encoding.tokens[int(goal.rows.argmax())] == "[MASK]"


def test_class_target_is_the_logit_of_the_predicted_or_named_class(
    case_of: CaseOf, make_example: Make
) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:1])
    batch = collate(prepared.encodings, case.model)
    with torch.no_grad():
        logits = case.model.module(**batch.inputs).logits[0]
    assert prepared.goals[0].index == logits.argmax()
    assert prepared.goals[0].value == pytest.approx(logits.max().item(), rel=1e-5)
    named = prepare(case.model, case.examples[:1], target="label_0", foil="LABEL_1").goals[0]
    assert named.name == "LABEL_0 - LABEL_1"
    assert named.value == pytest.approx((logits[0] - logits[1]).item(), rel=1e-5)
    labelled = [make_example("w1 w2 w3", label="LABEL_1"), make_example("w1 w2 w3")]
    own = prepare(case.model, labelled, target="label")
    assert [goal.index for goal in own.goals] == [1]
    assert own.kept == [0]
    assert own.skipped == [["w1 w2 w3", "it has no label"]]


def test_example_whose_prediction_is_the_foil_is_skipped(case_of: CaseOf) -> None:
    case = case_of("llama classifier")
    predicted = [goal.name for goal in prepare(case.model, case.examples).goals]
    assert len(set(predicted)) == 2
    prepared = prepare(case.model, case.examples, foil=predicted[0])
    assert len(prepared.skipped) == predicted.count(predicted[0])
    assert "name a target" in prepared.skipped[0][1]


def test_masked_word_is_single_seeded_and_never_scored(case_of: CaseOf) -> None:
    case = case_of("roberta masked lm")
    prepared = prepare(case.model, case.examples, seed=3)
    again = prepare(case.model, case.examples[::-1], seed=3)
    other = prepare(case.model, case.examples, seed=4)
    chosen = [goal.position for goal in prepared.goals]
    assert chosen == [goal.position for goal in again.goals][::-1]
    assert chosen != [goal.position for goal in other.goals]
    for encoding, goal in zip(prepared.encodings, prepared.goals, strict=True):
        assert goal.position is not None
        word = encoding.words[goal.position]
        assert encoding.word_tokens[word] == 1
        assert not encoding.punctuation[goal.position]
        assert not goal.scored[encoding.words == word].any()
        assert goal.name == encoding.sentence.words[word]


def test_mask_in_the_text_is_used(case_of: CaseOf, make_example: Make) -> None:
    model = case_of("roberta masked lm").model
    prepared = prepare(model, [make_example("w1 w2 [MASK] w3")])
    (goal,) = prepared.goals
    assert goal.position == 3
    with torch.no_grad():
        logits = model.module(**collate(prepared.encodings, model).inputs).logits[0, 3]
    assert goal.index == logits.argmax()
    assert prepare(model, [make_example("w1 w2 [MASK] w3")], target="w7").goals[0].name == "w7"


def test_embedding_is_unnormalised_and_pair_is_a_cosine(
    demo: LoadedModel, make_example: Make
) -> None:
    first, second = "A cat sat down .", "A dog lay down ."
    single = prepare(demo, [make_example(first), make_example(second)])
    a, b = (goal.reference for goal in single.goals)
    assert a is not None and b is not None
    assert single.goals[0].value == pytest.approx(a.norm().item(), rel=1e-5)
    (pair,) = prepare(demo, [make_example(first, second)]).goals
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=0).item()
    assert (pair.kind, pair.name) == ("similarity", "similarity")
    assert pair.value == pytest.approx(cosine, rel=1e-4)
    assert 0.2 < cosine < 0.9


def test_encoder_with_and_without_pair_in_one_batch(demo: LoadedModel, make_example: Make) -> None:
    mixed = prepare(demo, [make_example("A cat sat ."), make_example("A cat sat .", "A dog lay .")])
    with torch.no_grad():
        values = measure(demo, collate(mixed.encodings, demo), mixed.goals)
    np.testing.assert_allclose(values, [goal.value for goal in mixed.goals], rtol=1e-4)


def test_probability_of_classes_tokens_and_embeddings(case: SimpleNamespace) -> None:
    prepared = prepare(case.model, case.examples)
    batch = collate(prepared.encodings, case.model)
    with torch.no_grad():
        p = probability(case.model, batch, prepared.goals)
    if case.model.task == "encoder":
        np.testing.assert_allclose(p, 1, rtol=1e-4)
    else:
        assert ((p > 0) & (p < 1)).all()
    if case.model.task == "classification":
        contrast = prepare(case.model, case.examples, target="LABEL_0", foil="LABEL_1")
        with torch.no_grad():
            q = probability(case.model, batch, contrast.goals)
            logits = case.model.module(**batch.inputs).logits
        np.testing.assert_allclose(q, logits.softmax(1)[:, 0], rtol=1e-4)


def test_unreadable_examples_are_skipped_with_a_reason(case_of: CaseOf, make_example: Make) -> None:
    model = case_of("bert classifier").model
    long = make_example(" ".join(["w1"] * 60))
    prepared = prepare(model, [long, make_example("w1 w2"), make_example("w1")])
    assert prepared.kept == [1]
    assert [reason for _, reason in prepared.skipped] == [
        "62 tokens, the model reads at most 40",
        "fewer than 2 words to score",
    ]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("demo", {"target": "positive"}, "is an encoder"),
        ("bert classifier", {"target": "sunny"}, "its classes are LABEL_0, LABEL_1"),
        ("bert classifier", {"target": "0", "foil": "LABEL_0"}, "always 0"),
        ("gpt2 lm", {"target": "w1 w2"}, "not one token"),
        ("gpt2 lm", {"target": "unheard"}, "not one token"),
    ],
)
def test_bad_targets_are_refused(
    case_of: CaseOf, name: str, options: dict[str, str], message: str
) -> None:
    case = case_of(name)
    with pytest.raises(AttributionError, match=message):
        prepare(case.model, case.examples, **options)


def test_nothing_to_explain_is_an_error(case_of: CaseOf, make_example: Make) -> None:
    model = case_of("bert classifier").model
    with pytest.raises(AttributionError, match="give at least one"):
        prepare(model, [])
    with pytest.raises(AttributionError, match="fewer than 2 words"):
        prepare(model, [make_example("w1")])


def test_dropout_is_off_whatever_the_mode(case_of: CaseOf) -> None:
    case = case_of("bert classifier")
    expected = [goal.value for goal in prepare(case.model, case.examples).goals]
    case.model.module.train()
    try:
        values = [goal.value for goal in prepare(case.model, case.examples).goals]
        assert case.model.module.training
    finally:
        case.model.module.eval()
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_real_classifier(shared_file: Callable[[str], Path], make_example: Make) -> None:
    model = bertology.load_model(shared_file("models/minilm-sst2"))
    texts = ["A wonderful , moving film .", "A dull and tedious mess ."]
    prepared = prepare(model, [make_example(text) for text in texts])
    assert [goal.name for goal in prepared.goals] == ["positive", "negative"]
    assert all(goal.rows[0] == 1 for goal in prepared.goals)
