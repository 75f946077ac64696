"""Functions whose attributions can be worked out by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bertology.attribution.methods import METHODS
from bertology.attribution.methods.baselines import BASELINES, baseline_embedding
from bertology.attribution.methods.occlusion import leave_one_out, occlusion
from bertology.errors import AttributionError
from bertology.models import LoadedModel

ToyOf = Callable[..., LoadedModel]
Given = Callable[..., Any]


def quadratic(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return x[:, 0] * x[:, 1] ** 2


def additive(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (x * mask).sum(1)


#: Zero stands for an absent word: the toys' padding token is worth 0.
ZERO: dict[str, dict[str, Any]] = {
    "gradient_shap": {"baselines": ["zero"]},
    "occlusion": {"window": 1},
}


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"random", "gradient_norm"}))
def test_every_method_finds_the_weights_of_a_bag_of_words(
    toy: ToyOf, given: Given, name: str
) -> None:
    model = toy(additive)
    texts = given(model, "w3 w1 w7 w5", "w2 w9")
    scores = METHODS[name].run(model, *texts, seed=0, **ZERO.get(name, {}))
    np.testing.assert_allclose(scores[0], [3, 1, 7, 5], rtol=1e-4)
    np.testing.assert_allclose(scores[1], [2, 9], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("input_x_gradient", [18, 36]),
        ("gradient_norm", [9, 12]),
        ("integrated_gradients", [6, 12]),
        ("kernel_shap", [9, 9]),
        ("leave_one_out", [18, 18]),
    ],
)
def test_product_of_one_and_a_square(
    toy: ToyOf, given: Given, name: str, expected: list[float]
) -> None:
    model = toy(quadratic)
    options = {"operator": "pad"} if name in ("kernel_shap", "leave_one_out") else {}
    (scores,) = METHODS[name].run(model, *given(model, "w2 w3"), seed=0, **options)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


@pytest.mark.parametrize("operator", ["delete", "pad", "hide"])
def test_leave_one_out_is_the_shapley_value_of_an_additive_function(
    toy: ToyOf, given: Given, operator: str
) -> None:
    model = toy(additive)
    texts = given(model, "w3 w1 w7 w5")
    (left_out,) = leave_one_out(model, *texts, seed=0, operator=operator)
    (shapley,) = METHODS["kernel_shap"].run(model, *texts, seed=0, operator="pad")
    np.testing.assert_allclose(left_out, shapley, rtol=1e-4)


@pytest.mark.parametrize(
    ("window", "expected"),
    # Windows of two are worth 4, 8 and 12; each word has half of those it is in, on average.
    [(1, [3, 1, 7, 5]), (2, [2, 3, 5, 6]), (4, [4, 4, 4, 4]), (9, [4, 4, 4, 4])],
)
def test_windows_share_their_effect(
    toy: ToyOf, given: Given, window: int, expected: list[float]
) -> None:
    model = toy(additive)
    texts = given(model, "w3 w1 w7 w5")
    (scores,) = occlusion(model, *texts, seed=0, window=window, operator="pad")
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("name", ["integrated_gradients", "deeplift"])
def test_baselines_are_subtracted(toy: ToyOf, given: Given, name: str, baseline: str) -> None:
    model = toy(additive)
    texts = given(model, "w3 w1 w7")
    if baseline == "mask":
        with pytest.raises(AttributionError, match="no mask token"):
            METHODS[name].run(model, *texts, seed=0, baseline=baseline)
        return
    # The mean of the 60 entries: eight of 0, then 0 to 51.
    reference = {"zero": 0.0, "pad": 0.0, "mean": 51 * 52 / 2 / 60}[baseline]
    (scores,) = METHODS[name].run(model, *texts, seed=0, baseline=baseline)
    np.testing.assert_allclose(scores, np.array([3, 1, 7]) - reference, rtol=1e-4)


def test_baselines_of_a_real_model_are_its_embeddings(demo: LoadedModel) -> None:
    table = demo.module.get_input_embeddings().weight.detach()
    tokenizer = demo.tokenizer
    expected = {
        "zero": torch.zeros(table.shape[1]),
        "pad": table[tokenizer.pad_token_id],
        "mask": table[tokenizer.mask_token_id],
        "mean": table.mean(0),
    }
    for name in BASELINES:
        torch.testing.assert_close(baseline_embedding(demo, name), expected[name])
    with pytest.raises(AttributionError, match="'one'; give one of zero, pad, mask, mean"):
        baseline_embedding(demo, "one")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("occlusion", {"window": 0}, "window is 0"),
        ("lime", {"samples": 0}, "samples is 0"),
        ("smoothgrad", {"samples": 0}, "samples is 0"),
        ("gradient_shap", {"baselines": []}, "no baseline"),
        ("leave_one_out", {"operator": "mask"}, "no mask token"),
        ("leave_one_out", {"operator": "blur"}, "'blur'; give one of delete, mask, pad, hide"),
        ("kernel_shap", {"operator": "delete"}, "leaves nothing to measure"),
        ("kernel_shap", {"operator": "hide"}, "leaves nothing to measure"),
    ],
)
def test_bad_options_are_refused(
    toy: ToyOf, given: Given, name: str, options: dict[str, Any], message: str
) -> None:
    model = toy(additive)
    with pytest.raises(AttributionError, match=message):
        METHODS[name].run(model, *given(model, "w3 w1"), seed=0, **options)
