"""What cannot be measured is refused: wrong parts, functions that fail, numbers that are none."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from bertology.ablation import ablate, held_out, scoring, setting, sweep
from bertology.ablation.metrics import scored_by
from bertology.ablation.parts import every_head, head_part
from bertology.errors import BertologyError, CaptureError, CorpusError
from bertology.models import LoadedModel


@pytest.mark.parametrize("parts", [["L0H1"], "heads", head_part(0, 1)])
def test_parts_are_a_list_of_parts(tiny_model, random_examples, parts):
    with pytest.raises(CaptureError, match="parse_part"):
        ablate(tiny_model("bert", "classification"), random_examples(4), parts=parts)


def test_of_two_stacks_the_encoder_is_ablated_alone(tokenizer_of, random_examples):
    config = transformers.T5Config(
        vocab_size=60, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
        decoder_start_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    module = transformers.T5ForConditionalGeneration(config).eval()
    model = LoadedModel("tiny t5", module, tokenizer_of(), "seq2seq-lm")
    with pytest.raises(CaptureError, match=r"decoder cross.*module=model\.reader"):
        ablate(model, random_examples(4))
    # As the message says.
    encoder = replace(model, module=model.reader, task="encoder")
    found = ablate(encoder, random_examples(4), modes=["zero"])
    assert len(found.table) == 8 and found.table.delta.abs().max() > 0.01


def test_resampling_takes_a_draw(tiny_model, random_examples):
    with pytest.raises(CaptureError, match="draws is 0"):
        ablate(tiny_model("bert"), random_examples(4), modes=["resample"], draws=0)


def test_a_function_that_fails_is_refused_before_any_work(tiny_model, random_examples, monkeypatch):
    def fails(predicted, true):
        raise ZeroDivisionError("by nothing")

    model, examples = tiny_model("bert", "classification"), random_examples(4, ("0", "1"))
    monkeypatch.setattr(setting, "prepare", lambda *_, **__: pytest.fail("work was done"))
    monkeypatch.setattr(sweep, "score", lambda *_, **__: pytest.fail("work was done"))
    for metric, message in (
        (fails, "fails failed .*by nothing"),
        (lambda p, y: "many", "lambda.*one number"),
    ):
        with pytest.raises(CorpusError, match=message):
            ablate(model, examples, metrics=[metric])


@pytest.mark.parametrize("metric", ["accuracy", "mcc", "loss"])
def test_what_is_no_number_is_no_prediction(tiny_model, random_examples, monkeypatch, metric):
    model, examples = tiny_model("bert", "classification"), random_examples(6, ("0", "1"))
    ablate(model, examples, metrics=[metric], modes=["zero"])  # positive control
    own = model.module.classifier.forward
    # The classifier overflows where it reads this text.
    length = len(model.tokenizer(examples.examples[3].sentence.text)["input_ids"])

    def overflow(hidden):
        logits = own(hidden)
        return torch.where((lengths["now"] == length)[:, None], torch.nan, logits)

    lengths = {}
    model.module.register_forward_pre_hook(
        lambda module, arguments, named: lengths.update(now=named["attention_mask"].sum(1)),
        with_kwargs=True,
    )
    monkeypatch.setattr(model.module.classifier, "forward", overflow)
    with pytest.raises(CaptureError, match="NaN or infinite numbers of 's3'"):
        ablate(model, examples, metrics=[metric], modes=["zero"])


def test_a_metric_that_is_not_defined_chooses_no_head(tiny_model, random_examples):
    def constant(predicted, true):
        return np.nan

    ablation = ablate(
        tiny_model("bert", "classification"), random_examples(8, ("0", "1")),
        metrics=[constant], modes=["zero"],
    )  # fmt: skip
    assert ablation.table.delta.isna().all()
    with pytest.raises(CorpusError, match="not defined"):
        held_out(ablation, scored_by(constant))


@pytest.mark.parametrize("harm", ["truncated", "flipped", "other texts", "no record"])
def test_a_damaged_batch_is_computed_again(
    tiny_model, random_examples, tmp_path, monkeypatch, harm
):
    model, examples = tiny_model("bert", "classification"), random_examples(8, ("0", "1"))
    monkeypatch.setattr(scoring, "batch_tokens", lambda model: 30)
    parts = every_head(model.module)[:2]

    def run():
        return ablate(model, examples, parts=parts, modes=["zero"], folder=tmp_path / "run")

    whole = run()
    path = sorted((tmp_path / "run").glob("*.safetensors"))[0]
    record = path.with_suffix(".json")
    data = bytearray(path.read_bytes())
    if harm == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "flipped":
        data[-2] ^= 0x40
        path.write_bytes(data)
    elif harm == "other texts":
        known = json.loads(record.read_bytes())
        record.write_text(json.dumps({**known, "texts": [*known["texts"][::-1], 0]}))
    else:
        record.unlink()
    calls = []
    batches = scoring.run_batches
    monkeypatch.setattr(scoring, "run_batches", lambda *given: calls.append(1) or batches(*given))
    again = run()
    assert len(calls) == 1
    np.testing.assert_array_equal(again.ablated, whole.ablated)
    with pytest.raises(BertologyError, match="another pass"):
        ablate(model, examples, parts=parts[:1], modes=["zero"], folder=tmp_path / "run")
