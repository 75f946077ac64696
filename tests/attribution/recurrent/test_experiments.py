"""The experiments, each against what is known by construction."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution.divergences import jensen_shannon, total_variation
from bertology.attribution.recurrent import (
    AttentionClassifier,
    Instance,
    adversarial_search,
    correlation,
    decision_flips,
    epsilon_curve,
    permutation,
    removal_shares,
)
from bertology.attribution.recurrent.correlation import gradients, leave_one_out


def instance(network: AttentionClassifier, states: list, attention: list) -> Instance:
    h, a = torch.tensor(states, dtype=torch.float32), torch.tensor(attention)
    return Instance(h, a, network.decide(h, a).softmax(-1))


def test_gradients_hold_attention_fixed(base: SimpleNamespace) -> None:
    """Against finite differences of each word's embedding with α frozen."""
    trained, number = base.trained, 2
    own = gradients(trained, base.texts, base.instances)[number]
    network = trained.network
    embedded = network.embedding(trained.vocabulary.ids(base.texts[number].sentence))[None].double()
    network = network.double()
    lengths, seen = torch.tensor([embedded.shape[1]]), base.instances[number]

    def output(moved: torch.Tensor) -> float:
        states = network.encode(moved, lengths)
        return network.decide(states, seen.attention.double()).softmax(-1)[0, seen.predicted].item()

    found = []
    for word in range(embedded.shape[1]):
        step = torch.zeros_like(embedded)
        step[0, word] = 1e-5 * embedded[0, word]
        found.append(abs(output(embedded + step) - output(embedded - step)) / 2e-5)
    network.float()
    np.testing.assert_allclose(own, found, rtol=1e-3, atol=1e-6)


def test_leave_one_out_is_a_run_without_the_word(base: SimpleNamespace) -> None:
    trained, number = base.trained, 1
    own = leave_one_out(trained, base.texts, base.instances)[number]
    ids = trained.vocabulary.ids(base.texts[number].sentence)
    for word in range(len(ids)):
        shorter = torch.cat([ids[:word], ids[word + 1 :]])[None]
        output = trained.network(shorter, torch.tensor([len(ids) - 1]))[0].softmax(-1)[0]
        assert own[word] == pytest.approx(
            total_variation(output, base.instances[number].probabilities).item(), abs=1e-6
        )


def test_attention_agrees_where_one_word_decides(base: SimpleNamespace) -> None:
    table = correlation(base.trained, base.texts, base.instances, base.units, seed=0)
    overall = table[table["predicted"] == "all"].set_index(["score", "against"])
    assert overall.loc[("attention", "gradient"), "ci_low"] > 0.1
    assert set(table["predicted"]) == {"all", "negative", "positive"}
    shuffled = [
        Instance(own.states, own.attention[torch.randperm(len(own.attention))], own.probabilities)
        for own in base.instances
    ]
    null = correlation(base.trained, base.texts, shuffled, base.units, seed=0)
    null = null[(null["predicted"] == "all") & (null["score"] == "attention")]
    assert (null["ci_low"] < 0).all() and (null["mean"].abs() < 0.15).all()


def test_permutation(network: AttentionClassifier) -> None:
    same = instance(network, [[1, 0]] * 4, [0.7, 0.1, 0.1, 0.1])
    peaked = instance(network, [[9, 0], [0, 9], [0, 9], [0, 9]], [0.97, 0.01, 0.01, 0.01])
    even = instance(network, [[9, 0], [0, 9]], [0.5, 0.5])
    table = permutation(network, [same, peaked, even], seed=0)
    assert table["median_tvd"][0] == pytest.approx(0, abs=1e-6)
    # Three of four places put the weight on another word, which turns the decision round.
    assert table["median_tvd"][1] > 0.9
    assert table["median_tvd"][2] == pytest.approx(0, abs=1e-6)
    assert table["max_attention"][1] == pytest.approx(0.97)


def test_search_where_everything_is_possible(network: AttentionClassifier) -> None:
    """States that are all the same: the farthest α is on the least attended word."""
    constant = instance(network, [[1.0, 0.0]] * 6, [0.55, 0.2, 0.1, 0.1, 0.04, 0.01])
    found = adversarial_search(network, [constant], epsilon=0.01, seed=0)[0]
    farthest = torch.eye(6)[5]
    bound = jensen_shannon(farthest, constant.attention).item()
    assert found.jsd == pytest.approx(bound, rel=0.03) and found.jsd <= math.log(2)
    assert found.tvd == pytest.approx(0, abs=1e-6)
    assert found.attention.sum() == pytest.approx(1, abs=1e-5)


def test_search_where_nothing_is_possible(network: AttentionClassifier) -> None:
    """One word alone, and a classifier that reads one word only."""
    single = instance(network, [[1.0, 0.0]], [1.0])
    states = [[6.0, -6.0], [-6.0, 6.0], [-6.0, 6.0]]
    read = instance(network, states, [1.0, 0.0, 0.0])
    found = adversarial_search(network, [single, read], epsilon=0.001, seed=0)
    assert found[0].jsd == 0
    assert found[1].jsd < 0.15 and found[1].attention[0] > 0.7
    # With any change of output allowed, the same search goes far.
    assert adversarial_search(network, [read], epsilon=1.0, seed=0)[0].jsd > 0.6


def test_the_curve_rises_with_epsilon(network: AttentionClassifier) -> None:
    generator = torch.Generator().manual_seed(0)
    instances = []
    for _ in range(12):
        states = 2 * torch.randn(5, 2, generator=generator)
        attention = torch.rand(5, generator=generator).softmax(0)
        instances.append(Instance(states, attention, network.decide(states, attention).softmax(-1)))
    table, found = epsilon_curve(
        network, instances, range(12), seed=0, epsilons=(0.001, 0.5), steps=200
    )
    assert table["mean"][1] > table["mean"][0] > 0
    assert all(own.tvd <= 0.001 for own in found[0.001])


def test_decision_flips(network: AttentionClassifier) -> None:
    """One word decides: without it the decision flips, without another it does not."""
    decisive = instance(network, [[9, 0], [0, 1], [0, 1]], [0.6, 0.2, 0.2])
    redundant = instance(network, [[9, 0], [9, 0], [0, 1]], [0.4, 0.4, 0.2])
    table = decision_flips(network, [decisive, redundant], seed=0)
    assert table["flips_top"].tolist() == [True, False]
    assert table["flips_random"].tolist() == [False, False]
    assert table["difference"][0] > 0


def test_removal_shares(network: AttentionClassifier) -> None:
    decisive = instance(network, [[0, 1], [9, 0], [0, 1], [0, 1]], [0.3, 0.3, 0.2, 0.2])
    never = instance(network, [[1, 0], [2, 0]], [0.5, 0.5])
    table = removal_shares(network, [decisive, never], [0, 1], seed=0).set_index("order")
    # By attention the decisive word goes second; by gradient at once.
    assert table.loc["attention", "mean"] == pytest.approx(0.5)
    assert table.loc["gradient", "mean"] == pytest.approx(0.25)
    assert (table["never"].drop("random") == 0.5).all() and (table["n"] == 1).all()
    # One of five random orders leaves the decisive word for last.
    assert table.loc["random", "never"] == pytest.approx((1 + 1 / 5) / 2)
