"""The tokenizer of a checkpoint, checked and made ready."""

from pathlib import Path
from typing import Any

import transformers

from ..errors import ModelError
from .sources import Source, attempt

_ADVICE = (
    "Put its files beside the weights: tokenizer.json and tokenizer_config.json, or the older "
    "vocab.txt, vocab.json with merges.txt, or spiece.model"
)


def load_tokenizer(source: Source, config: Any, *, trust_remote_code: bool) -> Any:
    """The tokenizer of a checkpoint: never cuts or pads by itself.

    Raises:
        ModelError: it cannot be read, or its vocabulary is missing.
    """
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if source.gguf_file is not None:
        # It describes a tokenizer, which is taken where there is no tokenizer.json beside it.
        options["gguf_file"] = source.gguf_file
    tokenizer = attempt(
        source.name,
        lambda: transformers.AutoTokenizer.from_pretrained(
            source.place, revision=source.revision, config=config, **options
        ),
        _unreadable,
    )
    _refuse_empty(source, tokenizer, config)
    if backend := getattr(tokenizer, "backend_tokenizer", None):
        # A tokenizer.json may ask for truncation and padding of its own (the demo's: 128).
        backend.no_truncation()
        backend.no_padding()
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _unreadable(name: str | Path, reason: str) -> ModelError:
    return ModelError(
        f"The tokenizer of {str(name)!r} cannot be loaded: {reason} {_ADVICE}, of the model itself "
        "or of the one it was tuned from."
    )


def _refuse_empty(source: Source, tokenizer: Any, config: Any) -> None:
    """Without vocabulary files transformers may build a tokenizer that knows no word."""
    # CANINE reads characters, and states no vocabulary.
    vocabulary = getattr(config.get_text_config(), "vocab_size", None)
    if vocabulary is not None and len(tokenizer) < vocabulary / 2:
        raise ModelError(
            f"The tokenizer of {source.name!r} has {len(tokenizer)} entries for a model of "
            f"{vocabulary}; its vocabulary files are missing. {_ADVICE}."
        )
