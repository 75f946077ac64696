import warnings
from types import SimpleNamespace

import pytest

from bertology.viz import FontWarning, fonts, style


def test_latin_greek_hebrew_and_arabic_need_only_the_base_font():
    with style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fonts.families_for(["dog τ →", "שלום", "كلب"])[0] == fonts.BASE


@pytest.fixture
def only_base(monkeypatch):
    """A machine on which nothing but the base font is installed."""
    base = {fonts.BASE: fonts._regular_fonts()[fonts.BASE]}
    monkeypatch.setattr(fonts, "_regular_fonts", lambda: base)
    fonts._candidates.cache_clear()
    yield
    fonts._candidates.cache_clear()


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("犬", "fonts-wqy-zenhei"),
        ("한", "fonts-wqy-zenhei"),
        ("𠮷", "fonts-wqy-zenhei"),
        ("कुत्ता", "fonts-noto-core"),
        ("🐶", "fonts-symbola"),
    ],
)
def test_missing_script_gives_one_warning_that_names_the_package(only_base, text, package):
    with pytest.warns(FontWarning, match=package) as caught:
        fonts.families_for([text, "dog"])
        fonts.families_for([text, "cat"])
    assert len(caught) == 1


def test_several_scripts_share_one_warning(only_base):
    with pytest.warns(FontWarning) as caught:
        fonts.families_for(["犬", "🐶", "क"])
    assert len(caught) == 1
    for package in ("fonts-wqy-zenhei", "fonts-symbola", "fonts-noto-core"):
        assert package in str(caught[0].message)


def _pretend(monkeypatch, characters, postscript):
    names = [fonts.BASE, *characters]
    monkeypatch.setattr(fonts, "_regular_fonts", lambda: dict.fromkeys(names))
    monkeypatch.setattr(fonts, "_characters", lambda f: frozenset(characters.get(f, "dog")))
    monkeypatch.setattr(fonts, "_is_postscript", lambda family: family in postscript)
    fonts._candidates.cache_clear()
    monkeypatch.setattr(fonts, "_candidates", fonts._candidates.__wrapped__)


def test_truetype_outlines_are_chosen_before_postscript_ones(monkeypatch):
    _pretend(monkeypatch, {"A Sans": "犬", "Z Type": "犬"}, postscript={"A Sans"})
    with style():
        assert fonts.families_for(["犬"]) == [fonts.BASE, "Z Type"]


def test_embedding_warns_only_where_a_postscript_font_draws(monkeypatch):
    _pretend(monkeypatch, {"A Sans": "犬d", "Z Type": "犬"}, postscript={"A Sans"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fonts.warn_about_embedding({"犬": ["Z Type", "A Sans"], "dog": [fonts.BASE, "A Sans"]})
    with pytest.warns(FontWarning, match=r"A Sans.*fonts-wqy-zenhei"):
        fonts.warn_about_embedding({"犬": [fonts.BASE, "A Sans", "Z Type"]})


def test_outline_kind_is_read_from_the_file(tmp_path, monkeypatch):
    plain, collection = tmp_path / "a.otf", tmp_path / "b.ttc"
    plain.write_bytes(b"OTTO" + bytes(20))
    header = b"ttcf" + bytes(8) + (20).to_bytes(4, "big") + (24).to_bytes(4, "big")
    collection.write_bytes(header + b"\x00\x01\x00\x00" + b"OTTO")
    faces = {
        "otf": SimpleNamespace(fname=str(plain)),
        "face 0": SimpleNamespace(fname=str(collection), index=0),
        "face 1": SimpleNamespace(fname=str(collection), index=1),
    }
    monkeypatch.setattr(fonts, "_regular_fonts", lambda: faces)
    kinds = {name: fonts._is_postscript.__wrapped__(name) for name in faces}
    assert kinds == {"otf": True, "face 0": False, "face 1": True}
