"""Getting between the word embeddings and the rest of a model.

Passing `inputs_embeds` instead would change what is computed: classifiers on decoders find the
last token by the ids, and RoBERTa-like models take their positions from them. So the ids are
passed as usual, and the output of the embedding module is replaced by a hook.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ..errors import AttributionError


@contextmanager
def replaced_embeddings(module: Any, replace: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside the block the model goes on with `replace(embeddings)`, (batch, token, width).

    Position and type embeddings are added later and stay as they are.

    Raises:
        AttributionError: the model does not say which module embeds its words.
    """
    handle = word_embeddings(module).register_forward_hook(
        lambda part, arguments, output: replace(output)
    )
    try:
        yield
    finally:
        handle.remove()


def word_embeddings(module: Any) -> Any:
    """The module that maps ids to word embeddings.

    Raises:
        AttributionError: the model does not say which it is.
    """
    try:
        return module.get_input_embeddings()
    except (AttributeError, NotImplementedError) as error:
        raise AttributionError(
            f"{type(module).__name__} does not name its word embeddings; gradients are taken with "
            "respect to them, so its get_input_embeddings() must return that module."
        ) from error
