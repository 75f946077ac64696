"""The type lookup and the control task are scikit-learn estimators that obey their laws."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from bertology import BertologyError
from bertology.probing.representations import ControlTask, TypeLookup

WORDS = np.array(["the", "dog", "The", "run", "run", "run", "dog", "of"])
TAGS = np.array(["DET", "NOUN", "DET", "VERB", "NOUN", "VERB", "NOUN", "ADP"])


def test_lookup_predicts_the_most_frequent_label_of_the_type():
    lookup = TypeLookup().fit(WORDS, TAGS)
    assert lookup.predict(["the", "The", "run", "of"]).tolist() == ["DET", "DET", "VERB", "ADP"]


def test_lookup_backs_off_to_the_majority_label_and_keeps_case():
    lookup = TypeLookup().fit(WORDS, TAGS)
    assert lookup.majority_ == "NOUN"
    assert lookup.predict(["THE", "cat"]).tolist() == ["NOUN", "NOUN"]


def test_lookup_gives_ties_to_the_more_frequent_label():
    words, tags = ["a", "a", "b", "c"], ["X", "Y", "Y", "Z"]
    assert TypeLookup().fit(words, tags).predict(["a"]).tolist() == ["Y"]


def test_lookup_takes_a_column_as_well_as_a_row():
    column = WORDS.reshape(-1, 1)
    assert TypeLookup().fit(column, TAGS).score(column, TAGS) == 7 / 8


@pytest.mark.parametrize("estimator", [TypeLookup(), ControlTask()])
@pytest.mark.parametrize("shape", [(0,), (2, 2), (1, 1, 1)])
def test_other_shapes_are_refused(estimator, shape):
    fitted = clone(estimator).fit(WORDS, TAGS)
    method = fitted.predict if isinstance(fitted, TypeLookup) else fitted.transform
    with pytest.raises(BertologyError, match=r"shape \(n,\) or \(n, 1\)"):
        method(np.full(shape, "word"))


def test_estimators_survive_clone_and_get_params():
    assert clone(ControlTask(seed=7)).get_params() == {"seed": 7}
    assert clone(TypeLookup().fit(WORDS, TAGS)).get_params() == {}
    assert not hasattr(clone(TypeLookup().fit(WORDS, TAGS)), "labels_")


def test_lookup_works_in_pipeline_and_grid_search():
    pipeline = Pipeline([("case", FunctionTransformer()), ("lookup", TypeLookup())])
    choices = {"case__func": [None, np.char.lower]}
    search = GridSearchCV(pipeline, choices, cv=2).fit(np.tile(WORDS, 4), np.tile(TAGS, 4))
    assert search.predict(["dog"]).tolist() == ["NOUN"]


def test_lookup_reaches_one_on_the_control_task_of_seen_types():
    rng = np.random.default_rng(0)
    train = np.array([f"w{i}" for i in rng.integers(0, 50, 500)])
    evaluate = rng.choice(train, 300)
    labels = rng.choice(["A", "B", "C"], 500)
    control = ControlTask(seed=3).fit(train, labels)
    lookup = TypeLookup().fit(train, control.transform(train))
    assert lookup.score(evaluate, control.transform(evaluate)) == 1.0
    # The positive control: on labels that do not hang on the type it does not.
    assert TypeLookup().fit(train, labels).score(train, labels) < 0.8


def test_control_label_hangs_on_type_and_seed_alone():
    control = ControlTask(seed=1).fit(WORDS, TAGS)
    together = dict(zip(WORDS, control.transform(WORDS), strict=True))
    assert control.transform(WORDS[::-1]).tolist() == control.transform(WORDS)[::-1].tolist()
    assert all(control.transform([word])[0] == label for word, label in together.items())
    many = [f"w{i}" for i in range(200)]
    other = ControlTask(seed=2).fit(WORDS, TAGS)
    assert (control.transform(many) != other.transform(many)).any()


def test_control_labels_follow_the_training_labels():
    labels = ["A"] * 60 + ["B"] * 30 + ["C"] * 10
    drawn = ControlTask(seed=0).fit(["w"] * 100, labels).transform([f"w{i}" for i in range(4000)])
    for label, share in (("A", 0.6), ("B", 0.3), ("C", 0.1)):
        # Four standard errors of a binomial share.
        assert abs((drawn == label).mean() - share) < 4 * np.sqrt(share * (1 - share) / 4000)
