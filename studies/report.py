"""The report: the three questions answered for one model, on one page."""

import html
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .. import viz
from ..ablation import Ablation, Importance, ablate, importance
from ..attribution import Explanation, explain
from ..capture import Captured, capture
from ..corpora import Corpus, Examples, Sentence, examples_of, sample_treebank
from ..corpora.text import text_to_sentence
from ..models import LoadedModel
from ..models.demo import DESCRIPTION, WEIGHTS_SHA256
from ..probing.heads import HeadAnalysis, analyse_heads
from ..probing.representations import Probes, probe, split_documents
from .page import Drawn, Picture, Section, draw, render, table_rows
from .run import Run, skipped_texts
from .summary import REFERENCE, answer_attention, answer_heads, answer_layers, head_summary, largest

#: Agreement and ablation run the model hundreds of times on each text; from a larger corpus
#: this many sentences are drawn with the seed. The commands `explain` and `ablate` read all.
COSTLY_SENTENCES = 200
#: Probes are trained on half of at most this many sentences (the command `probe` takes all).
PROBED_SENTENCES = 600
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
    corpus: Corpus | None = None,
    *,
    out: str | Path = "bertology-report",
    sentence: str | None = None,
    seed: int = 0,
    resume: bool = False,
) -> Report:
    """Answer the three questions about a model and write the page `out/index.html`.

    Args:
        corpus: default, the sample treebank.
        sentence: the sentence whose attention is shown for all heads (default: a short one of
            the corpus).
        resume: go on with an interrupted run of the same settings in `out`.

    Raises:
        BertologyError: the folder holds something else, or model and corpus do not fit.
    """
    chosen = corpus or sample_treebank()
    settings = {
        "command": "report", "model": model.name, "seed": seed, "limit": len(chosen),
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
    heads = run.result("heads", HeadAnalysis, lambda: analyse_heads(model, corpus, seed=seed))
    layers = _layers(model, corpus, run, seed)
    costly = _drawn(corpus, COSTLY_SENTENCES, seed)
    explanation = run.result("explanation", Explanation, lambda: explain(model, costly, seed=seed))
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
    tasks = [task for task in _TASKS if any(s.upos if task == "upos" else s.deprels
                                            for s in corpus.sentences)]  # fmt: skip
    if not tasks:
        return None
    train, evaluate = split_documents(corpus.first(PROBED_SENTENCES))
    return run.result(
        "layers", Probes, lambda: probe(model, train, evaluate, tasks=tuple(tasks), seed=seed)
    )


def _drawn(corpus: Corpus, count: int, seed: int) -> Examples:
    """At most `count` sentences of a corpus, drawn at random and kept in order."""
    sentences = corpus.sentences
    if len(sentences) > count:
        chosen = np.random.default_rng(seed).choice(len(sentences), size=count, replace=False)
        sentences = tuple(sentences[i] for i in sorted(chosen))
    return examples_of(Corpus(corpus.name, sentences, corpus.sha256))


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
    drawn = {picture.name: draw(picture, figures) for picture in _pictures(outcome, captured)}
    page = render(
        "report.html",
        model=model.name,
        task=model.task,
        about=DESCRIPTION if model.weights_sha256 == WEIGHTS_SHA256 else "",
        corpus=corpus.name,
        sentences=len(corpus),
        documents=len(corpus.documents),
        unit=corpus.unit,
        small=outcome.heads.provenance.sentences < 500,
        answers=outcome.answers,
        atlas=drawn["head_atlas"],
        points=drawn["agreement"],
        sections=_sections(outcome, drawn),
        sentence=" ".join(captured.encoding.sentence.words),
        summary=table_rows(_shown_summary(outcome.summary)),
        examples=_shown_examples(outcome.heads),
        claims=[claim.sentence for claim in outcome.explanation.verdict().claims],
        notes=[note for note in (
            skipped_texts(outcome.heads.provenance),
            _costly_note(corpus, outcome.explanation),
        ) if note],
        provenance=outcome.heads.provenance,
    )  # fmt: skip
    run.text("index.html", page)


def _pictures(outcome: Report, captured: Captured) -> list[Picture]:
    """Every figure of the report, in the order of the page."""
    summary, heads = outcome.summary, outcome.heads
    pictures = [
        Picture("head_atlas", lambda: viz.head_atlas(summary), "Head atlas", columns=2),
        Picture(
            "agreement",
            lambda: viz.agreement_points(outcome.explanation, against=REFERENCE),
            "Agreement with leave-one-out",
        ),
        Picture(
            "entropy",
            lambda: viz.statistic_map(heads, statistic="entropy_normalised"),
            "Entropy of attention, relative to evenly spread attention",
        ),
        Picture("attention_grid", lambda: viz.attention_grid(captured),
                "All heads on one sentence", columns=2),
    ]  # fmt: skip
    if heads.has_relations and not heads.best.empty:
        pictures += [
            Picture("relations", lambda: viz.relation_points(heads.best),
                    "Best head per relation, scored on the other half"),
            Picture("relation_map", lambda: viz.relation_map(heads.relations),
                    "Relations by layer"),
        ]  # fmt: skip
        top = largest(heads.best, heads.best["difference"])
        layer, head = int(top["layer"]), int(top["head"])
        pictures.append(
            Picture("best_head", lambda: viz.attention_lines(captured, layer=layer, head=head),
                    f"The head of {top['relation']}, L{layer}H{head}")
        )  # fmt: skip
    if outcome.layers is not None:
        pictures += [_probe_picture(outcome.layers, task)
                     for task in outcome.layers.table["task"].unique()]  # fmt: skip
    return [
        *pictures,
        Picture(
            "agreement_gradients",
            lambda: viz.agreement_points(outcome.explanation, against="integrated_gradients"),
            "Agreement with integrated gradients",
        ),
        Picture("effects", lambda: viz.effect_map(outcome.ablation), "Effect of removing a head"),
        Picture("importance", lambda: viz.effect_against_importance(summary),
                "Predicted by the gradient, and measured"),
    ]  # fmt: skip


def _probe_picture(layers: Probes, task: str) -> Picture:
    return Picture(f"probe_{task}", lambda: viz.probe_lines(layers, task=task), f"Probes of {task}")


def _sections(outcome: Report, drawn: dict[str, Drawn]) -> list[Section]:
    def those(*names: str) -> list[Drawn]:
        return [drawn[name] for name in names if name in drawn]

    probes = [name for name in drawn if name.startswith("probe_")]
    sections = [
        Section(
            "What is each head looking at?",
            outcome.answers[0],
            "Entropy says how spread out a head's attention is: 1 is as even as possible, 0 a "
            "single token. A relation has one point for the accuracy of the head that the other "
            "half of the data chose, and one for the best fixed offset (head = dependent + o): a "
            "head knows a relation only as far as it beats the offset. The map shows, for every "
            "layer, the best of its heads less the offset; these are picked on the data they are "
            "scored on, so read them as a sketch.",
            "A head that points from dependents to their heads need not be used for syntax: "
            "looking is not doing. Most of the weight on special tokens is a resting place, not "
            "information.",
            those("relations", "entropy", "relation_map", "best_head", "attention_grid"),
            [("heads.csv", "statistics of every head"),
             ("relations.csv", "every head and relation"),
             ("best_heads.csv", "held-out best heads"), ("examples.csv", "hits and misses")]
            if outcome.heads.has_relations else [("heads.csv", "statistics of every head")],
            extra="examples",
        ),
        Section(
            "What do the layers know?",
            outcome.answers[1],
            "A linear classifier reads the label of a word from each hidden state (0: the "
            "embeddings). The dashed line is the same probe on a control task, where every word "
            "type has a random label: the distance between the lines, the selectivity, is what "
            "the layer knows beyond the identity of the word. The levels are the majority label "
            "and the most frequent label of the word type.",
            "That a label can be read does not mean that the model uses it.",
            those(*probes),
            [("probes.csv", "every probe with control and baselines")],
        ),
        Section(
            "Does attention explain what the model does?",
            outcome.answers[2],
            "Each score ranks the words of a sentence; a point is the mean Kendall τ-b with the "
            "ranking by importance, and its 95 % interval. Floors know nothing of the text or "
            "the model; the agreement between importance methods is the reference that attention "
            "is read against. The small points are the single heads.",
            "Importance methods disagree among themselves: leave-one-out removes a word and so "
            "leaves the texts the model was trained on; gradients describe an infinitesimal "
            "change. Neither is the truth.",
            those("agreement_gradients"),
            [("agreement.csv", "every score, head and importance measure"),
             ("faithfulness.csv", "what erasing the highest-ranked words does")],
            extra="claims",
        ),
        Section(
            "What breaks without a head?",
            _answer_ablation(outcome),
            "Colour is the change of the target when the head's output is set to zero, a mark a "
            "change that survives correction over all heads. On the right the gradient "
            "importance of Michel et al. (2019), against the size of that change.",
            "Heads back each other up: a head whose removal changes nothing may still do work. "
            "Zero is an unusual output; mean ablation is in the table beside it.",
            those("effects", "importance"),
            [("ablation.csv", "every head, zero and mean ablation"),
             ("importance.csv", "gradient importance"),
             ("head_summary.csv", "one row per head: all of the above")],
            extra="summary",
        ),
    ]  # fmt: skip
    return sections if outcome.layers is not None else [sections[0], *sections[2:]]


def _answer_ablation(outcome: Report) -> str:
    table = outcome.summary.dropna(subset=["importance", "zero_delta"])
    tau = table["importance"].corr(table["zero_delta"].abs(), method="kendall")
    zero, mean = outcome.summary["zero_delta"].abs(), outcome.summary["mean_delta"].abs()
    return (
        f"Setting a head to zero changes the target by {zero.median():.3g} in the median head and "
        f"{zero.max():.3g} at most; putting its mean output in its place, by {mean.median():.3g} "
        f"and {mean.max():.3g}. Gradient importance ranks the heads like their measured effect "
        f"with τ = {tau:.2f}."
    )


def _shown_summary(summary: pd.DataFrame) -> pd.DataFrame:
    shown = summary.assign(size=summary["zero_delta"].abs()).sort_values("size", ascending=False)
    columns = ["layer", "head", "looks_at", "share", "relation", "relation_accuracy", "importance",
               "zero_delta", "zero_p", "mean_delta", "agreement"]  # fmt: skip
    return shown[columns].head(12)


@dataclass(frozen=True)
class _Shown:
    """One drawn prediction, cut into words with their part in it."""

    correct: bool
    words: list[tuple[str, str]]
    """(word, role): role is dependent, gold, predicted, both (gold and predicted) or empty."""


def _shown_examples(heads: HeadAnalysis) -> list[tuple[str, list[_Shown]]]:
    """Hits and misses of the heads that held up, by relation."""
    if heads.examples.empty:
        return []
    held = heads.best[(heads.best["p_adjusted"] < 0.05)]["relation"]
    groups = []
    for (relation, direction, layer, head), rows in heads.examples.groupby(
        ["relation", "direction", "layer", "head"], sort=False
    ):
        if relation in set(held) and relation not in ("all", "punct"):
            title = f"{relation}, L{layer}H{head} ({str(direction).replace('_', ' ')})"
            groups.append((title, [_shown(row) for row in rows.itertuples()]))
    return groups


def _shown(row: object) -> _Shown:
    fields = row._asdict()  # type: ignore[attr-defined]
    words = []
    for position, word in enumerate(fields["words"].split(" ")):
        role = ""
        if position == fields["dependent"]:
            role = "dependent"
        elif position == fields["gold"]:
            role = "both" if fields["correct"] else "gold"
        elif position == fields["predicted"]:
            role = "predicted"
        words.append((word, role))
    return _Shown(bool(fields["correct"]), words)


def _costly_note(corpus: Corpus, explanation: Explanation) -> str:
    if len(corpus) <= COSTLY_SENTENCES:
        return ""
    return (
        f"Importance, agreement and ablation are measured on {explanation.provenance.sentences} "
        f"sentences drawn from {len(corpus)} with seed {explanation.provenance.seed}."
    )
