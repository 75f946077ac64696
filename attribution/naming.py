"""Classes and vocabulary entries by the names people give them."""

from collections.abc import Sequence
from typing import Any

from ..errors import AttributionError


def class_index(name: str, labels: Sequence[str]) -> int:
    """The class of this name; case is ignored where that is unambiguous, and an index will do.

    Raises:
        AttributionError: no such class.
    """
    if name in labels:
        return list(labels).index(name)
    same = [index for index, label in enumerate(labels) if label.lower() == name.lower()]
    if len(same) == 1:
        return same[0]
    if name.isdecimal() and int(name) < len(labels):
        return int(name)
    raise AttributionError(
        f"The model has no class {name!r}; its classes are {', '.join(labels)} "
        f"(or an index from 0 to {len(labels) - 1})."
    )


def token_index(name: str, tokenizer: Any) -> int:
    """The vocabulary entry of a word as it stands after a space, or spelled as in the vocabulary.

    Raises:
        AttributionError: the tokenizer makes several tokens of it, or knows it not.
    """
    for text in (f" {name}", name):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
            return int(ids[0])
    if name in (vocabulary := tokenizer.get_vocab()):
        return int(vocabulary[name])
    pieces = tokenizer.tokenize(name)
    raise AttributionError(
        f"{name!r} is not one token of this tokenizer (it reads {pieces}); a target or foil of a "
        "language model is a single token, for instance the first of these."
    )


def token_name(index: int, tokenizer: Any) -> str:
    """The text of a vocabulary entry, or its spelling in the vocabulary if that is all space."""
    return tokenizer.decode([index]).strip() or str(tokenizer.convert_ids_to_tokens(index))


def quantity_name(name: str, quantity: str) -> str:
    """What is measured of a class or token: `positive`, `margin of positive`."""
    return name if quantity == "logit" else f"{quantity} of {name}"


def function_name(target: Any) -> Any:
    """A target as it goes into a record: a function by its name, anything else as it is."""
    return getattr(target, "__name__", type(target).__name__) if callable(target) else target
