"""The classifier, its training, and what it reads."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution.recurrent import (
    ATTENTIONS,
    ENCODERS,
    AttentionClassifier,
    Vocabulary,
    read_instances,
    train_classifier,
)
from bertology.corpora import Example, Examples
from bertology.corpora.text import text_to_sentence
from bertology.errors import AttributionError


def test_vocabulary_keeps_frequent_words_without_case() -> None:
    texts = [text_to_sentence(t, id=t) for t in ("A b a", "a B c")]
    vocabulary = Vocabulary.of(texts)
    assert vocabulary.words == ("a", "b") and len(vocabulary) == 4
    assert vocabulary.ids(texts[1]).tolist() == [2, 3, 1]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_enters_no_number(encoder: str, attention: str) -> None:
    torch.manual_seed(0)
    network = AttentionClassifier(9, 3, encoder=encoder, attention=attention, hidden=4).eval()
    short = torch.tensor([[2, 3, 4]])
    alone, own = network(short, torch.tensor([3]))
    batch = torch.tensor([[2, 3, 4, 0, 0], [5, 6, 7, 8, 2]])
    together, weights = network(batch, torch.tensor([3, 5]))
    torch.testing.assert_close(together[:1], alone)
    torch.testing.assert_close(weights[:1, :3], own)
    assert (weights[0, 3:] == 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(2))


def test_attention_by_hand() -> None:
    network = AttentionClassifier(5, 2, attention="dot", hidden=2)
    states = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    vector = network.attention.weight[0]
    expected = (states[0] @ vector / math.sqrt(4)).softmax(0)
    torch.testing.assert_close(network.attend(states, torch.tensor([3]))[0], expected)
    even = AttentionClassifier(5, 2, attention="uniform", hidden=2)
    assert even.attend(states, torch.tensor([2]))[0].tolist() == [0.5, 0.5, 0.0]


def test_a_planted_word_is_learned_and_random_labels_are_not(
    data: SimpleNamespace, base: SimpleNamespace
) -> None:
    assert base.trained.accuracy(base.texts) > 0.95
    generator = np.random.default_rng(0)
    shuffled = Examples("shuffled", tuple(
        Example(e.sentence, label=str(generator.choice(["negative", "positive"])))
        for e in data.train.examples
    ), "0")  # fmt: skip
    untaught = train_classifier(shuffled, epochs=3, seed=0)
    assert 0.3 < untaught.accuracy(base.texts) < 0.7


def test_the_planted_word_is_attended_to(base: SimpleNamespace) -> None:
    top = [
        example.sentence.words[int(own.attention.argmax())]
        for example, own in zip(base.texts, base.instances, strict=True)
    ]
    assert np.mean([word in ("good", "bad") for word in top]) > 0.9


def test_the_seed_decides_and_the_best_epoch_is_kept(data: SimpleNamespace) -> None:
    few = Examples("few", data.train.examples[:80], "0")
    first, second, other = (train_classifier(few, epochs=3, seed=s) for s in (0, 0, 1))
    ids = torch.tensor([[2, 3]]), torch.tensor([2])
    assert torch.equal(first.network(*ids)[0], second.network(*ids)[0])
    assert not torch.equal(first.network(*ids)[0], other.network(*ids)[0])
    best = first.epochs["held_out_accuracy"].idxmax()
    assert first.epochs["chosen"].tolist() == [row == best for row in range(3)]


def test_instances_are_what_the_network_gives(base: SimpleNamespace) -> None:
    ids = base.trained.vocabulary.ids(base.texts[3].sentence)[None]
    logits, attention = base.trained.network(ids, torch.tensor([ids.shape[1]]))
    own = read_instances(base.trained, base.texts)[3]
    torch.testing.assert_close(own.probabilities, logits[0].softmax(-1))
    torch.testing.assert_close(own.attention, attention[0])
    torch.testing.assert_close(
        base.trained.network.decide(own.states, own.attention).softmax(-1), own.probabilities
    )


def _labelled(*labels: str | None) -> Examples:
    return Examples("given", tuple(
        Example(text_to_sentence(f"a b {n}", id=str(n)), label=label)
        for n, label in enumerate(labels)
    ), "0")  # fmt: skip


def test_bad_input_is_refused() -> None:
    with pytest.raises(AttributionError, match="1 examples of given have no label"):
        train_classifier(_labelled("x", None, "y"))
    with pytest.raises(AttributionError, match="label x only"):
        train_classifier(_labelled("x", "x"))
    with pytest.raises(AttributionError, match=r"\['z'\] of given are not in given"):
        train_classifier(_labelled("x", "y"), evaluate=_labelled("z"))
    with pytest.raises(AttributionError, match="encoder is one of bilstm, projection"):
        train_classifier(_labelled(*"xy" * 10), encoder="cnn")
    with pytest.raises(AttributionError, match="imposed maps"):
        train_classifier(_labelled("x", "y"), evaluate=_labelled("x"), imposed=[np.ones(3) / 3])
