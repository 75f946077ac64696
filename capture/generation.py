"""Attention while a model generates, its steps stitched into one map."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..corpora import Sentence
from ..errors import CaptureError
from .captured import Part, part_of, stacked
from .hooked import hooked
from .session import Event, Hook
from .sites import Site


@dataclass(frozen=True, repr=False)
class Generated:
    """One generated sequence; the last token is predicted, never read, so it has no row."""

    text: str
    """What was generated, without the prompt and special tokens."""
    tokens: tuple[str, ...]
    """All tokens of the decoder: the prompt (or the start token) and what follows."""
    source_tokens: tuple[str, ...]
    """What the encoder read; empty for a model without one."""
    prompt: int
    """How many of the tokens were given."""
    parts: tuple[Part, ...]
    """Self attention of the decoder is (layer, head, query, key) over `tokens[:-1]`, where the
    row of a token is that of the step that read it; cross attention is over `source_tokens`."""

    def part(self, stack: str, kind: str = "self") -> Part:
        """The attention of one kind in one stack.

        Raises:
            CaptureError: there is none.
        """
        return part_of(self.parts, stack, kind)

    def __repr__(self) -> str:
        return f"Generated({self.text[:40]!r}, {len(self.tokens)} tokens: {self.parts})"


def capture_generation(
    model: Any,
    text: str | Sentence,
    *,
    layers: Collection[int] | None = None,
    heads: Sequence[int] | None = None,
    **options: Any,
) -> list[Generated]:
    """Generate from a prompt and keep the attention of every step.

    Greedy search, sampling and beam search, with or without a cache: the map of a returned
    sequence follows the beams it came from.

    Args:
        model: what `load_model` returns, with a head that predicts tokens.
        layers, heads: what to keep (default: all).
        options: for `generate`, such as `max_new_tokens`, `num_beams`, `do_sample`.

    Returns:
        One for each returned sequence.

    Raises:
        CaptureError: the model cannot generate, or its attention cannot be captured.
    """
    module = model.module
    if not getattr(module, "can_generate", lambda: False)():
        raise CaptureError(
            f"{model.name} was loaded as {model.task} and predicts no next token; load it with "
            "task='causal-lm' or 'seq2seq-lm'."
        )
    plain = text if isinstance(text, str) else text.text
    inputs = model.tokenizer(plain, return_tensors="pt").to(model.device)
    wanted = ("input_ids", "attention_mask")
    own = {"return_dict_in_generate", "output_scores", "decoder_input_ids"} & set(options)
    if own:
        raise CaptureError(f"{', '.join(sorted(own))} cannot be given here; leave it out.")
    steps = _Steps()
    hook = Hook(observe=steps.observe, layers=layers, heads=heads)
    with torch.no_grad(), hooked(module, hook) as sites:
        handle = module.register_forward_pre_hook(steps.begin)
        try:
            output = module.generate(
                **{name: inputs[name] for name in wanted},
                **options,
                return_dict_in_generate=True,
                output_scores=True,
            )
        finally:
            handle.remove()
    chosen = [site for site in sites if hook.is_at(site)]
    source = inputs["input_ids"][0].tolist() if module.config.is_encoder_decoder else []
    first = 1 if source else inputs["input_ids"].shape[1]
    return [
        _stitched(model, output, row, first, source, chosen, heads, steps)
        for row in range(len(output.sequences))
    ]


_UNEVEN = (
    "Step {step} read {read} tokens. Maps are put together from a first step that reads the prompt "
    "and later ones that read one new token each (or all, without a cache); leave out "
    "assistant_model, prompt_lookup_num_tokens, prefill_chunk_size and cache_implementation."
)


class _Steps:
    """The maps of each forward pass; the encoder's, which runs before them, by itself."""

    def __init__(self) -> None:
        self.encoder: dict[Site, Tensor] = {}
        self.maps: list[dict[Site, Tensor]] = []

    def begin(self, *_: Any) -> None:
        self.maps.append({})

    def observe(self, event: Event) -> None:
        kept = self.maps[-1] if self.maps else self.encoder
        kept[event.site] = event.attention.detach().float().cpu()


def _stitched(
    model: Any,
    output: Any,
    row: int,
    first: int,
    source: list[int],
    sites: list[Site],
    heads: Sequence[int] | None,
    steps: _Steps,
) -> Generated:
    ids = output.sequences[row].tolist()
    beams = getattr(output, "beam_indices", None)
    if len(steps.maps) < len(ids) - first:
        raise CaptureError(_UNEVEN.format(step=0, read=len(ids) - first))
    # Row of the batch that predicted each new token; a beam that has ended counts -1.
    rows = (
        [row] * (len(ids) - first) if beams is None else [b for b in beams[row].tolist() if b >= 0]
    )
    count = _ended(model, ids[first:], len(rows))
    ids, rows = ids[: first + count], rows[:count]
    names = tuple(model.tokenizer.convert_ids_to_tokens(ids))
    source_names = tuple(model.tokenizer.convert_ids_to_tokens(source))
    groups: dict[tuple[str, str], list[Site]] = {}
    for site in sites:
        groups.setdefault((site.stack, site.kind), []).append(site)
    parts = []
    for (stack, kind), here in groups.items():
        keys = source_names if stack == "encoder" or kind == "cross" else names[:-1]
        if source and stack == "encoder":
            maps = [steps.encoder[site][0].numpy() for site in here]
        else:
            maps = [_map(site, steps.maps, rows, first, len(keys)) for site in here]
        parts.append(
            Part(
                stack,
                kind,
                tuple(site.layer for site in here),
                tuple(range(max(site.heads for site in here))) if heads is None else tuple(heads),
                tuple(range(maps[0].shape[1])),
                keys,
                attention=stacked(maps),
            )
        )
    text = model.tokenizer.decode(ids[first:], skip_special_tokens=True)
    return Generated(text, names, source_names, first, tuple(parts))


def _ended(model: Any, new: list[int], most: int) -> int:
    """How many of the new tokens belong to the sequence: up to its first end token."""
    ends = model.module.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    for place, token in enumerate(new):
        if token in ends:
            return min(place + 1, most)
    return min(len(new), most)


def _map(
    site: Site, steps: list[dict[Site, Tensor]], rows: list[int], first: int, keys: int
) -> np.ndarray:
    """(head, query, key): the prompt's rows from the first step, one row from each later."""
    queries = first + len(rows) - 1
    whole = np.zeros((steps[0][site].shape[1], queries, keys), dtype=np.float32)
    for number, row in enumerate(rows):
        found = steps[number][site][row].numpy()
        read = found.shape[1]
        if read not in ((first,) if number == 0 else (1, first + number)):
            raise CaptureError(_UNEVEN.format(step=number, read=read))
        if not np.isfinite(found).all():
            raise CaptureError(
                f"The attention of {site} is NaN or infinite at step {number}. The weights may "
                "be damaged, or the type too narrow (float16): use float32 or bfloat16."
            )
        # Without a cache every step reads all tokens again; the last rows are the new ones.
        new = found[:, -first:] if number == 0 else found[:, -1:]
        end = first + number
        seen = keys if site.kind == "cross" else end
        new = new[..., :seen]
        # A sliding cache has let go of the oldest keys.
        whole[:, end - new.shape[1] : end, seen - new.shape[-1] : seen] = new
    return whole
