"""What every figure checks before it draws: the table, its columns, the rows asked for."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ..errors import FigureError

_LEVEL = 0.05


def table_of(result: Any, columns: Sequence[str]) -> pd.DataFrame:
    """The table of a result (or a data frame itself), with at least these columns.

    Raises:
        FigureError: no table, an empty one, or one that lacks a column.
    """
    table = getattr(result, "table", result)
    if not isinstance(table, pd.DataFrame):
        raise FigureError(
            f"Cannot draw a {type(result).__name__}: expected a result with a `table`, "
            "or the data frame itself."
        )
    if missing := [column for column in columns if column not in table.columns]:
        raise FigureError(
            f"The table lacks the columns {missing}; it has {list(table.columns)}. "
            "Is it the result of another analysis?"
        )
    if table.empty:
        raise FigureError("The table has no rows, so there is nothing to draw.")
    return table


def rows_where(table: pd.DataFrame, column: str, value: Any) -> pd.DataFrame:
    """The rows in which `column` equals `value`.

    Raises:
        FigureError: there is no such row; the message lists the values there are.
    """
    rows = table[table[column] == value]
    if rows.empty:
        present = sorted(table[column].dropna().unique().tolist(), key=str)
        raise FigureError(f"No row has {column} = {value!r}; choose one of {present}.")
    return rows


def layer_by_head(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """One column of a table as a grid: index layer, columns head, NaN where there is no row.

    Raises:
        FigureError: two rows for the same head.
    """
    check_one_row_each(table, ["layer", "head"])
    return table.pivot(index="layer", columns="head", values=value)


def check_one_row_each(table: pd.DataFrame, keys: Sequence[str]) -> None:
    """Refuse a table with two rows for the same keys.

    Raises:
        FigureError: naming the first repeated row.
    """
    repeated = table[table.duplicated(list(keys))]
    if len(repeated):
        first = ", ".join(f"{key} = {repeated[key].iloc[0]}" for key in keys)
        raise FigureError(
            f"Expected one row for each {' and '.join(keys)}, but {first} comes more than once; "
            "keep one kind of row before drawing."
        )


def significant(p: Any) -> Any:
    """Where p-values are at most .05; a missing one is not. Of the shape given."""
    return p <= _LEVEL


def head_name(layer: int, head: int) -> str:
    """`L7H9`; both count from 0."""
    return f"L{int(layer)}H{int(head)}"


def plain(name: Any) -> str:
    """A name of a table, such as `file_size`, in words."""
    return str(name).replace("_", " ")
