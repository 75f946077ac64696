"""Writes the batches of a job, so that every contender runs the same ones; prints what they are."""

import json
import sys
from pathlib import Path

import numpy as np
from passages import texts
from serving import Settings

from bertology.capture import Batch, collate
from bertology.capture.batch import plan
from bertology.capture.stream import batch_tokens
from bertology.corpora import encode_all
from bertology.models import load_model
from bertology.models.demo import demo_folder


def prepare(settings: Settings) -> dict[str, object]:
    """The batches that `scan_heads` forms on this device, as one file of arrays."""
    model = load_model(settings["model"], task="encoder", device=settings["device"])
    encodings, skipped = encode_all(
        texts(settings, model).sentences, model.tokenizer, model.max_tokens
    )
    groups = plan([len(encoding) for encoding in encodings], batch_tokens(model))
    arrays: dict[str, np.ndarray] = {"count": np.array(len(groups))}
    for number, group in enumerate(groups):
        batch = collate([encodings[i] for i in group], model)
        arrays["inputs"] = np.array(list(batch.inputs))
        arrays[f"texts_{number}"] = np.array(group)
        for name, tensor in batch.inputs.items():
            arrays[f"{name}_{number}"] = tensor.cpu().numpy()
        arrays[f"words_{number}"], arrays[f"columns_{number}"] = _features(batch)
        arrays[f"counts_{number}"] = _word_counts(batch)
    np.savez(Path(settings["batches"]), allow_pickle=False, **arrays)
    return {
        "model": str(demo_folder()) if settings["model"] == "demo" else settings["model"],
        "texts": len(encodings),
        "tokens": sum(len(encoding) for encoding in encodings),
        "batches": len(groups),
        "skipped": len(skipped),
    }


def _features(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """The word of each token, (batch, token), and its features, (batch, token, 4)."""
    words = np.full(tuple(batch.mask.shape), -1, dtype=np.int64)
    columns = np.zeros((*words.shape, 4), dtype=np.float32)
    for row, encoding in enumerate(batch.encodings):
        length = len(encoding)
        words[row, :length] = encoding.words
        first = np.arange(length) == 0
        columns[row, :length] = np.stack(
            [first, encoding.cls, encoding.sep, encoding.punctuation], axis=1
        )
    return words, columns


def _word_counts(batch: Batch) -> np.ndarray:
    """Words of each text; none where no text of the batch has a tree, as bertology has it."""
    trees = any(encoding.sentence.heads for encoding in batch.encodings)
    return np.array([len(encoding.sentence) if trees else 0 for encoding in batch.encodings])


if __name__ == "__main__":
    print(json.dumps(prepare(json.loads(Path(sys.argv[1]).read_text()))))
