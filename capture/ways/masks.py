"""Which keys a query may see, without holding the (query, key) matrix.

transformers hands a mask to every attention module. Ours is a placeholder: one element seen
through a (batch, 1, query, key) view, with the recipe of the mask beside it, from which only
the rows asked for are made. A model that computed with the placeholder itself would get NaN
everywhere, so this cannot go wrong quietly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask

from ...errors import CaptureError

#: Places along an axis.
Index = slice | list[int]


@dataclass(frozen=True)
class Mask:
    """The mask of one attention computation.

    Exactly one of `recipe` (arguments of transformers' mask functions) and `given` (an additive
    mask, None if every key is visible) counts.
    """

    shape: tuple[int, int, int, int]
    """(batch, 1, query, key)."""
    dtype: torch.dtype
    device: torch.device
    given: Tensor | None = None
    recipe: "Recipe | None" = None

    @cached_property
    def visible(self) -> Tensor:
        """(batch, 1, query, key), True where the query may see the key."""
        return self.visible_rows(slice(0, self.shape[2]))

    def visible_rows(self, rows: slice) -> Tensor:
        """The same for some rows: (batch, 1, row, key)."""
        shape = (*self.shape[:2], rows.stop - rows.start, self.shape[3])
        if self.recipe is not None:
            return self.recipe.visible(rows)[..., : self.shape[3]].expand(shape)
        if self.given is None:
            return torch.ones((), dtype=torch.bool, device=self.device).expand(shape)
        part = self.given[..., rows, : self.shape[3]] if self.given.shape[-2] > 1 else self.given
        return (part > _HIDDEN).expand(shape[0], -1, *shape[2:])

    def additive(self, rows: Index, keys: slice, heads: Index, visible: Tensor) -> Tensor | None:
        """What eager attention adds to the scores of some rows, keys and heads.

        Args:
            visible: the visible keys of these rows, as `visible_rows` gives them.
        """
        if self.recipe is None:
            if self.given is None:
                return None
            part = self.given[..., rows, :] if self.given.shape[-2] > 1 else self.given
            part = part[:, heads] if part.shape[1] > 1 else part
            return part[..., keys]
        # 0 where visible, the least finite number elsewhere; far faster than torch.where.
        return visible[..., keys].to(self.dtype).sub_(1).mul_(torch.finfo(self.dtype).max)

    def fast(self, implementation: str) -> Tensor | None:
        """What the model's own implementation takes as its mask."""
        return self.given if self.recipe is None else self.recipe.tensor(implementation)


class Recipe:
    """The arguments from which a mask is made, and what was already made of them."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments
        self._tensors: dict[str, Tensor | None] = {}
        self._visible: dict[tuple[int, int], Tensor] = {}
        self._cells = 0

    def visible(self, rows: slice) -> Tensor:
        """(batch, 1, row, key), True where the query may see the key."""
        place = rows.start, rows.stop
        if place in self._visible:
            return self._visible[place]
        arguments = dict(self.arguments)
        arguments["q_offset"] = arguments.get("q_offset", 0) + rows.start
        arguments["q_length"] = rows.stop - rows.start
        arguments["allow_is_causal_skip"] = arguments["allow_is_bidirectional_skip"] = False
        made: Tensor | None = sdpa_mask(**arguments)
        if made is None:
            raise RuntimeError("No mask was made, though no reason to skip it was allowed.")
        # Every layer of a kind shares its mask; that of a book would not fit beside the model.
        if self._cells + made.numel() <= _KEPT_CELLS:
            self._visible[place] = made
            self._cells += made.numel()
        return made

    def tensor(self, implementation: str) -> Tensor | None:
        if implementation not in self._tensors:
            make: Callable[..., Tensor | None] = ALL_MASK_ATTENTION_FUNCTIONS[implementation]
            self._tensors[implementation] = make(**self.arguments)
        return self._tensors[implementation]


#: Masks add this or less to hide a key: -10,000 in old models, the least number in new ones.
_HIDDEN = -5_000.0
#: Cells of masks, of one byte each, that are kept for the next layers.
_KEPT_CELLS = 1 << 26
#: The recipe of each placeholder that is alive.
_recipes: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def placeholder(**arguments: Any) -> Tensor:
    """The mask function to register: makes no mask, notes how to make it."""
    shape = (arguments["batch_size"], 1, arguments["q_length"], arguments["kv_length"])
    dtype = arguments.get("dtype", torch.float32)
    nothing = torch.full((), torch.nan, dtype=dtype, device=arguments.get("device", "cpu"))
    made = nothing.expand(shape)
    _recipes[made] = Recipe(arguments)
    return made


def mask_of(tensor: Tensor | None, query: Tensor, key: Tensor) -> Mask:
    """The mask that arrived at an attention module beside its query and key."""
    shape = (query.shape[0], 1, query.shape[2], key.shape[2])
    recipe = None if tensor is None else _recipes.get(tensor)
    given = None if recipe is not None else additive(tensor, query.dtype)
    if given is not None and given.flatten()[0].isnan():
        raise CaptureError(
            "The mask was copied on its way to attention (static caches do this), so what it "
            "hides is not known. Use the dynamic cache, which is the default, or use_cache=False."
        )
    return Mask(shape, query.dtype, query.device, given, recipe)


def additive(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """A user's own boolean mask as an additive one: eager attention would add True as 1."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    hidden = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return hidden.masked_fill(~mask, torch.finfo(dtype).min)
