"""The same numbers on an accelerator as on the CPU, in half precision, and when its memory ends."""

import numpy as np
import pytest
import torch

import bertology
from bertology.capture import (
    Hook,
    capture,
    capture_generation,
    collate,
    gate_heads,
    hooked,
    open_store,
    stream,
    uniform_attention,
    verify,
    write_store,
)
from bertology.corpora import encode
from bertology.corpora.text import text_to_sentence
from bertology.models import LoadedModel
from bertology.probing.heads import analyse_heads, scan_heads

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator"),
]

TEXT = "The keys to the cabinet are on the table."
QUANTITIES = ("attention", "head_output", "contribution", "hidden_states")


@pytest.fixture(scope="module")
def on_gpu() -> LoadedModel:
    return bertology.load_model("demo", device="cuda", dtype="float32")


def test_captures_are_those_of_the_cpu_and_arrive_there(demo, on_gpu) -> None:
    ours, theirs = capture(on_gpu, TEXT, QUANTITIES)[0], capture(demo, TEXT, QUANTITIES)[0]
    for name in QUANTITIES:
        assert isinstance(getattr(ours, name), np.ndarray)
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=2e-5)


def test_every_site_is_proven(on_gpu) -> None:
    assert all(report.passed for report in verify(on_gpu.module))


def test_tables_are_those_of_the_cpu(demo, on_gpu, sample) -> None:
    ours, theirs = analyse_heads(on_gpu, sample), analyse_heads(demo, sample)
    np.testing.assert_allclose(ours.table["mean"], theirs.table["mean"], atol=1e-4)
    # A tie of two words may be broken by rounding.
    gap = (ours.relations["accuracy"] - theirs.relations["accuracy"]).abs() * ours.relations["n"]
    assert gap.max() <= 1.001 and (gap > 0.5).mean() < 1e-2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_reduced_in_single_precision(dtype: str, demo, sample) -> None:
    half = bertology.load_model("demo", device="cuda", dtype=dtype)
    found, exact = scan_heads(half, sample).statistics, scan_heads(demo, sample).statistics
    assert found.dtype == np.float32
    assert np.abs(found - exact).mean() < 2e-2
    one = capture(half, TEXT)[0]
    assert np.abs(one.attention.astype(np.float64).sum(-1) - 1).max() < 2e-2


def test_batches_halve_when_the_device_is_full(on_gpu) -> None:
    encodings = [
        encode(text_to_sentence(f"{'word ' * 200}{i}", id=str(i)), on_gpu.tokenizer)
        for i in range(64)
    ]
    sizes = []

    def run(batch):
        sizes.append(len(batch))
        torch.empty(len(batch) << 26, dtype=torch.uint8, device="cuda")
        with torch.no_grad():
            found = on_gpu.module(**batch.inputs).last_hidden_state[:, 0]
        return list(found.cpu())

    whole = stream(on_gpu, encodings, run, description="test", token_budget=20_000)
    before, sizes = sizes, []
    _, total = torch.cuda.mem_get_info()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(3 * 2**30 / total)
    try:
        halved = stream(on_gpu, encodings, run, description="test", token_budget=20_000)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert max(before) == 64 and sizes[0] == 64 and sizes[1] == 32
    for ours, theirs in zip(halved, whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_gates_and_uniform_attention_act_as_on_the_cpu(demo, on_gpu) -> None:
    outputs, gradients = [], []
    for model in (demo, on_gpu):
        batch = collate([encode(text_to_sentence(TEXT, id="0"), model.tokenizer)], model)
        gates = torch.ones(6, 12, device=model.device, requires_grad=True)
        with hooked(model.module, gate_heads(gates)):
            states = model.module(**batch.inputs).last_hidden_state
        (gradient,) = torch.autograd.grad(states.square().sum() / 100, gates)
        gradients.append(gradient.cpu())
        heads = torch.zeros(6, 12, dtype=torch.bool)
        heads[2, 5] = heads[4, 1] = True
        with torch.no_grad(), hooked(model.module, uniform_attention(heads)):
            outputs.append(model.module(**batch.inputs).last_hidden_state.cpu())
    torch.testing.assert_close(*outputs, atol=2e-5, rtol=0)
    torch.testing.assert_close(*gradients, atol=1e-3, rtol=1e-3)


def test_a_backward_pass_is_no_other_thread_that_captures(on_gpu) -> None:
    """On a device it runs in a thread of its own."""
    seen = []
    batch = collate([encode(text_to_sentence(TEXT, id="0"), on_gpu.tokenizer)], on_gpu)

    def keep(event):
        seen.append(event.site)
        return event.attention

    with hooked(on_gpu.module, Hook(edit_attention=keep)):
        on_gpu.module(**batch.inputs).last_hidden_state.sum().backward()
    assert len(seen) == 6
    on_gpu.module.zero_grad()


def test_generation_is_that_of_the_cpu(tiny_model) -> None:
    model = tiny_model("llama", "causal-lm")
    expected = capture_generation(model, "w1 w2 w3", max_new_tokens=6)[0]
    model.module.to("cuda")
    found = capture_generation(model, "w1 w2 w3", max_new_tokens=6)[0]
    assert found.tokens == expected.tokens
    np.testing.assert_allclose(
        found.part("decoder").attention, expected.part("decoder").attention, atol=2e-5
    )


def test_a_store_written_on_a_device_reads_back(on_gpu, demo, sample, tmp_path) -> None:
    part = sample.first(20)
    write_store(tmp_path / "gpu", on_gpu, part, dtype="float32")
    write_store(tmp_path / "cpu", demo, part, dtype="float32")
    ours, theirs = (
        open_store(tmp_path / "gpu", on_gpu, part), open_store(tmp_path / "cpu", demo, part)
    )  # fmt: skip
    np.testing.assert_allclose(ours.hidden_states(3), theirs.hidden_states(3), atol=5e-5)
