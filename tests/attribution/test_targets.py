"""Targets: the right number, from the right row, of the right words."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import bertology
from bertology.attribution import (
    AttributionError,
    integrated_gradients,
    leave_one_out,
    measure,
    prepare,
    probability,
)
from bertology.capture import Batch, collate
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


def classifier_logits(case: SimpleNamespace) -> torch.Tensor:
    batch = collate(prepare(case.model, case.examples).encodings, case.model)
    with torch.no_grad():
        return case.model.module(**batch.inputs).logits.double()


@pytest.mark.parametrize("name", ["bert classifier", "llama classifier"])
def test_probability_and_margin_of_classes(case_of: CaseOf, name: str) -> None:
    """Against the logits of the model, for the predicted and for a given class."""
    case, logits = case_of(name), classifier_logits(case_of(name))
    top = logits.argmax(1)
    likely = prepare(case.model, case.examples, quantity="probability").goals
    expected = logits.softmax(1).amax(1)
    np.testing.assert_allclose([goal.value for goal in likely], expected, rtol=1e-5)
    assert [goal.name for goal in likely] == [f"probability of LABEL_{index}" for index in top]
    first = prepare(case.model, case.examples, target="LABEL_0", quantity="margin").goals
    difference = logits[:, 0] - logits[:, 1]
    np.testing.assert_allclose([goal.value for goal in first], difference, rtol=1e-4, atol=1e-6)
    assert {goal.name for goal in first} == {"margin of LABEL_0"}
    over = prepare(case.model, case.examples, quantity="margin").goals
    np.testing.assert_allclose([goal.value for goal in over], difference.abs(), rtol=1e-4)
    both = {"target": "LABEL_0", "foil": "LABEL_1", "quantity": "probability"}
    among = prepare(case.model, case.examples, **both).goals
    np.testing.assert_allclose([g.value for g in among], logits.softmax(1)[:, 0], rtol=1e-5)


def test_margin_is_over_the_best_other_token(case_of: CaseOf) -> None:
    case = case_of("roberta masked lm")
    prepared = prepare(case.model, case.examples, quantity="margin")
    batch = collate(prepared.encodings, case.model)
    with torch.no_grad():
        logits = case.model.module(**batch.inputs).logits
    signs = set()
    for row, goal in enumerate(prepared.goals):
        own = logits[row, goal.position]
        others = torch.cat([own[: goal.index], own[goal.index + 1 :]])
        assert goal.value == pytest.approx((own[goal.index] - others.max()).item(), rel=1e-4)
        signs.add(goal.value > 0)
        # The predicted token is at least as likely as any other; this one was in the text.
        assert goal.chosen == "in the text"
    assert False in signs
    given = prepare(case.model, case.examples, target="w3", quantity="probability")
    for row, goal in enumerate(given.goals):
        own = logits[row, goal.position].softmax(0)
        assert goal.value == pytest.approx(own[goal.index].item(), rel=1e-4)
        assert (goal.name, goal.chosen) == ("probability of w3", "given")


def test_who_chose_the_class_is_stated(case_of: CaseOf, make_example: Make) -> None:
    case = case_of("bert classifier")
    labelled = [make_example("w1 w2 w3", label="LABEL_1")]
    ways = {"predicted": None, "given": "LABEL_1", "label": "label"}
    for chosen, target in ways.items():
        (goal,) = prepare(case.model, labelled, target=target).goals
        assert goal.chosen == chosen
    encoder = case_of("albert encoder")
    assert {goal.chosen for goal in prepare(encoder.model, encoder.examples).goals} == {""}


@pytest.mark.parametrize("quantity", ["logit", "probability", "margin"])
@pytest.mark.parametrize("name", ["bert classifier", "roberta masked lm", "gpt2 lm"])
def test_integrated_gradients_are_complete_for_every_quantity(
    case_of: CaseOf, name: str, quantity: str
) -> None:
    case = case_of(name)
    prepared = prepare(case.model, case.examples, quantity=quantity)
    scores = integrated_gradients(case.model, prepared.encodings, prepared.goals, seed=0)
    embed = case.model.module.get_input_embeddings()
    differences = []
    for encoding, goal in zip(prepared.encodings, prepared.goals, strict=True):
        handle = embed.register_forward_hook(lambda part, given, output: torch.zeros_like(output))
        with torch.no_grad():
            baseline = measure(case.model, collate([encoding], case.model), [goal]).item()
        handle.remove()
        differences.append(goal.value - baseline)
    error = 0.05 * np.abs(differences).max()
    np.testing.assert_allclose([own.sum() for own in scores], differences, rtol=0, atol=error)


def first_logit(outputs: object, batch: Batch) -> torch.Tensor:
    return outputs.logits[:, 0]


def test_function_of_the_outputs_is_the_class_logit_it_returns(case_of: CaseOf) -> None:
    for name in ("bert classifier", "gpt2 classifier"):
        case = case_of(name)
        own = prepare(case.model, case.examples, target=first_logit)
        same = prepare(case.model, case.examples, target="LABEL_0")
        for mine, theirs in zip(own.goals, same.goals, strict=True):
            assert (mine.kind, mine.name, mine.chosen) == ("function", "first_logit", "")
            assert mine.value == pytest.approx(theirs.value, rel=1e-5)
            np.testing.assert_array_equal(mine.rows, theirs.rows)
        scores = [
            leave_one_out(case.model, prepared.encodings, prepared.goals, seed=0)
            for prepared in (own, same)
        ]
        for mine, theirs in zip(*scores, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)
        batch = collate(own.encodings, case.model)
        with torch.no_grad():
            np.testing.assert_allclose(probability(case.model, batch, own.goals), 1, rtol=1e-4)


def test_function_of_an_encoder_and_of_a_language_model(
    case_of: CaseOf, make_example: Make
) -> None:
    def first_state(outputs: object, batch: Batch) -> torch.Tensor:
        rows = torch.arange(len(batch), device=batch.mask.device)
        return outputs[0][rows, batch.mask.argmax(1), 0]

    encoder = case_of("albert encoder")
    pair = make_example("w1 w2 w3", "w4 w5 w6")
    prepared = prepare(encoder.model, [*encoder.examples, pair], target=first_state)
    assert [reason for _, reason in prepared.skipped] == [
        "an encoder reads one text at a time, so that a function cannot see the pair"
    ]
    assert all(goal.rows[0] == 1 for goal in prepared.goals)
    masked = case_of("roberta masked lm")
    whole = prepare(masked.model, masked.examples, target=first_state)
    assert not any("[MASK]" in encoding.tokens for encoding in whole.encodings)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda outputs, batch: outputs.logits, "one number a text"),
        (lambda outputs, batch: 1.0, "returned float"),
        (lambda outputs, batch: outputs.logits[:, 0].detach(), "can be differentiated"),
        (lambda outputs, batch: outputs.logits[:, 0] * 0 + 3, "constant .3, with a gradient"),
    ],
)
def test_functions_that_are_no_targets_are_refused(
    case_of: CaseOf, function: Callable[..., object], message: str
) -> None:
    case = case_of("bert classifier")
    with pytest.raises(AttributionError, match=message):
        prepare(case.model, case.examples, target=function)


def test_constant_class_is_left_out_with_its_reason(
    tiny_model: Callable[..., LoadedModel], make_example: Make
) -> None:
    model = tiny_model("bert", "classification")
    torch.nn.init.zeros_(model.module.classifier.weight)
    with pytest.raises(AttributionError, match=r"is constant .*with a gradient of zero"):
        prepare(model, [make_example("w1 w2 w3")])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bert classifier", {"quantity": "odds"}, "give one of logit, probability, margin"),
        ("demo", {"quantity": "margin"}, "encoder and has no classes"),
        ("gpt2 lm", {"quantity": "margin", "foil": "w1"}, "give one of them"),
        ("bert classifier", {"target": first_logit, "foil": "LABEL_0"}, "takes neither"),
    ],
)
def test_bad_quantities_are_refused(
    case_of: CaseOf, name: str, options: dict[str, str], message: str
) -> None:
    case = case_of(name)
    with pytest.raises(AttributionError, match=message):
        prepare(case.model, case.examples, **options)


def test_quantities_need_classes_that_exclude_each_other(
    tiny_model: Callable[..., LoadedModel], toy: Callable[..., LoadedModel], make_example: Make
) -> None:
    model = tiny_model("bert", "classification")
    model.module.config.problem_type = "multi_label_classification"
    with pytest.raises(AttributionError, match="do not exclude each other"):
        prepare(model, [make_example("w1 w2")], quantity="margin")
    (goal,) = prepare(model, [make_example("w1 w2")], target="0", quantity="probability").goals
    (plain,) = prepare(model, [make_example("w1 w2")], target="0").goals
    assert goal.value == pytest.approx(1 / (1 + np.exp(-plain.value)), rel=1e-5)
    single = toy(lambda embedded, mask: embedded.sum(1))
    with pytest.raises(AttributionError, match="no other class"):
        prepare(single, [make_example("w1 w2")], quantity="probability")
