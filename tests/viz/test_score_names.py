from bertology.attribution.floors import FLOORS
from bertology.attribution.scores import AVAILABLE
from bertology.viz.score_names import GROUPS, group_of, in_order, score_name


def test_every_score_that_can_be_computed_has_a_name_and_a_group():
    named = {score for scores in GROUPS.values() for score in scores}
    # Each head is one score; the best of them, and tokens one at a time, are of calibration.
    others = {"attention", "attention_best_head", "leave_one_token_out"}
    assert set(AVAILABLE) | set(FLOORS) == named - others
    assert {group_of(score) for score in FLOORS} == {"floors"}


def test_no_two_scores_have_the_same_name():
    names = [score_name(score) for scores in GROUPS.values() for score in scores]
    assert len(set(names)) == len(names)


def test_unknown_scores_come_last_under_their_own_names():
    assert in_order(["my_own", "lime", "random", "rollout", "a_b"]) == [
        "rollout", "random", "lime", "a_b", "my_own",
    ]  # fmt: skip
    assert (score_name("my_own"), group_of("my_own")) == ("my own", "other scores")
