"""PEFT adapters: small sets of weights that are merged into a model."""

import json
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors import safe_open

from ..errors import ModelError
from .demo import file_sha256
from .sources import Source, attempt, find_source
from .weights import has_weights

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_TASKS = {
    "SEQ_CLS": "classification",
    "CAUSAL_LM": "causal-lm",
    "SEQ_2_SEQ_LM": "seq2seq-lm",
}


@dataclass(frozen=True)
class Adapter:
    """An adapter that is there, not loaded yet."""

    name: str
    weights: Path
    base: str | None
    """The model it was trained on, as it says itself."""
    base_revision: str | None
    task: str | None
    shapes: dict[str, tuple[int, ...]]
    """Shapes of its weights, by the names they have in the file."""

    @property
    def supplied(self) -> frozenset[str]:
        """Parameters of the model that it brings whole, such as a classifier."""
        return frozenset(key.removeprefix("base_model.model.") for key in self.shapes)

    @property
    def labels(self) -> int | None:
        """Number of classes of the classifier it brings."""
        ends = ("score.weight", "classifier.weight", "classifier.out_proj.weight")
        return next((shape[0] for key, shape in self.shapes.items() if key.endswith(ends)), None)


def is_adapter(source: Source) -> bool:
    """Whether a checkpoint is an adapter without its model.

    Raises:
        ModelError: it is both, so that it is unclear what is meant.
    """
    if source.gguf_file is not None or not source.has(CONFIG):
        return False
    if has_weights(source):
        raise ModelError(
            f"{source.name!r} holds both a model and an adapter ({CONFIG}); put the adapter into a "
            "folder of its own and give load_model(MODEL, adapter=ADAPTER), or remove it."
        )
    return True


def read_adapter(source: Source) -> Adapter:
    """Read what an adapter says of itself.

    Raises:
        ModelError: files are missing or pickled, or peft is not installed.
    """
    if find_spec("peft") is None:
        raise ModelError("An adapter needs peft; install it with: pip install 'bertology[peft]'")
    config, weights = source.file(CONFIG), source.file(WEIGHTS)
    if config is None:
        raise ModelError(
            f"{source.name!r} is no adapter: {CONFIG} is missing; give a folder or hub id that "
            "peft saved an adapter to."
        )
    if weights is None:
        raise ModelError(
            f"The adapter {source.name!r} has no {WEIGHTS}; pickled weights (adapter_model.bin) "
            "are not read, because a pickle can run any code. Save it again with peft's "
            "save_pretrained, which writes safetensors."
        )
    stated = attempt(source.name, lambda: json.loads(config.read_text()))
    return Adapter(
        name=source.name,
        weights=weights,
        base=stated.get("base_model_name_or_path"),
        base_revision=stated.get("revision"),
        task=_TASKS.get(stated.get("task_type") or ""),
        shapes=attempt(source.name, lambda: _shapes(weights)),
    )


def base_source(adapter: Adapter) -> Source:
    """The model that an adapter was trained on.

    Raises:
        ModelError: it does not say, or that model is not to be found.
    """
    advice = f"give the model as well: load_model(MODEL, adapter={adapter.name!r})."
    if not adapter.base:
        raise ModelError(
            f"The adapter {adapter.name!r} does not say what model it is for; {advice}"
        )
    try:
        return find_source(adapter.base, revision=adapter.base_revision)
    except ModelError as error:
        raise ModelError(
            f"The adapter {adapter.name!r} is for the model {adapter.base!r}, which cannot be "
            f"found; {advice} ({error})"
        ) from error


def merged(module: Any, adapter: Adapter) -> Any:
    """The module with the adapter's weights merged into its own.

    Raises:
        ModelError: the adapter does not fit the model, or is of a kind that cannot be merged.
    """
    from peft import PeftModel

    def load() -> Any:
        with warnings.catch_warnings():
            # Between peft and transformers; nothing that a user could change.
            warnings.simplefilter("ignore", FutureWarning)
            # Parts that the file lacks would keep their random start.
            warnings.filterwarnings("error", message=".*missing adapter keys.*")
            return PeftModel.from_pretrained(module, adapter.weights.parent)

    try:
        wrapped = attempt(adapter.name, load)
    except (ModelError, UserWarning) as error:
        raise ModelError(
            f"The adapter {adapter.name!r} does not fit this {type(module).__name__}: "
            f"{_first_line(error)} It was made for {adapter.base!r}."
        ) from error
    merge = getattr(wrapped, "merge_and_unload", None)
    if merge is None:
        raise ModelError(
            f"The adapter {adapter.name!r} is of a kind that cannot be merged into weights; only "
            "those that change weights can (LoRA and its relatives)."
        )
    return attempt(adapter.name, lambda: merge(safe_merge=True))


def adapter_hash(adapter: Adapter) -> str:
    return file_sha256(adapter.weights)


def _shapes(weights: Path) -> dict[str, tuple[int, ...]]:
    with safe_open(weights, framework="pt") as file:
        names = list(file.keys())
        return {name: tuple(file.get_slice(name).get_shape()) for name in names}


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return " ".join(lines[:2])
