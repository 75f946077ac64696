"""`bertology ablate` and `bertology prune`."""

from pathlib import Path
from typing import Annotated

import typer

from ...errors import BertologyError
from ..guard import guarded
from ..options import (
    DATA_HELP,
    MODEL_HELP,
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
    Resume,
    Revision,
    Seed,
    Target,
    TrustRemoteCode,
    listed,
)


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
    data files into one ablation.csv, which names them in further columns, and over_runs.csv (mean
    and spread over models and seeds); its mistakes are listed before anything runs. A run that was
    stopped goes on with --resume.

    Example: bertology ablate my-classifier --data reviews.jsonl --limit 200

    Example: bertology ablate gpt2 --data stories.txt --parts heads,mlps,layers --metrics loss

    Example: bertology ablate --study night.toml --out night
    """
    from .. import ablate_command, commands
    from ..study import Task

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

    Writes checkpoint/ (load it with bertology.load_model, or give it to a command as MODEL),
    pruning.csv (quality, parameters and file before and after), latency.csv (measured time before
    and after) and importance.csv. Heads are ranked, and the model is fine-tuned, on one half of
    the data; quality is scored on the other.

    Example: bertology prune my-classifier --data reviews.jsonl --keep 0.5 --out smaller

    Example: bertology prune gpt2 --data stories.txt --keep 1.0 --layers 10,11 --export
    """
    from .. import commands, prune_command

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    common = commands.Common("prune", model, out, seed, loading, limit, resume)
    choices = prune_command.PruneChoices(
        data, keep, remove, layers, order, columns, fine_tune, export
    )
    prune_command.prune_command(common, choices)
