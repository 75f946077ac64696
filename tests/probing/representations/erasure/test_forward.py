"""Erasing inside the forward pass is the eraser's own transform, and later layers feel it."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from bertology import BertologyError
from bertology.capture import collate, hidden_states
from bertology.corpora import encode
from bertology.corpora.text import text_to_sentence
from bertology.probing.representations.erasure import LEACE, RandomRank, erased

FAMILIES = ("bert", "roberta", "albert", "distilbert", "electra", "gpt2", "llama")
WIDTH = 32


def fitted(seed=0):
    """An oblique eraser, fitted on states that are not the model's."""
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((200, WIDTH)) * np.linspace(0.5, 2, WIDTH) + 1
    labels = rng.integers(0, 3, 200)
    states[:, :3] += 2 * np.eye(3)[labels]
    return LEACE().fit(states, labels)


def encodings(model, texts):
    return [encode(text_to_sentence(text, id=text), model.tokenizer) for text in texts]


def read(model, batch, erasers):
    """All hidden states (layer, batch, token, hidden) and the output of a pass."""
    with torch.no_grad(), erased(model.module, erasers), hidden_states(model.module) as states:
        output = model.module(**batch.inputs)[0]
    return torch.stack(states), output


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", range(4))
def test_the_state_is_the_transform_and_later_ones_follow(family, layer, tiny_model, plain_words):
    model, eraser = tiny_model(family), fitted()
    batch = collate(encodings(model, plain_words.texts[:1]), model)
    plain, before = read(model, batch, {})
    states, after = read(model, batch, {layer: eraser})
    assert torch.equal(states[:layer], plain[:layer])
    wanted = eraser.transform(plain[layer, 0].double().numpy())
    np.testing.assert_allclose(states[layer, 0], wanted, atol=1e-4)
    for later in range(layer, 4):
        assert (states[later] - plain[later]).abs().max() > 0.01
    assert (after - before).abs().max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_erasing_nothing_changes_nothing(family, tiny_model, plain_words):
    model = tiny_model(family)
    batch = collate(encodings(model, plain_words.texts), model)
    nothing = RandomRank(0).fit(np.random.default_rng(0).standard_normal((5, WIDTH)))
    plain, before = read(model, batch, {})
    states, after = read(model, batch, dict.fromkeys(range(4), nothing))
    assert torch.equal(states, plain)
    assert torch.equal(after, before)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_batch_is_its_texts_one_by_one(family, side, tiny_model, plain_words):
    model = tiny_model(family)
    texts = encodings(model, plain_words.texts)
    erasers = {0: fitted(1), 2: fitted(2)}
    batch = collate(texts, model, side)
    together, _ = read(model, batch, erasers)
    for i, text in enumerate(texts):
        alone, _ = read(model, collate([text], model), erasers)
        own = together[:, i][:, batch.mask[i].bool()]
        torch.testing.assert_close(own, alone[:, 0], atol=1e-4, rtol=1e-4)


def test_means_of_erased_tokens_are_erased_means(tiny_model, plain_words):
    model, eraser = tiny_model("bert"), fitted()
    batch = collate(encodings(model, plain_words.texts[:1]), model)
    plain, _ = read(model, batch, {})
    states, _ = read(model, batch, {2: eraser})
    mean = plain[2, 0, 1:4].double().mean(0, keepdim=True)
    np.testing.assert_allclose(
        states[2, 0, 1:4].mean(0)[None], eraser.transform(mean.numpy()), atol=1e-4
    )


def test_half_precision_is_erased_in_full(tiny_model, plain_words):
    model = tiny_model("llama")
    batch = collate(encodings(model, plain_words.texts[:1]), model)
    model.module.to(torch.bfloat16)
    plain, _ = read(model, batch, {})
    states, _ = read(model, batch, {1: fitted()})
    assert states.dtype == torch.bfloat16
    wanted = torch.from_numpy(fitted().transform(plain[1, 0].double().numpy())).bfloat16()
    # Nothing but the last rounding: one step of bfloat16 at most.
    torch.testing.assert_close(states[1, 0], wanted, atol=1e-6, rtol=2**-7)


def test_only_our_hooks_are_removed_and_always(tiny_model, plain_words):
    model = tiny_model("bert")
    batch = collate(encodings(model, plain_words.texts), model)
    plain, _ = read(model, batch, {})
    seen = []
    block = model.module.encoder.layer[0]
    handle = block.register_forward_hook(lambda *_: seen.append(1))
    with pytest.raises(KeyError), ExitStack() as stack:
        stack.enter_context(erased(model.module, {1: fitted()}))
        stack.enter_context(erased(model.module, {2: fitted()}))
        raise KeyError("on purpose")
    again, _ = read(model, batch, {})
    assert torch.equal(again, plain)
    assert len(seen) == 1
    assert list(block._forward_hooks) == [handle.id]
    handle.remove()


def test_nested_erasers_are_one_after_the_other(tiny_model, plain_words):
    model = tiny_model("gpt2")
    batch = collate(encodings(model, plain_words.texts), model)
    together, _ = read(model, batch, {1: fitted(1), 3: fitted(2)})
    with erased(model.module, {3: fitted(2)}):
        nested, _ = read(model, batch, {1: fitted(1)})
    assert torch.equal(nested, together)


def test_what_does_not_fit_is_refused(tiny_model, plain_words):
    model = tiny_model("bert")
    batch = collate(encodings(model, plain_words.texts), model)
    narrow = RandomRank(1).fit(np.random.default_rng(0).standard_normal((5, 8)))
    with pytest.raises(BertologyError, match=r"8 dimensions.*have 32"):
        read(model, batch, {1: narrow})
    with pytest.raises(BertologyError, match="no hidden state 4"):
        read(model, batch, {4: fitted()})
    with pytest.raises(NotFittedError, match="LEACE instance is not fitted"):
        read(model, batch, {1: LEACE()})
