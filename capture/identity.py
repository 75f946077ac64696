"""What a pass over a corpus is made of, so that its shards are never taken for another's."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from ..corpora import Sentence
from ..models import LoadedModel
from ..results import installed_versions


def parameters_sha256(module: torch.nn.Module) -> str:
    """A hash of the weights as they are in memory, with their names and types.

    Not of the file they came from: a model may have been changed since it was loaded.
    """
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(as_bytes(tensor))
    return digest.hexdigest()


def as_bytes(tensor: torch.Tensor) -> memoryview:
    """The content of a tensor of any type, without a copy where it is contiguous on the CPU."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def sentences_sha256(sentences: Sequence[Sentence]) -> str:
    """A hash of what a pass depends on: texts, the spans of their words, and annotation."""
    digest = hashlib.sha256()
    for sentence in sentences:
        digest.update(json.dumps(_parts(sentence)).encode())
    return digest.hexdigest()


def _parts(sentence: Sentence) -> list[Any]:
    mentions = [asdict(mention) for mention in sentence.mentions]
    frames = [asdict(frame) for frame in sentence.frames]
    pair = None if sentence.pair is None else _parts(sentence.pair)
    return [sentence.id, sentence.text, sentence.spans, sentence.heads, mentions, frames, pair]


def _config_sha256(config: Any) -> str:
    """A hash of how the weights are used: the same ones may form 6 heads or 12."""
    return hashlib.sha256(config.to_json_string(use_diff=False).encode()).hexdigest()


def model_identity(model: LoadedModel) -> dict[str, Any]:
    """Name and hashes of a model and its tokenizer."""
    return {
        "name": model.name,
        "revision": model.revision,
        "weights_sha256": model.weights_sha256,
        "parameters_sha256": parameters_sha256(model.module),
        "config_sha256": _config_sha256(model.config),
        "task": model.task,
        "tokenizer": type(model.tokenizer).__name__,
        "tokenizer_sha256": _tokenizer_sha256(model.tokenizer),
    }


def _tokenizer_sha256(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return hashlib.sha256(rules.encode()).hexdigest()


def versions() -> dict[str, str]:
    """The versions whose change may change a bit of a result."""
    found = installed_versions()
    return {name: found[name] for name in ("bertology", "torch", "transformers")}
