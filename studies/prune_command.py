"""What `bertology prune` does."""

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ..ablation import Importance, importance
from ..ablation.importance import METHODS
from ..ablation.labels import UNLABELLED, classes_of
from ..ablation.parts import parse_part
from ..ablation.structural import Pruning, compare, kept_count, least_important, prune
from ..capture import find_sites
from ..capture.places import one_of_a_kind
from ..corpora import Examples, read_examples
from ..errors import BertologyError
from ..models import LoadedModel, export_pruned, fine_tune, load_model, save_pruned
from ..models.finetuning import FineTuned
from .commands import Common, finish, limited, parse_columns
from .options import listed
from .run import Run, skipped_texts

CHECKPOINT = "checkpoint"
#: An order that is no measure: what any selection has to beat.
RANDOM = "random"
Heads = list[tuple[int, int]]


@dataclass(frozen=True)
class PruneChoices:
    """The options of `bertology prune` alone."""

    data: Path
    keep: str | None
    remove: str | None
    layers: str | None
    order: str
    columns: str | None
    fine_tune: int
    export: bool

    def check(self) -> None:
        """Refuse what does not fit together before anything is loaded.

        Raises:
            BertologyError: no or too many ways to say what is removed, or an unknown order.
        """
        if self.keep is not None and self.remove is not None:
            raise BertologyError("--keep ranks the heads, and --remove names them; give one.")
        if self.keep is None and self.remove is None and self.layers is None:
            raise BertologyError(
                "Nothing says what is to be removed: give --keep (a share such as 0.5, or a "
                "number of heads), --remove L7H9,L3H1 or --layers 4,5."
            )
        if self.order not in (*METHODS, RANDOM):
            raise BertologyError(
                f"--order is {self.order!r}; choose one of {', '.join(METHODS)}, {RANDOM}."
            )
        self.kept()
        self.removed_layers()

    def kept(self) -> float | int | None:
        """The share of heads to keep, or their number; None if --keep is not given."""
        if self.keep is None:
            return None
        try:
            kept = int(self.keep) if self.keep.isdigit() else float(self.keep)
        except ValueError:
            kept = 0
        if not kept > 0 or (isinstance(kept, float) and kept > 1):
            raise BertologyError(
                f"--keep is {self.keep}; give a share of the heads above 0 and at most 1, such as "
                "0.5, or a number of heads, such as 36."
            )
        return kept

    def removed_layers(self) -> list[int]:
        """The layers to remove."""
        try:
            return sorted({int(layer) for layer in listed(self.layers or "")})
        except ValueError as error:
            raise BertologyError(f"--layers is {self.layers!r}; write it like 4,5.") from error

    def named_heads(self, model: LoadedModel) -> Heads:
        """The heads of --remove."""
        parts = [parse_part(name, model.module) for name in listed(self.remove or "")]
        if other := [part.name for part in parts if part.mlps or part.layers]:
            raise BertologyError(f"--remove has {other[0]!r}, which is no head; write L7H9,L3H1.")
        return [head for part in parts for head in part.heads]


def prune_command(common: Common, choices: PruneChoices) -> None:
    """`bertology prune`."""
    choices.check()
    examples = limited(read_examples(choices.data, parse_columns(choices.columns)), common.limit)
    model = common.load()
    _check(model, choices)
    ranking, scored = examples.halves(common.seed)
    run = common.open(
        model, data_sha256=examples.sha256, **{**asdict(choices), "data": str(choices.data)}
    )
    against = "loss" if _has_loss(model, ranking) and _takes_loss(choices.order) else "target"
    found = run.result("importance", Importance, partial(
        importance, model, ranking, seed=common.seed, against=against,
        method="example" if choices.order == RANDOM else choices.order,
    ))  # fmt: skip
    heads = _heads_to_remove(model, choices, found.table, common.seed)
    smaller = _checkpoint(run, common, choices, model, heads, ranking)
    pruning = run.result("pruning", Pruning, partial(
        compare, model, smaller, scored, seed=common.seed
    ))  # fmt: skip
    gone = found.table[["layer", "head"]].apply(tuple, axis=1).isin(heads)
    gone |= found.table["layer"].isin(choices.removed_layers())
    written = [
        run.table("importance.csv", found.table.assign(removed=gone)),
        run.table("pruning.csv", pruning.table),
        run.table("latency.csv", pruning.latency),
        run.folder / CHECKPOINT,
    ]
    finish(run, written, skipped_texts(pruning.provenance))
    print(f"load it with: bertology.load_model({str(run.folder / CHECKPOINT)!r})")


def _check(model: LoadedModel, choices: PruneChoices) -> None:
    """Refuse, before any work, what cannot be removed from this model."""
    if "pruned" in model.variant:
        raise BertologyError(
            f"{model.name} has been pruned already ({model.variant['pruned']}); prune the model "
            "it was made from, with all heads and layers at once."
        )
    sites, layers = find_sites(model.module), choices.removed_layers()
    one_of_a_kind(sites)
    # Copies the model; but a mistake then costs no hour of ranking.
    if layers or choices.remove is not None:
        prune(model, choices.named_heads(model), layers)
    left = [site.heads for site in sites if site.layer not in layers]
    kept = choices.kept()
    if kept is not None and kept_count(kept, sum(left), len(left)) == sum(left) and not layers:
        raise BertologyError(f"--keep {choices.keep} keeps all heads; nothing would change.")
    if choices.fine_tune and model.task not in ("classification", "masked-lm", "causal-lm"):
        raise BertologyError(f"--fine-tune needs a model with a task; {model.task} has none.")


def _has_loss(model: LoadedModel, examples: Examples) -> bool:
    labelled = all(example.label is not None for example in examples.examples)
    return model.task in ("masked-lm", "causal-lm") or (model.task == "classification" and labelled)


def _takes_loss(order: str) -> bool:
    return order == RANDOM or METHODS[order].loss


def _heads_to_remove(
    model: LoadedModel, choices: PruneChoices, table: pd.DataFrame, seed: int
) -> Heads:
    if choices.remove is not None:
        return choices.named_heads(model)
    if (kept := choices.kept()) is None:
        return []
    if choices.order == RANDOM:
        table = table.assign(importance=np.random.default_rng(seed).permutation(len(table)))
    left = table[~table["layer"].isin(choices.removed_layers())]
    return least_important(left, kept)


def _checkpoint(
    run: Run,
    common: Common,
    choices: PruneChoices,
    model: LoadedModel,
    heads: Heads,
    ranking: Examples,
) -> LoadedModel:
    """The pruned model, as it is on the disk; it may be there from a run that was stopped."""
    folder = run.folder / CHECKPOINT
    if not folder.exists():
        smaller = prune(model, heads, choices.removed_layers())
        if choices.fine_tune:
            tuned = _fine_tuned(smaller, choices.fine_tune, ranking, common.seed)
            run.table("fine_tuning.csv", tuned.table)
            smaller = tuned.model
        (export_pruned if choices.export else save_pruned)(smaller, folder)
    loading = common.loading
    return load_model(folder, task=model.task, device=loading.device, dtype=loading.dtype)


def _fine_tuned(model: LoadedModel, epochs: int, examples: Examples, seed: int) -> FineTuned:
    """Fine-tuned on four fifths of the examples; the fifth chooses the epoch."""
    if len(model.labels) > 1:
        classes = classes_of(model, examples.examples)
        named = tuple(
            replace(example, label=model.labels[index])
            for example, index in zip(examples.examples, classes, strict=True)
            if index != UNLABELLED
        )
        examples = replace(examples, examples=named)
    order = np.random.default_rng(seed).permutation(len(examples))
    held = order[: -(-len(order) // 5)]
    task = "regression" if len(model.labels) == 1 else model.task
    return fine_tune(
        model,
        examples.part(np.setdiff1d(order, held)),
        examples.part(np.sort(held)),
        task=task,
        epochs=epochs,
        seed=seed,
    )
