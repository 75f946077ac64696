"""`bertology heads`."""

from typing import Annotated

import typer

from ..guard import guarded
from ..options import (
    Adapter,
    CorpusFile,
    Device,
    Dtype,
    GgufFile,
    Limit,
    Model,
    Out,
    Resume,
    Revision,
    Seed,
    TrustRemoteCode,
    Workers,
)


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
    from .. import commands, head_command

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    common = commands.Common("heads", model, out, seed, loading, limit, resume)
    choices = head_command.HeadChoices(
        analyses, text, text_tokens, labels, all_words, word_rows, segment_ids, candidates,
        repeated,
    )  # fmt: skip
    head_command.heads(common, corpus, choices, workers)
