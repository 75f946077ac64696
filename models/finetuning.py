"""A small loop that fine-tunes a model on labelled texts, or on texts as a language model."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm
from transformers import get_linear_schedule_with_warmup

from ..corpora import Examples
from ..disk import writing_folder
from ..errors import ModelError, OutputError
from ..results import Provenance
from .demo import file_sha256
from .heads import LOADED_AS, check_start, classes_of, with_head
from .loaded import LoadedModel
from .objectives import Objective, Texts, check_labels, grouped_by_length, read_texts
from .provenance import provenance
from .weights import WEIGHTS

#: Of the model in training, its inputs and its outputs: a number to be minimised as well.
ExtraLoss = Callable[[LoadedModel, dict[str, Tensor], Any], Tensor]

_WARM_UP, _DECAY, _CLIP = 0.1, 0.01, 1.0


@dataclass(frozen=True, repr=False)
class FineTuned:
    """The model of the best epoch, and how training went."""

    model: LoadedModel
    table: pd.DataFrame
    """A row an epoch: epoch (from 1), step, training_loss, evaluation_loss, metric, value, n.

    `n` counts evaluation texts. The best value was chosen on them, so it flatters the model.
    """
    best_epoch: int
    provenance: Provenance
    folder: Path | None = None
    """Where the model is saved; `load_model` reads it."""

    def __repr__(self) -> str:
        best = self.table.set_index("epoch").loc[self.best_epoch]
        score = f"{best['metric']} {best['value']:.4g} after epoch {self.best_epoch}"
        return f"FineTuned of {self.provenance.model} on {self.provenance.data}: {score}"


def fine_tune(
    model: LoadedModel,
    train: Examples,
    evaluate: Examples,
    *,
    task: str = "classification",
    learning_rate: float = 5e-5,
    epochs: int = 3,
    batch_size: int = 16,
    patience: int = 2,
    seed: int = 0,
    extra_loss: ExtraLoss | None = None,
    folder: str | Path | None = None,
) -> FineTuned:
    """Fine-tune a copy of a model; the model itself stays as it is.

    AdamW (weight decay 0.01, not on biases and norms), gradients clipped to norm 1, the learning
    rate rising over the first tenth of the steps and then falling to 0, both linearly. The
    epoch with the best metric on `evaluate` is kept. The same seed gives the same weights on a
    CPU. Texts that do not fit the model are skipped; `provenance.skipped` lists them.

    Args:
        model: with the head of the task, or without one: then it gets a new random one.
        train, evaluate: texts or pairs of texts, with labels unless for language models.
        task: `classification` (metric: accuracy), `regression` (labels are numbers, learned
            best when they are of the size of 1; r2), `masked-lm` or `causal-lm` (perplexity).
        patience: training ends when so many epochs in succession were not the best.
        extra_loss: called each step with the model in training, its inputs and outputs; what it
            returns is added to the loss (attention can be captured inside).
        folder: where to save the best model with its tokenizer; must be new or empty.

    Raises:
        ModelError: a task that does not fit the model, or training that diverges.
        CorpusError: labels missing, all the same, or evaluated without training on them.
        OutputError: the folder is not empty, or cannot be written.
    """
    _check_numbers(learning_rate, epochs, batch_size, patience)
    check_start(model, task)
    target = None if folder is None else _free_folder(folder)
    texts, held_out = read_texts(model, train, task), read_texts(model, evaluate, task)
    check_labels(texts, held_out, task)
    classes = classes_of(model, task, set(texts.labels)) if texts.labels else ()
    options = {"learning_rate": learning_rate, "epochs": epochs, "batch_size": batch_size,
               "patience": patience, "extra_loss": extra_loss is not None}  # fmt: skip
    source = provenance(
        model, train, seed=seed, skipped=texts.skipped, task=task, evaluated_on=evaluate.name,
        evaluated_on_sha256=evaluate.sha256, evaluation_skipped=held_out.skipped, **options,
    )  # fmt: skip
    # On a machine with GPUs, seeding reaches all of them.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        module = with_head(model, task, classes)
        tuned = LoadedModel(
            name=f"{model.name}, fine-tuned",
            module=module,
            tokenizer=model.tokenizer,
            task=LOADED_AS[task],
        )
        run = _Training(tuned, Objective(task, tuned, classes), held_out, seed, extra_loss)
        run.train(texts, learning_rate, epochs, batch_size, patience)
    table = pd.DataFrame(run.rows)
    if target is not None:
        tuned = _save(tuned, table, source, target)
    return FineTuned(tuned, table, run.best_epoch, source, target)


@dataclass
class _Training:
    """One model in training, and the best weights so far."""

    model: LoadedModel
    objective: Objective
    held_out: Texts
    seed: int
    extra_loss: ExtraLoss | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0

    def train(
        self, texts: Texts, learning_rate: float, epochs: int, batch_size: int, patience: int
    ) -> None:
        """Train until the epochs or the patience are used up, and go back to the best epoch."""
        module, draw = self.model.module, np.random.default_rng(self.seed)
        total = epochs * math.ceil(len(texts) / batch_size)
        optimizer = torch.optim.AdamW(_groups(module), lr=learning_rate)
        schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(_WARM_UP * total), total)
        best, step = {}, 0
        with tqdm(total=total, desc="fine-tuning", unit="step", dynamic_ncols=True) as bar:
            for epoch in range(1, epochs + 1):
                module.train()
                losses = []
                for rows in grouped_by_length(texts.lengths, batch_size, draw):
                    losses.append(self._step(*self.objective.batch(texts, rows, draw)))
                    optimizer.step()
                    schedule.step()
                    optimizer.zero_grad()
                    bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
                    bar.update()
                step += len(losses)
                module.eval()
                loss, value = self._evaluate(batch_size)
                if self._is_best(value):
                    best = {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
                    self.best_epoch = epoch
                self._record(epoch, step, float(np.mean(losses)), loss, value)
                if epoch - self.best_epoch >= patience:
                    break
        module.load_state_dict(best)

    def _step(self, inputs: dict[str, Tensor], targets: Tensor) -> float:
        """Leave the clipped gradient of one batch in the parameters; returns the loss."""
        module = self.model.module
        outputs = module(**inputs)
        loss = self.objective.loss(outputs.logits, targets)
        if self.extra_loss is not None:
            loss = loss + self.extra_loss(self.model, inputs, outputs)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), _CLIP)
        if not math.isfinite(norm):
            raise ModelError(
                f"Training diverged: the loss is {loss.item()} and the norm of its gradient "
                f"{norm.item()}. Give a smaller learning_rate, or look for labels of great size."
            )
        return loss.item()

    @torch.no_grad()
    def _evaluate(self, batch_size: int) -> tuple[float, float]:
        """Mean loss and metric on the held-out texts."""
        # The same tokens are masked after every epoch.
        draw = np.random.default_rng(self.seed)
        order = np.argsort(self.held_out.lengths, kind="stable")
        total, size, logits, targets = 0.0, 0, [], []
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            inputs, wanted = self.objective.batch(self.held_out, rows, draw)
            given = self.model.module(**inputs).logits
            terms = self.objective.size(wanted)
            total, size = total + terms * self.objective.loss(given, wanted).item(), size + terms
            if wanted.dim() == 1:  # the logits of a language model would fill the memory
                logits.append(given.cpu())
                targets.append(wanted.cpu())
        loss = total / size
        return loss, self.objective.value(loss, logits, targets)

    def _is_best(self, value: float) -> bool:
        earlier = [row["value"] for row in self.rows if row["epoch"] == self.best_epoch]
        if not earlier or math.isnan(earlier[0]):
            # Nothing compares with NaN, so as the first value it would stay the best.
            return not earlier or not math.isnan(value)
        return self.objective.is_better(value, earlier[0])

    def _record(
        self, epoch: int, step: int, training_loss: float, loss: float, value: float
    ) -> None:
        self.rows.append({
            "epoch": epoch, "step": step, "training_loss": training_loss, "evaluation_loss": loss,
            "metric": self.objective.metric, "value": value, "n": len(self.held_out),
        })  # fmt: skip


def _groups(module: Any) -> list[dict[str, Any]]:
    """Parameters with and without weight decay."""
    all_of_them = [one for one in module.parameters() if one.requires_grad]
    return [
        {"params": [one for one in all_of_them if one.dim() > 1], "weight_decay": _DECAY},
        {"params": [one for one in all_of_them if one.dim() < 2], "weight_decay": 0.0},
    ]


def _check_numbers(learning_rate: float, epochs: int, batch_size: int, patience: int) -> None:
    if not 0 < learning_rate < 1:
        raise ModelError(f"learning_rate is {learning_rate}; give one between 0 and 1, e.g. 5e-5.")
    for name, number in (("epochs", epochs), ("batch_size", batch_size), ("patience", patience)):
        if number < 1:
            raise ModelError(f"{name} is {number}; give at least 1.")


def _free_folder(folder: str | Path) -> Path:
    target = Path(folder).expanduser()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise OutputError(f"{target} exists and is no empty folder; give a new one.")
    return target


def _save(model: LoadedModel, table: pd.DataFrame, source: Provenance, target: Path) -> LoadedModel:
    """Save a model whole or not at all; returns it as `load_model` would find it.

    Raises:
        OutputError: the folder cannot be written.
    """
    with writing_folder(target) as unfinished:
        model.module.save_pretrained(unfinished)
        model.tokenizer.save_pretrained(unfinished)
        table.to_csv(unfinished / "fine_tuning.csv", index=False)
        record = json.dumps(asdict(source), indent=1, ensure_ascii=False)
        (unfinished / "fine_tuning.json").write_text(record)
    return replace(model, name=str(target), weights_sha256=file_sha256(target / WEIGHTS))
