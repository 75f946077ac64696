"""What is to be taken out of a model: checked, and written as the plan of `models`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...capture import Site, find_sites
from ...capture.blocks import stack_blocks, stacks_of
from ...errors import CaptureError, ModelError
from ...models.pruned_surgery import find_attention

#: (layer, head) of a model with one kind of attention; else these by (stack, kind).
Heads = Iterable[tuple[int, int]] | Mapping[tuple[str, str], Iterable[tuple[int, int]]]
#: Layers of a model with one stack; else these by stack.
Layers = Iterable[int] | Mapping[str, Iterable[int]]


def planned(module: Any, heads: Heads, layers: Layers) -> dict[str, Any]:
    """Where the heads and layers are, as entries of a plan.

    Heads of layers that are removed as a whole are not listed by themselves.

    Raises:
        CaptureError: a head or layer that does not exist, or nothing would be left.
        ModelError: a kind of attention of which heads cannot be taken out.
    """
    stacks = _layers_by_stack(module, layers)
    lists = [_block_list(module, stack, numbers) for stack, numbers in stacks.items()]
    chosen = {
        site: numbers
        for site, numbers in _heads_by_site(module, heads).items()
        if site.layer not in stacks.get(site.stack, ())
    }
    if not chosen and not lists:
        raise CaptureError(
            "Nothing is to be removed: give heads=[(layer, head), …] or layers=[…], counted from 0."
        )
    _refuse_all(module, chosen, stacks)
    return {"heads": _entries(module, chosen), "layers": lists}


def _heads_by_site(module: Any, heads: Heads) -> dict[Site, list[int]]:
    sites = find_sites(module)
    kinds = list(dict.fromkeys((site.stack, site.kind) for site in sites))
    if not isinstance(heads, Mapping):
        listed = list(heads)
        if not listed:
            return {}
        if len(kinds) > 1:
            raise CaptureError(
                f"{type(module).__name__} has several kinds of attention ({_named(kinds)}), each "
                "with heads of its own; say which: heads={('decoder', 'cross'): [(0, 3)]}."
            )
        heads = {kinds[0]: listed}
    chosen: dict[Site, list[int]] = {}
    for place, pairs in heads.items():
        here = {site.layer: site for site in sites if (site.stack, site.kind) == place}
        if not here:
            raise CaptureError(
                f"There is no attention {place!r} in {type(module).__name__}; it has "
                f"{_named(kinds)}."
            )
        for layer, head in pairs:
            if layer not in here or not 0 <= head < here[layer].heads:
                raise CaptureError(
                    f"There is no head L{layer}H{head} ({' '.join(place)}); "
                    f"{_extent(here, layer)}, counted from 0."
                )
            chosen.setdefault(here[layer], []).append(int(head))
    return {site: sorted(set(numbers)) for site, numbers in chosen.items()}


def _extent(here: Mapping[int, Site], layer: int) -> str:
    if layer in here:
        return f"layer {layer} has {here[layer].heads} heads"
    return f"the layers with attention are {', '.join(map(str, sorted(here)))}"


def _layers_by_stack(module: Any, layers: Layers) -> dict[str, list[int]]:
    stacks = stacks_of(module)
    if not isinstance(layers, Mapping):
        listed = list(layers)
        if not listed:
            return {}
        if len(stacks) > 1:
            raise CaptureError(
                f"{type(module).__name__} has several stacks ({', '.join(stacks)}), each with "
                f"layers of its own; say which: layers={{{stacks[-1]!r}: [1]}}."
            )
        layers = {stacks[0]: listed}
    return {stack: sorted({int(one) for one in numbers}) for stack, numbers in layers.items()}


def _block_list(module: Any, stack: str, layers: Sequence[int]) -> dict[str, Any]:
    blocks = stack_blocks(module, stack)
    lists = {name.rpartition(".")[0] for name in blocks.names}
    if blocks.is_shared or blocks.embeddings is not None or len(lists) != 1:
        raise ModelError(
            f"The layers of {type(module).__name__} are no modules of their own that could be "
            "removed one by one; remove heads, or measure with bertology.ablation.ablate."
        )
    if outside := [layer for layer in layers if not 0 <= layer < len(blocks.names)]:
        raise CaptureError(
            f"There is no layer {outside[0]} ({stack}); there are {len(blocks.names)}, counted "
            "from 0."
        )
    if len(layers) == len(blocks.names):
        raise CaptureError(f"All {len(layers)} layers ({stack}) would be removed; keep one.")
    return {"module": _in_body(module, lists.pop()), "stack": stack, "layers": list(layers)}


def _refuse_all(
    module: Any, chosen: Mapping[Site, Sequence[int]], stacks: Mapping[str, Sequence[int]]
) -> None:
    """A model, or one kind of its attention, without any head is no model of attention."""
    left = [site for site in find_sites(module) if site.layer not in stacks.get(site.stack, ())]
    for place in dict.fromkeys((site.stack, site.kind) for site in left):
        here = [site for site in left if (site.stack, site.kind) == place]
        total = sum(site.heads for site in here)
        if total == sum(len(chosen.get(site, ())) for site in here):
            raise CaptureError(
                f"All {total} heads ({' '.join(place)}) of {type(module).__name__} would be "
                "removed; keep at least one."
            )
        if place == ("decoder", "self") and len(chosen.get(here[0], ())) == here[0].heads:
            # From a layer without heads it would read the length 0.
            raise CaptureError(
                f"All {here[0].heads} heads of {here[0]}, the first layer that is left, would be "
                "removed; a decoder reads the length of its cache there: keep one, or remove the "
                "layer."
            )


def _entries(module: Any, chosen: Mapping[Site, list[int]]) -> list[dict[str, Any]]:
    known = find_attention(module.base_model)
    by_module: dict[str, list[Site]] = {}
    for site in find_sites(module):
        by_module.setdefault(site.module, []).append(site)
    entries = []
    for name, sites in by_module.items():
        own = [chosen.get(site, []) for site in sites]
        if not any(own):
            continue
        place = _in_body(module, name)
        if place not in known or known[place].heads != sites[0].heads:
            raise ModelError(
                f"It is not known how {type(module.get_submodule(name)).__name__} keeps the "
                f"weights of its heads ({sites[0]}), so none can be taken out; switch them off "
                "with capture.gate_heads instead. Known are the ways of BERT, ALBERT, DistilBERT, "
                "GPT-2, Llama, BART and T5, and of models built like them."
            )
        if any(other != own[0] for other in own):
            raise ModelError(
                f"The layers {[site.layer for site in sites]} share one set of weights ({name}), "
                f"so a head is removed in all of them or in none; given were {own}. List the same "
                "heads for each."
            )
        site = sites[0]
        entries.append({"module": place, "stack": site.stack, "kind": site.kind,
                        "layer": site.layer, "heads": own[0]})  # fmt: skip
    return entries


def _in_body(module: Any, name: str) -> str:
    """The name of a part within the body of the model, which is the same under any head."""
    part = module.get_submodule(name)
    return next(inner for inner, other in module.base_model.named_modules() if other is part)


def _named(kinds: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{stack} {kind}" for stack, kind in kinds)
