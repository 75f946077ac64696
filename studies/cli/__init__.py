"""The `bertology` command.

A function here declares the options of a command and says what it is for; the work is done by the
module of the same name in the folder above, which is imported when the command runs.
"""

from typing import Annotated

import typer

from .ablation import ablate, prune
from .explain import explain
from .general import report, selftest
from .heads import heads
from .probe import probe

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

for command in (report, heads, probe, explain, ablate, prune, selftest):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from ... import __version__

        print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of the `bertology` command."""
    app()
