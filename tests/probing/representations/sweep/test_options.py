"""Options of a sweep: what does not exist or does not fit is named before anything is read."""

import json

import pytest

from bertology import BertologyError
from bertology.probing.representations import ProbeOptions
from bertology.probing.representations.sweep.analysis import check_suited
from bertology.probing.representations.sweep.plan import plan_fits, sample_weight
from bertology.probing.representations.sweep.problems import chosen_tasks
from bertology.probing.representations.tasks import TASKS, word_task


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(BertologyError) as caught:
        ProbeOptions(
            probes=("linear", "svm"), layers=(-1,), controls=("shuffle",), control_draws=1,
            random_models=0, seeds=0, training_samples=1, measures=("bits",),
        )  # fmt: skip
    for part in (
        "probes has 'svm', there are linear, mlp", "layers is (-1,)", "controls has 'shuffle'",
        "control_draws is 1, at least 3", "random_models is 0", "seeds is 0",
        "training_samples is 1, a spread needs at least 2", "measures has 'bits'",
    ):  # fmt: skip
        assert part in str(caught.value)


@pytest.mark.parametrize("layers", [(), (-1, 0), (3, 0), (2, 2)])
def test_layers_ascend_from_0(layers):
    with pytest.raises(BertologyError, match="from 0 in ascending order"):
        ProbeOptions(layers=layers)


@pytest.mark.parametrize("given", ["linear", ()])
def test_probes_are_a_sequence_of_names(given):
    with pytest.raises(BertologyError, match="give a sequence of names"):
        ProbeOptions(probes=given)


def test_options_come_back_from_json_as_they_are():
    options = ProbeOptions(layers=(0, 3), measures=("mdl",)).as_dict()
    assert json.loads(json.dumps(options)) == options


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("upos", "give a sequence of names"),
        ((), "give a sequence of names"),
        (("pos",), "'pos' is unknown; choose from upos"),
        (("upos", word_task("upos", lambda s: s.upos, "tags")), "Two tasks have one name"),
    ],
)
def test_tasks_are_names_or_tasks(tasks, message):
    with pytest.raises(BertologyError, match=message):
        chosen_tasks(tasks)


def test_tasks_by_name_once_and_of_ones_own():
    own = word_task("own", lambda s: s.upos, "tags")
    assert chosen_tasks(("upos", "upos", own)) == [TASKS["upos"], own]


@pytest.mark.parametrize(
    ("tasks", "probes", "wrong"),
    [
        (("upos",), ("bilinear",), "bilinear, upos"),
        (("upos", "coreference"), ("bilinear",), "upos"),
        (("upos",), ("linear", "bilinear"), "bilinear"),
    ],
)
def test_probes_and_tasks_that_do_not_go_together(tasks, probes, wrong):
    with pytest.raises(BertologyError, match=f"do not go together: {wrong}. The tasks"):
        check_suited(chosen_tasks(tasks), ProbeOptions(probes=probes))


def test_structural_probes_go_with_any_task():
    check_suited(chosen_tasks(("upos",)), ProbeOptions(probes=("structural",)))
    check_suited(chosen_tasks(("upos",)), ProbeOptions(probes=("linear", "structural")))


def test_more_of_one_kind_of_fit_leaves_the_others_as_they_are():
    few = plan_fits(ProbeOptions(training_samples=2), convex=False, spread=True)
    many = plan_fits(ProbeOptions(training_samples=4, seeds=3), convex=False, spread=True)
    assert len(few) == 1 + 2 + 3 and len(many) == 3 + 4 + 3
    assert set(few) < set(many)
    # A convex probe has one start.
    assert len(plan_fits(ProbeOptions(seeds=3), convex=True, spread=False)) == 1 + 3


def test_a_bootstrap_sample_takes_whole_units():
    units = [0, 0, 0, 4, 4, 7, 9, 9]
    weights = [sample_weight(units, seed) for seed in range(200)]
    for weight in weights:
        assert weight[0] == weight[1] == weight[2] and weight[3] == weight[4]
        assert weight[0] + weight[3] + weight[5] + weight[6] == 4
    means = sum(weights) / 200
    # Each unit is drawn once on average, with a standard error of at most 0.07.
    assert abs(means - 1).max() < 0.25
