from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from bertology.viz import FigureError, attention_grid, attention_lines, attention_map, style
from bertology.viz.attention import compose_page, head_weights, wrap

pytestmark = pytest.mark.filterwarnings("ignore::bertology.viz.FontWarning")


def test_map_shows_the_head_asked_for_by_its_layer_number(captured):
    ax = attention_map(captured, layer=5, head=2)
    assert np.array_equal(ax.collections[0].get_array(), captured.attention[1, 2])
    assert ax.get_title() == "L5H2"
    assert ax.yaxis_inverted()
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [label.get_text() for label in labels] == list(captured.tokens)
        assert not any(label.get_parse_math() for label in labels)


def test_long_texts_are_labelled_in_part(captured):
    n = 100
    long = SimpleNamespace(
        attention=np.full((1, 1, n, n), 1 / n), tokens=tuple(f"t{k}" for k in range(n)), layers=(0,)
    )
    with style():
        labels = attention_map(long, layer=0, head=0).get_yticklabels()
    assert len(labels) < n
    assert labels[1].get_text() == f"t{int(labels[1].get_position()[1])}"


def test_lines_run_from_query_to_key_as_strong_as_the_weight(captured):
    captured.attention[0, 1] = np.eye(4)[[1, 2, 3, 0]]
    captured.attention[0, 1, 0] = [0.25, 0.745, 0.005, 0.0]
    ax = attention_lines(captured, layer=4, head=1)
    lines = ax.collections[0]
    found = {
        (int(start[1]), int(end[1])): (colour[3], width)
        for (start, end), colour, width in zip(
            lines.get_segments(), lines.get_colors(), lines.get_linewidths(), strict=True
        )
    }
    assert set(found) == {(0, 0), (0, 1), (1, 2), (2, 3), (3, 0)}  # .005 is left out
    assert found[0, 0][0] == pytest.approx(0.25)
    assert found[1, 2][0] == 1.0
    assert found[0, 0][1] < found[0, 1][1] < found[1, 2][1]
    assert tuple(lines.get_colors()[0][:3]) == to_rgb("#0072B2")
    shown = [text.get_text() for text in ax.texts]
    assert shown == list(captured.tokens) * 2


def test_page_holds_every_head_once_with_gaps_between(captured):
    page, gap = compose_page(captured.attention)
    assert gap == 1
    assert page.shape == (2 * 4 + 1, 3 * 4 + 2)
    for layer in range(2):
        for head in range(3):
            panel = page[layer * 5 : layer * 5 + 4, head * 5 : head * 5 + 4]
            assert np.array_equal(panel, captured.attention[layer, head])
    assert np.ma.getmaskarray(page).sum() == page.size - 2 * 3 * 16


def test_page_is_numbered_and_lists_the_tokens(captured):
    with style("paper", columns=2):
        ax = attention_grid(captured)
    assert np.ma.allequal(ax.images[0].get_array(), compose_page(captured.attention)[0])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["4", "5"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1", "2"]
    assert list(ax.get_xticks()) == [1.5, 6.5, 11.5]
    assert ax.get_xlabel().split()[-4:] == list(captured.tokens)
    assert not ax.xaxis.label.get_parse_math()


def test_lines_of_the_token_list_keep_tokens_whole_and_fit():
    with style("paper", columns=2):
        lines = wrap(["words"] * 50 + ["日本語"] * 20, 5.0)
    assert " ".join(lines).split() == ["words"] * 50 + ["日本語"] * 20
    assert max(map(len, lines)) <= 5.0 * 72 / (0.6 * 7)
    assert min(map(len, lines[:3])) > 60


def test_what_is_not_there_is_refused_with_what_there_is(captured):
    with pytest.raises(FigureError, match=r"Layer 0 was not captured.*\[4, 5\]"):
        attention_map(captured, layer=0, head=0)
    for head in (3, -1):
        with pytest.raises(FigureError, match=r"captured heads are \[0, 1, 2\]"):
            attention_lines(captured, layer=4, head=head)
    with pytest.raises(FigureError, match="holds no attention"):
        attention_grid(SimpleNamespace(attention=None, tokens=("a",)))


def test_heads_keep_their_numbers_in_a_partial_capture(captured):
    some = SimpleNamespace(
        attention=captured.attention[:, [2, 0]], tokens=captured.tokens, layers=captured.layers,
        heads=(2, 0),
    )  # fmt: skip
    whole = head_weights(captured, 4, 0)
    assert np.array_equal(head_weights(some, 4, 0), whole)
    with pytest.raises(FigureError, match=r"Head 1 was not captured.*\[2, 0\]"):
        attention_map(some, layer=4, head=1)


def test_chosen_positions_cannot_be_drawn_as_a_whole(captured):
    rows = SimpleNamespace(
        attention=captured.attention[:, :, :2], tokens=captured.tokens, layers=captured.layers
    )
    for draw in (attention_map, attention_lines):
        with pytest.raises(FigureError, match="2 query positions"):
            draw(rows, layer=4, head=0)
