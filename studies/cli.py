"""The `bertology` command."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import BertologyError
from .guard import guarded
from .options import (
    DATA_HELP,
    MODEL_HELP,
    Adapter,
    Columns,
    CorpusFile,
    Data,
    Device,
    Dtype,
    Foil,
    GgufFile,
    Limit,
    Model,
    OptionalModel,
    Out,
    Quantity,
    Resume,
    Revision,
    Seed,
    Target,
    TrustRemoteCode,
    Workers,
    listed,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "What a transformer's heads look at, what its layers know, and whether attention "
        "explains what it does.\n\nMODEL is a hub id (bert-base-uncased), a local folder, a "
        ".gguf file, or `demo`, the small encoder of the extra `demo`. Start with: bertology report"
    ),
)


@app.command()
@guarded
def report(
    model: OptionalModel = "demo",
    corpus: Annotated[
        Path | None,
        typer.Option(help="CoNLL-U or plain text.  [default: the sample treebank]"),
    ] = None,
    sentence: Annotated[
        str | None, typer.Option(help="Sentence whose attention is shown for every head.")
    ] = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "cpu",
    revision: Revision = None,
    dtype: Dtype = None,
    adapter: Adapter = None,
    gguf_file: GgufFile = None,
    trust_remote_code: TrustRemoteCode = False,
    limit: Limit = None,
    resume: Resume = False,
) -> None:
    """Answer the three questions about a model on one page.

    Writes index.html, tables/*.csv and figures/*.{pdf,svg,png}. Importance, agreement and
    ablation are measured on at most 200 sentences, drawn with the seed.

    Example: bertology report bert-base-uncased --corpus en_ewt-ud-dev.conllu --limit 500
    """
    from . import commands

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    common = commands.Common("report", model, out, seed, loading, limit, resume)
    page = commands.report(common, corpus, sentence)
    print(f"The report is in {page}")


@app.command()
@guarded
def heads(
    model: Model,
    corpus: CorpusFile,
    analyses: Annotated[
        str,
        typer.Option(
            help="Any of queries, patterns, relations, features, coreference, semantic, clusters, "
            "gradients, separated by commas; or all. One pass feeds them together."
        ),
    ] = "queries,patterns,relations",
    text: Annotated[
        str,
        typer.Option(
            help="What the model reads at a time: sentences; passages, of consecutive sentences "
            "of a document (for coreference); or paragraphs, two halves of a passage as a pair."
        ),
    ] = "sentences",
    text_tokens: Annotated[
        int, typer.Option(min=8, help="Most tokens of a passage or of a pair of paragraphs.")
    ] = 128,
    labels: Annotated[
        str, typer.Option(help="Relations as they are (subtypes) or merged (universal).")
    ] = "subtypes",
    all_words: Annotated[
        str,
        typer.Option(
            help="What the relation `all` is over: scored (no root, no punctuation), or every "
            "word, as in Clark et al. 2019."
        ),
    ] = "scored",
    word_rows: Annotated[
        str, typer.Option(help="The row of a word of several tokens: their mean, or the first.")
    ] = "mean",
    segment_ids: Annotated[
        str, typer.Option(help="Segment ids of pairs: the tokenizer's, or zeros.")
    ] = "tokenizer",
    candidates: Annotated[
        str,
        typer.Option(help="What an anaphor may refer to: preceding mentions, or all (for GAP)."),
    ] = "preceding",
    repeated: Annotated[
        bool,
        typer.Option(
            "--repeated",
            help="Also measure heads on repeated random tokens: induction and the like.",
        ),
    ] = False,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "cpu",
    revision: Revision = None,
    dtype: Dtype = None,
    adapter: Adapter = None,
    gguf_file: GgufFile = None,
    trust_remote_code: TrustRemoteCode = False,
    limit: Limit = None,
    workers: Workers = None,
    resume: Resume = False,
) -> None:
    """What every head looks at.

    Writes heads.csv, by_query.csv and patterns.csv; from a treebank relations.csv and
    best_heads.csv; and one or more tables for each further analysis. An analysis that the corpus
    cannot feed is left out and named.

    Example: bertology heads demo --corpus en_ewt-ud-dev.conllu --out heads-ewt

    Example: bertology heads demo --corpus gum.conllu --analyses all --text passages
    """
    from . import commands, head_command

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    common = commands.Common("heads", model, out, seed, loading, limit, resume)
    choices = head_command.HeadChoices(
        analyses, text, text_tokens, labels, all_words, word_rows, segment_ids, candidates,
        repeated,
    )  # fmt: skip
    head_command.heads(common, corpus, choices, workers)


@app.command()
@guarded
def probe(
    model: Model,
    train: Annotated[Path, typer.Option(help="Annotated text to train on, such as CoNLL-U.")],
    eval: Annotated[Path, typer.Option(help="Annotated text to score on.")],
    task: Annotated[
        str,
        typer.Option(
            help="Tasks, separated by commas: upos, xpos, deprel, head_distance, entity, "
            "coreference, sentence_length, …, feats:NAME for a UD feature; an unknown name lists "
            "them all."
        ),
    ] = "upos",
    probe: Annotated[
        str,
        typer.Option(
            help="Any of linear, mlp, edge, mix (all layers up to each), bilinear (pairs of words "
            "alone), structural (distances and depths in the tree, whatever the task), separated "
            "by commas."
        ),
    ] = "linear",
    controls: Annotated[
        str,
        typer.Option(
            help="Other states to read: random_weights, random_layers (embeddings kept), "
            "shuffled_words, separated by commas; or none. Control labels, the type lookup, the "
            "majority class and layer 0 are always there."
        ),
    ] = "random_layers",
    measures: Annotated[
        str,
        typer.Option(
            help="Any of mdl (description length), information (usable information), curves "
            "(learning curves), separated by commas.  [default: none]",
            show_default=False,
        ),
    ] = "",
    layers: Annotated[
        str | None,
        typer.Option(
            help="Hidden states to read, such as 0,3,6; 0: the embeddings.  [default: all]"
        ),
    ] = None,
    control_draws: Annotated[int, typer.Option(help="Draws of control labels, at least 3.")] = 3,
    random_models: Annotated[
        int, typer.Option(help="Models drawn for each random control; 5 or more for a paper.")
    ] = 1,
    seeds: Annotated[
        int, typer.Option(help="Starts of each probe that is not convex; 5 for a paper.")
    ] = 1,
    training_samples: Annotated[
        int, typer.Option(help="Bootstrap samples of the training text for linear probes; or 0.")
    ] = 3,
    store: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the hidden states of both parts, which is written (in float32) if it "
            "is not there; probes then read one layer at a time."
        ),
    ] = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "cpu",
    revision: Revision = None,
    dtype: Dtype = None,
    adapter: Adapter = None,
    gguf_file: GgufFile = None,
    trust_remote_code: TrustRemoteCode = False,
    limit: Limit = None,
    resume: Resume = False,
) -> None:
    """What every layer knows: probes with controls and baselines.

    Writes probes.csv (every probe on every hidden state), probe_tests.csv (what each is held to)
    and best_layers.csv (layers chosen on held-out training text); where asked for, mix.csv,
    mdl.csv, information.csv and learning_curves.csv. A run that was stopped goes on with --resume.

    A label that can be read off need not be used by the model. Look at selectivity (task minus
    control labels) and at the differences from the lookup and the random model, not at accuracy.

    Example: bertology probe demo --train train.conllu --eval dev.conllu --task upos,deprel

    Example: bertology probe demo --train train.conllu --eval dev.conllu --probe linear,structural
    --controls random_layers,shuffled_words --random-models 5 --measures mdl --store states

    Example: bertology probe demo --train past_present.txt --eval past_present.txt --task label
    (a SentEval file: trained on its part tr, scored on va)
    """
    from . import commands, probe_command

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    common = commands.Common("probe", model, out, seed, loading, limit, resume)
    choices = probe_command.ProbeChoices(
        task, probe, controls, measures, layers, control_draws, random_models, seeds,
        training_samples, store,
    )  # fmt: skip
    probe_command.probe_command(common, train, eval, choices)


@app.command()
@guarded
def explain(
    model: Model,
    data: Data,
    target: Target = None,
    foil: Foil = None,
    quantity: Quantity = "logit",
    columns: Columns = None,
    unit: Annotated[str, typer.Option(help="What gets a score: word or token.")] = "word",
    declare: Annotated[
        str | None,
        typer.Option(
            help="What the verdict tests, where it is not the default: NAME=VALUE, separated by "
            "commas, such as score=rollout,agreement_margin=0.05,texts=200."
        ),
    ] = None,
    other_seeds: Annotated[
        str | None,
        typer.Option(
            help="Models fine-tuned as MODEL was with other seeds, separated by commas: how far "
            "apart their attention is stands in place of the margin for alternatives."
        ),
    ] = None,
    heads: Annotated[
        bool, typer.Option("--heads", help="Also write explanation_heads.csv, a row per head.")
    ] = False,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "cpu",
    revision: Revision = None,
    dtype: Dtype = None,
    adapter: Adapter = None,
    gguf_file: GgufFile = None,
    trust_remote_code: TrustRemoteCode = False,
    limit: Limit = None,
    resume: Resume = False,
) -> None:
    """Whether attention explains what the model does.

    Writes scores.jsonl, agreement.csv, faithfulness.csv, counterfactual.csv, alternatives.csv,
    verdict.json and verdict.html; where the data have rationales plausibility.csv. Other
    attention is tried on at most 100 texts, drawn with the seed.

    Example: bertology explain my-classifier --data reviews.tsv --columns text=Text,label=Sentiment
    """
    from . import commands, explain_command

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    common = commands.Common("explain", model, out, seed, loading, limit, resume)
    choices = explain_command.ExplainChoices(
        data, columns, target, foil, quantity, unit, declare, other_seeds, heads
    )
    explain_command.explain_command(common, choices)


@app.command()
@guarded
def ablate(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help=MODEL_HELP)] = None,
    data: Annotated[Path | None, typer.Option(help=DATA_HELP)] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            help="TOML file that names models, data, parts, modes, metrics and seeds; instead of "
            "MODEL, --data and the options of one run."
        ),
    ] = None,
    parts: Annotated[
        str,
        typer.Option(
            help="What is switched off, separated by commas: heads, attention (all heads of a "
            "layer), mlps, layers, or parts such as L7H9, 'L3 mlp' and L0H1+L2H3 (together)."
        ),
    ] = "heads",
    modes: Annotated[
        str,
        typer.Option(
            help="What stands in, separated by commas: zero; mean (of other texts); uniform "
            "(attention spread evenly); resample (what the part writes for another text)."
        ),
    ] = "zero,mean",
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Any of target, accuracy, f1, macro_f1, mcc, pearson, spearman, loss, "
            "perplexity, minimal_pairs (data as BLiMP has them), separated by commas.  "
            "[default: target, and accuracy where there are labels]"
        ),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Other texts for resample.")] = 5,
    target: Target = None,
    foil: Foil = None,
    columns: Columns = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "cpu",
    revision: Revision = None,
    dtype: Dtype = None,
    adapter: Adapter = None,
    gguf_file: GgufFile = None,
    trust_remote_code: TrustRemoteCode = False,
    limit: Limit = None,
    resume: Resume = False,
) -> None:
    """What breaks without each head, layer or MLP.

    Writes ablation.csv (every effect with its interval and a p-value adjusted over all parts of a
    kind), held_out.csv (the best part to remove, chosen on one half of the data and scored on the
    other) and importance.csv (gradients of the heads' gates). A study file runs many models on many
    data files into one ablation.csv, which names them in further columns; all its mistakes are
    listed before anything runs. A run that was stopped goes on with --resume.

    Example: bertology ablate my-classifier --data reviews.jsonl --limit 200

    Example: bertology ablate gpt2 --data stories.txt --parts heads,mlps,layers --metrics loss

    Example: bertology ablate --study night.toml --out night
    """
    from . import ablate_command, commands
    from .study import Task

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    common = commands.Common("ablate", model or "", out, seed, loading, limit, resume)
    if study is not None and model is None and data is None:
        ablate_command.ablate_study(common, study)
    elif study is None and model is not None and data is not None:
        task = Task(
            str(data), (model,), columns, listed(parts), listed(modes),
            None if metrics is None else listed(metrics), target, foil, (seed,), draws, limit,
        )  # fmt: skip
        ablate_command.ablate_command(common, task)
    else:
        raise BertologyError(
            "ablate takes either MODEL with --data FILE, or --study FILE alone; "
            "see bertology ablate --help."
        )


@app.command()
@guarded
def prune(
    model: Model,
    data: Data,
    keep: Annotated[
        str | None,
        typer.Option(
            help="How many heads stay: a share, such as 0.5, or a number, such as 36. The best "
            "head of each layer always stays."
        ),
    ] = None,
    remove: Annotated[
        str | None, typer.Option(help="The heads to remove, such as L7H9,L3H1; instead of --keep.")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Layers to remove as a whole, such as 4,5.  [default: none]")
    ] = None,
    order: Annotated[
        str,
        typer.Option(
            help="What the heads are ranked by: example (gradients by gates, Michel et al. 2019), "
            "position, batch, relevance, confidence, output_norm, value_output_norm; or random, "
            "to compare with."
        ),
    ] = "example",
    fine_tune: Annotated[
        int,
        typer.Option(
            "--fine-tune", min=0, help="Epochs of fine-tuning after, on the half that ranks."
        ),
    ] = 0,
    export: Annotated[
        bool,
        typer.Option(
            "--export",
            help="Add code to the checkpoint, so that transformers alone loads it with "
            "trust_remote_code=True.",
        ),
    ] = False,
    columns: Columns = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "cpu",
    revision: Revision = None,
    dtype: Dtype = None,
    adapter: Adapter = None,
    gguf_file: GgufFile = None,
    trust_remote_code: TrustRemoteCode = False,
    limit: Limit = None,
    resume: Resume = False,
) -> None:
    """Remove heads or layers for good: a smaller model that loads.

    Writes checkpoint/ (load it with bertology.load_model, or give it to any command as MODEL),
    pruning.csv (quality, parameters and file before and after), latency.csv (measured time before
    and after) and importance.csv. Heads are ranked, and the model is fine-tuned, on one half of
    the data; quality is scored on the other.

    Example: bertology prune my-classifier --data reviews.jsonl --keep 0.5 --out smaller

    Example: bertology prune gpt2 --data stories.txt --keep 1.0 --layers 10,11 --export
    """
    from . import commands, prune_command

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    common = commands.Common("prune", model, out, seed, loading, limit, resume)
    choices = prune_command.PruneChoices(
        data, keep, remove, layers, order, columns, fine_tune, export
    )
    prune_command.prune_command(common, choices)


@app.command()
@guarded
def selftest(
    model: Model,
    device: Device = "cpu",
    revision: Revision = None,
    dtype: Dtype = None,
    adapter: Adapter = None,
    gguf_file: GgufFile = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Prove that what is captured from a model is what it computes.

    Prints one line a site: way in, heads, checks. Exit status 1 if one fails.
    """
    from . import commands

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    if not commands.selftest(model, loading):
        raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from .. import __version__

        print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of the `bertology` command."""
    app()
