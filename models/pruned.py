"""Loading models that heads or layers were taken out of.

The configuration of such a model holds the plan (see `pruned_surgery`). It is built as it was
before, shrunk by the plan, and then filled with the weights; no code of the checkpoint runs.
"""

from copy import deepcopy
from typing import Any

import torch
import transformers
from transformers.models.auto.auto_factory import _get_model_class

from ..errors import ModelError
from .pruned_surgery import KEY, find_attention, pruned_class

#: Where transformers before version 5 noted the heads it had pruned: {layer: [head, …]}.
_OLDER = "pruned_heads"


def plan_of(config: Any) -> dict[str, Any] | None:
    """What was taken out of a model, None where nothing was."""
    return getattr(config, KEY, None)


def removed(config: Any) -> str | None:
    """What was taken out of a model, in words; None where nothing was."""
    plan = plan_of(config)
    if plan is None:
        return None
    heads = sum(len(one["heads"]) for one in plan["heads"])
    layers = sum(len(one["layers"]) for one in plan["layers"])
    return f"{heads} heads and {layers} layers removed"


def class_of(loader: str, config: Any) -> Any:
    """What builds and reads a model: a class of transformers' Auto kind, or one that shrinks.

    Args:
        loader: name of the Auto class.
    """
    auto = getattr(transformers, loader)
    if plan_of(config) is None:
        return auto
    return pruned_class(_get_model_class(config, auto._model_mapping))


def new_module(loader: str, config: Any, **options: Any) -> Any:
    """A module whose weights are those that its class begins with."""
    kind = class_of(loader, config)
    if plan_of(config) is None:
        return kind.from_config(config, **options)
    options.pop("trust_remote_code", None)
    return as_own_class(kind._from_config(deepcopy(config), **options))


def empty_module(loader: str, config: Any, **trust: bool) -> Any:
    """The module without numbers in it."""
    with torch.device("meta"):
        return new_module(loader, config, **trust)


def as_own_class(module: Any) -> Any:
    """A model that was built shrunk, as an object of transformers' own class."""
    if plan_of(module.config) is not None:
        # Copies and pickles then find the class by its name.
        module.__class__ = type(module).__bases__[0]
        # The code of an export stays behind where the model is saved by itself.
        vars(module.config).pop("auto_map", None)
    return module


def honour_older(name: str, loader: str, config: Any) -> None:
    """Write the plan of a checkpoint that transformers 4 pruned into its configuration.

    Raises:
        ModelError: the model is of a kind whose heads cannot be told from the note.
    """
    noted = getattr(config, _OLDER, None)
    if not noted or plan_of(config) is not None:
        return
    body = empty_module(loader, config).base_model
    places = list(find_attention(body).items())
    layers = {int(layer): sorted(heads) for layer, heads in noted.items() if heads}
    if (
        getattr(config, "is_encoder_decoder", False)
        or len(places) != config.num_hidden_layers
        or any(not 0 <= layer < len(places) for layer in layers)
    ):
        raise refused_older(name, "its kind has several kinds of attention, or one not known.")
    stack = "decoder" if getattr(places[0][1].module, "is_causal", False) else "encoder"
    heads = [
        {"module": places[layer][0], "stack": stack, "kind": "self", "layer": layer, "heads": own}
        for layer, own in sorted(layers.items())
    ]
    setattr(config, KEY, {
        "base": {"model": name}, "base_class": "", "heads": heads, "layers": [], "original": {},
    })  # fmt: skip
    setattr(config, _OLDER, {})


def refused_older(name: Any, reason: str) -> ModelError:
    """The error for a checkpoint whose note of pruned heads cannot be followed."""
    return ModelError(
        f"The checkpoint {str(name)!r} was pruned by an older version of transformers "
        f"({_OLDER} in its config.json). transformers 5 does not read that note any more, and "
        f"bertology cannot follow it here: {reason} Take the checkpoint from before and prune it "
        "anew (bertology prune), or load this one with transformers 4."
    )
