"""`bertology probe`."""

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
    Out,
    Resume,
    Revision,
    Seed,
    TrustRemoteCode,
)


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
    from .. import commands, probe_command

    loading = commands.Loading(device, revision, dtype, adapter, gguf_file, trust_remote_code)
    common = commands.Common("probe", model, out, seed, loading, limit, resume)
    choices = probe_command.ProbeChoices(
        task, probe, controls, measures, layers, control_draws, random_models, seeds,
        training_samples, store,
    )  # fmt: skip
    probe_command.probe_command(common, train, eval, choices)
