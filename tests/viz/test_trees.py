import itertools

import numpy as np
import pytest
from matplotlib.patches import Arc

from bertology.viz import FigureError, arcs, save, style

WORDS = ["the", "dog", "that", "barks", "sleeps"]
HEADS = [1, 4, 3, 1, -1]
#: Shares (0, 1), (1, 4) and (2, 3) with the heads, in other orders.
PREDICTED = np.array([[1, 0], [1, 4], [2, 3], [3, 4]])


def _arcs(ax):
    """{(first word, second word, side): line style} of what is drawn, by where the arcs stand."""
    places = [text.get_position()[0] for text in ax.texts if text.get_position()[1] == 0]
    found = {}
    for arc in (patch for patch in ax.patches if isinstance(patch, Arc)):
        (x, y), reach = arc.center, arc.width / 2
        words = [int(np.argmin(np.abs(np.array(places) - foot))) for foot in (x - reach, x + reach)]
        side = "gold" if y > 0 else "predicted"
        assert (arc.theta1, arc.theta2) == ((0, 180) if y > 0 else (180, 360))
        found[(*words, side)] = arc.get_linestyle()
    return found


def test_every_edge_is_an_arc_on_its_side_and_shared_ones_are_solid():
    drawn = _arcs(arcs(WORDS, HEADS, PREDICTED))
    gold = {(0, 1), (1, 4), (2, 3), (1, 3)}
    predicted = {(0, 1), (1, 4), (2, 3), (3, 4)}
    assert set(drawn) == {(*e, "gold") for e in gold} | {(*e, "predicted") for e in predicted}
    solid = {key for key, look in drawn.items() if look in ("-", "solid")}
    assert solid == {(*e, side) for e in gold & predicted for side in ("gold", "predicted")}


def test_words_stand_in_order_and_the_count_and_the_root_are_written():
    ax = arcs(WORDS, HEADS, PREDICTED)
    words = [text for text in ax.texts if text.get_position()[1] == 0]
    assert [text.get_text() for text in words] == WORDS
    places = [text.get_position()[0] for text in words]
    assert places == sorted(places)
    root = next(text for text in ax.texts if text.get_text() == " root")
    assert root.get_position()[0] == places[4]
    assert "3 of 4 edges" in ax.get_title(loc="left")


def test_long_arcs_are_higher():
    ax = arcs(WORDS, HEADS, PREDICTED)
    heights = {round(arc.width, 6): arc.height for arc in ax.patches}
    assert [heights[width] for width in sorted(heights)] == sorted(heights.values())


@pytest.mark.parametrize("words", [5, 14, 40])
def test_words_neither_overlap_nor_meet_the_arcs(words, tmp_path):
    names = [WORDS[k % 5] for k in range(words)]
    chain = [(k, k + 1) for k in range(words - 1)]
    with style("paper", columns=1):
        ax = arcs(names, [-1, *range(words - 1)], chain)
    ax.figure.canvas.draw()
    written = [text for text in ax.texts if text.get_position()[1] == 0]
    boxes = [text.get_window_extent() for text in written]
    for left, right in itertools.pairwise(boxes):
        assert left.x1 <= right.x0
    feet = [ax.transData.transform((0, arc.center[1]))[1] for arc in ax.patches]
    assert max(box.y1 for box in boxes) <= min(y for y in feet if y > boxes[0].y0) + 2
    assert min(box.y0 for box in boxes) >= max(y for y in feet if y < boxes[0].y1) - 2
    png = save(ax, tmp_path / "arcs")[2]
    assert png.stat().st_size > 0


def test_trees_of_other_sentences_are_refused():
    with pytest.raises(FigureError, match="5 words have 4 heads"):
        arcs(WORDS, HEADS[:4], PREDICTED)
    with pytest.raises(FigureError, match="The predicted edges join words that are not among"):
        arcs(WORDS, HEADS, [(0, 5)])
    with pytest.raises(FigureError, match="The gold edges"):
        arcs(WORDS, [1, 4, 3, 3, -1], PREDICTED)
