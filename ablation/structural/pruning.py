"""Taking heads and layers out of a model for good."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ...capture import Event, Hook, hooked
from ...capture.blocks import hidden_of, replaced
from ...capture.mode import trial_mode
from ...capture.ways.trial import trial_of
from ...errors import ModelError
from ...models import LoadedModel
from ...models.pruned import plan_of
from ...models.pruned_surgery import shrink
from .plan import Heads, Layers, planned

_TOLERANCE = 1e-5


def prune(model: LoadedModel, heads: Heads = (), layers: Layers = ()) -> LoadedModel:
    """A copy of a model without some heads and layers; the model itself stays as it is.

    Heads leave the weights of query, key, value and output, layers the list of blocks. The copy
    computes what the model computes with these heads at zero (`capture.gate_heads`) and these
    layers handing on what they read; a small padded batch proves it. A layer may lose all its
    heads (not in GPT-2), and then has no attention any more; what the output map adds stays.

    Where heads share keys and values in groups (Llama), groups that keep no head lose theirs.
    Groups must stay equally large: with unequal numbers of heads kept, the size is the greatest
    common divisor, and the keys and values of larger groups are stored several times, which
    costs parameters. In ALBERT all layers share their heads, so that a head has to be listed
    for each layer. In T5, layers come to hold the position bias of their own heads.

    Args:
        heads: (layer, head), counted from 0; of a model with several kinds of attention
            `{("decoder", "cross"): [(layer, head), …]}`, as `capture.find_sites` names them.
        layers: counted from 0; of a model with two stacks `{"decoder": [layer, …]}`.

    Raises:
        CaptureError: a head or layer that does not exist, or none would be left.
        ModelError: a model that has been pruned before, is spread over devices, or keeps its
            heads in a way that is not known.
    """
    module = model.module
    _check(model)
    plan = planned(module, heads, layers)
    copy = deepcopy(module)
    before = copy.config.to_dict()
    try:
        shrink(copy, plan)
    except ValueError as error:
        raise ModelError(f"{model.name} cannot be pruned in this way: {error}.") from error
    after = copy.config.to_dict()
    plan["original"] = {k: v for k, v in before.items() if after.get(k) != v}
    plan["base_class"] = type(module).__name__
    plan["base"] = {
        "model": model.name, "revision": model.revision, "weights_sha256": model.weights_sha256,
        **model.variant,
    }  # fmt: skip
    _prove(module, copy, plan)
    return replace(
        model, name=f"{model.name}, pruned", module=copy, revision=None, weights_sha256=None
    )


def _check(model: LoadedModel) -> None:
    if not isinstance(model.module, PreTrainedModel):
        raise ModelError(
            f"{type(model.module).__name__} is no model of transformers; only those are pruned."
        )
    if plan_of(model.config) is not None:
        raise ModelError(
            f"{model.name} has been pruned already ({model.variant['pruned']}); prune the model "
            "it was made from, with all heads and layers at once."
        )
    if getattr(model.module, "hf_device_map", None):
        raise ModelError(f"{model.name} is spread over devices; load it on one to prune it.")


def _prove(module: Any, copy: Any, plan: Mapping[str, Any]) -> None:
    """The copy computes what the model computes without these heads and layers.

    Raises:
        ModelError: it does not.
    """
    trial = trial_of(module)
    with trial_mode(module), without(module, plan):
        expected = trial.run(module)
    with trial_mode(copy):
        try:
            found = trial.run(copy)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ModelError(
                f"{type(module).__name__} does not run without these heads and layers "
                f"({type(error).__name__}: {error}); switch them off instead (gate_heads)."
            ) from error
    if trial.rows is not None and expected.shape[:2] == trial.rows.shape:
        expected, found = expected[trial.rows], found[trial.rows]
    distance = (found - expected).abs().max().item()
    tolerance = max(_TOLERANCE, 5 * torch.finfo(expected.dtype).eps)
    if not distance <= tolerance * max(1.0, expected.abs().max().item()):
        raise ModelError(
            f"{type(module).__name__} without these heads and layers computes something else than "
            f"with them switched off (off by {distance:.1e}): its heads depend on each other, or "
            "its code on the number of layers. Switch them off instead (capture.gate_heads)."
        )


@contextmanager
def without(module: Any, plan: Mapping[str, Any]) -> Iterator[None]:
    """Switch off in a whole model what the plan takes out; also what the tests compare with."""
    names = {id(part): name for name, part in module.base_model.named_modules()}
    off = {one["module"]: one["heads"] for one in plan["heads"]}

    def zero(event: Event) -> Tensor:
        place = names.get(id(module.get_submodule(event.site.module)))
        heads = off.get(place or "", [])
        output = event.head_output.clone()
        output[:, :, heads] = 0
        return output

    def hand_on(block: Any, arguments: Sequence[Any], named: dict[str, Any], output: Any) -> Any:
        read = arguments[0] if arguments else named["hidden_states"]
        return replaced(output, hidden_of(read))

    with ExitStack() as stack:
        # First, because it proves the model as it is.
        stack.enter_context(hooked(module, Hook(edit_output=zero)))
        for one in plan["layers"]:
            blocks = module.base_model.get_submodule(one["module"])
            for layer in one["layers"]:
                handle = blocks[layer].register_forward_hook(hand_on, with_kwargs=True)
                stack.callback(handle.remove)
        yield
