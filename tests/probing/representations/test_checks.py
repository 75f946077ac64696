"""What cannot be learned or scored is refused before training, and what can is not."""

import warnings

import numpy as np
import pytest

from bertology.errors import CaptureError, CorpusError
from bertology.probing.representations.checks import check_features, check_items
from bertology.probing.representations.items import Items


def items(labels: str) -> Items:
    rows = np.arange(len(labels))
    each = np.array(list(labels), dtype=object)
    return Items("mine", np.stack([rows, rows + 1], 1)[:, None], each, each, rows, rows, 0)


def test_items_that_can_be_learned_pass_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_items(items("aabb"), items("ab"))
        check_items(items("aaab"), items("a"))


@pytest.mark.parametrize(
    ("train", "evaluate", "message"),
    [
        ("aaaa", "ab", r"has 1 class for the task 'mine' on 4 items \('a'\); at least 2"),
        ("", "ab", "has 0 class"),
        ("abc", "ab", r"3 items for the 3 classes of the task 'mine'; .*\(6\) are needed"),
        ("abcde" + "a" * 4, "ab", "9 items for the 5 classes"),
        ("aabb", "", "The evaluation part has no item of the task 'mine'"),
        ("aabb", "ccx", r"3 of 3 .* label that training has not: 'c' \(2\), 'x' \(1\);"
                        r" training has 'a' \(2\), 'b' \(2\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_is_refused(train, evaluate, message) -> None:
    with pytest.raises(CorpusError, match=message):
        check_items(items(train), items(evaluate))


def test_labels_unseen_in_training_are_named_with_their_counts() -> None:
    message = r"3 of 5 evaluation items of the task 'mine' .*: 'c' \(2\), 'd' \(1\)\. They count as"
    with pytest.warns(UserWarning, match=message):
        check_items(items("aabb"), items("acdcb"))
    with pytest.warns(UserWarning, match=r"and 4 more\. They count as errors"):
        check_items(items("aabb"), items("acdefghijklmnop"))


def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def test_features_that_vary_pass_also_beside_constant_ones() -> None:
    some = features()
    check_features(some, 3)
    some[:, 1:] = 0
    check_features(some, 3)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_features_that_are_no_numbers_are_refused_with_layer_and_item(wrong) -> None:
    some = features()
    some[[4, 2], 1] = wrong
    with pytest.raises(
        CaptureError, match=r"Layer 3 has .* for 2 of 6 items, the first being item 2"
    ):
        check_features(some, 3)


@pytest.mark.parametrize("value", [0.0, 7.5])
def test_features_that_are_all_constant_are_refused(value) -> None:
    with pytest.raises(CaptureError, match="Layer 3 has the same features for all 6 items"):
        check_features(np.full((6, 4), value), 3)
