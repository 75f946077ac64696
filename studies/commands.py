"""What each command does: read, compute, write the files the command promises."""

import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..capture import verify
from ..capture.verify import CHECKS
from ..corpora import Corpus, Examples, read_corpus, sample_treebank
from ..errors import BertologyError, CorpusError
from ..models import LoadedModel, load_model
from .run import Run, file_hash


@dataclass(frozen=True)
class Loading:
    """The options that say how a model is loaded."""

    device: str
    revision: str | None = None
    dtype: str | None = None
    adapter: str | None = None
    gguf_file: str | None = None
    trust_remote_code: bool = False

    def load(self, name: str) -> LoadedModel:
        return load_model(name, **asdict(self))

    def load_one_of_several(self, name: str) -> LoadedModel:
        return load_model(
            name, device=self.device, dtype=self.dtype, trust_remote_code=self.trust_remote_code
        )

    def check_for_several(self) -> None:
        """Refuse what can be meant for one model only.

        Raises:
            BertologyError: such an option is given.
        """
        given = {"--revision": self.revision, "--adapter": self.adapter,
                 "--gguf-file": self.gguf_file}  # fmt: skip
        if wrong := [name for name, value in given.items() if value is not None]:
            raise BertologyError(
                f"{' and '.join(wrong)} cannot be given with --study, whose file names several "
                "models; run ablate on one MODEL, or name a folder or .gguf file in the study."
            )


@dataclass(frozen=True)
class Common:
    """The options that every command takes."""

    command: str
    model: str
    out: Path | None
    seed: int
    loading: Loading
    limit: int | None
    resume: bool

    @property
    def folder(self) -> Path:
        return self.out or Path(f"bertology-{self.command}")

    def open(self, model: LoadedModel, **settings: Any) -> Run:
        """The run of this command; raises OutputError if the folder cannot be used."""
        known = {"command": self.command, "model": self.model, "weights": model.weights_sha256,
                 "seed": self.seed, "limit": self.limit, **model.variant, **settings}  # fmt: skip
        return Run(self.folder, known, resume=self.resume)

    def load(self) -> LoadedModel:
        return self.loading.load(self.model)


def report(common: Common, corpus_file: Path | None, sentence: str | None) -> Path:
    """`bertology report`; returns the page."""
    from .reporting import (
        build_report,  # matplotlib is slow to import; the other commands do not draw
    )

    corpus = _report_corpus(common, corpus_file)
    model = common.load()
    run = common.open(
        model,
        corpus="sample treebank" if corpus_file is None else str(corpus_file),
        corpus_sha256=corpus.sha256 if corpus_file is None else file_hash(corpus_file),
        sentence=sentence,
    )
    page = build_report(model, corpus, run, sentence=sentence, seed=common.seed).page
    run.close()
    return page


def selftest(name: str, loading: Loading) -> bool:
    """`bertology selftest`: print one line a site; returns whether every check passed."""
    model = loading.load(name)
    with torch.no_grad():
        reports = verify(model.module)
    print(f"Checks on a small padded batch: {'; '.join(CHECKS)}.")
    for site in reports:
        verdict = "all passed" if site.passed else "FAILED: " + "; ".join(site.failures)
        print(f"{site.site}: {site.site.way_in}, {site.site.heads} heads: {verdict}")
    passed = all(site.passed for site in reports)
    print(f"{len(reports)} sites, {'all exact' if passed else 'NOT exact: do not use its numbers'}")
    return passed


def parse_columns(columns: str | None) -> dict[str, str] | None:
    """`text=Text,label=Sentiment` as a mapping.

    Raises:
        CorpusError: an entry is not NAME=NAME.
    """
    if columns is None:
        return None
    pairs = [entry.partition("=") for entry in columns.split(",")]
    if any(not (name.strip() and equals and column) for name, equals, column in pairs):
        raise CorpusError(
            f"--columns is {columns!r}; write it like text=Text,label=Sentiment, with the "
            "field on the left and the file's own name on the right."
        )
    return {name.strip(): column.strip() for name, _, column in pairs}


def limited(examples: Examples, limit: int | None) -> Examples:
    """The first examples, with a note where they are of one label and the others are not."""
    part = examples.first(limit)
    label, share = _commonest_label(part)
    whole = sum(e.label == label for e in examples.examples) / max(1, len(examples))
    if label is not None and share > 0.9 and share - whole > 0.1:
        print(
            f"Note: {share:.0%} of the first {len(part)} texts of {examples.name} are labelled "
            f"{label!r}, and {whole:.0%} of all {len(examples)}: the file seems to be sorted by "
            "label. Shuffle it, or leave out the limit.",
            file=sys.stderr,
        )
    return part


def _commonest_label(examples: Examples) -> tuple[str | None, float]:
    counts = Counter(example.label for example in examples.examples)
    if not counts:
        return None, 0.0
    label, count = counts.most_common(1)[0]
    return label, count / len(examples)


def _report_corpus(common: Common, corpus_file: Path | None) -> Corpus:
    corpus = sample_treebank() if corpus_file is None else read_corpus(corpus_file)
    if not corpus.sentences:
        raise BertologyError(f"{corpus.name} has no sentence.")
    return corpus.first(common.limit)


def finish(run: Run, written: list[Path], note: str) -> None:
    """Mark a run as finished, and say what was left out and written."""
    run.close()
    if note:
        print(note)
    for path in written:
        print(f"wrote {path}")
