import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from pypdf import PdfReader

from bertology.viz import FigureError, attention_map, head_atlas, save, style


def _embedded_fonts(path):
    page = PdfReader(path).pages[0]
    for reference in page["/Resources"]["/Font"].values():
        font = reference.get_object()
        described = font
        if font["/Subtype"] == "/Type0":
            described = font["/DescendantFonts"][0].get_object()
        yield font["/Subtype"], described["/FontDescriptor"].get_object()


@pytest.mark.parametrize(("columns", "centimetres"), [(1, 7.7), (2, 16.0)])
def test_pdf_has_truetype_fonts_and_the_exact_width(summary, tmp_path, columns, centimetres):
    with style("paper", columns=columns):
        ax = head_atlas(summary)
    pdf = save(ax, tmp_path / "atlas")[0]  # outside `style`: saving sets what it needs itself
    fonts = list(_embedded_fonts(pdf))
    assert fonts
    for kind, descriptor in fonts:
        assert kind in ("/TrueType", "/Type0")
        data = descriptor["/FontFile2"].get_object().get_data()
        assert data[:4] == b"\x00\x01\x00\x00"
    width = float(PdfReader(pdf).pages[0].mediabox.width)
    assert width == pytest.approx(centimetres / 2.54 * 72, abs=0.01)


def test_a_user_setting_of_tight_boxes_does_not_change_the_width(summary, tmp_path):
    with style():
        ax = head_atlas(summary)
    with mpl.rc_context({"savefig.bbox": "tight"}):
        pdf = save(ax, tmp_path / "atlas")[0]
        assert mpl.rcParams["savefig.bbox"] == "tight"
    assert float(PdfReader(pdf).pages[0].mediabox.width) == pytest.approx(7.7 / 2.54 * 72, abs=0.01)


@pytest.mark.filterwarnings("ignore::bertology.viz.FontWarning")
def test_svg_keeps_tokens_as_text(captured, tmp_path):
    with style():
        svg = save(attention_map(captured, layer=4, head=0), tmp_path / "map")[1].read_text()
    for token in ("[CLS]", "$x$", "犬"):
        assert re.search(rf"<text[^>]*>\s*{re.escape(token)}\s*</text>", svg)


def test_png_has_200_dots_an_inch(summary, tmp_path):
    with style():
        png = save(head_atlas(summary), tmp_path / "atlas")[2]
    assert plt.imread(png).shape[1] == int(7.7 / 2.54 * 200)


def test_the_same_figure_is_the_same_bytes(summary, tmp_path):
    files = []
    for name in ("a", "b"):
        with style():
            files.append(save(head_atlas(summary), tmp_path / name))
    assert [f.suffix for f in files[0]] == [".pdf", ".svg", ".png"]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert b"CreationDate" not in files[0][0].read_bytes()


def test_folder_is_made_and_dots_in_the_name_are_kept(tmp_path):
    written = save(plt.figure(), tmp_path / "new" / "fig.v1")
    assert [path.name for path in written] == ["fig.v1.pdf", "fig.v1.svg", "fig.v1.png"]
    assert all(path.is_file() for path in written)


def test_wrong_things_are_refused(tmp_path):
    with pytest.raises(FigureError, match="Cannot save a list"):
        save([], tmp_path / "x")
    with pytest.raises(FigureError, match=r"x\.pdf has a suffix"):
        save(plt.figure(), tmp_path / "x.pdf")
    assert not list(tmp_path.iterdir())
