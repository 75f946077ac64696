"""Goals as far as they are known before the model has run: of which token, and who may score."""

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..corpora import Encoding, Example, encode
from ..corpora.align import misfit
from ..errors import AttributionError
from ..models import LoadedModel
from .goals import Function, Goal
from .naming import class_index, function_name

#: `target` of this name explains each example's own label.
LABEL = "label"
#: A ranking of fewer words says nothing, and without them no text would be left.
MIN_WORDS = 2


def draft_of(
    model: LoadedModel, example: Example, seed: int, function: Function | None
) -> tuple[Encoding, Goal] | str:
    """The goal as far as it is known before the forward pass, or why there is none."""
    if not example.sentence.words:
        return "it has no words"
    if function is not None and model.task == "encoder" and example.pair:
        return "an encoder reads one text at a time, so that a function cannot see the pair"
    # An encoder embeds the two texts of a pair apart; other models read them as one input.
    pair = None if model.task == "encoder" else example.pair
    encoding = encode(example.sentence, model.tokenizer, pair)
    if reason := misfit(encoding, model.max_tokens):
        return reason
    kinds = {"classification": "class", "masked-lm": "masked token", "causal-lm": "next token"}
    kind = kinds.get(model.task, "similarity" if example.pair else "embedding")
    goal = Goal(kind, kind, np.nan, np.zeros(len(encoding)), encoding.words >= 0)
    if function is not None:
        name = function_name(function)
        goal = replace(goal, kind="function", name=name, chosen="", function=function)
    elif kind == "masked token":
        masked = _masked(model, encoding, goal, seed)
        if isinstance(masked, str):
            return masked
        encoding, goal = masked
    elif kind == "next token":
        # A separator that the tokenizer put at the end is not part of the text to go on with.
        goal = replace(goal, position=int(np.flatnonzero(~encoding.added)[-1]))
    elif kind != "class":
        goal = replace(goal, chosen="")
    if len(np.unique(encoding.words[goal.scored])) < MIN_WORDS:
        return f"fewer than {MIN_WORDS} words to score"
    return encoding, goal


def with_label(
    draft: tuple[Encoding, Goal], example: Example, labels: Sequence[str]
) -> tuple[Encoding, Goal] | str:
    """The draft with the example's own label as its class, or why it has none."""
    if example.label is None:
        return "it has no label"
    try:
        own = class_index(example.label, labels)
        return draft[0], replace(draft[1], index=own, chosen=LABEL)
    except AttributionError:
        return f"its label {example.label!r} is none of the classes {', '.join(labels)}"


def _masked(
    model: LoadedModel, encoding: Encoding, goal: Goal, seed: int
) -> tuple[Encoding, Goal] | str:
    """Find the mask in the text, or mask a word of it."""
    mask = model.tokenizer.mask_token_id
    if mask is None:
        return "the tokenizer has no mask token"
    present = np.flatnonzero(encoding.ids == mask)
    if len(present):
        position = int(present[0])
    else:
        single = np.isin(encoding.words, np.flatnonzero(encoding.word_tokens == 1))
        known = encoding.ids != model.tokenizer.unk_token_id
        candidates = np.flatnonzero(single & known & ~encoding.punctuation)
        if not len(candidates):
            return "no word that is a single token and not punctuation can be masked"
        text = zlib.crc32(encoding.sentence.text.encode())
        position = int(np.random.default_rng([seed, text]).choice(candidates))
        goal = replace(goal, index=int(encoding.ids[position]), chosen="in the text")
        ids, tokens = encoding.ids.copy(), list(encoding.tokens)
        ids[position], tokens[position] = mask, model.tokenizer.mask_token
        encoding = replace(encoding, ids=ids, tokens=tuple(tokens))
    hidden = np.unique(encoding.words[encoding.ids == mask])
    scored = goal.scored & ~np.isin(encoding.words, hidden)
    return encoding, replace(goal, position=position, scored=scored)
