"""`bertology explain`."""

from typing import Annotated

import typer

from ..guard import guarded
from ..options import (
    Adapter,
    Columns,
    Data,
    Device,
    Dtype,
    Foil,
    GgufFile,
    Limit,
    Model,
    Out,
    Quantity,
    Resume,
    Revision,
    Seed,
    Target,
    TrustRemoteCode,
)


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
    from .. import commands, explain_command

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    common = commands.Common("explain", model, out, seed, loading, limit, resume)
    choices = explain_command.ExplainChoices(
        data, columns, target, foil, quantity, unit, declare, other_seeds, heads
    )
    explain_command.explain_command(common, choices)
