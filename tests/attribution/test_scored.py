"""Scores that are kept, and examples that cannot be explained."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from bertology.attribution import (
    AttributionError,
    Scored,
    explain,
    prepare,
    score_all,
    score_examples,
)
from bertology.corpora import Example, Examples

CaseOf = Callable[[str], SimpleNamespace]
Make = Callable[..., Example]
FEW = ("attention_mean", "leave_one_out", "input_x_gradient")


def texts(*examples: Example) -> Examples:
    return Examples("texts", examples, "0")


def test_kept_scores_are_the_scores(case_of: CaseOf, tmp_path: Path) -> None:
    case = case_of("bert classifier")
    examples = texts(*case.examples)
    made = score_examples(case.model, examples)
    loaded = Scored.load(made.save(tmp_path))
    prepared = prepare(case.model, case.examples)
    direct, _ = score_all(case.model, prepared, unit="word", seed=0)
    for own, other in zip(loaded.of(prepared), direct, strict=True):
        assert own.items.names == other.items.names
        np.testing.assert_array_equal(own.attention, other.attention)
        np.testing.assert_array_equal(own.heads, other.heads)
        assert list(own.named) == list(other.named)
        for name, values in own.named.items():
            np.testing.assert_array_equal(values, other.named[name])
    first, second = explain(case.model, examples), explain(case.model, examples, scored=loaded)
    for name in ("table", "faithfulness", "evidence"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))
    assert first.verdict().as_dict() == second.verdict().as_dict()


@pytest.mark.parametrize("name", ["bert classifier", "gpt2 lm", "roberta masked lm", "demo"])
def test_what_cannot_be_explained_does_not_lose_the_others(
    name: str, case_of: CaseOf, make_example: Make
) -> None:
    case = case_of(name)
    good = case.examples[0]
    words = len(good.sentence.words)
    bad = [
        make_example(""),
        make_example(" ".join(["w1"] * 600)),
        make_example("w1"),
        replace(case.examples[1], rationale=(True, False)),
    ]
    marked = replace(good, rationale=(True, *[False] * (words - 1)))
    found = explain(case.model, texts(bad[0], marked, *bad[1:]), names=(*FEW,))
    assert found.goals["example"].tolist() == [1]
    assert len(found.provenance.skipped) == 4 and found.provenance.sentences == 1
    reasons = [reason for _, reason in found.provenance.skipped]
    assert "it has no words" in reasons
    assert f"its rationale has 2 marks for {len(case.examples[1].sentence.words)} words" in reasons
    with pytest.raises(AttributionError, match="None of the 2 examples can be explained"):
        explain(case.model, texts(bad[3], bad[3]))


def test_a_constant_target_says_so(case_of: CaseOf) -> None:
    case = case_of("bert classifier")

    def constant(outputs: object, batch: object) -> torch.Tensor:
        return outputs[0][:, 0] * 0 + 1  # type: ignore[index]

    def sometimes(outputs: object, batch: SimpleNamespace) -> torch.Tensor:
        long = (batch.mask.sum(1) > 12).float()
        return outputs[0][:, 0] * long + 1  # type: ignore[index]

    with pytest.raises(AttributionError, match=r"is constant .*with a gradient of zero"):
        explain(case.model, texts(*case.examples), target=constant, names=FEW)
    found = explain(case.model, texts(*case.examples), target=sometimes, names=FEW)
    assert len(found.goals) == 1 and len(found.provenance.skipped) == 3
    assert all("is constant" in reason for _, reason in found.provenance.skipped)
    assert found.provenance.options["target"] == "sometimes"


def test_labels_that_the_model_does_not_have(case_of: CaseOf) -> None:
    case = case_of("bert classifier")
    own = [replace(e, label=label) for e, label in zip(case.examples, "01x", strict=False)]
    found = explain(case.model, texts(*own), target="label", names=FEW)
    assert len(found.goals) == 2
    assert "its label 'x' is none of the classes" in found.provenance.skipped[0][1]
    with pytest.raises(AttributionError, match="no class 'good'"):
        explain(case.model, texts(*own), target="good", names=FEW)


@pytest.mark.parametrize("unit", ["word", "token"])
def test_rationales_give_plausibility(unit: str, case_of: CaseOf) -> None:
    case = case_of("bert classifier")
    plain = explain(case.model, texts(*case.examples), unit=unit)
    assert plain.plausibility.empty
    # The word that leave-one-out ranks highest is the rationale.
    marked = []
    for number, example in enumerate(case.examples):
        scores = plain.scores[plain.scores["example"] == number]
        own = scores[scores["score"] == "leave_one_out"]
        top = int(own.loc[own["value"].idxmax(), "index"])
        if unit == "token":
            encoding = prepare(case.model, [example]).encodings[0]
            top = int(encoding.words[top])
        marks = np.arange(len(example.sentence.words)) == top
        marked.append(replace(example, rationale=tuple(marks.tolist())))
    found = explain(case.model, texts(*marked), unit=unit).plausibility
    precision = found[found["metric"] == "average_precision"].set_index("score")["mean"]
    assert precision["leave_one_out"] > (0.999 if unit == "word" else 0.7)
    assert precision["leave_one_out"] > precision["position"] + 0.2


def test_who_chose_what_is_explained_is_kept(case_of: CaseOf, tmp_path: Path) -> None:
    for name, asked, chosen in (
        ("bert classifier", {}, "predicted"),
        ("bert classifier", {"target": "LABEL_0", "quantity": "probability"}, "given"),
        ("demo", {}, ""),
    ):
        case = case_of(name)
        found = explain(case.model, texts(*case.examples), names=(*FEW,), **asked)
        loaded = type(found).load(found.save(tmp_path / f"{name} {chosen}"))
        for own in (found, loaded):
            assert {line["goal"]["chosen"] for line in own.score_lines()} == {chosen}
        assert found.provenance.options["quantity"] == asked.get("quantity", "logit")
        if asked:
            assert found.goals["name"].eq("probability of LABEL_0").all()
            assert found.goals["value"].between(0, 1).all()
