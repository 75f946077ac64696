"""A model with its embeddings as they are and random blocks above them."""

from copy import deepcopy
from dataclasses import replace

import torch

from ....capture.blocks import stack_blocks
from ....errors import ModelError
from ....models import LoadedModel


def with_random_blocks(model: LoadedModel, *, seed: int) -> LoadedModel:
    """A copy whose blocks start anew, as their class initialises them; all else is kept.

    The baseline of Clark et al. 2019, section 5: what the words and their places give without
    anything learned above them.

    Raises:
        ModelError: the model does not say how its weights are initialised.
        CaptureError: its blocks cannot be found.
    """
    module = deepcopy(model.module)
    copy = replace(model, name=f"{model.name} with random blocks ({seed})", module=module)
    blocks = stack_blocks(copy.reader)
    if blocks.embeddings is not None or not hasattr(copy.reader, "_init_weights"):
        raise ModelError(
            f"The blocks of {type(copy.reader).__name__} cannot be made random: that takes a model "
            "of transformers whose layers are modules."
        )
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for name in dict.fromkeys(blocks.names):
            copy.reader.get_submodule(name).apply(copy.reader._init_weights)
    return copy
