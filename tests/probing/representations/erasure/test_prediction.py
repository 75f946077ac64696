"""The effect on predictions and embeddings, against hand computation and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bertology import BertologyError
from bertology.corpora import encode
from bertology.corpora.text import text_to_sentence
from bertology.probing.representations.erasure import LEACE, RandomRank
from bertology.probing.representations.erasure.prediction import effects, measures_of, questions_of

WIDTH, WORDS = 32, 60


def encodings(model, texts):
    return [encode(text_to_sentence(text, id=text), model.tokenizer) for text in texts]


def asked(model, texts, layer, erasers, seed=0):
    read = encodings(model, texts)
    return effects(model, questions_of(model, read, seed=seed), len(read), layer, erasers)


def everything(affine):
    """Erases whole states: they become their mean, or zero."""
    states = np.random.default_rng(0).standard_normal((9, WIDTH)) + 1
    return RandomRank(WIDTH, affine=affine).fit(states)


def nothing():
    return RandomRank(0).fit(np.zeros((2, WIDTH)))


def some():
    rng = np.random.default_rng(0)
    states, labels = rng.standard_normal((100, WIDTH)) + 1, rng.integers(0, 2, 100)
    states[:, 0] += 3 * labels
    return LEACE().fit(states, labels)


def distributions(model, ids):
    """(token, vocabulary) of one text, by numpy."""
    with torch.no_grad():
        logits = model.module(torch.tensor([ids])).logits[0].double().numpy()
    return np.exp(logits - logits.max(1, keepdims=True)) / np.exp(
        logits - logits.max(1, keepdims=True)
    ).sum(1, keepdims=True)


def test_next_tokens_are_those_of_the_model(tiny_model, plain_words):
    model = tiny_model("llama", "causal-lm")
    found = asked(model, plain_words.texts, 1, [])
    assert measures_of(model) == found.measures
    for i, read in enumerate(encodings(model, plain_words.texts)):
        p = distributions(model, read.ids)[:-1]
        right = p[np.arange(len(p)), read.ids[1:]]
        accuracy = (p.argmax(1) == read.ids[1:]).sum()
        wanted = [accuracy, np.log2(right).sum(), 0]
        np.testing.assert_allclose(found.sums[0, i], wanted, atol=1e-3)
        assert found.counts[i] == len(p)


def test_masked_words_are_predicted_one_at_a_time(tiny_model, plain_words):
    model = tiny_model("bert", "masked-lm")
    read = encodings(model, plain_words.texts)
    questions = questions_of(model, read, seed=0)
    assert [q.sentence for q in questions] == [0, 0, 0, 1, 1, 2, 2, 2]
    found = effects(model, questions, 3, 1, [])
    wanted = np.zeros((3, 3))
    for question in questions:
        (row,), (target,) = question.rows, question.targets
        original = read[question.sentence].ids
        assert original[row] == target
        changed = np.flatnonzero(question.encoding.ids != original)
        assert changed.tolist() == [row]
        assert question.encoding.ids[row] == model.tokenizer.mask_token_id
        p = distributions(model, question.encoding.ids)[row]
        wanted[question.sentence] += [p.argmax() == target, np.log2(p[target]), 0]
    np.testing.assert_allclose(found.sums[0], wanted, atol=1e-3)
    assert found.counts.tolist() == [3, 2, 3]


def test_masked_words_are_drawn_from_the_seed(tiny_model):
    model = tiny_model("bert", "masked-lm")
    read = encodings(model, [" ".join(f"w{i}" for i in range(30))] * 2)

    def rows(seed):
        return [q.rows[0] for q in questions_of(model, read, seed=seed)]

    assert rows(0) == rows(0)
    assert rows(0) != rows(1)
    assert rows(0)[:3] != rows(0)[3:]


def test_a_state_of_zero_says_nothing_about_the_next_token(tiny_model, plain_words):
    model = tiny_model("llama", "causal-lm")
    found = asked(model, plain_words.texts, 3, [everything(affine=False)])
    # Llama's norm of zero is zero, and its head has no bias: all tokens are equally likely.
    np.testing.assert_allclose(found.sums[1, :, 1], -np.log2(WORDS) * found.counts, rtol=1e-5)
    entropy = []
    for read in encodings(model, plain_words.texts):
        p = distributions(model, read.ids)[:-1]
        entropy.append(-(p * np.log2(p.clip(1e-300))).sum())
    # D(p ‖ uniform) = log2 of the vocabulary − entropy of p.
    np.testing.assert_allclose(
        found.sums[1, :, 2], np.log2(WORDS) * found.counts - entropy, rtol=1e-4
    )
    assert (found.sums[1, :, 2] / found.counts > 1).all()


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "distilbert"])
def test_erasing_nothing_diverges_by_nothing(family, tiny_model, plain_words):
    task = "causal-lm" if family in ("llama", "gpt2") else "masked-lm"
    found = asked(tiny_model(family, task), plain_words.texts, 2, [nothing(), some()])
    assert (found.sums[1] == found.sums[0]).all()
    assert (found.sums[0, :, 2] == 0).all()
    assert found.sums[2, :, 2].sum() > 0.01 * found.counts.sum()


@pytest.mark.parametrize(
    ("family", "task"), [("llama", "causal-lm"), ("bert", "masked-lm"), ("bert", "encoder")]
)
def test_texts_are_scored_as_if_alone(family, task, tiny_model, plain_words):
    model = tiny_model(family, task)
    together = asked(model, plain_words.texts, 1, [some()])
    alone = asked(model, plain_words.texts[:1], 1, [some()])
    np.testing.assert_allclose(together.sums[:, 0], alone.sums[:, 0], atol=2e-3)
    assert together.sums[:, 1:].any()


def test_embeddings_are_compared_by_their_cosine(tiny_model, plain_words):
    model = tiny_model("bert")
    found = asked(model, plain_words.texts, 3, [nothing(), everything(affine=True), some()])
    assert found.measures == ("embedding_cosine",)
    assert found.counts.tolist() == [1, 1, 1]
    np.testing.assert_allclose(found.sums[:2], 1, atol=1e-6)
    for i, read in enumerate(encodings(model, plain_words.texts)):
        with torch.no_grad():
            states = model.module(torch.tensor([read.ids])).last_hidden_state[0].numpy()
        mean = states.mean(0)
        for place, other in ((2, everything(True).mean_), (3, some().transform(states).mean(0))):
            cosine = mean @ other / np.linalg.norm(mean) / np.linalg.norm(other)
            np.testing.assert_allclose(found.sums[place, i, 0], cosine, atol=1e-4)
            assert abs(cosine) < 0.99


def test_a_masked_model_needs_a_mask_token(tiny_model, tokenizer_of, plain_words):
    model = replace(tiny_model("bert", "masked-lm"), tokenizer=tokenizer_of("$A"))
    with pytest.raises(BertologyError, match="no mask token"):
        questions_of(model, encodings(model, plain_words.texts), seed=0)
    causal = tiny_model("llama", "causal-lm")
    with pytest.raises(BertologyError, match="No sentence holds a token"):
        questions_of(causal, encodings(causal, ["w1"]), seed=0)
