"""Control labels hang on the type alone, and can be learned by heart."""

import numpy as np
import pytest
from sklearn.base import clone

from bertology.probing.representations.controls import ControlTask, TypeLookup

WORDS = np.array(["the", "dog", "The", "run", "run", "run", "dog", "of"])
TAGS = np.array(["DET", "NOUN", "DET", "VERB", "NOUN", "VERB", "NOUN", "ADP"])


@pytest.mark.parametrize("pairs", [False, True])
def test_the_lookup_is_right_about_every_type_it_has_seen(pairs: bool) -> None:
    """The ceiling of a control task: the share of evaluation items whose type was seen."""
    rng = np.random.default_rng(0)
    types = np.array([f"w{i}" for i in range(80)], dtype=object)
    if pairs:
        types = np.array([f"w{i}\tv{rng.integers(99)}" for i in range(80)], dtype=object)
    train, evaluate = rng.choice(types[:60], 500), rng.choice(types, 4000)
    labels = rng.choice(["A", "B", "C"], 500)
    control = ControlTask(seed=3).fit(train, labels)
    lookup = TypeLookup().fit(train, control.transform(train))
    seen = np.isin(evaluate, train)
    right = lookup.predict(evaluate) == control.transform(evaluate)
    assert 0.6 < seen.mean() < 0.9 and right[seen].all()
    # Of what was not seen the majority is a guess, about 20 types of three labels.
    assert right[~seen].mean() < 0.75
    # The positive control: labels that do not hang on the type cannot be looked up.
    assert TypeLookup().fit(train, labels).score(train, labels) < 0.8


def test_the_label_hangs_on_type_and_seed_alone() -> None:
    control = ControlTask(seed=1).fit(WORDS, TAGS)
    together = dict(zip(WORDS, control.transform(WORDS), strict=True))
    assert control.transform(WORDS[::-1]).tolist() == control.transform(WORDS)[::-1].tolist()
    assert all(control.transform([word])[0] == label for word, label in together.items())
    many = [f"w{i}" for i in range(200)]
    other = ControlTask(seed=2).fit(WORDS, TAGS)
    # Two independent draws of these shares agree on 31 of 100.
    assert 0.15 < (control.transform(many) == other.transform(many)).mean() < 0.45


def test_the_label_of_a_pair_hangs_on_its_first_span() -> None:
    control = ControlTask(seed=1).fit(WORDS, TAGS)
    words = [f"w{i}" for i in range(50)]
    alone = control.transform(words)
    for other in ("x", "y z"):
        assert (control.transform([f"{word}\t{other}" for word in words]) == alone).all()
    assert len(set(control.transform([f"x\t{word}" for word in words]))) == 1
    assert len(set(alone)) > 1


def test_whole_texts_cannot_be_learned_by_heart() -> None:
    """No text recurs, so the best lookup of the control is the majority: it is at chance."""
    train, evaluate = ([f"{part} text {i}" for i in range(2000)] for part in ("one", "other"))
    control = ControlTask(seed=0).fit(train, ["A"] * 1000 + ["B"] * 1000)
    lookup = TypeLookup().fit(train, control.transform(train))
    # Four standard errors of a share of a half.
    assert abs(lookup.score(evaluate, control.transform(evaluate)) - 0.5) < 4 * 0.5 / 2000**0.5


def test_control_labels_follow_the_training_labels() -> None:
    labels = ["A"] * 60 + ["B"] * 30 + ["C"] * 10
    drawn = ControlTask(seed=0).fit(["w"] * 100, labels).transform([f"w{i}" for i in range(4000)])
    for label, share in (("A", 0.6), ("B", 0.3), ("C", 0.1)):
        # Four standard errors of a binomial share.
        assert abs((drawn == label).mean() - share) < 4 * np.sqrt(share * (1 - share) / 4000)


def test_control_task_survives_clone() -> None:
    assert clone(ControlTask(seed=7).fit(WORDS, TAGS)).get_params() == {"seed": 7}
