"""The module that is fine-tuned: a copy of a model's weights under the head of a task."""

import copy
from typing import Any

import torch

from ..errors import ModelError
from .loaded import LoadedModel
from .pruned import new_module
from .sources import attempt
from .tasks import TASKS

#: What a model can be fine-tuned for, and the task it is then loaded as.
LOADED_AS = {
    "classification": "classification",
    "regression": "classification",
    "masked-lm": "masked-lm",
    "causal-lm": "causal-lm",
}
#: The name of the only output of a regression.
VALUE = "value"


def check_start(model: LoadedModel, task: str) -> None:
    """Refuse a model that cannot be fine-tuned for a task.

    Raises:
        ModelError: unknown task, or one that does not fit the model, its tokenizer or its type.
    """
    if task not in LOADED_AS:
        raise ModelError(f"Cannot fine-tune for {task!r}; choose one of {', '.join(LOADED_AS)}.")
    if model.dtype is not None or getattr(model.module, "hf_device_map", None):
        raise ModelError(
            f"{model.name} is in {model.dtype or 'parts on several devices'}; fine-tuning needs "
            "it whole in float32: load it with dtype='float32' and one device."
        )
    if task == "masked-lm" and model.tokenizer.mask_token_id is None:
        raise ModelError(f"The tokenizer of {model.name} has no mask token, so none can be masked.")
    # Only a model that was built for it hides the words to the right.
    starts = {"masked-lm": ("encoder", "masked-lm"), "causal-lm": ("causal-lm",)}
    fits = starts.get(task, ("encoder", "masked-lm", "causal-lm", "classification"))
    if model.task not in fits:
        raise ModelError(
            f"{model.name} was loaded as {model.task}, which cannot be fine-tuned for {task}; "
            f"load it with task={' or '.join(map(repr, fits))}."
        )


def classes_of(model: LoadedModel, task: str, labels: set[str]) -> tuple[str, ...]:
    """Names of the outputs: those that the head of the model has, else the labels in order.

    Raises:
        ModelError: the head of the model was made for other labels.
    """
    wanted = {VALUE} if task == "regression" else labels
    if model.task != "classification":
        return tuple(sorted(wanted))
    if len(model.labels) != 1 if task == "regression" else not labels <= set(model.labels):
        what = "one number" if task == "regression" else f"the labels {sorted(labels)}"
        raise ModelError(
            f"The head of {model.name} gives {list(model.labels)}, and {what} are to be learned; "
            "load the model with task='encoder' to put a new head on it."
        )
    return model.labels


def with_head(model: LoadedModel, task: str, classes: tuple[str, ...]) -> Any:
    """A copy of the module if it has the task's head, else its body under a new random head.

    A pooler that the body lacks is new as well.

    Raises:
        ModelError: transformers has no such head for this kind of model.
    """
    if model.task == LOADED_AS[task]:
        return copy.deepcopy(model.module)
    config = copy.deepcopy(model.config)
    if LOADED_AS[task] == "classification":
        config.num_labels = len(classes)
        config.id2label = dict(enumerate(classes))
        config.label2id = {name: i for i, name in enumerate(classes)}
        single = "regression" if task == "regression" else "single_label_classification"
        config.problem_type = single
    loader = TASKS[LOADED_AS[task]]
    module = attempt(model.name, lambda: new_module(loader, config, dtype=torch.float32), _headless)
    lost = module.base_model.load_state_dict(model.module.base_model.state_dict(), strict=False)
    # Poolers belong to some heads only.
    if odd := [key for key in (*lost.missing_keys, *lost.unexpected_keys) if "pooler" not in key]:
        raise _headless(model.name, f"its body has other weights under a new head ({odd[0]}, …).")
    return module.to(model.device)


def _headless(name: Any, reason: str) -> ModelError:
    return ModelError(
        f"No head can be put on {str(name)!r}: {reason} Start from a checkpoint that has the head."
    )
