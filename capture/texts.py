"""Capturing what a model computes on a few texts, as arrays."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..corpora import Encoding, Sentence, encode
from ..corpora.align import misfit
from ..corpora.text import text_to_sentence
from ..errors import CaptureError
from .batch import Batch
from .captured import AT_SITES, QUANTITIES, Captured, Part, stacked
from .finite import refuse_infinite
from .hidden import hidden_states
from .hooked import hooked
from .projection import contribution, output_weights
from .session import Event, Hook
from .sites import Site
from .stream import stream
from .targets import Target, decoder_inputs, read_target


@dataclass(frozen=True)
class _Selection:
    """What to keep, and of which sites, heads and positions."""

    what: tuple[str, ...]
    sites: tuple[Site, ...]
    heads: tuple[int, ...] | None
    queries: tuple[int, ...] | None

    def rows(self, length: int) -> list[int]:
        """Chosen positions of a text; negative ones count from its end."""
        chosen = range(length) if self.queries is None else self.queries
        return [place + length if place < 0 else place for place in chosen]


def capture(
    model: Any,
    texts: str | Sentence | Sequence[str | Sentence],
    what: Sequence[str] = ("attention",),
    *,
    targets: str | Sentence | Sequence[str | Sentence] | None = None,
    layers: Sequence[int] | None = None,
    stacks: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    heads: Sequence[int] | None = None,
    queries: Sequence[int] | None = None,
) -> list[Captured]:
    """Capture what the model computes on each text.

    What is not asked for is neither computed nor kept: the fast kernel stays unless attention
    is asked for, and with chosen heads or positions attention is formed beside it.

    Args:
        model: what `load_model` returns.
        what: any of `attention`, `head_output`, `contribution`, `query`, `key`, `value`,
            `hidden_states`, `logits`.
        targets: what the decoder of an encoder-decoder model reads, one for each text
            (default: its start token alone).
        layers, stacks, kinds: the sites to keep (default: all).
        heads, queries: the heads and the query positions to keep (default: all); negative
            positions count from the end of each text. Keys and values are kept of all positions,
            hidden states of all layers.

    Raises:
        CaptureError: an unknown quantity, layer, head or position, a text that does not fit
            the model, attention that is not a number, or none that can be captured.
    """
    if unknown := set(what) - set(QUANTITIES):
        raise CaptureError(f"Cannot capture {sorted(unknown)}; choose from {QUANTITIES}.")
    if "logits" in what and model.task == "encoder":
        raise CaptureError(
            f"{model.name} was loaded without a head, so it has no logits; load it with "
            "task='masked-lm', 'causal-lm' or 'classification'."
        )
    encodings = [_encoded(text, model) for text in _listed(texts)]
    read = _targets(model, targets, len(encodings))
    probe = Hook(layers=layers, stacks=stacks, kinds=kinds, heads=heads)
    with hooked(model.module, probe) as sites:
        chosen = tuple(site for site in sites if probe.is_at(site))
    keep = _Selection(tuple(what), chosen, _tuple(heads), _tuple(queries))
    _check_positions(keep, encodings, read)
    # Equal texts may have different targets.
    order = {id(encoding): target for encoding, target in zip(encodings, read, strict=True)}

    def run(batch: Batch) -> list[Captured]:
        return _BatchCapture(model, batch, [order[id(e)] for e in batch.encodings], keep).run()

    return stream(model, encodings, run, description="capturing")


def _listed(texts: Any) -> list[str | Sentence]:
    given = [texts] if isinstance(texts, str | Sentence) else texts
    if not isinstance(given, Sequence) or not all(isinstance(t, str | Sentence) for t in given):
        raise CaptureError(f"capture takes a text, a sentence, or a list of them; got {texts!r}.")
    return list(given)


def _targets(model: Any, targets: Any, count: int) -> list[Target | None]:
    if not getattr(model.config, "is_encoder_decoder", False):
        if targets is not None:
            raise CaptureError(f"{model.name} has no decoder that would read targets.")
        return [None] * count
    if targets is None:
        return [read_target(None, model)] * count
    given = _listed(targets)
    if len(given) != count:
        raise CaptureError(f"Got {count} texts and {len(given)} targets; give one for each text.")
    return [read_target(one, model) for one in given]


def _tuple(values: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(values)


def _encoded(text: str | Sentence, model: Any) -> Encoding:
    sentence = text_to_sentence(text, id=text[:40]) if isinstance(text, str) else text
    encoding = encode(sentence, model.tokenizer)
    if reason := misfit(encoding, model.max_tokens):
        raise CaptureError(f"The text {sentence.id!r} cannot be captured: {reason}.")
    return encoding


def _check_positions(
    keep: _Selection, encodings: Sequence[Encoding], targets: Sequence[Target | None]
) -> None:
    for encoding, target in zip(encodings, targets, strict=True):
        for site in keep.sites:
            length = _lengths(site, len(encoding), target)[0]
            beyond = [q for q in keep.queries or () if not -length <= q < length]
            if beyond:
                raise CaptureError(
                    f"Positions {beyond} do not exist in {encoding.sentence.id!r}, which has "
                    f"{length} tokens in the {site.stack}; choose from 0 to {length - 1}."
                )


def _lengths(site: Site, tokens: int, target: Target | None) -> tuple[int, int]:
    """Queries and keys of a text at a site."""
    own = len(target) if target is not None and site.stack == "decoder" else tokens
    return own, tokens if site.kind == "cross" else own


@dataclass
class _BatchCapture:
    """One batch on its way through the model."""

    model: Any
    batch: Batch
    targets: list[Target | None]
    keep: _Selection
    kept: dict[tuple[str, Site], np.ndarray] = field(default_factory=dict)
    before: dict[Site, np.ndarray] = field(default_factory=dict)
    """(batch, key): which of the keys before its tokens a text has, where a site has such keys."""

    def __post_init__(self) -> None:
        #: Positions that some text of the batch has chosen, by stack.
        self.rows: dict[str, list[int]] = {}
        for site in self.keep.sites:
            lengths = [
                _lengths(site, n, target)[0]
                for n, target in zip(self.batch.lengths, self.targets, strict=True)
            ]
            chosen = {row for length in lengths for row in self.keep.rows(length)}
            self.rows[site.stack] = sorted(chosen)
        # Found before the forward pass, by one of its own.
        self.weights = {
            site: output_weights(self.model.module, site)
            for site in self.keep.sites
            if "contribution" in self.keep.what
        }

    def run(self) -> list[Captured]:
        module = self.model.module
        stacks = (None,) if self.targets[0] is None else ("encoder", "decoder")
        with torch.no_grad(), hooked(module, *self._hooks()), ExitStack() as stack:
            states = [
                stack.enter_context(hidden_states(module, stack=name))
                for name in stacks
                if "hidden_states" in self.keep.what
            ]
            more = decoder_inputs(self.targets, self.batch.inputs, self.model)
            output = module(**self.batch.inputs, **more)
        hidden = [[_array(state) for state in one] for one in states]
        logits = _array(output.logits) if "logits" in self.keep.what else None
        return [self._one(i, hidden, logits) for i in range(len(self.batch))]

    def _hooks(self) -> list[Hook]:
        keep, hooks = self.keep, []
        for stack, rows in self.rows.items():
            here = [site for site in keep.sites if site.stack == stack]
            at: dict[str, Any] = {
                "layers": {site.layer for site in here},
                "stacks": {stack},
                "kinds": {site.kind for site in here},
            }
            if "attention" in keep.what:
                queries = None if keep.queries is None else rows
                look = Hook(observe=self._see_attention, heads=keep.heads, queries=queries, **at)
                hooks.append(look)
            if set(AT_SITES[1:]) & set(keep.what):
                hooks.append(Hook(observe=self._see_the_rest, attention=False, **at))
        return hooks

    def _see_attention(self, event: Event) -> None:
        self._see_keys(event)
        self.kept["attention", event.site] = _array(event.attention)

    def _see_keys(self, event: Event) -> None:
        tokens, given = event.computation.visible_shape[2], self.batch.mask.shape[1]
        if self.targets[0] is None and tokens != given:
            raise CaptureError(
                f"{event.site} pools {given} tokens into {tokens} positions, which are not those "
                "of the texts. Choose other layers, or take its maps from `record`."
            )
        if event.site.memory:
            visible = event.computation.visible[:, 0]
            extra = visible.shape[2] - visible.shape[1]
            rows = self.batch.mask.bool()[:, :, None]
            self.before[event.site] = (visible[..., :extra] & rows).any(1).cpu().numpy()

    def _see_the_rest(self, event: Event) -> None:
        self._see_keys(event)
        site, keep = event.site, self.keep
        heads = slice(None) if keep.heads is None else list(keep.heads)
        rows = slice(None) if keep.queries is None else self.rows[site.stack]
        for name in AT_SITES[1:]:
            if name not in keep.what:
                continue
            if name in ("head_output", "contribution"):
                found = event.head_output[:, rows][:, :, heads]
                if name == "contribution":
                    found = contribution(found, self.weights[site][heads])
            else:
                found = getattr(event, name)[:, heads]
                found = found[:, :, rows] if name == "query" else found
            self.kept[name, site] = _array(found)

    def _one(self, i: int, hidden: list[list[np.ndarray]], logits: np.ndarray | None) -> Captured:
        n, target = self.batch.lengths[i], self.targets[i]
        m = n if target is None else len(target)
        groups: dict[tuple[str, str], list[Site]] = {}
        for site in self.keep.sites:
            groups.setdefault((site.stack, site.kind), []).append(site)
        if logits is not None:
            logits = logits[i, :m] if logits.ndim == 3 else logits[i]
        own = [np.stack([state[i, :length] for state in one])
               for one, length in zip(hidden, (n, m), strict=False)]  # fmt: skip
        return Captured(
            encoding=self.batch.encodings[i],
            parts=tuple(self._part(i, sites) for sites in groups.values()),
            hidden_states=own[0] if own else None,
            decoder_hidden_states=own[1] if len(own) > 1 else None,
            logits=logits,
            target_tokens=() if target is None else target.tokens,
        )

    def _part(self, i: int, sites: list[Site]) -> Part:
        first, target = sites[0], self.targets[i]
        queries, keys = _lengths(first, self.batch.lengths[i], target)
        before = self.before.get(first, np.zeros((len(self.batch), 0), dtype=bool))
        own = [*np.flatnonzero(before[i]), *range(before.shape[1], before.shape[1] + keys)]
        chosen = self.keep.rows(queries)
        there = self.rows[first.stack]
        rows = chosen if self.keep.queries is None else [there.index(row) for row in chosen]
        places: dict[str, Any] = {
            "attention": (slice(None), np.array(rows, dtype=int)[:, None], own),
            "query": (slice(None), rows),
            "key": (slice(None), own),
            "value": (slice(None), own),
            "head_output": rows,
            "contribution": rows,
        }
        encoding = self.batch.encodings[i]
        arrays = {}
        for name, place in places.items():
            if name in self.keep.what:
                layers = [self.kept[name, site][i][place] for site in sites]
                for site, layer in zip(sites, layers, strict=True):
                    refuse_infinite(layer[None, None], [site], [encoding])
                arrays[name] = stacked(layers)
        reads_target = target is not None and first.stack == "decoder" and first.kind == "self"
        tokens = target.tokens if target is not None and reads_target else encoding.tokens
        return Part(
            stack=first.stack,
            kind=first.kind,
            layers=tuple(site.layer for site in sites),
            heads=self.keep.heads or tuple(range(max(site.heads for site in sites))),
            queries=tuple(chosen),
            keys=first.key_labels(queries, len(own))[: len(own) - keys] + tokens,
            **arrays,
        )


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
