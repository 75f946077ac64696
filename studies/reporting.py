"""The report: the three questions answered for one model, on one page."""

import html
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..ablation import Ablation, Importance, ablate, importance
from ..attribution import Declaration, Explanation, explain
from ..attribution.verdict import TEXT_CLAIMS, drawn
from ..capture import Captured, capture
from ..corpora import Corpus, Sentence, examples_of, read_corpus, sample_treebank
from ..corpora.text import text_to_sentence, words_to_sentence
from ..errors import CorpusError
from ..models import LoadedModel
from ..models.demo import DESCRIPTION, WEIGHTS_SHA256
from ..probing.heads import HeadAnalysis, analyse_heads
from ..probing.representations import TASKS, Probes, probe, split_documents
from .examples import shown_examples
from .notes import plain_warnings
from .page import draw, render, table_rows
from .pictures import Hit, report_pictures
from .run import Run, skipped_texts
from .summary import (
    answer_ablation,
    answer_attention,
    answer_heads,
    answer_layers,
    head_summary,
    largest,
    strongest_heads,
)  # fmt: skip

#: Agreement and ablation run the model hundreds of times on each text; from a larger corpus
#: this many sentences are drawn with the seed. The commands `explain` and `ablate` read all.
COSTLY_SENTENCES = 200
#: Probes are trained on half of at most this many sentences (the command `probe` takes all).
PROBED_SENTENCES = 600
#: Below this many sentences the page says that the sample is small.
SMALL_SAMPLE = 500
_TASKS = ("upos", "deprel")
_SHOWN_LENGTHS = range(7, 13)


@dataclass(frozen=True)
class Report:
    """Everything behind the page, as results."""

    page: Path
    answers: tuple[str, str, str]
    summary: pd.DataFrame
    """One row per head: what it looks at, relation, importance, effect, agreement."""
    heads: HeadAnalysis
    layers: Probes | None
    explanation: Explanation
    importance: Importance
    ablation: Ablation

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(answer)}</li>" for answer in self.answers)
        return f"<ol>{items}</ol><p>The page: <code>{html.escape(str(self.page))}</code></p>"


def report(
    model: LoadedModel,
    corpus: Corpus | str | Path | None = None,
    *,
    out: str | Path = "bertology-report",
    sentence: str | None = None,
    seed: int = 0,
    resume: bool = False,
) -> Report:
    """Answer the three questions about a model and write the page `out/index.html`.

    Args:
        corpus: a corpus or the path of one (default: the sample treebank).
        sentence: the sentence whose attention is shown for all heads (default: a short one of
            the corpus).
        resume: go on with an interrupted run of the same settings in `out`.

    Raises:
        BertologyError: the folder holds something else, or model and corpus do not fit.
    """
    if isinstance(corpus, str | Path):
        corpus = read_corpus(corpus)
    chosen = sample_treebank() if corpus is None else corpus
    if not chosen.sentences:
        raise CorpusError(f"The corpus {chosen.name} has no sentence; give one that has.")
    settings = {
        "command": "report", "model": model.name, "weights": model.weights_sha256,
        "seed": seed, "limit": len(chosen),
        "corpus": chosen.name, "corpus_sha256": chosen.sha256, "sentence": sentence,
    }  # fmt: skip
    run = Run(Path(out), settings, resume=resume)
    outcome = build_report(model, chosen, run, sentence=sentence, seed=seed)
    run.close()
    return outcome


def build_report(
    model: LoadedModel, corpus: Corpus, run: Run, *, sentence: str | None, seed: int
) -> Report:
    """Compute what is missing in the run, then write tables, figures and the page."""
    shown = _shown_sentence(corpus, sentence)
    captured = capture(model, shown)[0]
    heads = run.result(
        "heads",
        HeadAnalysis,
        lambda: analyse_heads(model, corpus, seed=seed, folder=run.shards("heads")),
    )
    layers = _layers(model, corpus, run, seed)
    costly = examples_of(corpus)
    if len(costly) > COSTLY_SENTENCES:
        costly = costly.part(drawn(model, costly, COSTLY_SENTENCES, seed=seed).kept)
    declared = Declaration(claims=TEXT_CLAIMS)
    explanation = run.result(
        "explanation", Explanation, lambda: explain(model, costly, declared=declared, seed=seed)
    )
    gradients = run.result("importance", Importance, lambda: importance(model, costly, seed=seed))
    ablation = run.result("ablation", Ablation, lambda: ablate(model, costly, seed=seed))
    summary = head_summary(heads, explanation, gradients, ablation)
    answers = (
        answer_heads(heads),
        answer_layers(layers),
        answer_attention(explanation, ablation),
    )
    outcome = Report(
        run.folder / "index.html", answers, summary, heads, layers, explanation, gradients,
        ablation,
    )  # fmt: skip
    _write_tables(outcome, run)
    _write_page(outcome, model, corpus, captured, run)
    return outcome


def _layers(model: LoadedModel, corpus: Corpus, run: Run, seed: int) -> Probes | None:
    if len(corpus) < 2:
        return None
    train, evaluate = split_documents(corpus.first(PROBED_SENTENCES))
    tasks = [task for task in _TASKS if _is_enough(task, train) and _is_enough(task, evaluate, 1)]
    if not tasks:
        return None
    with plain_warnings():
        return run.result(
            "layers",
            Probes,
            # Random models and training samples take their time; `bertology probe` has both.
            lambda: probe(
                model, train, evaluate, tasks=tasks, controls=(), training_samples=0, seed=seed
            ),
        )


def _is_enough(task: str, part: Corpus, per_class: int = 2) -> bool:
    """Whether a part has two labels of a task, and so many items for each as probes ask for."""
    labels = [item.label for sentence in part.sentences for item in TASKS[task].items(sentence)]
    return len(set(labels)) > 1 and len(labels) >= per_class * len(set(labels))


def _shown_sentence(corpus: Corpus, sentence: str | None) -> Sentence:
    if sentence is not None:
        return text_to_sentence(sentence, id="the sentence given")
    fitting = [s for s in corpus.sentences if len(s) in _SHOWN_LENGTHS]
    return (fitting or sorted(corpus.sentences, key=len))[0]


def _write_tables(outcome: Report, run: Run) -> None:
    run.table("tables/head_summary.csv", outcome.summary)
    run.table("tables/heads.csv", outcome.heads.table)
    if outcome.heads.has_relations:
        run.table("tables/relations.csv", outcome.heads.relations)
        run.table("tables/best_heads.csv", outcome.heads.best)
        run.table("tables/examples.csv", outcome.heads.examples)
    if outcome.layers is not None:
        run.table("tables/probes.csv", outcome.layers.table)
    run.table("tables/agreement.csv", outcome.explanation.table)
    run.table("tables/faithfulness.csv", outcome.explanation.faithfulness)
    run.table("tables/ablation.csv", outcome.ablation.table)
    run.table("tables/importance.csv", outcome.importance.table)


def _write_page(
    outcome: Report, model: LoadedModel, corpus: Corpus, captured: Captured, run: Run
) -> None:
    figures = run.folder / "figures"
    shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir(parents=True)
    pictures = report_pictures(
        outcome.summary, outcome.heads, outcome.layers, outcome.explanation, outcome.ablation,
        captured, _hit(model, outcome.heads),
    )  # fmt: skip
    drawn = {picture.name: draw(picture, figures) for picture in pictures}
    provenance = outcome.heads.provenance
    explained = outcome.explanation.provenance
    page = render(
        "report.html",
        model=Path(model.name).name,
        task=model.task,
        about=DESCRIPTION if model.weights_sha256 == WEIGHTS_SHA256 else "",
        corpus=corpus,
        small=provenance.sentences < SMALL_SAMPLE,
        answers=outcome.answers,
        answer_ablation=answer_ablation(outcome.summary),
        pictures=drawn,
        tables=_table_names(outcome),
        sentence=" ".join(captured.encoding.sentence.words),
        strongest=table_rows(strongest_heads(outcome.summary)),
        examples=shown_examples(outcome.heads),
        claims=[claim.sentence for claim in outcome.explanation.verdict().claims],
        completeness=explained.options["completeness_relative_error_median"],
        incomplete=explained.options["integrated_gradients_incomplete"],
        explained=explained.sentences,
        skipped=skipped_texts(provenance),
        unexplained=skipped_texts(explained),
        probed=PROBED_SENTENCES,
        costly=explained.sentences if len(corpus) > COSTLY_SENTENCES else None,
        provenance=provenance,
    )
    run.text("index.html", page)


def _table_names(outcome: Report) -> dict[str, bool]:
    """Which of the tables that the page links to there are."""
    return {"relations": outcome.heads.has_relations, "layers": outcome.layers is not None}


def _hit(model: LoadedModel, heads: HeadAnalysis) -> Hit | None:
    """The clearest relation's head on a sentence where it is right, with its attention."""
    if heads.best.empty:
        return None
    top = largest(heads.best, heads.best["difference"])
    rows = heads.examples
    rows = rows[(rows["relation"] == top["relation"]) & rows["correct"].astype(bool)]
    if rows.empty:
        return None
    shortest = min((str(words) for words in rows["words"]), key=len).split(" ")
    words = [word.replace("\u00a0", " ") for word in shortest]
    captured = capture(model, words_to_sentence(words, id="hit"))[0]
    return Hit(captured, str(top["relation"]), int(top["layer"]), int(top["head"]))
