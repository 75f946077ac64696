"""bertology's `scan_heads`, called as a user calls it: with a model and a corpus.

Alone it keeps what `bertology heads` needs; as `bertology, all` what all analyses of one forward
pass need: besides, antecedents, links, received attention and the divergences of all heads.
"""

import time

from batches import DTYPES
from passages import texts
from reductions import STATISTICS
from serving import Job, Result, Settings, serve

from bertology.corpora import encode_all
from bertology.models import load_model
from bertology.probing.heads import STATISTICS as OURS
from bertology.probing.heads import ScanOptions, scan_heads


def load(settings: Settings) -> Job:
    model = load_model(
        settings["model"],
        task="encoder",
        dtype=DTYPES[settings["dtype"]],
        device=settings["device"],
    )
    corpus = texts(settings, model)
    parts: tuple[str, ...] = ("predictions",)
    if settings["contender"] == "bertology, all":
        parts = ("predictions", "antecedents", "links", "received", "divergence")
    kept = [OURS.index(name) for name in STATISTICS]

    def job() -> Result:
        # The others start from token ids. scan_heads starts from text, so reading the same
        # text is timed right before it, and both readings are taken off.
        started = time.perf_counter()
        encode_all(corpus.sentences, model.tokenizer, model.max_tokens)
        reading = time.perf_counter() - started
        scan = scan_heads(model, corpus, options=ScanOptions(parts=parts))
        return Result(scan.statistics[..., kept], scan.predictions, reading, 2 * reading)

    return job


if __name__ == "__main__":
    serve(load, ("torch", "transformers", "bertology"))
