"""A model with random weights: what its architecture gives without anything learned."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedModel

from ..errors import ModelError
from .loaded import LoadedModel


def randomised(model: LoadedModel, *, keep_embeddings: bool, seed: int) -> LoadedModel:
    """A copy whose weights are drawn anew, as the model's own class initialises them.

    The copy's name says what it is, and it has no hash of a checkpoint. The original is left
    as it is.

    Args:
        keep_embeddings: draw only what is in lists of modules, the blocks, and keep the rest: the
            embeddings of words, places and types with their norm, and what comes after the last
            block (Clark et al. 2019, section 5).

    Raises:
        ModelError: the model does not say how its weights are initialised, leaves some of them as
            they are, or has no list of blocks.
    """
    if not isinstance(model.module, PreTrainedModel):
        raise ModelError(
            f"{type(model.module).__name__} cannot be made random: it does not say how its weights "
            "are initialised. Give a model of transformers (a PreTrainedModel)."
        )
    module = deepcopy(model.module)
    drawn = _in_lists(module) if keep_embeddings else list(module.modules())
    if not drawn:
        raise ModelError(
            f"The blocks of {type(module).__name__} are in no list of modules, so its embeddings "
            "cannot be told from them; give keep_embeddings=False."
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _initialise(module, drawn)
    _check_and_restore(module, model.module, drawn)
    what = "blocks" if keep_embeddings else "weights"
    return replace(
        model,
        name=f"{model.name} with random {what} ({seed})",
        module=module,
        weights_sha256=None,
        adapter_sha256=None,
    )


def _in_lists(module: PreTrainedModel) -> list[Any]:
    """Every module that is in a list of modules, or in a part of one; embeddings are not."""
    return [
        each
        for listed in module.modules()
        if isinstance(listed, torch.nn.ModuleList)
        for part in listed
        if not isinstance(part, torch.nn.Embedding)
        for each in part.modules()
    ]


def _initialise(module: PreTrainedModel, drawn: list[Any]) -> None:
    # transformers leaves as it is what is marked as initialised, and that is all of a loaded model.
    ours = set(map(id, drawn))
    for part in module.modules():
        # Whole models draw some weights of their parts by name (GPT-2).
        whole = isinstance(part, PreTrainedModel)
        setattr(part, "_is_hf_initialized", id(part) not in ours and not whole)  # noqa: B010
    for tensor in _tensors(module).values():
        if hasattr(tensor, "_is_hf_initialized"):
            del tensor._is_hf_initialized
    module.initialize_weights()


def _check_and_restore(module: PreTrainedModel, original: Any, drawn: list[Any]) -> None:
    ours = {id(tensor) for part in drawn for tensor in _tensors(part).values()}
    before = _tensors(original)
    with torch.no_grad():
        for name, new in _tensors(module).items():
            if id(new) not in ours:
                new.copy_(before[name])
            elif isinstance(new, torch.nn.Parameter) and _is_as_before(new, before[name]):
                raise ModelError(
                    f"{type(module).__name__} cannot be made random: its initialisation leaves "
                    f"{name} as it is. Its _init_weights must draw every parameter."
                )


def _tensors(module: Any) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _is_as_before(new: torch.Tensor, old: torch.Tensor) -> bool:
    """Whether a parameter was not drawn; one of a single value (norms, biases) says nothing."""
    return torch.equal(new, old) and bool((new != new.reshape(-1)[0]).any())
