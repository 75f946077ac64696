"""What every score from attention must do, on the models it suits; and where it is refused."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bertology
from bertology.attribution import attention_scores, prepare
from bertology.attribution.from_attention import FROM_ATTENTION, decompositions
from bertology.attribution.from_attention.registry import ENCODER
from bertology.corpora import read_sst
from bertology.errors import CaptureError

CASES = {
    "bert": "classification",
    "roberta": "masked-lm",
    "gpt2": "causal-lm",
    "llama": "classification",
}
NAMES = pytest.mark.parametrize("name", list(FROM_ATTENTION))


def scored(case: SimpleNamespace, name: str, *numbers: int) -> list[np.ndarray]:
    chosen = numbers or range(len(case.encodings))
    encodings, goals = [case.encodings[n] for n in chosen], [case.goals[n] for n in chosen]
    return FROM_ATTENTION[name].method(case.model, encodings, goals, seed=0)


def state(module: Any) -> list[Any]:
    """Everything a method could leave behind in a model."""
    return [
        (len(part._forward_hooks), len(part._forward_pre_hooks), part.training)
        for part in module.modules()
    ] + [module.config._attn_implementation, [p.grad for p in module.parameters()]]


@pytest.fixture
def padded_left(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    stream = sys.modules["bertology.capture.stream"]
    return lambda: monkeypatch.setattr(stream, "collate", partial(stream.collate, side="left"))


@NAMES
@pytest.mark.parametrize("family", list(CASES))
def test_a_batch_equals_singles_with_padding_on_either_side(
    ready: Callable[..., SimpleNamespace],
    padded_left: Callable[[], None],
    family: str,
    name: str,
) -> None:
    case = ready(family, CASES[family])
    if FROM_ATTENTION[name].needs == ENCODER and family in ("gpt2", "llama"):
        with pytest.raises(CaptureError, match="only encoders"):
            scored(case, name)
        return
    before = state(case.module)
    together = scored(case, name)
    assert state(case.module) == before
    # BERT's classifier reads the first place of a row, padding or not.
    if family != "bert":
        padded_left()
    left = scored(case, name)
    for number, (score, other) in enumerate(zip(together, left, strict=True)):
        assert score.shape == (len(case.encodings[number]),) and score.dtype == np.float64
        assert np.isfinite(score).all() and np.ptp(score) > 0
        assert FROM_ATTENTION[name].signed or (score >= 0).all()
        (alone,) = scored(case, name, number)
        np.testing.assert_allclose(score, alone, rtol=0, atol=2e-5 * np.abs(score).max())
        np.testing.assert_allclose(score, other, rtol=0, atol=2e-5 * np.abs(score).max())


@NAMES
def test_scores_of_dropout_models_and_of_half_the_precision(
    ready: Callable[..., SimpleNamespace], name: str
) -> None:
    case = ready("bert", "classification", shared=False)
    expected = scored(case, name)
    case.module.train()
    for one, other in zip(scored(case, name), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())
    assert case.module.training
    half = SimpleNamespace(**vars(case))
    half.module.eval().bfloat16()
    for one, other in zip(scored(half, name), expected, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.8


@NAMES
def test_hooks_are_gone_after_an_exception(
    ready: Callable[..., SimpleNamespace], name: str
) -> None:
    case = ready("bert", "classification")
    scored(case, name)

    def fail(*_: object) -> None:
        raise ArithmeticError("stop")

    handle = case.module.classifier.register_forward_hook(fail)
    before = state(case.module)
    with pytest.raises(ArithmeticError):
        scored(case, name)
    assert state(case.module) == before
    handle.remove()


@pytest.fixture(scope="module")
def demo_case(demo: Any, make_example: Callable[..., object]) -> Iterator[SimpleNamespace]:
    texts = ["The unbelievably old bakery opened today .", "Nobody came ."]
    prepared = prepare(demo, [make_example(text) for text in texts])
    yield SimpleNamespace(model=demo, encodings=prepared.encodings, goals=prepared.goals)


@NAMES
def test_the_demo_model(demo_case: SimpleNamespace, name: str) -> None:
    for score, goal in zip(scored(demo_case, name), demo_case.goals, strict=True):
        assert np.isfinite(score).all() and np.ptp(score) > 0
        if name == "decompx":
            assert score.sum() == pytest.approx(goal.value, rel=1e-4)


def test_raw_scores_are_the_named_ones(ready: Callable[..., SimpleNamespace]) -> None:
    case = ready("bert", "classification")
    raw = attention_scores(case.model, case.encodings, case.goals)
    for name, read in {
        "attention_last": lambda own: own.last,
        "attention_mean": lambda own: own.mean,
        "attention_columns": lambda own: own.columns.mean(0),
        "rollout": lambda own: own.rollout,
    }.items():
        for score, own in zip(scored(case, name), raw, strict=True):
            np.testing.assert_allclose(score, read(own), atol=1e-7)


@pytest.mark.slow
def test_decompx_gives_the_logits_of_a_trained_classifier(
    shared_file: Callable[[str], Any],
) -> None:
    model = bertology.load_model(shared_file("models/minilm-sst2"))
    examples = read_sst(shared_file("sentiment/sst/dev.txt")).examples[:60]
    prepared = prepare(model, examples)
    found = decompositions(model, prepared.encodings, prepared.goals)
    assert len(found) > 50
    for own, goal in zip(found, prepared.goals, strict=True):
        assert own.contributions.sum() == pytest.approx(goal.value, rel=1e-4)
        assert own.errors.max() < 1e-5
