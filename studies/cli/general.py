"""`bertology report` and `bertology selftest`."""

from pathlib import Path
from typing import Annotated

import typer

from ..guard import guarded
from ..options import (
    Adapter,
    Device,
    Dtype,
    GgufFile,
    Limit,
    Model,
    OptionalModel,
    Out,
    Resume,
    Revision,
    Seed,
    TrustRemoteCode,
)


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
    from .. import commands

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    common = commands.Common("report", model, out, seed, loading, limit, resume)
    page = commands.report(common, corpus, sentence)
    print(f"The report is in {page}")


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
    from .. import commands

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    if not commands.selftest(model, loading):
        raise typer.Exit(1)
