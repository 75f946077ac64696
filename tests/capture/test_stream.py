"""Batch plans and streaming."""

import pytest
import torch

from bertology.capture import stream
from bertology.capture.batch import plan
from bertology.corpora import encode
from bertology.corpora.text import text_to_sentence


def test_plan_keeps_the_budget_and_every_text() -> None:
    lengths = [5, 3, 40, 3, 9, 9, 2]
    batches = plan(lengths, 18)
    assert sorted(i for batch in batches for i in batch) == list(range(7))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 18
    assert batches == plan(lengths, 18)
    assert [6, 1, 3, 0][:3] == batches[0][:3]  # shortest first
    assert plan([], 18) == []


def texts(model, count):
    return [
        encode(text_to_sentence("w1 " * (1 + i % 5), id=str(i)), model.tokenizer)
        for i in range(count)
    ]


def test_results_come_back_in_order(tiny_model) -> None:
    model = tiny_model("bert")
    found = stream(
        model, texts(model, 23), lambda b: [e.sentence.id for e in b.encodings],
        description="test", token_budget=20,
    )  # fmt: skip
    assert found == [str(i) for i in range(23)]


def test_batches_halve_when_memory_runs_out(tiny_model) -> None:
    model = tiny_model("bert")
    sizes = []

    def run(batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("too large")
        return [e.sentence.id for e in batch.encodings]

    found = stream(model, texts(model, 9), run, description="test", token_budget=1000)
    assert found == [str(i) for i in range(9)]
    assert sizes[0] == 9 and max(sizes[1:]) <= 5


def test_batches_halve_when_the_memory_of_the_cpu_runs_out(tiny_model) -> None:
    model, sizes = tiny_model("bert"), []

    def run(batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            torch.empty(1 << 60, dtype=torch.uint8)  # more than any machine has
        return [e.sentence.id for e in batch.encodings]

    found = stream(model, texts(model, 9), run, description="test", token_budget=1000)
    assert found == [str(i) for i in range(9)]
    assert sizes[0] == 9 and max(sizes[1:]) <= 5

    def fail(batch):
        raise RuntimeError("of another kind")

    with pytest.raises(RuntimeError, match="of another kind"):
        stream(model, texts(model, 9), fail, description="test", token_budget=1000)
