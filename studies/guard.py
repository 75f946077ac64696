"""What a command shows when something goes wrong: one message and an exit status."""

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

import typer
from tqdm.auto import tqdm

from ..errors import BertologyError


def guarded(command: Callable[..., None]) -> Callable[..., None]:
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


def _close_bars() -> None:
    for bar in list(getattr(tqdm, "_instances", [])):
        bar.close()


def _quieten_libraries() -> None:
    """Leave the terminal to our own progress bars and messages."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    # Retries without a network would be a page of lines before our one message.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
