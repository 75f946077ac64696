import pandas as pd
import pytest

from bertology.errors import BertologyError, FigureError
from bertology.viz.checks import head_name, layer_by_head, rows_where, table_of

TABLE = pd.DataFrame({"layer": [1, 0], "head": [0, 0], "value": [0.5, 0.25], "kind": ["b", "a"]})


def test_a_missing_column_is_named_beside_those_there_are():
    with pytest.raises(FigureError, match=r"lacks the columns \['mean'\].*'layer', 'head'"):
        table_of(TABLE, ["layer", "mean"])


def test_an_empty_table_and_a_thing_without_a_table_are_refused():
    with pytest.raises(FigureError, match="no rows"):
        table_of(TABLE.head(0), ["layer"])
    with pytest.raises(FigureError, match="Cannot draw a str"):
        table_of("heads.csv", ["layer"])
    assert issubclass(FigureError, BertologyError)


def test_unknown_value_lists_the_values():
    with pytest.raises(FigureError, match=r"kind = 'c'; choose one of \['a', 'b'\]"):
        rows_where(TABLE, "kind", "c")


def test_grid_is_sorted_and_refuses_two_rows_for_a_head():
    grid = layer_by_head(TABLE, "value")
    assert grid.index.tolist() == [0, 1]
    assert grid[0].tolist() == [0.25, 0.5]
    with pytest.raises(FigureError, match="layer = 1, head = 0 comes more than once"):
        layer_by_head(pd.concat([TABLE, TABLE.head(1)]), "value")


def test_head_name_counts_from_zero():
    assert head_name(7, 9) == "L7H9"
