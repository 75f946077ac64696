"""Arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

MODEL_HELP = "Hub id, local folder, .gguf file, or demo."
Model = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)]
OptionalModel = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)]
Out = Annotated[Path | None, typer.Option(help="Output folder.  [default: bertology-COMMAND]")]
Seed = Annotated[int, typer.Option(help="Seed of every random draw.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a model on the hub.")]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="float32, bfloat16 or float16.  [default: float32 on a CPU, else the checkpoint's]"
    ),
]
Adapter = Annotated[
    str | None, typer.Option(help="Folder or hub id of a PEFT adapter to merge into the model.")
]
GgufFile = Annotated[
    str | None, typer.Option(help="Which .gguf file, where MODEL is a folder or hub id of several.")
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Read only the first N sentences.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the output folder.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes to share the text out to, with one thread each.  "
        "[default: this one, with all threads]",
    ),
]
CorpusFile = Annotated[
    Path,
    typer.Option(
        help="CoNLL-U (.conllu), CoNLL coreference columns, PropBank (.jsonl), GAP (.tsv), or "
        "plain text, one sentence a line."
    ),
]
DATA_HELP = (
    "TSV, CSV or JSONL with text and optionally text_pair, label, rationale; SST trees (neutral "
    "ones are dropped); CoNLL-U; or plain text."
)
Data = Annotated[Path, typer.Option(help=DATA_HELP)]
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
Quantity = Annotated[
    str,
    typer.Option(
        help="What is explained of the class or token: its logit, its probability, or its margin "
        "over the best other one."
    ),
]
Foil = Annotated[
    str | None, typer.Option(help="Class or token to contrast with: a difference of logits.")
]


def listed(text: str) -> tuple[str, ...]:
    """Names that are separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
