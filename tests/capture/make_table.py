"""The table of families in docs/families.md, from what the tests measure.

Run `python -m tests.capture.make_table` at the root of the repository to write it anew.
"""

import math
from pathlib import Path

import transformers

from bertology import BertologyError
from bertology.capture import find_sites

from . import oracles
from .families import FAMILIES, REFUSED
from .family import Family
from .laws import Subject, subject

PAGE = Path(__file__).resolve().parents[2] / "docs" / "families.md"
_HEAD = [
    "family", "way in", "attention", "oracle", "head output", "zeroed head", "query, key",
    "contribution", "batch = singles", "left padding",
]  # fmt: skip
_TEXT = """# Families

Every family below is tested as a tiny random model whose weights are enlarged, so that attention
is far from even, on three texts of different length, padded. The page is written by
`python -m tests.capture.make_table`, and a test holds it to what the tests find.

Differences are powers of ten (`0` is equality bit by bit):

- *attention*: to the oracle, at rows of real tokens. *Own maps* are those the model returns when
  it is loaded with its eager kernel; where it returns something else, *one-hot values* in the
  place of its own let its output projection read the attention, column by column.
- *head output*: attention times values, in double precision, to the head output.
- *zeroed head*: the output with one head's output zeroed, to the output with that head's slice
  of the output projection zeroed.
- *batch = singles*, *left padding*: attention and output of each text of the batch, to those of
  the text alone.
- *query, key*: the softmax of their product, in double precision, to attention; *no* where the
  model forms its scores in code of its own, so that attention is captured and they are not.

*Contribution* says whether what a head adds to the residual stream is defined. With no
hook, or with one that looks at nothing of attention, outputs are equal bit by bit everywhere.

Where a text in a batch is computed by the model itself otherwise than alone, the page says why.
Models that transformers dropped, and modules of your own, are reached by a declaration: see
[your own module](your_own_module.md).
"""


def rows() -> dict[str, list[str]]:
    """The cells of every family that is captured, by name."""
    return {name: _cells(family, subject(name)) for name, family in FAMILIES.items()}


def _cells(family: Family, measured: Subject) -> list[str]:
    return [
        family.way,
        power(measured.attention),
        "one-hot values" if family.values else "own maps",
        "no: global tokens weigh values of their own"
        if measured.head_output is None
        else power(measured.head_output),
        f"no: {family.beside}" if not measured.has_projection() else power(measured.zeroed[0]),
        _scores(family, measured),
        measured.contribution,
        f"no: {family.batch_only}" if family.batch_only else power(measured.singles),
        f"no: {_right_only(family)}" if _right_only(family) else power(measured.left),
    ]


def _scores(family: Family, measured: Subject) -> str:
    if measured.query_and_key is None:
        return "no"
    return f"yes; {family.scores}" if family.scores else power(measured.query_and_key)


def _right_only(family: Family) -> str:
    return family.right_only or family.batch_only


def refusals() -> dict[str, str]:
    """What is said of every model that is refused, by name."""
    said = {}
    for name, (config, options, _) in REFUSED.items():
        module = oracles.build(Family(config, options, "", ""))
        try:
            find_sites(module)
        except BertologyError as error:
            said[name] = str(error)
    return said


def power(difference: float) -> str:
    """A difference as the power of ten above it."""
    return "0" if difference == 0 else f"1e{math.ceil(math.log10(difference))}"


def page() -> str:
    lines = ["| " + " | ".join(_HEAD) + " |", "|" + "---|" * len(_HEAD)]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows().items()]
    refused = ["| model | what is said |", "|---|---|"]
    refused += [f"| {name} | {said} |" for name, said in refusals().items()]
    return "\n".join([_TEXT, *lines, "", "## Refused", "", *refused, ""])


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    PAGE.write_text(page(), encoding="utf-8")
