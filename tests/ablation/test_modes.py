"""Zero, mean, uniform and resample are four things; MLPs and layers go off as they are said to."""

import numpy as np
import pytest
import torch

from bertology import BertologyError
from bertology.ablation import ablate
from bertology.ablation.knockout import draw_sources
from bertology.ablation.parts import every_attention, every_head, every_layer, every_mlp, parse_part
from bertology.attribution.targets import measure, prepare
from bertology.capture import capture, collate, hooked, patch_heads, uniform_attention
from bertology.corpora import MinimalPair, MinimalPairs
from bertology.models.objectives import IGNORE
from bertology.probing.representations.minimal_pairs import sentence_log_probabilities


def test_uniform_is_the_mean_value_and_not_zero(tiny_model, random_examples):
    model, examples = tiny_model("bert", "classification"), random_examples(6)
    result = ablate(model, examples, modes=["zero", "uniform"])
    prepared = prepare(model, examples.examples)
    batch = collate(prepared.encodings, model)
    for layer in range(3):
        for head in range(4):
            off = torch.zeros(3, 4, dtype=torch.bool)
            off[layer, head] = True
            with torch.no_grad(), hooked(model.module, uniform_attention(off)):
                expected = measure(model, batch, prepared.goals).numpy()
            np.testing.assert_allclose(result.target[1, layer, head], expected, atol=1e-5)
    assert (np.abs(result.target[0] - result.target[1]).max(-1) > 1e-3).all()
    assert set(result.table["mode"]) == {"zero", "uniform"}


def test_a_head_that_is_uniform_already_changes_nothing(tiny_model, random_examples):
    model = tiny_model("bert", "classification")
    query = model.module.bert.encoder.layer[1].attention.self.query
    query.weight.data[16:24] = 0
    query.bias.data[16:24] = 0
    result = ablate(model, random_examples(6), modes=["zero", "uniform"])
    zero, uniform = np.abs(result.target - result.base_target)[:, 1, 2]
    assert uniform.max() < 1e-5 and zero.max() > 1e-2


def test_uniform_is_of_attention_alone(tiny_model, random_examples):
    model = tiny_model("bert", "classification")
    with pytest.raises(BertologyError, match="L0 mlp"):
        ablate(model, random_examples(4), parts=every_mlp(model.module), modes=["uniform"])


def test_resampled_heads_write_what_they_write_for_another_text(tiny_model, random_examples):
    model, examples = tiny_model("gpt2", "causal-lm"), random_examples(2)
    found = ablate(model, examples, parts=[parse_part("L1H2", model.module)], modes=["resample"],
                   draws=1)  # fmt: skip
    prepared = prepare(model, examples.examples)
    own = [e.sentence for e in prepared.encodings]
    outputs = [one.head_output for one in capture(model, own, ["head_output"])]
    off = torch.zeros(3, 4, dtype=torch.bool)
    off[1, 2] = True
    for number, (encoding, goal) in enumerate(zip(prepared.encodings, prepared.goals, strict=True)):
        other = torch.from_numpy(outputs[1 - number][1])
        rows = torch.arange(len(encoding)) % len(other)
        with (
            torch.no_grad(),
            hooked(model.module, patch_heads({1: other[rows][None]}, off)),
        ):
            expected = measure(model, collate([encoding], model), [goal]).item()
        assert found.rows("target", "resample")[0, number, 0] == pytest.approx(expected, abs=1e-4)


def test_sources_are_as_long_and_differ():
    draw = np.random.default_rng(0)
    lengths, theirs = draw.integers(3, 12, 50), draw.integers(3, 12, 40)
    chosen = draw_sources(lengths, theirs, 4, draw)
    longest = lengths > theirs.max()
    assert (theirs[chosen] >= lengths[:, None])[~longest].all()
    few = np.array([(theirs >= n).sum() for n in lengths]) < 4
    assert all(len(set(row)) == 4 for row in chosen[~few])
    assert theirs[draw_sources(np.array([99]), theirs, 1, draw)] == theirs.max()


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_layers_return_what_they_read_and_mlps_add_nothing(tiny_model, random_examples, family):
    model = tiny_model(family, "causal-lm" if family != "bert" else "encoder")
    examples = random_examples(5)
    parts = [*every_mlp(model.module), *every_layer(model.module)]
    result = ablate(model, examples, parts=parts, modes=["zero"])
    prepared = prepare(model, examples.examples)
    batch = collate(prepared.encodings, model)
    base = model.module.base_model
    blocks = {"bert": lambda: base.encoder.layer, "gpt2": lambda: base.h,
              "llama": lambda: base.layers}[family]()  # fmt: skip
    last = {"bert": lambda b: b.output.dense, "gpt2": lambda b: b.mlp.c_proj,
            "llama": lambda b: b.mlp.down_proj}[family]  # fmt: skip
    for layer in range(3):
        weights = [last(blocks[layer]).weight, getattr(last(blocks[layer]), "bias", None)]
        before = [None if w is None else w.data.clone() for w in weights]
        for weight in weights:
            if weight is not None:
                weight.data.zero_()
        with torch.no_grad():
            expected = measure(model, batch, prepared.goals).numpy()
        for weight, value in zip(weights, before, strict=True):
            if weight is not None:
                weight.data = value
        np.testing.assert_allclose(result.rows("target", "zero")[layer, :, 0], expected, atol=1e-5)
        handle = blocks[layer].register_forward_hook(
            lambda part, given, output: given[0] if isinstance(output, torch.Tensor)
            else (given[0], *output[1:])
        )  # fmt: skip
        with torch.no_grad():
            expected = measure(model, batch, prepared.goals).numpy()
        handle.remove()
        found = result.rows("target", "zero")[3 + layer, :, 0]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_attention_off_is_all_its_heads_off(tiny_model, random_examples, output_slice):
    model, examples = tiny_model("bert", "classification"), random_examples(5)
    parts = every_attention(model.module)
    result = ablate(model, examples, parts=parts, modes=["zero"])
    for head in range(4):
        output_slice(model.module, "bert", 1, head).zero_()
    prepared = prepare(model, examples.examples)
    # The classes are those of the intact model.
    goals = [
        type(goal)(**{**goal.__dict__, "index": own.index})
        for goal, own in zip(
            prepared.goals, prepare(tiny_model("bert", "classification"), examples.examples).goals,
            strict=True,
        )
    ]  # fmt: skip
    with torch.no_grad():
        expected = measure(model, collate(prepared.encodings, model), goals).numpy()
    np.testing.assert_allclose(result.rows("target", "zero")[1, :, 0], expected, atol=1e-5)


@pytest.mark.parametrize(("family", "task"), [("gpt2", "causal-lm"), ("bert", "masked-lm")])
def test_minimal_pairs_are_scored_as_everywhere(tiny_model, family, task):
    model, draw = tiny_model(family, task), np.random.default_rng(2)
    texts = [" ".join(f"w{n}" for n in draw.integers(52, size=4)) for _ in range(24)]
    pairs = tuple(
        MinimalPair(good, bad, "p", "p", id=str(number))
        for number, (good, bad) in enumerate(zip(texts[::2], texts[1::2], strict=True))
    )
    result = ablate(model, MinimalPairs("pairs", pairs, ""), parts=every_head(model.module)[:2],
                    modes=["zero"])  # fmt: skip
    scores = sentence_log_probabilities(model, texts).log_probabilities
    np.testing.assert_array_equal(result.rows("minimal_pairs")[:, 0], scores[::2] > scores[1::2])
    assert (result.table.metric == "minimal_pairs").all() and (result.table.n == 12).all()


@pytest.mark.parametrize(("family", "task"), [("gpt2", "causal-lm"), ("bert", "masked-lm")])
def test_the_loss_is_the_cross_entropy_of_what_is_predicted(
    tiny_model, random_examples, family, task
):
    model, examples = tiny_model(family, task), random_examples(5)
    result = ablate(model, examples, metrics=["loss", "perplexity"], modes=["zero"],
                    parts=every_head(model.module)[:1])  # fmt: skip
    from bertology.ablation.setting import settle

    total = count = 0.0
    for reading in settle(model, examples, metrics=["loss"]).panels[0].readings:
        wanted = torch.from_numpy(reading.wanted[0])
        with torch.no_grad():
            logits = model.module(torch.from_numpy(reading.encoding.ids)[None]).logits[0]
        total += torch.nn.functional.cross_entropy(logits, wanted, reduction="sum",
                                                   ignore_index=IGNORE).item()  # fmt: skip
        count += int((wanted != IGNORE).sum())
    table = result.table.set_index("metric")
    assert table.base["loss"] == pytest.approx(total / count, rel=1e-5)
    assert table.base["perplexity"] == pytest.approx(np.exp(total / count), rel=1e-4)
    assert table.delta["loss"] != 0


def test_a_stopped_run_goes_on_with_the_same_numbers(
    tiny_model, random_examples, tmp_path, monkeypatch
):
    from bertology.ablation import kept, scoring

    model, examples = tiny_model("bert", "classification"), random_examples(8, ("0", "1"))
    monkeypatch.setattr(scoring, "batch_tokens", lambda model: 30)
    whole = ablate(model, examples, seed=3)
    own, written = kept.Kept.write, []

    def stop(self, name, *arrays):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(name)
        own(self, name, *arrays)

    monkeypatch.setattr(kept.Kept, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        ablate(model, examples, seed=3, folder=tmp_path / "run")
    assert len(list((tmp_path / "run").glob("*.safetensors"))) == 2
    monkeypatch.setattr(kept.Kept, "write", own)
    calls = []
    batches = scoring.run_batches
    monkeypatch.setattr(scoring, "run_batches", lambda *given: calls.append(1) or batches(*given))
    again = ablate(model, examples, seed=3, folder=tmp_path / "run")
    np.testing.assert_array_equal(again.ablated, whole.ablated)
    assert again.table.equals(whole.table)
    done = len(calls)
    ablate(model, examples, seed=3, folder=tmp_path / "run")
    assert done > 0 and len(calls) == done, "nothing is computed twice"
    with pytest.raises(BertologyError, match="seed"):
        ablate(model, examples, seed=4, folder=tmp_path / "run")
