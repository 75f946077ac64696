import re
from html.parser import HTMLParser
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from pypdf import PdfReader

from bertology.viz import FigureError, save, style, text_scores, text_scores_html
from bertology.viz.scored_text import colours_of, scored_text, signed, wrapped
from bertology.viz.style import lightness
from bertology.viz.text_html import MOST_CELLS
from bertology.viz.text_scores import MOST_WORDS

ATTACK = '<script>alert("x")</script>'


def _table(words, values, *, example=0, indices=None):
    indices = range(len(words)) if indices is None else indices
    rows = [
        (example, index, word, score, value)
        for score, row in values.items()
        for index, word, value in zip(indices, words, row, strict=True)
    ]
    return pd.DataFrame(rows, columns=["example", "index", "word", "score", "value"])


@pytest.fixture
def scores():
    """Two examples; in the first, word 2 has no score."""
    first = _table(
        ["a", "good", "film"],
        {"leave_one_out": [0.1, 0.4, -0.2], "rollout": [0.0, 0.01, 0.02]},
        indices=[0, 1, 3],
    )
    return pd.concat([first, _table(["other"], {"rollout": [1.0]}, example=1)])


def _cells(ax):
    """Rows from the top: (text, background) of every cell from the left; the legend last."""
    boxes = {}
    for box in ax.patches:
        boxes.setdefault(round(box.get_y() + box.get_height() / 2, 3), []).append(box)
    texts = {(round(t.get_position()[0], 3), round(t.get_position()[1], 3)): t for t in ax.texts}
    rows = []
    for y, own in sorted(boxes.items()):
        own.sort(key=lambda box: box.get_x())
        middles = [round(box.get_x() + box.get_width() / 2, 3) for box in own]
        rows.append([
            (texts[x, y].get_text(), to_hex(box.get_facecolor()))
            for x, box in zip(middles, own, strict=True)
        ])  # fmt: skip
    return rows


def test_each_word_is_drawn_in_the_colour_of_its_share(scores):
    *rows, legend = _cells(text_scores(scores))
    colour = mpl.colormaps["RdBu_r"]
    shares = [[0.25, 1.0, None, -0.5], [0.0, 0.5, None, 1.0]]
    for row, expected in zip(rows, shares, strict=True):
        assert [word for word, _ in row] == ["a", "good", "…", "film"]
        for (_, background), share in zip(row, expected, strict=True):
            wanted = "#d9d9d9" if share is None else to_hex(colour((share + 1) / 2))
            assert background == wanted
    assert [mark for mark, _ in legend] == ["−1", "−0.5", "0", "+0.5", "+1"]


def test_rows_are_named_with_their_largest_score_and_aligned(scores):
    ax = text_scores(scores)
    names = {t.get_text(): t.get_position()[1] for t in ax.texts if "(" in t.get_text()}
    assert list(names) == ["leave one out (0.4)", "rollout (0.02)", "score / (largest)"]
    places = [
        [box.get_x() for box in ax.patches if box.get_y() < y < box.get_y() + box.get_height()]
        for y in names.values()
    ]
    assert places[0] == places[1]
    assert len(places[0]) == 4


def test_negative_words_and_no_others_are_underlined(scores):
    ax = text_scores(scores)
    film, *legend = [(line.get_xdata().mean(), line.get_ydata()[0]) for line in ax.lines]
    word = next(t for t in ax.texts if t.get_text() == "film")
    assert film[0] == pytest.approx(word.get_position()[0])
    assert word.get_position()[1] < film[1] < word.get_position()[1] + 0.7
    assert len(legend) == 2


def test_colours_can_be_read_and_tell_sizes_apart_in_grey():
    sizes = np.linspace(0, 1, 11)
    for sign in (1, -1):
        backgrounds, texts = zip(*[colours_of(sign * size) for size in sizes], strict=True)
        levels = [lightness(colour) for colour in backgrounds]
        assert (np.diff(levels) < 0).all()
        contrast = [abs(lightness(t) - level) for t, level in zip(texts, levels, strict=True)]
        assert min(contrast) > 40


def test_the_rows_asked_for_come_in_the_order_asked_for(scores):
    text = scored_text(SimpleNamespace(scores=scores), 0, ["rollout", "leave_one_out"])
    assert text.scores == ("rollout", "leave_one_out")
    assert np.array_equal(
        text.values, [[0, 0.01, np.nan, 0.02], [0.1, 0.4, np.nan, -0.2]], equal_nan=True
    )


def test_a_score_that_lacks_a_word_or_is_zero_everywhere_is_drawn(scores):
    text = scored_text(_table(["a", "b"], {"x": [0.0, np.nan]}), 0, None)
    assert np.array_equal(text.shares(), [[0, np.nan]], equal_nan=True)
    assert text.largest().tolist() == [0]


def test_unknown_examples_and_scores_and_doubled_rows_are_refused(scores):
    for draw in (text_scores, text_scores_html):
        with pytest.raises(FigureError, match=r"example = 7; choose one of \[0, 1\]"):
            draw(scores, example=7)
        with pytest.raises(FigureError, match=r"'leave_one_out'; choose one of \['rollout'\]"):
            draw(scores, example=1, scores=["leave_one_out"])
        with pytest.raises(FigureError, match="comes more than once"):
            draw(pd.concat([scores, scores]))


def test_lines_are_filled_in_order_and_no_wider_than_the_room():
    assert wrapped([2, 3, 4, 1], 5) == [range(2), range(2, 4)]
    assert wrapped([9, 1], 5) == [range(1), range(1, 2)]
    assert wrapped([1], 5) == [range(1)]


def test_numbers_have_signs():
    assert [signed(x) for x in (0.5, -0.25, 0.0, 1 / 3)] == ["+0.5", "−0.25", "0", "+0.3333"]


@pytest.mark.parametrize(("columns", "centimetres"), [(1, 7.7), (2, 16.0)])
def test_words_wrap_inside_a_page_of_the_exact_width(tmp_path, columns, centimetres):
    words = ["watching", "it", "$twice$", "did", "not", "help"] * 5
    values = np.linspace(-1, 1, len(words))
    with style("paper", columns=columns):
        ax = text_scores(_table(words, {"integrated_gradients": values, "lime": -values}))
        pdf = save(ax, tmp_path / "text")[0]
    page = PdfReader(pdf).pages[0].mediabox
    assert float(page.width) == pytest.approx(centimetres / 2.54 * 72, abs=0.01)
    ax.figure.draw_without_rendering()
    inside = ax.figure.bbox
    for text in ax.texts:
        box = text.get_window_extent()
        assert inside.x0 <= box.x0 and box.x1 <= inside.x1
        assert inside.y0 <= box.y0 and box.y1 <= inside.y1
    for ends in _beside_texts(ax):
        assert all(left <= right + 0.5 for left, right in ends)


def _beside_texts(ax):
    """For each word the left ends of box and text, and the right ends of text and box (pixels)."""
    boxes = [(box, box.get_window_extent()) for box in ax.patches]
    texts = {tuple(np.round(t.get_position(), 3)): t.get_window_extent() for t in ax.texts}
    for box, extent in boxes:
        middle = box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2
        text = texts[tuple(np.round(middle, 3))]
        yield [(extent.x0, text.x0), (text.x1, extent.x1)]


def test_words_are_not_mathematics_and_long_texts_are_cut():
    words = ["$x$"] * (MOST_WORDS + 5)
    ax = text_scores(_table(words, {"lime": np.ones(len(words))}))
    shown = [t for t in ax.texts if t.get_text() == "$x$"]
    assert len(shown) == MOST_WORDS
    assert not any(t.get_parse_math() for t in shown)
    assert "… and 5 more words" in [t.get_text() for t in ax.texts]


def test_the_legend_has_fewer_shares_where_there_is_no_room(scores):
    table = scores.replace({"score": {"rollout": "leave_one_out_reversed"}})
    with style("paper", columns=1):
        _, axes = plt.subplots(1, 2)
        ax = text_scores(table, ax=axes[0])
    assert [mark for mark, _ in _cells(ax)[-1]] == ["−1", "0", "+1"]


def test_given_axes_are_drawn_on(scores):
    ax = plt.figure(figsize=(4, 2)).add_subplot()
    assert text_scores(scores, ax=ax) is ax
    assert ax.figure.get_size_inches().tolist() == [4, 2]
    assert len(plt.get_fignums()) == 1


class _Reader(HTMLParser):
    """Every element with its attributes and the text in it."""

    def __init__(self, html):
        super().__init__()
        self.found, self.open = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes), []))
        self.open.append(self.found[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.open[-1][2].append(data)

    def of(self, tag):
        return [("".join(text), given) for name, given, text in self.found if name == tag]


def test_html_has_the_rows_colours_and_numbers_of_the_table(scores):
    reader = _Reader(text_scores_html(scores))
    assert [name for name, _ in reader.of("th")] == ["leave one out", "rollout"]
    cells = reader.of("td")
    assert [word for word, _ in cells] == ["a", "good", "…", "film"] * 2
    assert [given["title"] for _, given in cells[:4]] == [
        "leave one out: +0.1", "leave one out: +0.4", "leave one out: no score",
        "leave one out: −0.2",
    ]  # fmt: skip
    assert f"background:{colours_of(-0.5)[0]};" in cells[3][1]["style"]
    assert ["underline" in given["style"] for _, given in cells] == [False] * 3 + [True] + [
        False
    ] * 4


def test_html_escapes_words_and_scores_everywhere():
    name = '"><img src=x onerror=alert(1)>'
    html = text_scores_html(_table([ATTACK, "a&b", "'"], {name: [1.0, 0.5, -1.0]}))
    assert "<script" not in html
    assert "<img" not in html
    reader = _Reader(html)
    assert [word for word, _ in reader.of("td")] == [ATTACK, "a&b", "'"]
    assert reader.of("th")[0][0] == name
    tags = {tag for tag, *_ in reader.found}
    assert tags == {"div", "table", "tr", "th", "td", "p", "span"}
    assert {key for _, given, _ in reader.found for key in given} == {
        "style", "title", "dir", "scope",
    }  # fmt: skip


def test_html_is_ascii_without_addresses_and_shows_itself_in_notebooks():
    html = text_scores_html(_table(["犬", "\u202eevil", "\ud800"], {"lime": [1.0, 0.5, -1.0]}))
    assert html.isascii()
    assert not re.search(r"https?:|//|url\(|src=|href=", html)
    assert [word for word, _ in _Reader(html).of("td")] == ["犬", "⟨202E⟩evil", "⟨D800⟩"]
    assert html._repr_html_() == html
    assert type(html._repr_html_()) is str


def test_html_stays_small_and_says_what_is_left_out():
    words = ["x" * 1000] * 3000
    table = _table(words, {name: np.linspace(-1, 1, 3000) for name in ("lime", "y" * 1000)})
    html = text_scores_html(table)
    assert len(html) < 2e6
    cells = _Reader(html).of("td")
    assert len(cells) == MOST_CELLS
    assert {len(word) for word, _ in cells} == {40}
    assert "1,000 more words" in html
    assert "more words" not in text_scores_html(table[table["index"] < 10])
