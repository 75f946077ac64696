"""Parameter randomisation: methods that read the model, and methods that do not."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bertology.attribution import AttributionError, input_x_gradient, prepare
from bertology.attribution.faithfulness import parameter_randomisation
from bertology.attribution.faithfulness.randomisation import _stages, parts_of
from bertology.attribution.methods.gradients import gradient_norm
from bertology.models import LoadedModel
from bertology.models.randomised import randomised

Tiny = Callable[..., LoadedModel]


def place(model: Any, encodings: Sequence[Any], goals: Any, *, seed: int) -> list[np.ndarray]:
    """Reads nothing of the model."""
    return [np.arange(len(encoding), dtype=float) for encoding in encodings]


def of_weights(model: Any, encodings: Sequence[Any], goals: Any, *, seed: int) -> list[np.ndarray]:
    """Unrelated as soon as any weight has changed."""
    total = sum(p.double().abs().sum().item() for p in model.module.parameters())
    generator = np.random.default_rng(int(total * 1e6))
    return [generator.normal(size=len(encoding)) for encoding in encodings]


@pytest.fixture(scope="module")
def case(tiny_model: Tiny, make_example: Callable[..., Any]) -> SimpleNamespace:
    model = tiny_model("bert", "classification")
    generator = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in generator.integers(0, 52, size=9)) for _ in range(32)]
    prepared = prepare(model, [make_example(text) for text in texts])
    return SimpleNamespace(model=model, prepared=prepared)


@pytest.mark.parametrize(
    ("family", "task", "parts"),
    [
        ("bert", "classification", ["output", *[f"encoder layer {n}" for n in (2, 1, 0)]]),
        ("gpt2", "causal-lm", ["output", *[f"decoder layer {n}" for n in (2, 1, 0)]]),
        ("llama", "classification", ["output", *[f"decoder layer {n}" for n in (2, 1, 0)]]),
        ("albert", "encoder", ["output", "encoder layer 0"]),
    ],
)
def test_every_parameter_is_in_one_part(
    tiny_model: Tiny, family: str, task: str, parts: list[str]
) -> None:
    model = tiny_model(family, task)
    found = parts_of(model)
    assert list(found) == [*parts, "embeddings"]
    names = [name for part in found.values() for name in part]
    assert sorted(names) == sorted(name for name, _ in model.module.named_parameters())
    assert all("embed" in name or "wte" in name or "wpe" in name for name in found["embeddings"])


def test_stages_change_what_they_say(case: SimpleNamespace) -> None:
    before = {name: p.clone() for name, p in case.model.module.named_parameters()}
    parts = parts_of(case.model)
    drawn = randomised(case.model, keep_embeddings=False, seed=0)
    new = dict(drawn.module.named_parameters())
    for mode in ("cascade", "independent"):
        stages = _stages(case.model, drawn, list(parts.values()), mode)
        for stage, changed in enumerate(stages):
            chosen = list(parts.values())[stage if mode == "independent" else 0 : stage + 1]
            names = {name for part in chosen for name in part}
            for name, value in changed.module.named_parameters():
                assert torch.equal(value, new[name] if name in names else before[name]), name
    for name, value in case.model.module.named_parameters():
        assert torch.equal(value, before[name])


def test_a_method_that_ignores_the_model_fails(case: SimpleNamespace) -> None:
    methods = {"place": place, "weights": of_weights}
    table = parameter_randomisation(case.model, case.prepared, range(32), seed=0, methods=methods)
    assert list(table.columns[:7]) == [
        "score", "metric", "operator", "mean", "ci_low", "ci_high", "n",
    ]  # fmt: skip
    assert len(table) == 2 * 2 * 2 * 5 and (table["n"] == 32).all()
    ignorant, dependent = (table[table["score"] == name] for name in methods)
    assert ignorant["mean"].to_numpy() == pytest.approx(1)
    # 9 words: ρ of unrelated rankings has a standard deviation of 1/√8.
    signed = dependent[dependent["metric"] == "spearman_signed"]
    assert signed["mean"].abs().max() < 4 / np.sqrt(8 * 32)
    last = (table["operator"] == "cascade") & (table["part"] == "embeddings")
    outcomes = table[last].groupby("score")["outcome"].agg(set)
    assert outcomes.to_dict() == {"place": {"fails"}, "weights": {"passes"}}
    assert set(table[~last]["outcome"]) == {""}
    few = parameter_randomisation(case.model, case.prepared, [0] * 32, seed=0, methods=methods)
    assert set(few["outcome"]) == {"inconclusive", ""}


def test_gradients_depend_on_the_weights(case: SimpleNamespace) -> None:
    methods = {"gradient_norm": gradient_norm, "input_x_gradient": input_x_gradient}
    table = parameter_randomisation(
        case.model, case.prepared, range(32), seed=0, methods=methods, modes=["cascade"], trials=2
    )
    last = table[(table["part"] == "embeddings") & (table["metric"] == "spearman_absolute")]
    assert last["mean"].abs().max() < 0.3
    assert set(last["outcome"]) == {"passes"}


def test_an_embedding_is_compared_with_its_own(
    case_of: Callable[[str], SimpleNamespace],
) -> None:
    own = case_of("demo")
    prepared = prepare(own.model, own.examples)
    seen: list[tuple[float, float]] = []

    def watch(model: Any, encodings: Any, goals: Any, *, seed: int) -> list[np.ndarray]:
        # Of its own direction the projection is the length.
        seen.extend((goal.value, goal.reference.norm().item()) for goal in goals)
        return place(model, encodings, goals, seed=seed)

    parameter_randomisation(
        own.model, prepared, [0, 1], seed=0, methods={"watch": watch}, modes=["independent"]
    )
    values, lengths = np.array(seen).T
    assert values == pytest.approx(lengths, rel=1e-3)
    assert len(np.unique(values.round(4))) > 4


def test_bad_options_are_refused(case: SimpleNamespace) -> None:
    with pytest.raises(AttributionError, match="mode is 'layers'; give some of cascade"):
        parameter_randomisation(case.model, case.prepared, [0], seed=0, modes=["layers"])
    with pytest.raises(AttributionError, match="0 trials"):
        parameter_randomisation(case.model, case.prepared, [0], seed=0, trials=0)
