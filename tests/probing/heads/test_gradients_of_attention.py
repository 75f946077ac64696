"""Gradients of attention against finite differences, and the laws of the pass part."""

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

from bertology import load_model
from bertology.capture import Hook, collate, hooked, passes, replace_attention
from bertology.capture.tasks import intra_op_threads
from bertology.corpora import Corpus, encode
from bertology.corpora.text import text_to_sentence
from bertology.errors import CaptureError
from bertology.models import LoadedModel
from bertology.probing.heads.collecting import scan_batch
from bertology.probing.heads.gradients import KEYS, VARIANTS, gradient_records, masked_tokens
from bertology.probing.heads.importance import gradient_table
from bertology.probing.heads.options import ScanOptions
from bertology.probing.heads.queries import QUERIES
from bertology.probing.heads.scan import scan_heads

OPTIONS = ScanOptions(parts=("gradients",), seed=3)
MASKED, UNMASKED = (VARIANTS.index(name) for name in ("masked", "unmasked"))


def batch_of(model, *texts):
    return collate([encode(sentence(text), model.tokenizer) for text in texts], model)


def sentence(text, **annotation):
    return text_to_sentence(text, id=text, **annotation)


def corpus_of(texts):
    return Corpus("texts", tuple(sentence(text) for text in texts), "0" * 64)


def gradients(model, *texts, options=OPTIONS):
    """(text, variant, layer, head, query, key)."""
    records = gradient_records(model, batch_of(model, *texts), options)
    return torch.cat([record["gradients"] for record in records]).numpy()


# The losses once more, by the definitions: of outputs (example, …) on one text.


def cross_entropy(output, ids, places, shift):
    log_p = output.double().log_softmax(-1)
    return -sum(log_p[:, place - shift, ids[place]] for place in places)


def losses(task, output, ids, places, intact):
    if task == "masked-lm":
        return cross_entropy(output, ids, places, 0)
    if task == "causal-lm":
        return cross_entropy(output, ids, range(1, len(ids)), 1)
    if task == "classification":
        return output[:, intact[0].argmax()]
    reference = intact[0].mean(0)
    return output.mean(1) @ reference / reference.norm()


def slopes(module, inputs, layer, maps, loss, step=1e-4):
    """Central differences of the loss in each weight of a map (head, query, key)."""
    count = maps.numel()
    moves = torch.eye(count, dtype=torch.float64).view(count, *maps.shape) * step
    moved = torch.cat([maps + moves, maps - moves])
    many = {name: value.expand(2 * count, -1) for name, value in inputs.items()}
    with torch.no_grad(), hooked(module, replace_attention({layer: moved})):
        up, down = loss(module(**many)[0]).chunk(2)
    return ((up - down) / (2 * step)).view(maps.shape).numpy()


def kinds_of(tokens):
    names = {"[CLS]": "cls", "[SEP]": "sep", ".": "punctuation", ",": "punctuation"}
    keys = np.array([names.get(token, "other") for token in tokens])
    return np.where(keys == "punctuation", "other", keys), keys


def expected(model, text, variant):
    """(layer, head, query, key) from finite differences in every weight that exists."""
    batch = batch_of(model, text)
    ids, encoding = batch.inputs["input_ids"][0].tolist(), batch.encodings[0]
    places, inputs = np.flatnonzero(~encoding.added), batch.inputs
    if variant == "masked":
        places = np.flatnonzero(masked_tokens(encoding, OPTIONS.seed))
        read = [model.tokenizer.mask_token_id if i in places else ids[i] for i in range(len(ids))]
        inputs = {**inputs, "input_ids": torch.tensor([read])}
    maps = {}
    with torch.no_grad():
        intact = model.module(**batch.inputs)[0]
        with hooked(model.module, Hook(observe=lambda e: maps.setdefault(e.site.layer, e))):
            output = model.module(**inputs)[0]
        maps = {layer: event.attention[0] for layer, event in maps.items()}
    if (model.task, variant) == ("classification", "masked"):
        assert output.argmax() != intact.argmax(), "so that the intact text's class matters"
    queries, keys = kinds_of(encoding.tokens)
    exists = np.ones((len(ids), len(ids)), dtype=bool)
    if model.task == "causal-lm":
        exists = np.tril(exists)
    found = np.full((len(maps), maps[0].shape[0], len(QUERIES), len(KEYS)), np.nan)
    for layer, attention in maps.items():
        slope = slopes(
            model.module, inputs, layer, attention,
            lambda output: losses(model.task, output, ids, places, intact),
        )  # fmt: skip
        for q, query in enumerate(QUERIES):
            for k, key in enumerate(KEYS):
                cell = np.outer(queries == query, keys == key) & exists
                if cell.any():
                    found[layer, :, q, k] = np.abs(slope[:, cell]).mean(1)
    return found


TASKS = [
    ("bert", "masked-lm"), ("albert", "masked-lm"), ("bert", "encoder"),
    ("bert", "classification"), ("gpt2", "causal-lm"),
]  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("family", "task"), TASKS)
def test_means_are_those_of_finite_differences(family, task, variant, tiny_model) -> None:
    model = tiny_model(family, task)
    model.module.double()
    text = "w39 w37 w44 . w9 ,"
    found = gradients(model, text)[0, VARIANTS.index(variant)]
    if (task, variant) == ("causal-lm", "masked"):
        assert np.isnan(found).all()
        return
    wanted = expected(model, text, variant)
    assert np.nanmedian(wanted) > 1e-3 and np.isfinite(wanted).sum() >= 24
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_one_weight_alone_is_its_own_mean(tiny_model) -> None:
    """[CLS] and [SEP] are one token each, so four cells hold one weight, without an average."""
    model = tiny_model("bert", "masked-lm")
    model.module.double()
    batch = batch_of(model, "w1 w2 w3")
    ids, kept = batch.inputs["input_ids"][0], []
    with hooked(model.module, Hook(observe=kept.append)):
        output = model.module(**batch.inputs)[0][0]
        loss = torch.nn.functional.cross_entropy(output[1:-1], ids[1:-1], reduction="sum")
    raw = torch.autograd.grad(loss, [event.attention for event in kept])
    found = gradients(model, "w1 w2 w3")[0, UNMASKED]
    for layer, gradient in enumerate(raw):
        corners = gradient[0][:, [0, -1]][..., [0, -1]].abs().numpy()
        np.testing.assert_allclose(found[layer, :, :2, :2], corners, rtol=1e-5)


def test_a_head_that_writes_nothing_has_no_gradient(tiny_model) -> None:
    model = tiny_model("bert", "encoder")
    assert (gradients(model, "w1 w2 . w3") > 0).all()
    width = model.config.hidden_size // model.config.num_attention_heads
    projection = model.module.encoder.layer[1].attention.output.dense
    with torch.no_grad():
        projection.weight[:, 2 * width : 3 * width] = 0
    found = gradients(model, "w1 w2 . w3")[0]
    assert (found[:, 1, 2] == 0).all()
    found[:, 1, 2] = 1
    assert (found > 0).all()


def test_rows_of_the_last_layer_that_predict_nothing_have_no_gradient(tiny_model) -> None:
    """Specials are not predicted, so that what they attend to last is lost; earlier it is not."""
    found = gradients(tiny_model("bert", "masked-lm"), "w1 w2 . w3")[0]
    special, other = slice(0, 2), QUERIES.index("other")
    assert (found[:, -1, :, special] == 0).all()
    assert (found[:, -1, :, other] > 0).all() and (found[:, :-1] > 0).all()


@pytest.mark.parametrize(("family", "task"), TASKS)
def test_a_batch_is_its_texts_one_by_one(family, task, tiny_model, plain_words) -> None:
    model = tiny_model(family, task)
    together = gradients(model, *plain_words.texts)
    for row, text in enumerate(plain_words.texts):
        alone = gradients(model, text)[0]
        np.testing.assert_allclose(together[row], alone, rtol=1e-3, atol=1e-5)
        assert np.nanmax(alone) > 1e-2


def test_masks_depend_on_the_seed_and_the_text_alone(tiny_model) -> None:
    tokenizer = tiny_model("bert").tokenizer
    text = " ".join(f"w{i}" for i in range(40))
    encoding = encode(sentence(text), tokenizer)
    marks = masked_tokens(encoding, 0)
    assert marks.sum() == 6 and not marks[encoding.added].any()  # 15 % of 40
    renamed = encode(text_to_sentence(text, id="other", document="d"), tokenizer)
    assert (masked_tokens(renamed, 0) == marks).all()
    other = encode(sentence(text[:-3] + "w51"), tokenizer)
    assert (masked_tokens(other, 0) != marks).any()
    assert (masked_tokens(encoding, 1) != marks).any()
    assert masked_tokens(encode(sentence("w1 w2"), tokenizer), 0).sum() == 1
    drawn = np.mean([masked_tokens(encoding, seed) for seed in range(400)], axis=0)[1:-1]
    # 400 draws of 6 out of 40: the standard error of a share is 0.018.
    assert np.abs(drawn - 0.15).max() < 0.075


def test_the_seed_moves_what_is_masked_and_nothing_else(tiny_model) -> None:
    model = tiny_model("bert", "masked-lm")
    text = " ".join(f"w{i}" for i in range(30))
    one, other = (gradients(model, text, options=replace(OPTIONS, seed=seed))[0] for seed in (0, 1))
    assert (one[UNMASKED] == other[UNMASKED])[~np.isnan(one[UNMASKED])].all()
    assert not np.allclose(one[MASKED], other[MASKED], equal_nan=True)


def test_what_a_text_lacks_is_nan(tiny_model) -> None:
    with_it, without = gradients(tiny_model("bert"), "w1 . w2", "w1 w2 w3")
    assert not np.isnan(with_it).any()
    punctuation = KEYS.index("punctuation")
    assert np.isnan(without[..., punctuation]).all()
    assert not np.isnan(np.delete(without, punctuation, axis=-1)).any()
    # Without specials, a text has other rows only; a single token has nothing before it.
    two, one = gradients(tiny_model("gpt2", "causal-lm"), "w1 w2", "w1")
    there = np.zeros((len(QUERIES), len(KEYS)), dtype=bool)
    there[QUERIES.index("other"), KEYS.index("other")] = True
    assert (~np.isnan(two[UNMASKED]) == there).all()
    assert np.isnan(two[MASKED]).all() and np.isnan(one).all()


def test_a_tokenizer_without_mask_token_drops_what_is_masked(tiny_model) -> None:
    model = tiny_model("bert", "masked-lm")
    full = gradients(model, "w1 . w2")
    model.tokenizer.mask_token = None
    found = gradients(model, "w1 . w2")
    assert np.isnan(found[:, MASKED]).all() and not np.isnan(full).any()
    assert (found[:, UNMASKED] == full[:, UNMASKED]).all()


def state_of(module):
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in module.modules()]
    training = [part.training for part in module.modules()]
    wanted = [(p.requires_grad, p.grad is None) for p in module.parameters()]
    return hooks, training, wanted, module.config._attn_implementation


def test_the_model_is_left_as_it_was(tiny_model) -> None:
    model = tiny_model("bert", "masked-lm")
    reference = gradients(model, "w1 . w2")
    model.module.train()
    model.module.bert.encoder.layer[0].eval()
    kept = next(model.module.parameters())
    kept.grad = torch.ones_like(kept)
    before = state_of(model.module)
    with torch.no_grad():
        found = gradients(model, "w1 . w2")
        assert not torch.is_grad_enabled()
    assert state_of(model.module) == before and (kept.grad == 1).all()
    assert (found == reference).all(), "without dropout"


def test_frozen_weights_change_nothing(tiny_model) -> None:
    model = tiny_model("bert", "masked-lm")
    reference = gradients(model, "w1 . w2")
    for half in (slice(0, 12), slice(None)):
        for parameter in list(model.module.parameters())[half]:
            parameter.requires_grad_(False)
        np.testing.assert_allclose(gradients(model, "w1 . w2"), reference, rtol=1e-6)
    assert not any(parameter.requires_grad for parameter in model.module.parameters())


def test_gradients_that_are_no_numbers_are_refused(tiny_model) -> None:
    model = tiny_model("bert", "masked-lm")
    assert np.isfinite(gradients(model, "w1 . w2")).all()
    with torch.no_grad():
        model.module.cls.predictions.decoder.bias[7] = torch.inf
    with pytest.raises(CaptureError, match=r"gradient of attention of .* is NaN or infinite"):
        gradients(model, "w1 . w2")


def test_two_stacks_are_refused_before_anything_is_read() -> None:
    config = transformers.T5Config(
        vocab_size=60, d_model=32, d_kv=8, num_layers=2, num_heads=4, d_ff=48,
        decoder_start_token_id=0,
    )  # fmt: skip
    module = transformers.T5ForConditionalGeneration(config).eval()
    for task in ("seq2seq-lm", "encoder"):
        # There is no tokenizer, so that reading a text would fail.
        model = LoadedModel("tiny t5", module, None, task)
        with pytest.raises(CaptureError, match=r"tiny t5 .* an encoder and a decoder"):
            scan_heads(model, corpus_of(["w1"]), options=OPTIONS)


def test_segment_ids_are_those_of_the_pass(tiny_model) -> None:
    model = tiny_model("bert", "masked-lm")
    model.tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    pair = replace(sentence("w1 w2 ."), pair=sentence("w3 w4"))
    batch = collate([encode(pair, model.tokenizer)], model)

    def found(segment_ids):
        options = replace(OPTIONS, segment_ids=segment_ids)
        return scan_batch(model, batch, options)[0]["gradients"]

    own, zeros = found("tokenizer"), found("zeros")
    assert not torch.allclose(own, zeros)
    segments = model.module.bert.embeddings.token_type_embeddings.weight
    with torch.no_grad():
        segments[1] = segments[0]
    assert torch.equal(found("tokenizer"), zeros)


TEXTS = [f"w{i} w{i + 1} {'. ' * (i % 3 == 0)}w{i + 2}" for i in range(36)]


@pytest.fixture(scope="module")
def scan(tiny_model):
    return scan_heads(tiny_model("bert", "masked-lm"), corpus_of(TEXTS), options=OPTIONS)


def test_the_table_holds_means_over_the_texts_that_have_such_weights(scan) -> None:
    table = gradient_table(scan, seed=1)
    assert list(table.columns) == [
        "layer", "head", "variant", "query", "key", "mean", "ci_low", "ci_high", "n",
        "descriptive", "loss",
    ]  # fmt: skip
    assert set(table["loss"]) == {"cross entropy of the original tokens"}
    values = scan.shards.gather("gradients")
    assert len(table) == values[0].size
    for row in table.sample(60, random_state=0).itertuples():
        place = VARIANTS.index(row.variant), row.layer, row.head
        cell = values[(slice(None), *place, QUERIES.index(row.query), KEYS.index(row.key))]
        cell = cell[~np.isnan(cell)]
        assert row.n == len(cell) == (12 if row.key == "punctuation" else 36)
        assert row.mean == pytest.approx(cell.mean(), rel=1e-6)
        error = cell.std() / len(cell) ** 0.5
        assert row.ci_high - row.ci_low == pytest.approx(2 * 1.96 * error, rel=0.25)
        assert row.descriptive == (row.n < 30)
    pd.testing.assert_frame_equal(table, gradient_table(scan, seed=1))


def test_the_table_pools_units_by_their_texts(scan) -> None:
    """Documents of unequal size: a mean over texts, not over documents."""
    documents = replace(scan, units=np.repeat([0, 1, 2], [30, 5, 1]))
    one, other = gradient_table(scan), gradient_table(documents)
    np.testing.assert_allclose(one["mean"], other["mean"])
    assert (one["n"] == other["n"]).all() and other["descriptive"].all()
    assert (one["ci_low"] != other["ci_low"])[one["mean"] > 0].all()


def test_what_no_text_has_is_no_row(tiny_model) -> None:
    found = scan_heads(tiny_model("gpt2", "causal-lm"), corpus_of(TEXTS), options=OPTIONS)
    table = gradient_table(found)
    assert set(table["variant"]) == {"unmasked"} and set(table["query"]) == {"other"}
    assert set(table["key"]) == {"punctuation", "other"} and len(table) == 3 * 4 * 2
    assert not table.isna().any().any()


def test_a_pass_without_gradients_says_how_to_ask(tiny_model) -> None:
    found = scan_heads(tiny_model("bert"), corpus_of(TEXTS[:3]))
    with pytest.raises(CaptureError, match=r"gradients.*ask for it"):
        gradient_table(found)


def test_the_part_can_be_sent_to_a_worker(tiny_model) -> None:
    model = tiny_model("bert", "masked-lm")
    run = pickle.loads(pickle.dumps(partial(scan_batch, options=OPTIONS)))
    (record,) = run(model, batch_of(model, "w1 . w2"))
    assert np.array_equal(record["gradients"].numpy(), gradients(model, "w1 . w2"))


@pytest.mark.slow
def test_workers_write_the_shards_of_one_process(tiny_model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(passes, "SHARD_TOKENS", 40)
    monkeypatch.setattr(passes, "batch_tokens", lambda model: 20)
    source = tiny_model("bert", "masked-lm")
    source.module.save_pretrained(tmp_path / "model")
    source.tokenizer.save_pretrained(tmp_path / "model")
    model, corpus = load_model(tmp_path / "model"), corpus_of(TEXTS)
    with intra_op_threads(1):
        one = scan_heads(model, corpus, tmp_path / "one", options=OPTIONS)
    two = scan_heads(model, corpus, tmp_path / "two", options=OPTIONS, workers=2)
    assert len(one.shards.members) > 2
    found = [found.shards.gather("gradients") for found in (one, two)]
    assert np.array_equal(*found, equal_nan=True)
    assert np.nanmedian(found[0]) > 0.1
