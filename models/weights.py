"""The files that hold the weights: which they are, that they are safe, and their hash."""

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .demo import file_sha256
from .sources import Source, attempt

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def has_weights(source: Source) -> bool:
    """Whether a checkpoint has weights of a whole model that can be loaded."""
    return source.gguf_file is not None or source.has(WEIGHTS) or source.has(INDEX)


def check_weights(source: Source, loader: str) -> None:
    """Refuse a checkpoint without weights in safetensors, before anything is read.

    Args:
        loader: the transformers class that would load it; named in the advice.

    Raises:
        ModelError: only pickled weights, none at all, missing parts, or the extra for GGUF.
    """
    if source.gguf_file is not None:
        if missing := [name for name in ("gguf", "accelerate") if find_spec(name) is None]:
            raise ModelError(
                f"A GGUF file needs {' and '.join(missing)}; install with: "
                "pip install 'bertology[gguf]'"
            )
        return
    if not has_weights(source):
        raise ModelError(_pickled(source, loader) if _has_pickle(source) else _none(source))
    if isinstance(source.place, Path):
        lost = [name for name in weight_names(source) if not (source.place / name).is_file()]
        if lost:
            raise ModelError(
                f"The checkpoint {source.name!r} is in parts, and {len(lost)} of them are missing "
                f"({', '.join(lost[:3])}); copy or download it again."
            )


def weight_names(source: Source) -> list[str]:
    """Names of the files that the weights are in."""
    if source.gguf_file is not None:
        return [source.gguf_file]
    if source.has(WEIGHTS):
        return [WEIGHTS]
    index = source.file(INDEX)
    if index is None:
        return []
    parts = attempt(source.name, lambda: json.loads(index.read_text())["weight_map"])
    return sorted(set(parts.values()))


def weights_hash(source: Source) -> str | None:
    """One hash over the weight files, in order of their names; they are on this disk by now."""
    files = [path for name in weight_names(source) if (path := source.file(name)) is not None]
    if not files:
        return None
    if len(files) == 1:
        return file_sha256(files[0])
    return hashlib.sha256("".join(map(file_sha256, files)).encode()).hexdigest()


def refuse_missing(
    source: Source, task: str, report: dict[str, Any], supplied: frozenset[str]
) -> None:
    """Refuse a model of which a part would be random.

    Args:
        report: what transformers says of the loading.
        supplied: parameters that come from elsewhere, such as an adapter.
    """
    missing = [key for key in report["missing_keys"] if key not in supplied]
    if task != "classification":
        # Only classifiers read the pooler, and encoders are often saved without it.
        missing = [key for key in missing if "pooler" not in key]
    if missing:
        shown = ", ".join(sorted(missing)[:3])
        advice = "download it again, or give the checkpoint that its config.json describes"
        if task != "encoder":
            advice = 'load it as something else: load_model(..., task="encoder")'
        raise ModelError(
            f"The checkpoint {source.name!r} has no weights for {len(missing)} parameters of a "
            f"{task} model ({shown}, …), so they would be random; {advice}."
        )


def _has_pickle(source: Source) -> bool:
    return any(source.has(name) for name in _PICKLES)


def _pickled(source: Source, loader: str) -> str:
    on_hub = "" if isinstance(source.place, Path) else (
        " Or look among the pull requests of its page on the hub for a conversion, and give that: "
        "revision='refs/pr/1'."
    )  # fmt: skip
    return (
        f"The checkpoint {source.name!r} has its weights only as a pickle ({_PICKLES[0]}). Reading "
        "a pickle can run any code, so bertology reads safetensors only. If you trust the file, "
        "convert it once and give the new folder: python -c \"from transformers import "
        f"AutoTokenizer, {loader}; {loader}.from_pretrained('{source.name}')"
        f".save_pretrained('converted'); AutoTokenizer.from_pretrained('{source.name}')"
        f".save_pretrained('converted')\".{on_hub}"
    )  # fmt: skip


def _none(source: Source) -> str:
    return (
        f"The checkpoint {source.name!r} has no weights: neither {WEIGHTS} nor {INDEX} is there. "
        "Download it again with its weights; weights of TensorFlow or Flax must be converted."
    )
