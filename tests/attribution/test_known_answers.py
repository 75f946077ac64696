"""Functions whose attributions can be worked out by hand."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution import (
    Goal,
    Prepared,
    completeness,
    input_x_gradient,
    integrated_gradients,
    leave_one_out,
    leave_one_token_out,
    measure,
    prepare,
)
from bertology.capture import collate
from bertology.corpora import Encoding, Example, encode
from bertology.corpora.text import words_to_sentence
from bertology.models import LoadedModel

Method = Callable[..., list[np.ndarray]]
ToyOf = Callable[..., LoadedModel]


def given(model: LoadedModel, *texts: str) -> tuple[list[Encoding], list[Goal]]:
    """Encodings and goals of a toy, which has no attention for `prepare` to look into."""
    encodings = [
        encode(words_to_sentence(text.split(), id=text), model.tokenizer) for text in texts
    ]
    goals = []
    for encoding in encodings:
        goal = Goal("class", "only", 0.0, np.zeros(len(encoding)), encoding.words >= 0, index=0)
        value = measure(model, collate([encoding], model), [goal]).item()
        goals.append(Goal("class", "only", value, goal.rows, goal.scored, index=0))
    return encodings, goals


def quadratic(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return x[:, 0] * x[:, 1] ** 2


def additive(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (x * mask).sum(1)


@pytest.mark.parametrize(
    ("method", "expected"), [(input_x_gradient, [18, 36]), (integrated_gradients, [6, 12])]
)
def test_product_of_one_and_a_square(toy: ToyOf, method: Method, expected: list[float]) -> None:
    model = toy(quadratic)
    (scores,) = method(model, *given(model, "w2 w3"), seed=0)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "method", [input_x_gradient, integrated_gradients, leave_one_out, leave_one_token_out]
)
def test_every_method_finds_the_weights_of_a_bag_of_words(toy: ToyOf, method: Method) -> None:
    model = toy(additive)
    scores = method(model, *given(model, "w3 w1 w7 w5", "w2 w9"), seed=0)
    np.testing.assert_allclose(scores[0], [3, 1, 7, 5], rtol=1e-5)
    np.testing.assert_allclose(scores[1], [2, 9], rtol=1e-5)


def test_leave_one_out_is_deletion_by_hand(case: SimpleNamespace) -> None:
    prepared = prepare(case.model, case.examples)
    scores = leave_one_out(case.model, prepared.encodings, prepared.goals, seed=0)
    for encoding, goal, score in zip(prepared.encodings, prepared.goals, scores, strict=True):
        for word in range(len(encoding.sentence)):
            own = encoding.words == word
            if not goal.scored[own].any():
                assert not score[own].any()
                continue
            ids = torch.from_numpy(encoding.ids[~own]).unsqueeze(0)
            effect = goal.value - by_hand(case.model, ids, goal)
            assert score[own].sum() == pytest.approx(effect, rel=1e-3, abs=1e-4)


def by_hand(model: LoadedModel, ids: torch.Tensor, goal: Goal) -> float:
    """The target on these ids, straight from the model."""
    with torch.no_grad():
        output = model.module(input_ids=ids)[0][0]
    if goal.reference is not None:
        return (output.mean(0) @ goal.reference / goal.reference.norm()).item()
    if goal.kind == "class":
        return output[goal.index].item()
    mask = model.tokenizer.mask_token_id
    row = -1 if goal.kind == "next token" else int((ids[0] == mask).nonzero()[0])
    return output[row, goal.index].item()


def test_leave_one_token_out_deletes_single_tokens(case_of: Callable[..., SimpleNamespace]) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:1])
    (encoding,), (goal,) = prepared.encodings, prepared.goals
    (scores,) = leave_one_token_out(case.model, [encoding], [goal], seed=0)
    for token in np.flatnonzero(goal.scored):
        ids = torch.from_numpy(np.delete(encoding.ids, token)).unsqueeze(0)
        assert scores[token] == pytest.approx(goal.value - by_hand(case.model, ids, goal), abs=1e-4)


def errors(model: LoadedModel, prepared: Prepared) -> Sequence[float]:
    scores = integrated_gradients(model, prepared.encodings, prepared.goals, seed=0)
    checks = completeness(model, prepared.encodings, prepared.goals, scores)
    return [check.relative_error for check in checks]


def test_integrated_gradients_are_complete_on_the_demo_model(
    demo: LoadedModel, make_example: Callable[..., Example]
) -> None:
    texts = ["The old bakery opened early today .", "Nobody came ."]
    assert max(errors(demo, prepare(demo, [make_example(text) for text in texts]))) < 0.01


def test_integrated_gradients_are_complete_on_tiny_models(
    case_of: Callable[..., SimpleNamespace],
) -> None:
    # Random weights make a rough path from the zero vector; the embeddings of a real model do not.
    case = case_of("gpt2 classifier")
    assert np.median(errors(case.model, prepare(case.model, case.examples))) < 0.05


def test_completeness_sees_what_is_missing(case_of: Callable[..., SimpleNamespace]) -> None:
    case = case_of("demo")
    prepared = prepare(case.model, case.examples[:1])
    scores = input_x_gradient(case.model, prepared.encodings, prepared.goals, seed=0)
    (check,) = completeness(case.model, prepared.encodings, prepared.goals, scores)
    assert check.relative_error > 0.05
