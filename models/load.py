"""Loading a model with its tokenizer, ready to be looked into."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from ..errors import ModelError
from .demo import demo_folder, file_sha256

#: What a checkpoint can be loaded as, and the transformers class that does it.
TASKS = {
    "encoder": "AutoModel",
    "masked-lm": "AutoModelForMaskedLM",
    "causal-lm": "AutoModelForCausalLM",
    "classification": "AutoModelForSequenceClassification",
}
_ARCHITECTURE_ENDINGS = {
    # A discriminator: it says of each token whether it was replaced, and predicts none.
    "ElectraForPreTraining": "encoder",
    "ForSequenceClassification": "classification",
    "ForMaskedLM": "masked-lm",
    "ForPreTraining": "masked-lm",
    "ForCausalLM": "causal-lm",
    "LMHeadModel": "causal-lm",
}


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode with its tokenizer and where both come from."""

    name: str
    module: Any
    tokenizer: Any
    task: str
    revision: str | None = None
    weights_sha256: str | None = None

    @property
    def config(self) -> Any:
        return self.module.config

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def max_tokens(self) -> int | None:
        """Longest input in tokens, specials included; None where nothing limits it."""
        return max_positions(self.module)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in order of their logits; empty unless a classifier."""
        if self.task != "classification":
            return ()
        names = self.config.id2label
        return tuple(str(names[i]) for i in range(len(names)))


def load_model(
    name: str | Path,
    *,
    task: str | None = None,
    revision: str | None = None,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
) -> LoadedModel:
    """Load a model by hub id, local folder, or as `demo`; safetensors only.

    Args:
        task: `encoder`, `masked-lm`, `causal-lm` or `classification`; by default what the
            checkpoint's architecture says.
        dtype: by default float32 on a CPU, and the checkpoint's own type elsewhere.
        device: by default the CPU.
        trust_remote_code: run Python code that comes with the checkpoint.

    Raises:
        ModelError: unknown task or device, or the model cannot be found or loaded.
    """
    if task is not None and task not in TASKS:
        raise ModelError(f"The task {task!r} is unknown; choose one of {', '.join(TASKS)}.")
    place = _device(device)
    source = demo_folder() if str(name) == "demo" else _source(name)
    shared = {"revision": revision, "trust_remote_code": trust_remote_code}
    config = _fetch(name, lambda: transformers.AutoConfig.from_pretrained(source, **shared))
    task = task or _task_of(config)
    kind = dtype or (torch.float32 if place.type == "cpu" else "auto")
    loader = getattr(transformers, TASKS[task])
    module, report = _fetch(
        name,
        lambda: loader.from_pretrained(
            source, config=config, dtype=kind, use_safetensors=True,
            output_loading_info=True, **shared,
        ),
    )  # fmt: skip
    _refuse_missing_weights(name, task, report)
    tokenizer = _fetch(name, lambda: transformers.AutoTokenizer.from_pretrained(source, **shared))
    return LoadedModel(
        name=str(name),
        module=module.to(place).eval(),
        tokenizer=_ready(name, tokenizer, module),
        task=task,
        revision=getattr(config, "_commit_hash", None) or revision,
        weights_sha256=_weights_hash(Path(source)),
    )


def max_positions(module: Any) -> int | None:
    """Number of positions a model can read; None where nothing limits it."""
    table = _position_table(module)
    if table is not None:
        return table.num_embeddings - first_position(module)
    stated = getattr(module.config, "max_position_embeddings", None)
    return stated if isinstance(stated, int) and stated > 0 else None


def first_position(module: Any) -> int:
    """The position of the first token: RoBERTa-like models count from padding_idx + 1.

    They can read fewer tokens than their configuration states.
    """
    table = _position_table(module)
    return 0 if table is None or table.padding_idx is None else table.padding_idx + 1


def _position_table(module: Any) -> torch.nn.Embedding | None:
    for name, part in module.named_modules():
        if name.endswith("position_embeddings") and isinstance(part, torch.nn.Embedding):
            return part
    return None


def _device(device: str | torch.device | None) -> torch.device:
    try:
        place = torch.device(device or "cpu")
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"The device {device!r} cannot be used here ({str(error).splitlines()[0]}); "
            "give 'cpu', or 'cuda' on a machine with a GPU."
        ) from error
    return place


def _source(name: str | Path) -> str | Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"The folder {folder} holds no model: config.json is missing.")
        return folder
    if folder.is_file() or folder.is_absolute() or str(name).startswith((".", "~")):
        raise ModelError(
            f"There is no model folder {folder}; give a folder with config.json, a hub id "
            "such as 'bert-base-uncased', or 'demo'."
        )
    return str(name)


def _fetch(name: str | Path, load: Any) -> Any:
    """Run a loading step; turn what goes wrong into one message."""
    try:
        return load()
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        reason = f"{type(error).__name__}: {first.rstrip('.')}."
        offline = "; the hub is switched off by HF_HUB_OFFLINE" if _is_offline() else ""
        raise ModelError(
            f"The model {str(name)!r} cannot be loaded: {reason} Give a folder that holds a "
            "model, 'demo', or the id of a model on the hub, which needs a network connection "
            f"the first time{offline}."
        ) from error


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")


def _task_of(config: Any) -> str:
    architecture = (getattr(config, "architectures", None) or [""])[0]
    for ending, task in _ARCHITECTURE_ENDINGS.items():
        if architecture.endswith(ending):
            return task
    return "encoder"


def _refuse_missing_weights(name: str | Path, task: str, report: dict[str, Any]) -> None:
    missing = list(report["missing_keys"])
    if task != "classification":
        # Only classifiers read the pooler, and encoders are often saved without it.
        missing = [key for key in missing if "pooler" not in key]
    if missing:
        shown = ", ".join(sorted(missing)[:3])
        raise ModelError(
            f"The checkpoint {str(name)!r} has no weights for {len(missing)} parameters of a "
            f"{task} model ({shown}, …), so they would be random; load it as something else: "
            'load_model(..., task="encoder").'
        )


def _ready(name: str | Path, tokenizer: Any, module: Any) -> Any:
    vocabulary = module.config.get_text_config().vocab_size
    if len(tokenizer) < vocabulary / 2:
        # Without vocabulary files transformers builds a tokenizer that knows no word.
        raise ModelError(
            f"The tokenizer of {str(name)!r} has {len(tokenizer)} entries for a model of "
            f"{vocabulary}; its vocabulary files (tokenizer.json or vocab.txt) are missing."
        )
    if backend := getattr(tokenizer, "backend_tokenizer", None):
        # A tokenizer.json may ask for truncation and padding of its own (the demo's: 128).
        backend.no_truncation()
        backend.no_padding()
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    if getattr(module.config, "pad_token_id", None) is None:
        # Classifiers on decoders find the last token by it.
        module.config.pad_token_id = tokenizer.pad_token_id
    return tokenizer


def _weights_hash(folder: Path) -> str | None:
    """One hash over the weight files of a local folder, in order of their names."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None
    if len(files) == 1:
        return file_sha256(files[0])
    return hashlib.sha256("".join(map(file_sha256, files)).encode()).hexdigest()
