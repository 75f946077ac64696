import matplotlib.pyplot as plt
import pytest

from bertology.viz import fonts
from bertology.viz.tokens import dress_labels, show_token, shown_tokens


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("dog", "dog"),
        ("Ġdog", "Ġdog"),
        (" dog", "␣dog"),
        ("\t", "⇥"),
        ("\n\n", "↵↵"),
        ("\x00", "⟨0000⟩"),
        ("\u200b", "⟨200B⟩"),
        ("\xa0", "⟨00A0⟩"),
        ("\ud800", "⟨D800⟩"),
        ("a\u202eb", "a⟨202E⟩b"),
        ("", "∅"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("antidisestablishmentarianism", "antidisestabl…"),
        ("fourteen chars", "fourteen␣chars"),
    ],
)
def test_what_is_shown(token, shown):
    assert show_token(token) == shown


def test_shortening_keeps_a_letter_with_its_marks():
    token = "x" * 12 + "e\u0301" + "yyy"
    assert show_token(token) == "x" * 12 + "…"


def test_the_signs_are_in_the_base_font():
    labels, _ = shown_tokens([" ", "\t", "\n", "\x00", "", "x" * 30])
    assert set("".join(labels)) <= fonts._characters(fonts.BASE)


def test_dollars_are_not_mathematics():
    label = plt.figure().text(0, 0, "$x^2$")
    dress_labels([label], [fonts.BASE])
    assert label.get_parse_math() is False
