"""Pruned checkpoints on disk: written whole or not at all, and exported for everybody."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..disk import writing_folder
from ..errors import ModelError, OutputError
from ..results import installed_versions
from . import pruned_surgery
from .loaded import LoadedModel
from .pruned import plan_of
from .sources import Source
from .tasks import loader_name
from .weights import weights_hash

#: The description of what was taken out, of what, and by which versions.
DESCRIPTION = "pruning.json"
_CODE = "modeling_pruned"


def save_pruned(model: LoadedModel, folder: str | Path, *, overwrite: bool = False) -> LoadedModel:
    """Write a pruned model so that `load_model(folder)` brings it back, bit by bit.

    The folder holds safetensors, config.json with what was taken out, the tokenizer, and
    `pruning.json`: base class and model, heads removed at each site, layers removed, the original
    configuration, the hash of the weights, versions. It appears whole or not at all.

    Args:
        overwrite: replace the folder if it holds a pruned model; anything else is never replaced.

    Returns:
        The model as `load_model` would find it.

    Raises:
        ModelError: nothing was taken out of the model.
        OutputError: the folder is in use, or cannot be written.
    """
    return _write(model, folder, overwrite, code=False)


def export_pruned(
    model: LoadedModel, folder: str | Path, *, overwrite: bool = False
) -> LoadedModel:
    """Like `save_pruned`, with the code that people without bertology need.

    They load it by `AutoModel….from_pretrained(folder, trust_remote_code=True)`, with the Auto
    class of the model's task; `load_model(folder)` runs none of that code.
    """
    return _write(model, folder, overwrite, code=True)


def describe(model: LoadedModel) -> dict[str, Any]:
    """What was taken out of a model, and of what, as `pruning.json` has it.

    Raises:
        ModelError: nothing was taken out of the model.
    """
    plan = plan_of(model.config)
    if plan is None:
        raise ModelError(
            f"Nothing was taken out of {model.name}, so it is no pruned model; use "
            "bertology.ablation.prune first, or module.save_pretrained for the model as it is."
        )
    original = {**model.config.to_dict(), **plan["original"]}
    original.pop(pruned_surgery.KEY)
    return {
        "base": plan["base"],
        "base_class": plan["base_class"] or type(model.module).__name__,
        "removed_heads": plan["heads"],
        "removed_layers": plan["layers"],
        "original_config": original,
    }


def _write(model: LoadedModel, folder: str | Path, overwrite: bool, *, code: bool) -> LoadedModel:
    description = describe(model)
    target = _usable(folder, overwrite)
    with writing_folder(target) as unfinished:
        model.module.save_pretrained(unfinished)
        model.tokenizer.save_pretrained(unfinished)
        if code:
            _add_code(model, unfinished)
        found = weights_hash(Source(str(target), unfinished))
        record = {**description, "weights_sha256": found, "versions": installed_versions()}
        text = json.dumps(record, indent=1, ensure_ascii=False)
        (unfinished / DESCRIPTION).write_text(text, encoding="utf-8")
    return replace(model, name=str(target), revision=None, weights_sha256=found)


def _usable(folder: str | Path, overwrite: bool) -> Path:
    target = Path(folder).expanduser()
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return target
    if not (target / DESCRIPTION).is_file():
        raise OutputError(f"{target} exists and holds no pruned model; give a new folder.")
    if not overwrite:
        raise OutputError(
            f"{target} holds a pruned model; give a new folder, or overwrite=True to replace it."
        )
    return target


def _add_code(model: LoadedModel, folder: Path) -> None:
    """The code, and the entry of config.json that leads to it."""
    name, loader = type(model.module).__name__, loader_name(model.task, model.config)
    own = Path(pruned_surgery.__file__)
    shutil.copyfile(own, folder / own.name)
    (folder / f"{_CODE}.py").write_text(
        f'"""{name} without the heads and layers that config.json says were taken out."""\n\n'
        f"from transformers import {name} as Whole\n\n"
        f"from .{own.stem} import pruned_class\n\n"
        f"{name} = pruned_class(Whole)\n"
        f"{name}.__module__ = __name__  # saved again, it takes this file with it\n",
        encoding="utf-8",
    )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {loader: f"{_CODE}.{name}"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
