"""The `bertology` command."""

import functools
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm.auto import tqdm

from ..errors import BertologyError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "What a transformer's heads look at, what its layers know, and whether attention "
        "explains what it does.\n\nMODEL is a hub id (bert-base-uncased), a local folder, or "
        "`demo`, the small encoder of the extra `demo`. Start with: bertology report"
    ),
)

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Hub id, local folder, or demo.", show_default=False)
]
OptionalModel = Annotated[
    str, typer.Argument(metavar="MODEL", help="Hub id, local folder, or demo.")
]
Out = Annotated[Path | None, typer.Option(help="Output folder.  [default: bertology-COMMAND]")]
Seed = Annotated[int, typer.Option(help="Seed of every random draw.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …")]
Limit = Annotated[int | None, typer.Option(min=1, help="Read only the first N sentences.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the output folder.")]
CorpusFile = Annotated[
    Path, typer.Option(help="CoNLL-U (.conllu) or plain text, one sentence a line.")
]
_DATA_HELP = (
    "TSV, CSV or JSONL with text and optionally text_pair, label, rationale; SST trees; "
    "CoNLL-U; or plain text."
)
Data = Annotated[Path, typer.Option(help=_DATA_HELP)]
Columns = Annotated[
    str | None,
    typer.Option(help="Names in the file, such as text=Text,label=Sentiment."),
]
Target = Annotated[
    str | None,
    typer.Option(
        help="Class or token whose logit is explained; `label` for the class in the data.  "
        "[default: what the model predicts]"
    ),
]
Foil = Annotated[
    str | None, typer.Option(help="Class or token to contrast with: a difference of logits.")
]


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turn expected errors and Ctrl-C into one message and an exit status."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            _quieten_libraries()
            command(*arguments, **options)
        except BertologyError as error:
            _close_bars()
            print(f"bertology: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            _close_bars()
            print(
                "bertology: stopped. What was finished is kept; run the same command with "
                "--resume to go on.",
                file=sys.stderr,
            )
            raise typer.Exit(130) from None

    return run


@app.command()
@_guarded
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
    limit: Limit = None,
    resume: Resume = False,
) -> None:
    """Answer the three questions about a model on one page.

    Writes index.html, tables/*.csv and figures/*.{pdf,svg,png}. Importance, agreement and
    ablation are measured on at most 200 sentences, drawn with the seed.

    Example: bertology report bert-base-uncased --corpus en_ewt-ud-dev.conllu --limit 500
    """
    from . import commands

    common = commands.Common("report", model, out, seed, device, limit, resume)
    page = commands.report(common, corpus, sentence)
    print(f"The report is in {page}")


@app.command()
@_guarded
def heads(
    model: Model,
    corpus: CorpusFile,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "cpu",
    limit: Limit = None,
    resume: Resume = False,
) -> None:
    """What every head looks at.

    Writes heads.csv and, from CoNLL-U, relations.csv and best_heads.csv.

    Example: bertology heads demo --corpus en_ewt-ud-dev.conllu --out heads-ewt
    """
    from . import commands

    commands.heads(commands.Common("heads", model, out, seed, device, limit, resume), corpus)


@app.command()
@_guarded
def probe(
    model: Model,
    train: Annotated[Path, typer.Option(help="CoNLL-U to train on.")],
    eval: Annotated[Path, typer.Option(help="CoNLL-U to score on.")],
    task: Annotated[str, typer.Option(help="upos or deprel.")] = "upos",
    out: Out = None,
    seed: Seed = 0,
    device: Device = "cpu",
    limit: Limit = None,
    resume: Resume = False,
) -> None:
    """What every layer knows: linear probes with controls and baselines.

    Writes probes.csv.

    Example: bertology probe demo --train train.conllu --eval dev.conllu --task deprel
    """
    from . import commands

    common = commands.Common("probe", model, out, seed, device, limit, resume)
    commands.probe(common, train, eval, task)


@app.command()
@_guarded
def explain(
    model: Model,
    data: Data,
    target: Target = None,
    foil: Foil = None,
    columns: Columns = None,
    unit: Annotated[str, typer.Option(help="What gets a score: word or token.")] = "word",
    out: Out = None,
    seed: Seed = 0,
    device: Device = "cpu",
    limit: Limit = None,
    resume: Resume = False,
) -> None:
    """Whether attention explains what the model does.

    Writes scores.jsonl, agreement.csv, faithfulness.csv and verdict.json.

    Example: bertology explain my-classifier --data reviews.tsv --columns text=Text,label=Sentiment
    """
    from . import commands

    common = commands.Common("explain", model, out, seed, device, limit, resume)
    commands.explain(common, data, columns, target, foil, unit)


@app.command()
@_guarded
def ablate(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Hub id, local folder, or demo.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help=_DATA_HELP)] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with models, data and optionally columns, modes, seeds, limit; "
            "instead of MODEL and --data."
        ),
    ] = None,
    target: Target = None,
    foil: Foil = None,
    columns: Columns = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "cpu",
    limit: Limit = None,
    resume: Resume = False,
) -> None:
    """What breaks without each head: zero and mean ablation.

    Writes ablation.csv and importance.csv; from a study file one ablation.csv over all models,
    data and seeds, which name them in further columns.

    Example: bertology ablate my-classifier --data reviews.jsonl --limit 200
    """
    from . import commands

    common = commands.Common("ablate", model or "", out, seed, device, limit, resume)
    if study is not None and model is None and data is None:
        commands.ablate_study(common, study)
    elif study is None and model is not None and data is not None:
        commands.ablate(common, data, columns, target, foil)
    else:
        raise BertologyError(
            "ablate takes either MODEL with --data FILE, or --study FILE alone; "
            "see bertology ablate --help."
        )


@app.command()
@_guarded
def prune(model: Model) -> None:
    """Remove heads for good (not there yet)."""
    raise BertologyError(
        "prune is not there yet. `bertology ablate` measures what each head is worth."
    )


@app.command()
@_guarded
def selftest(model: Model, device: Device = "cpu") -> None:
    """Prove that what is captured from a model is what it computes.

    Prints one line a site: way in, heads, checks. Exit status 1 if one fails.
    """
    from . import commands

    if not commands.selftest(model, device):
        raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from .. import __version__

        print(__version__)
        raise typer.Exit


def _close_bars() -> None:
    for bar in list(getattr(tqdm, "_instances", [])):
        bar.close()


def main() -> None:
    """Entry point of the `bertology` command."""
    app()


def _quieten_libraries() -> None:
    """Leave the terminal to our own progress bars and messages."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    # Retries without a network would be a page of lines before our one message.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
