"""Models whose biases and norms are far from zero and one, so that leaving one out shows."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution import prepare
from bertology.capture import collate
from bertology.models import LoadedModel

TEXTS = ["w1 w2.w3 w4 w5 w6", "w5 w6 w9", "w7 w8 w9 w10 w11 , w12"]


def disturbed(model: LoadedModel) -> LoadedModel:
    """Random biases and norm weights: those of a new model are 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.module.parameters():
            if parameter.dim() == 1:
                parameter += torch.randn(parameter.shape, generator=generator) * 0.3
    return model


@pytest.fixture(scope="session")
def ready(
    tiny_model: Callable[..., LoadedModel], make_example: Callable[..., object]
) -> Callable[..., SimpleNamespace]:
    """A disturbed model with texts and goals; `shared` ones are not to be changed."""
    built: dict[tuple[str, str], SimpleNamespace] = {}

    def build(family: str, task: str, *, shared: bool = True, **options: object) -> SimpleNamespace:
        if shared and not options and (family, task) in built:
            return built[family, task]
        model = disturbed(tiny_model(family, task))
        prepared = prepare(model, [make_example(text) for text in TEXTS], **options)
        found = SimpleNamespace(
            model=model, module=model.module, encodings=prepared.encodings, goals=prepared.goals
        )
        if shared and not options:
            built[family, task] = found
        return found

    return build


@pytest.fixture(scope="session")
def looked_at() -> Callable[..., list[np.ndarray]]:
    """What named modules read and return on one text: {name: [(read, returned), …]}."""

    def look(model: LoadedModel, encoding: object, names: list[str]) -> dict[str, list]:
        found: dict[str, list] = {name: [] for name in names}
        handles = [
            model.module.get_submodule(name).register_forward_hook(
                lambda part, args, out, name=name: found[name].append(
                    (args[0][0], (out if isinstance(out, torch.Tensor) else out[0])[0])
                )
            )
            for name in names
        ]
        with torch.no_grad():
            model.module(**collate([encoding], model).inputs)
        for handle in handles:
            handle.remove()
        return found

    return look
