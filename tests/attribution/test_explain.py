"""From texts to tables, end to end."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import bertology
from bertology.attribution import AttributionError, Explanation, explain, prepare, score_all
from bertology.corpora import Example, Examples, examples_of, read_examples
from bertology.models import LoadedModel

Make = Callable[..., Example]


@pytest.fixture(scope="module")
def explained(case_of: Callable[[str], SimpleNamespace]) -> Explanation:
    case = case_of("bert classifier")
    return explain(case.model, Examples("texts", tuple(case.examples), "0"))


def test_every_kind_of_model_is_explained(case: SimpleNamespace, make_example: Make) -> None:
    too_long = make_example(" ".join(["w1"] * 600))
    result = explain(case.model, Examples("texts", (*case.examples[:2], too_long), "0"))
    assert len(result.provenance.skipped) == 1
    assert result.provenance.sentences == 2
    operators = set(result.faithfulness["operator"])
    has_mask = case.model.tokenizer.mask_token_id is not None
    assert operators == {"delete", "mask" if has_mask else "pad", "all"}
    assert [claim.outcome for claim in result.verdict().claims] == ["inconclusive"] * 5
    for line in result.score_lines():
        json.dumps(line, allow_nan=False)
        assert all(len(values) == len(line["words"]) for values in line["scores"].values())


def test_incomplete_integrated_gradients_are_left_out_and_counted(
    case_of: Callable[[str], SimpleNamespace],
) -> None:
    case = case_of("llama lm")
    prepared = prepare(case.model, case.examples)
    scores, checks = score_all(case.model, prepared, unit="word", seed=0)
    incomplete = sum(check.relative_error > 0.05 for check in checks)
    # Without position embeddings the path to the zero vector jumps at its end.
    assert incomplete > 0
    for own, check in zip(scores, checks, strict=True):
        assert ("integrated_gradients" in own.named) == (check.relative_error <= 0.05)
    result = explain(case.model, Examples("texts", tuple(case.examples), "0"))
    assert result.provenance.options["integrated_gradients_incomplete"] == incomplete
    counts = result.faithfulness.groupby("score")["n"].max()
    long_enough = [own for own in scores if len(own.items) >= 6]
    assert counts["leave_one_out"] == len(long_enough)
    assert counts["integrated_gradients"] == sum(
        "integrated_gradients" in own.named for own in long_enough
    )


def test_tables(explained: Explanation) -> None:
    assert list(explained.faithfulness.columns[:7]) == [
        "score", "metric", "operator", "mean", "ci_low", "ci_high", "n",
    ]  # fmt: skip
    assert explained.provenance.options["too_short_for_agreement"] == 1
    assert (explained.faithfulness["n"] == 3).all()
    line = next(explained.score_lines())
    assert line["words"] == ["w1", "w2.w3", "w4", "w5", "w6", "w7", "w8", "."]
    assert line["goal"]["kind"] == "class"
    assert {"attention_mean", "rollout", "leave_one_out", "random"} <= set(line["scores"])


def test_saved_equals_reloaded(explained: Explanation, tmp_path: Path) -> None:
    loaded = Explanation.load(explained.save(tmp_path))
    for name in ("table", "faithfulness", "evidence", "scores", "goals"):
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(explained, name))
    assert loaded.verdict() == explained.verdict()
    assert list(loaded.score_lines()) == list(explained.score_lines())


def test_the_same_seed_gives_the_same_numbers(
    explained: Explanation, case_of: Callable[[str], SimpleNamespace]
) -> None:
    case = case_of("bert classifier")
    again = explain(case.model, Examples("texts", tuple(case.examples), "0"))
    pd.testing.assert_frame_equal(again.table, explained.table)
    pd.testing.assert_frame_equal(again.faithfulness, explained.faithfulness)
    assert json.dumps(again.verdict().as_dict()) == json.dumps(explained.verdict().as_dict())


def test_tokens_as_units(case_of: Callable[[str], SimpleNamespace]) -> None:
    case = case_of("bert classifier")
    result = explain(case.model, Examples("texts", tuple(case.examples), "0"), unit="token")
    line = next(result.score_lines())
    assert line["words"] == ["w1", "w2", ".", "w3", "w4", "w5", "w6", "w7", "w8", "."]
    assert result.provenance.options["scored"] == "token"
    with pytest.raises(AttributionError, match="word, token"):
        explain(case.model, Examples("texts", tuple(case.examples), "0"), unit="letter")


def test_pairs_in_an_encoder(demo: LoadedModel, make_example: Make) -> None:
    pairs = (
        make_example("A man is playing a guitar .", "Someone plays an instrument ."),
        make_example("The cat sat down .", "Stocks fell sharply on Monday ."),
    )
    result = explain(demo, Examples("pairs", pairs, "0"))
    assert result.goals["kind"].tolist() == ["similarity", "similarity"]
    related, unrelated = result.goals["value"]
    assert related > unrelated + 0.2


def test_documents_are_resampled_where_the_corpus_names_enough(
    case_of: Callable[[str], SimpleNamespace],
) -> None:
    every_third = examples_of(bertology.sample_treebank()).examples[::3]
    result = explain(case_of("bert classifier").model, Examples("sample", every_third, "0"))
    assert result.provenance.unit == "document"
    few = explain(case_of("bert classifier").model, Examples("sample", every_third[:8], "0"))
    assert few.provenance.unit == "sentence"
    # Eight sentences describe, and settle nothing.
    assert few.table["descriptive"].all()


def test_real_classifier(shared_file: Callable[[str], Path]) -> None:
    model = bertology.load_model(shared_file("models/minilm-sst2"))
    examples = read_examples(shared_file("sentiment/sst/dev.txt")).first(5)
    result = explain(model, examples)
    assert result.provenance.options["completeness_relative_error_median"] < 0.01
    drops = result.faithfulness.set_index(["score", "metric", "operator"])["mean"]
    for operator in ("delete", "mask"):
        comprehensive = drops.xs(("comprehensiveness", operator), level=[1, 2])
        sufficient = drops.xs(("sufficiency", operator), level=[1, 2])
        for name in ("leave_one_out", "integrated_gradients"):
            assert comprehensive[name] > comprehensive["leave_one_out_reversed"] + 0.1
            assert sufficient[name] < sufficient["leave_one_out_reversed"] - 0.1
        assert comprehensive["leave_one_out"] > comprehensive["random"]
        assert sufficient["leave_one_out"] < sufficient["random"]


def test_word_that_decides_is_found(shared_file: Callable[[str], Path], make_example: Make) -> None:
    model = bertology.load_model(shared_file("models/minilm-sst2"))
    text = "The story was told in a terrible way by them ."
    result = explain(model, Examples("one", (make_example(text),), "0"))
    line = next(result.score_lines())
    for name in ("leave_one_out", "integrated_gradients"):
        assert line["words"][int(np.argmax(line["scores"][name]))] == "terrible"
