"""The page of the report: one self-contained HTML file from a template."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jinja2
import matplotlib as mpl
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import __version__, viz


@dataclass(frozen=True)
class Picture:
    """A figure of the report: how it is drawn, and how it is read."""

    name: str
    """File name without ending."""
    draw: Callable[[], Axes]
    caption: str
    columns: int = 1
    """Columns of a paper that it fills."""
    wide: bool = False
    """Whether it takes the whole width of the page."""


@dataclass(frozen=True)
class Drawn:
    """A picture ready for the page."""

    name: str
    caption: str
    image: str
    """The figure as a data URI."""
    wide: bool


def draw(picture: Picture, folder: Path) -> Drawn:
    """Save a picture's vector files in `folder`, and draw it again for the screen."""
    with viz.style("paper", columns=picture.columns):
        figure = _figure(picture.draw())
        viz.save(figure, folder / picture.name)
        plt.close(figure)
    with viz.style("screen", columns=2 if picture.wide else 1):
        figure = _figure(picture.draw())
        image = _data_uri(figure)
        plt.close(figure)
    return Drawn(picture.name, picture.caption, image, picture.wide)


def render(template: str, **values: object) -> str:
    """Fill a template; everything that comes from data is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    return environment.get_template(template).render(version=__version__, **values)


def table_rows(table: pd.DataFrame) -> dict[str, object]:
    """A table as the template wants it."""
    return {"columns": list(table.columns), "rows": table.to_numpy().tolist()}


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    if figure is None:
        raise TypeError("the axes of a picture belong to a figure")
    return figure


def _data_uri(figure: Figure) -> str:
    """The figure as SVG with outlined text: sharp at any size, the same on every machine."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def _cell(value: object) -> str:
    """A table cell as text: three digits of a number, nothing for a missing one."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.3f}"
    return str(value)
