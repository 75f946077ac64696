"""Integrated gradients and leave-one-out: bertology against plain captum, text by text.

    python benchmarks/attribution.py MODEL --data SST_TREES [--texts 32] [--out FILE.json]

Both explain the logit of the predicted class. Integrated gradients go from zero word embeddings
to the text's; plain captum takes 50 steps (its default), or as few as keep every text within the
bound, or doubles the steps of each text until it is. Leave-one-out deletes each word: captum's
FeatureAblation can only replace, so its forward function cuts out what it replaced.

Contenders run in turn, A B C A B C; seconds are the fastest of the rounds, by the clock and of
processor time, which other work on the machine disturbs less. Passes are texts that went through
the model, a batch of 8 counting 8.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import FeatureAblation, IntegratedGradients

import bertology
from bertology.attribution import Prepared, prepare
from bertology.attribution.methods.integrated import BOUND, Completeness, integrate
from bertology.attribution.methods.occlusion import leave_one_out
from bertology.attribution.methods.passes import Passes, counted_passes
from bertology.corpora import read_sst

#: Steps that plain captum tries, fewest first.
STEPS = (16, 32, 64, 128, 256)


@dataclass
class Contender:
    """One way to get the scores of all texts, and what it took."""

    name: str
    run: Callable[[], list[np.ndarray]]
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    passes: Passes = field(default_factory=Passes)
    scores: list[np.ndarray] = field(default_factory=list)


class Captum:
    """What a user writes around captum: one text at a time, with its attention mask."""

    def __init__(self, model: Any, prepared: Prepared) -> None:
        self.model, self.prepared = model, prepared

    def _texts(self) -> Any:
        for encoding, goal in zip(self.prepared.encodings, self.prepared.goals, strict=True):
            yield encoding, goal, torch.from_numpy(encoding.ids)[None].to(self.model.device)

    def _logit(self, embeddings: torch.Tensor, mask: torch.Tensor, index: int) -> torch.Tensor:
        output = self.model.module(
            inputs_embeds=embeddings, attention_mask=mask.expand(len(embeddings), -1)
        )
        return output.logits[:, index]

    def integrated(self, steps: int) -> list[np.ndarray]:
        """As many steps for every text."""
        return [self._integrate(ids, goal.index, steps)[0] for _, goal, ids in self._texts()]

    def doubled(self) -> list[np.ndarray]:
        """More steps for each text until it is complete."""
        found = []
        for _, goal, ids in self._texts():
            for steps in STEPS:
                scores, delta = self._integrate(ids, goal.index, steps)
                if Completeness(scores.sum(), scores.sum() - delta).holds:
                    break
            found.append(scores)
        return found

    def _integrate(self, ids: torch.Tensor, index: int, steps: int) -> tuple[np.ndarray, float]:
        embeddings = self.model.module.get_input_embeddings()(ids).detach()
        scores, delta = IntegratedGradients(self._logit).attribute(
            embeddings,
            torch.zeros_like(embeddings),
            additional_forward_args=(torch.ones_like(ids), index),
            n_steps=steps,
            return_convergence_delta=True,
        )
        return scores.sum(-1)[0].double().numpy(force=True), delta.item()

    def leave_one_out(self) -> list[np.ndarray]:
        """One forward pass a word; the tokens of a word share its effect."""
        found = []
        for encoding, goal, ids in self._texts():
            words = torch.from_numpy(encoding.words)[None]
            features = torch.where(words >= 0, words, words.max() + 1)

            def logit(kept: torch.Tensor, ids: torch.Tensor, index: int) -> torch.Tensor:
                kept_ids = ids[kept.bool()][None]
                output = self.model.module(kept_ids, attention_mask=torch.ones_like(kept_ids))
                return output.logits[:, index]

            effects = FeatureAblation(logit).attribute(
                torch.ones_like(ids),
                torch.zeros_like(ids),
                additional_forward_args=(ids, goal.index),
                feature_mask=features.to(ids.device),
            )[0].double().numpy(force=True)  # fmt: skip
            shares = effects / np.maximum(encoding.word_tokens[encoding.words], 1)
            found.append(np.where(encoding.words >= 0, shares, 0.0))
        return found


def time_in_turn(model: Any, contenders: list[Contender], rounds: int) -> None:
    for _ in range(rounds):
        for one in contenders:
            with counted_passes(model.module) as one.passes:
                start, worked = time.perf_counter(), time.process_time()
                one.scores = one.run()
                one.seconds.append(time.perf_counter() - start)
                one.processor.append(time.process_time() - worked)


def rows(
    contenders: list[Contender], texts: int, errors: Callable[[Contender], dict[str, float]]
) -> list[dict[str, Any]]:
    own = contenders[0]
    return [
        {
            "contender": one.name,
            "seconds_per_text": min(one.seconds) / texts,
            "times_bertology": min(one.seconds) / min(own.seconds),
            "processor_seconds_per_text": min(one.processor) / texts,
            "processor_times_bertology": min(one.processor) / min(own.processor),
            "forward_per_text": one.passes.forward / texts,
            "backward_per_text": one.passes.backward / texts,
            **errors(one),
        }
        for one in contenders
    ]


def integrated_job(model: Any, prepared: Prepared, rounds: int) -> list[dict[str, Any]]:
    captum = Captum(model, prepared)

    def ours() -> list[np.ndarray]:
        return [own.scores for own in integrate(model, prepared.encodings, prepared.goals)]

    differences = [own.completeness.difference
                   for own in integrate(model, prepared.encodings, prepared.goals)]  # fmt: skip

    def relative(scores: list[np.ndarray]) -> list[float]:
        return [Completeness(float(own.sum()), difference).relative_error
                for own, difference in zip(scores, differences, strict=True)]  # fmt: skip

    def errors(one: Contender) -> dict[str, float]:
        found = relative(one.scores)
        return {
            "relative_error_median": statistics.median(found),
            "relative_error_max": max(found),
            "texts_over_bound": sum(error > BOUND for error in found),
        }

    enough = next(
        (steps for steps in STEPS if max(relative(captum.integrated(steps))) <= BOUND),
        STEPS[-1],
    )
    contenders = [
        Contender("bertology, until complete", ours),
        Contender("captum, 50 steps", lambda: captum.integrated(50)),
        Contender(f"captum, {enough} steps", lambda: captum.integrated(enough)),
        Contender("captum, doubled until complete", captum.doubled),
    ]
    time_in_turn(model, contenders, rounds)
    return rows(contenders, len(prepared.goals), errors)


def leave_one_out_job(model: Any, prepared: Prepared, rounds: int) -> list[dict[str, Any]]:
    captum = Captum(model, prepared)
    contenders = [
        Contender(
            "bertology",
            lambda: leave_one_out(model, prepared.encodings, prepared.goals, seed=0),
        ),
        Contender("captum", captum.leave_one_out),
    ]
    time_in_turn(model, contenders, rounds)

    def errors(one: Contender) -> dict[str, float]:
        pairs = zip(one.scores, contenders[0].scores, strict=True)
        return {"largest_difference_of_a_score": max(np.abs(a - b).max() for a, b in pairs)}

    return rows(contenders, len(prepared.goals), errors)


def markdown(table: list[dict[str, Any]]) -> str:
    cells = [list(table[0])] + [
        [f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()]
        for row in table
    ]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(table[0]), *lines[1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a sequence classifier: a folder or a hub id")
    parser.add_argument("--data", required=True, type=Path, help="SST trees, one a line")
    parser.add_argument("--texts", type=int, default=32, help="spread evenly over the file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="where to write the tables as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = bertology.load_model(options.model)
    examples = read_sst(options.data).examples
    prepared = prepare(model, examples[:: max(1, len(examples) // options.texts)][: options.texts])
    jobs = {"integrated gradients": integrated_job, "leave-one-out": leave_one_out_job}
    tables = {}
    for name, job in jobs.items():
        tables[name] = job(model, prepared, options.rounds)
        print(f"\n{name}: {len(prepared.goals)} texts, {options.threads} threads, bound {BOUND}\n")
        print(markdown(tables[name]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()
