"""Adversaries trained for all texts at once, and models of other seeds beside them."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution import AttributionError, prepare
from bertology.attribution.counterfactual.comparison import Apart, compare_models, seed_variance
from bertology.attribution.counterfactual.consistent import consistent_adversaries, train_adversary
from bertology.attribution.targets import Prepared
from bertology.corpora import Example, Examples
from bertology.corpora.text import text_to_sentence
from bertology.models import LoadedModel, fine_tune

CaseOf = Callable[[str], SimpleNamespace]


def planted(count: int, seed: int) -> Examples:
    """Texts of 6 words that contain w1 (LABEL_0) or w2 (LABEL_1)."""
    generator = np.random.default_rng(seed)
    examples = []
    for number in range(count):
        words = [f"w{n}" for n in generator.integers(10, 50, 6)]
        words[generator.integers(6)] = f"w{number % 2 + 1}"
        sentence = text_to_sentence(" ".join(words), id=f"s{number}")
        examples.append(Example(sentence, None, f"LABEL_{number % 2}"))
    return Examples("planted", tuple(examples), str(seed))


@pytest.fixture(scope="module")
def trained(tiny_model: Callable[..., LoadedModel]) -> SimpleNamespace:
    start = tiny_model("bert", "classification")
    for parameter in start.module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    train, evaluate = planted(96, 0), planted(40, 1)
    options = {"learning_rate": 3e-3, "epochs": 4}
    models = [fine_tune(start, train, evaluate, seed=seed, **options).model for seed in (0, 1)]
    return SimpleNamespace(base=models[0], other=models[1], train=train, evaluate=evaluate)


def test_adversaries_move_attention_and_keep_the_decisions(trained: SimpleNamespace) -> None:
    table = consistent_adversaries(
        trained.base, trained.train, trained.evaluate, weights=(0.0, 1.0), others=[trained.other],
        epochs=4, learning_rate=3e-3,
    )  # fmt: skip
    values = table.set_index(["model", "metric"])["mean"]
    assert values["base", "accuracy"] > 0.9 and values["base", "agreement"] == 1
    assert values["base", "jsd"] == pytest.approx(0, abs=1e-6)
    own = table[table["model"] == "adversary"].set_index(["weight", "metric"])
    kept, moved = own.loc[0.0], own.loc[1.0]
    assert moved.loc["agreement", "mean"] > 0.9
    assert moved.loc["jsd", "mean"] > 3 * kept.loc["jsd", "mean"]
    assert moved.loc["jsd", "mean"] < np.log(2)
    assert moved.loc["jsd", "ci_low"] > kept.loc["jsd", "ci_high"]
    seeds = table[table["model"] == "seed"].set_index("metric")
    assert seeds.loc["jsd", "mean"] > 0
    assert moved.loc["jsd", "difference"] == pytest.approx(
        moved.loc["jsd", "mean"] - seeds.loc["jsd", "mean"]
    )
    assert (table["n"] == 40).all() and not table["descriptive"].any()


def test_training_the_adversary_is_seeded_and_leaves_the_base_alone(
    trained: SimpleNamespace,
) -> None:
    before = {k: v.clone() for k, v in trained.base.module.state_dict().items()}
    few = trained.train.first(16)
    first, again, other = (
        train_adversary(trained.base, few, weight=0.1, epochs=1, seed=seed) for seed in (0, 0, 1)
    )
    weights = [model.module.classifier.weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert all(torch.equal(v, before[k]) for k, v in trained.base.module.state_dict().items())


def test_comparison_of_models(trained: SimpleNamespace) -> None:
    """Against each text alone; a model is no way from itself."""
    prepared = prepare(trained.base, trained.evaluate.examples[:5])
    same = compare_models(trained.base, trained.base, prepared)
    for values in (same.jsd, same.read_jsd, same.total_variation):
        np.testing.assert_allclose(values, 0, atol=1e-6)
    assert same.predicted.tolist() == [goal.index for goal in prepared.goals]
    apart = compare_models(trained.base, trained.other, prepared)
    for number in range(5):
        alone = Prepared([prepared.encodings[number]], [prepared.goals[number]], [0], [])
        single = compare_models(trained.base, trained.other, alone)
        for name in ("jsd", "read_jsd", "total_variation"):
            assert getattr(apart, name)[number] == pytest.approx(getattr(single, name)[0], abs=1e-5)
    assert apart.jsd.min() > 0.001


def test_seed_variance_is_the_median_over_models(
    trained: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apart(base: object, other: float, prepared: object) -> Apart:
        return Apart(np.zeros(2), np.zeros(2), np.array([other, 1.0]), np.array([0.0, other]))

    monkeypatch.setattr("bertology.attribution.counterfactual.comparison.compare_models", apart)
    jsd, read = seed_variance(trained.base, [0.1, 0.2, 0.6], None)
    np.testing.assert_allclose(jsd, [0.2, 1])
    np.testing.assert_allclose(read, [0, 0.2])


def test_models_that_cannot_be_compared_are_refused(
    trained: SimpleNamespace, case_of: CaseOf, tiny_model: Callable[..., LoadedModel]
) -> None:
    prepared = prepare(trained.base, trained.evaluate.examples[:2])
    with pytest.raises(AttributionError, match="with the same classes"):
        compare_models(trained.base, case_of("gpt2 lm").model, prepared)
    with pytest.raises(AttributionError, match="no classifier"):
        train_adversary(case_of("albert encoder").model, trained.train, weight=1)
    shallow = tiny_model("distilbert", "classification")
    shallow.module.distilbert.transformer.layer = shallow.module.distilbert.transformer.layer[:2]
    with pytest.raises(AttributionError, match="other layers or heads"):
        compare_models(trained.base, shallow, prepared)
