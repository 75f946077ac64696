"""What `bertology heads` does."""

from dataclasses import asdict, dataclass
from pathlib import Path

from ..corpora import Corpus, paragraph_pairs, passages, read_corpus
from ..errors import BertologyError
from ..models import LoadedModel
from ..probing.heads import (
    ANALYSES,
    AnalysisOptions,
    DecoderHeads,
    HeadAnalysis,
    ScanOptions,
    analyse_heads,
    beside_published,
    decoder_heads,
    is_bert_base,
)
from .commands import Common, finish
from .options import listed
from .run import Run, skipped_texts

#: What the model reads at a time.
TEXTS = ("sentences", "passages", "paragraphs")
#: The file of each table of `HeadAnalysis`.
FILES = {
    "table": "heads.csv",
    "by_query": "by_query.csv",
    "patterns": "patterns.csv",
    "head_patterns": "head_patterns.csv",
    "relations": "relations.csv",
    "best": "best_heads.csv",
    "features": "features.csv",
    "coreference": "coreference.csv",
    "coreference_baselines": "coreference_baselines.csv",
    "best_coreference": "best_coreference.csv",
    "semantic": "semantic.csv",
    "clusters": "clusters.csv",
    "cluster_test": "cluster_test.csv",
    "cluster_stress": "cluster_stress.csv",
    "silhouettes": "silhouettes.csv",
    "gradients": "gradients.csv",
    "roles": "roles.csv",
    "examples": "examples.csv",
}


@dataclass(frozen=True)
class HeadChoices:
    """The options of `bertology heads` alone."""

    analyses: str
    text: str
    text_tokens: int
    labels: str
    all_words: str
    word_rows: str
    segment_ids: str
    candidates: str
    repeated: bool

    def check(self) -> None:
        """Refuse what does not exist before anything is loaded.

        Raises:
            BertologyError: an option has another value than its legal ones.
        """
        _ = self.names(), self.scan_options(), self.options()
        if self.text not in TEXTS:
            raise BertologyError(f"--text is {self.text!r}; it must be one of {', '.join(TEXTS)}.")

    def scan_options(self) -> ScanOptions:
        """How the pass is made."""
        return ScanOptions(
            word_rows=self.word_rows, segment_ids=self.segment_ids, candidates=self.candidates
        )

    def options(self) -> AnalysisOptions:
        """Which variants of the analyses."""
        return AnalysisOptions(labels=self.labels, all_words=self.all_words)

    def names(self) -> tuple[str, ...]:
        """The analyses asked for."""
        names = listed(self.analyses)
        if unknown := [name for name in names if name not in (*ANALYSES, "all")]:
            raise BertologyError(
                f"--analyses names {', '.join(unknown)}; there are {', '.join(ANALYSES)}, and all."
            )
        return names

    def texts(self, corpus: Corpus, model: LoadedModel, seed: int) -> Corpus:
        """What the model is to read at a time."""
        if self.text == "passages":
            return passages(corpus, model.tokenizer, max_tokens=self.text_tokens)
        if self.text == "paragraphs":
            return paragraph_pairs(corpus, model.tokenizer, max_tokens=self.text_tokens, seed=seed)
        return corpus


def heads(common: Common, corpus_file: Path, choices: HeadChoices, workers: int | None) -> None:
    """`bertology heads`."""
    choices.check()
    corpus = read_corpus(corpus_file).first(common.limit)
    model = common.load()
    run = common.open(
        model, corpus=str(corpus_file), corpus_sha256=corpus.sha256, **asdict(choices)
    )
    texts = choices.texts(corpus, model, common.seed)
    analysis = run.result(
        "heads",
        HeadAnalysis,
        lambda: analyse_heads(
            model,
            texts,
            choices.names(),
            scan_options=choices.scan_options(),
            options=choices.options(),
            seed=common.seed,
            folder=run.shards("heads"),
            workers=workers,
        ),
    )
    written = [
        run.table(file, getattr(analysis, name))
        for name, file in FILES.items()
        if not getattr(analysis, name).empty
    ]
    if choices.repeated:
        written += _repeated(run, model, common.seed)
    if analysis.has_relations and is_bert_base(model):
        written.append(_published(run, analysis))
    notes = [skipped_texts(analysis.provenance)]
    notes += [f"{name} left out: {reason}" for name, reason in analysis.not_fed.items()]
    if not analysis.coreference.empty and choices.text == "sentences" and texts.documents:
        notes.append(
            "Coreference is measured within the sentences that the model reads; "
            "--text passages joins those of a document."
        )
    finish(run, written, "\n".join(filter(None, notes)))


def _repeated(run: Run, model: LoadedModel, seed: int) -> list[Path]:
    found = run.result("decoder", DecoderHeads, lambda: decoder_heads(model, seed=seed))
    return [run.table("decoder.csv", found.table), run.table("decay.csv", found.decay)]


def _published(run: Run, analysis: HeadAnalysis) -> Path:
    """BERT-base beside the numbers of Clark et al. 2019, in a file and on the terminal."""
    table = beside_published(analysis.best)
    shown = ["relation", "layer", "head", "accuracy", "published_head_from_1",
             "published_accuracy", "baseline_accuracy", "published_baseline_accuracy"]  # fmt: skip
    print("Beside Clark et al. 2019 (table 1; their heads are counted from 1):")
    print(table[shown].round(3).to_string(index=False))
    return run.table("published.csv", table)
