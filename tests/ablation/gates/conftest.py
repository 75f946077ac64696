"""A classifier in which exactly one head matters."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from bertology.corpora import Example, Examples
from bertology.corpora.text import text_to_sentence

HEAD = (1, 2)


def only_one_head_is_read(model: Any, output_slice: Any) -> Any:
    """A copy in which all other heads write next to nothing, and feed-forward layers nothing."""
    changed = replace(model, module=copy.deepcopy(model.module))
    for layer, block in enumerate(changed.module.bert.encoder.layer):
        block.output.dense.weight.data.zero_()
        for head in range(4):
            if (layer, head) != HEAD:
                output_slice(changed.module, "bert", layer, head).mul_(0.01)
    return changed


@pytest.fixture(scope="session")
def one_head(tiny_model: Callable, output_slice: Callable) -> tuple[Any, Examples]:
    """The model, and texts that it classifies by what that head writes, confidently.

    The labels are the classes it predicts; texts near its boundary are left out.
    """
    model = only_one_head_is_read(tiny_model("bert", "classification"), output_slice)
    generator = torch.Generator().manual_seed(3)
    texts = [
        " ".join(f"w{word}" for word in torch.randint(52, (6,), generator=generator).tolist())
        for _ in range(240)
    ]
    inputs = model.tokenizer(texts, return_tensors="pt")
    with torch.no_grad():
        logits = model.module(**inputs).logits
    # As many texts in either class, and far from the boundary: the loss is next to nothing.
    gap = logits[:, 1] - logits[:, 0]
    middle = gap.median().item()
    scale = 8 / (gap - middle).abs().median().item()
    classifier = model.module.classifier
    classifier.weight.data *= scale
    classifier.bias.data *= scale
    classifier.bias.data[1] -= scale * middle
    far = ((gap - middle).abs() * scale > 3).tolist()
    examples = tuple(
        Example(text_to_sentence(text, id=str(i)), label=f"LABEL_{int(value > middle)}")
        for i, (text, value) in enumerate(zip(texts, gap.tolist(), strict=True))
        if far[i]
    )
    return model, Examples("one head", examples, "0" * 64)
