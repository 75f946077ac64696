"""The `heads` job against a bare forward pass over the same batches.

    python benchmarks/heads.py en_ewt-ud-dev.conllu [--model demo] [--limit N] [--repeats 5]

Both run in this process, alternating; the ratio of each pair is taken, and the median printed, so
that what else the machine is doing falls on both.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from bertology.capture import Batch, stream
from bertology.corpora import Corpus, encode_all, read_corpus
from bertology.models import LoadedModel, load_model
from bertology.probing.heads import analyse_heads, scan_heads


def seconds(job: Callable[[], object]) -> float:
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def bare_forward(model: LoadedModel, corpus: Corpus) -> None:
    """Encode the corpus and run the model over the batches that the heads job forms."""
    encodings, _ = encode_all(corpus.sentences, model.tokenizer, model.max_tokens)

    def run(batch: Batch) -> list[None]:
        with torch.no_grad():
            model.module(**batch.inputs)
        return [None] * len(batch)

    stream(model, encodings, run, description="bare forward")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    model = load_model(options.model)
    corpus = read_corpus(options.corpus).first(options.limit)
    scan_heads(model, corpus.first(20))  # the proof on attach happens once
    pairs = [
        (
            seconds(lambda: bare_forward(model, corpus)),
            seconds(lambda: scan_heads(model, corpus)),
            seconds(lambda: analyse_heads(model, corpus)),
        )
        for _ in range(options.repeats)
    ]
    bare = statistics.median(pair[0] for pair in pairs)
    scan = statistics.median(pair[1] / pair[0] for pair in pairs)
    whole = statistics.median(pair[2] / pair[0] for pair in pairs)
    print(f"bare forward, tokenizing included: {bare:.2f} s for {len(corpus)} sentences")
    print(f"one pass for all statistics and relations: {scan:.2f} x")
    print(f"the whole job with intervals and tests:     {whole:.2f} x")


if __name__ == "__main__":
    main()
