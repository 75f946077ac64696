"""The type lookup is a scikit-learn estimator that backs off step by step."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from bertology import BertologyError
from bertology.probing.representations.controls import ControlTask, TypeLookup

WORDS = np.array(["the", "dog", "The", "run", "run", "run", "dog", "of"])
TAGS = np.array(["DET", "NOUN", "DET", "VERB", "NOUN", "VERB", "NOUN", "ADP"])


def test_the_most_frequent_label_of_the_type() -> None:
    lookup = TypeLookup().fit(WORDS, TAGS)
    assert lookup.predict(["the", "The", "run", "of"]).tolist() == ["DET", "DET", "VERB", "ADP"]


def test_a_form_is_looked_up_as_it_stands_then_in_lower_case_then_the_majority() -> None:
    words = ["May", "may", "may", "US", "us", "us", "x", "x", "x", "x"]
    tags = ["PROPN", "AUX", "AUX", "PROPN", "PRON", "PRON", "SYM", "SYM", "SYM", "SYM"]
    lookup = TypeLookup().fit(words, tags)
    assert lookup.predict(["May", "may", "US"]).tolist() == ["PROPN", "AUX", "PROPN"]
    # Of all forms that are "may" in lower case, most are AUX.
    assert lookup.predict(["MAY", "Us"]).tolist() == ["AUX", "PRON"]
    assert lookup.majority_ == "SYM" and lookup.predict(["new"]).tolist() == ["SYM"]


def test_a_pair_is_looked_up_whole_then_by_its_first_span() -> None:
    known = {
        "a\tdog": "one", "a\tcat": "two", "a\tcow": "two", "a\tape": "two",
        "the\tcat": "three", "the\tcow": "three", "The\tape": "four",
        "x\ty": "five", "x\tz": "five", "x\tv": "five", "x\tw": "five",
    }  # fmt: skip
    pairs, labels = list(known), list(known.values())
    lookup = TypeLookup().fit(pairs, labels)
    assert lookup.predict(["a\tdog", "a\tcat"]).tolist() == ["one", "two"]
    assert lookup.predict(["A\tDog"]).tolist() == ["one"]  # The pair in lower case.
    assert lookup.predict(["a\tnew", "The\tnew"]).tolist() == ["two", "four"]  # The first span.
    assert lookup.predict(["A\tnew"]).tolist() == ["two"]
    assert lookup.predict(["new\tcat"]).tolist() == [lookup.majority_] == ["five"]


def test_ties_go_to_the_more_frequent_label_then_to_the_first() -> None:
    words, tags = ["a", "a", "b", "c"], ["X", "Y", "Y", "Z"]
    assert TypeLookup().fit(words, tags).predict(["a"]).tolist() == ["Y"]
    assert TypeLookup().fit(["a", "a"], ["Y", "X"]).predict(["a", "b"]).tolist() == ["X", "X"]
    # In a step of the backoff, too.
    assert TypeLookup().fit(["Ab", "aB", "b"], ["X", "Y", "Y"]).predict(["AB"]).tolist() == ["Y"]


def test_a_column_is_read_as_well_as_a_row() -> None:
    column = WORDS.reshape(-1, 1)
    assert TypeLookup().fit(column, TAGS).score(column, TAGS) == 7 / 8


@pytest.mark.parametrize("estimator", [TypeLookup(), ControlTask()])
@pytest.mark.parametrize("shape", [(0,), (2, 2), (1, 1, 1)])
def test_other_shapes_are_refused(estimator, shape) -> None:
    fitted = clone(estimator).fit(WORDS, TAGS)
    method = fitted.predict if isinstance(fitted, TypeLookup) else fitted.transform
    with pytest.raises(BertologyError, match=r"shape \(n,\) or \(n, 1\)"):
        method(np.full(shape, "word"))


def test_lookup_works_in_pipeline_and_grid_search() -> None:
    assert clone(TypeLookup().fit(WORDS, TAGS)).get_params() == {}
    assert not hasattr(clone(TypeLookup().fit(WORDS, TAGS)), "labels_")
    pipeline = Pipeline([("case", FunctionTransformer()), ("lookup", TypeLookup())])
    choices = {"case__func": [None, np.char.lower]}
    search = GridSearchCV(pipeline, choices, cv=2).fit(np.tile(WORDS, 4), np.tile(TAGS, 4))
    assert search.predict(["dog"]).tolist() == ["NOUN"]
