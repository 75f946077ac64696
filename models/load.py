"""Loading a model with its tokenizer, ready to be looked into."""

from pathlib import Path
from typing import Any

import torch
import transformers

from ..errors import ModelError
from .adapters import Adapter, adapter_hash, base_source, is_adapter, merged, read_adapter
from .devices import (
    DeviceMap,
    check_parts,
    checked_device,
    checked_dtype,
    checked_map,
    default_dtype,
)
from .loaded import LoadedModel
from .pruned import as_own_class, class_of, empty_module, honour_older, refused_older
from .sources import Source, attempt, find_source
from .tasks import TASKS, loader_name, task_of
from .tokenizers import load_tokenizer
from .weights import check_weights, refuse_missing, weights_hash


def load_model(
    name: str | Path,
    *,
    task: str | None = None,
    revision: str | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    device_map: DeviceMap | None = None,
    gguf_file: str | None = None,
    adapter: str | Path | None = None,
    trust_remote_code: bool = False,
) -> LoadedModel:
    """Load a model by hub id, local folder, .gguf file, or as `demo`.

    Weights are read from safetensors or GGUF, never from a pickle. GGUF weights are unpacked.

    Args:
        name: the folder or id of a PEFT adapter loads the model it was trained on with it.
        task: `encoder`, `masked-lm`, `causal-lm`, `seq2seq-lm` or `classification`; by default
            what the checkpoint's architecture says.
        revision: branch, tag or commit on the hub.
        dtype: `float32`, `bfloat16` or `float16`; by default float32 on a CPU, and the
            checkpoint's own type elsewhere.
        device: by default the CPU.
        device_map: `auto`, or a dict from parts of the model to devices, to spread it.
        gguf_file: name of the .gguf file, where `name` is a folder or hub id of several.
        adapter: folder or hub id of a PEFT adapter to merge into the weights.
        trust_remote_code: run Python code that comes with the checkpoint.

    Raises:
        ModelError: unknown task, device or dtype, or the model cannot be found or loaded.
    """
    if task is not None and task not in TASKS:
        raise ModelError(f"The task {task!r} is unknown; choose one of {', '.join(TASKS)}.")
    kind = checked_dtype(dtype)
    spread = checked_map(device_map, device)
    place = checked_device(device)
    source, addition = _sources(name, revision, gguf_file, adapter)
    trust = {"trust_remote_code": trust_remote_code}
    config = _config(source, trust)
    task = task or (addition and addition.task) or task_of(config, generates=bool(source.gguf_file))
    if addition and addition.labels and task == "classification":
        config.num_labels = addition.labels
    loader = loader_name(task, config)
    check_weights(source, loader)
    was_pruned = bool(getattr(config, "pruned_heads", None))
    honour_older(source.name, loader, config)
    if isinstance(spread, dict):
        empty = attempt(source.name, lambda: empty_module(loader, config, **trust))
        check_parts(spread, empty)
    # Before the weights, because reading those takes long.
    tokenizer = load_tokenizer(source, config, **trust)
    options = {"dtype": kind or default_dtype(place, spread), "device_map": spread, **trust}
    module, report = attempt(
        source.name,
        lambda: _read(source, loader, config, options),
        refused_older if was_pruned else None,
    )
    refuse_missing(source, task, report, addition.supplied if addition else frozenset())
    if spread is None:
        module = module.to(place)
    if addition:
        module = merged(module, addition)
    if getattr(module.config, "pad_token_id", None) is None:
        # Classifiers on decoders find the last token by it.
        module.config.pad_token_id = tokenizer.pad_token_id
    return LoadedModel(
        name=source.name,
        module=module.eval(),
        tokenizer=tokenizer,
        task=task,
        revision=source.revision,
        weights_sha256=weights_hash(source),
        gguf_file=source.gguf_file,
        adapter=addition.name if addition else None,
        adapter_sha256=adapter_hash(addition) if addition else None,
        dtype=None if module.dtype == torch.float32 else str(module.dtype).removeprefix("torch."),
    )


def _sources(
    name: str | Path, revision: str | None, gguf_file: str | None, adapter: str | Path | None
) -> tuple[Source, Adapter | None]:
    """The model, and the adapter to merge into it."""
    source = find_source(name, revision=revision, gguf_file=gguf_file)
    if not is_adapter(source):
        return source, None if adapter is None else read_adapter(find_source(adapter))
    if adapter is not None:
        raise ModelError(
            f"{source.name!r} is an adapter itself, and adapter={str(adapter)!r} is another; give "
            "the model they belong to, and one of them."
        )
    own = read_adapter(source)
    return base_source(own), own


def _config(source: Source, trust: dict[str, bool]) -> Any:
    given = {"gguf_file": source.gguf_file} if source.gguf_file else {}
    return attempt(
        source.name,
        lambda: transformers.AutoConfig.from_pretrained(
            source.place, revision=source.revision, **given, **trust
        ),
    )


def _read(
    source: Source, loader: str, config: Any, options: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    options = {**options, "config": config}
    if source.gguf_file is not None:
        options["gguf_file"] = source.gguf_file
        if packed := getattr(transformers, "GgufConfig", None):
            # Newer versions would compute on packed weights, where attention cannot be reached.
            options["quantization_config"] = packed(dequantize=True)
    else:
        options["use_safetensors"] = True
    module, report = class_of(loader, config).from_pretrained(
        source.place, revision=source.revision, output_loading_info=True, **options
    )
    return as_own_class(module), report
