"""A student that is part of its teacher kept exactly those heads, however they are numbered."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from bertology import BertologyError
from bertology.ablation import ablate
from bertology.ablation.distillation import KeptHeads, kept_heads
from bertology.ablation.distillation.effects import Effects, likeness
from bertology.models import randomised

ORDER = [2, 0, 3, 1]


def quiet(model, layer):
    """A copy of a BERT in which a block passes on what it reads, all but unchanged."""
    module = copy.deepcopy(model.module)
    block = module.encoder.layer[layer]
    for dense in (block.attention.output.dense, block.output.dense):
        dense.weight.data *= 1e-3
        dense.bias.data.zero_()
    return replace(model, name="teacher", module=module)


def student_of(teacher, layers, order):
    """The given blocks of the teacher; head h is its head order[h]."""
    module = copy.deepcopy(teacher.module)
    module.encoder.layer = torch.nn.ModuleList([module.encoder.layer[layer] for layer in layers])
    module.config.num_hidden_layers = len(layers)
    for block in module.encoder.layer:
        own, width = block.attention.self, block.attention.self.attention_head_size
        places = torch.cat([torch.arange(head * width, (head + 1) * width) for head in order])
        for part in (own.query, own.key, own.value):
            part.weight.data = part.weight.data[places]
            part.bias.data = part.bias.data[places]
        dense = block.attention.output.dense
        dense.weight.data = dense.weight.data[:, places]
    return replace(teacher, name="student", module=module)


@pytest.fixture(scope="module")
def teacher(tiny_model):
    return quiet(tiny_model("bert"), 1)


@pytest.fixture(scope="module")
def found(teacher, random_examples):
    return kept_heads(teacher, student_of(teacher, [0, 2], ORDER), random_examples(40))


def test_every_other_layer_with_its_heads_permuted_is_found(found):
    table = found.table
    assert list(table.columns[:5]) == [
        "teacher_layer", "teacher_head", "student_layer", "student_head", "distance"
    ]  # fmt: skip
    assert table.student_layer.tolist() == [0] * 4 + [1] * 4
    assert table.teacher_layer.tolist() == [0] * 4 + [2] * 4
    assert table.teacher_head.tolist() == ORDER * 2
    assert (table.distance < 1e-4).all() and (table.null_low > 0.01).all()
    assert table.kept.all() and table.same_match.all() and (table.p_adjusted < 0.01).all()


def test_matched_heads_are_needed_alike(found):
    table = found.table
    assert (table.effect_correlation > 0.99).all() and (table.ci_low > 0.98).all()
    assert (table.unmatched_correlation < 0.6).all() and (table.difference_low > 0.2).all()
    (row,) = found.summary.itertuples()
    assert (row.kept, row.student_heads, row.teacher_heads, row.n) == (8, 8, 12, 40)
    assert row.matched_correlation == pytest.approx(table.effect_correlation.mean())
    assert row.correlation_difference == pytest.approx(table.correlation_difference.mean())
    assert 0.4 < row.ci_low <= row.correlation_difference <= row.ci_high


def test_the_heads_of_the_teacher_that_are_lost(found):
    teacher = found.teacher
    assert teacher.kept.tolist() == [True] * 4 + [False] * 4 + [True] * 4
    students = teacher[teacher.layer == 2].student_head.tolist()
    assert [ORDER[head] for head in students] == [0, 1, 2, 3]
    assert teacher[teacher.layer == 1].student_head.isna().all()


def test_effects_are_those_of_ablation(teacher, found, random_examples):
    examples = random_examples(40)
    student = student_of(teacher, [0, 2], ORDER)
    deltas = []
    for model in (student, teacher):
        result = ablate(model, examples, modes=["zero"], metrics=["target"])
        base, without = result.rows("target")[:, 0], result.rows("target", "zero")[..., 0]
        deltas.append((without - base).astype(float))
    expected = np.corrcoef(deltas[0][5], deltas[1][8 + ORDER[1]])[0, 1]
    assert found.table.effect_correlation[5] == pytest.approx(expected, abs=1e-4)


def test_an_unrelated_student_kept_nothing(teacher, random_examples):
    other = randomised(student_of(teacher, [0, 2], ORDER), keep_embeddings=True, seed=5)
    found = kept_heads(teacher, other, random_examples(40))
    assert found.table.kept.sum() <= 1 and not found.teacher.kept.all()
    assert found.summary.correlation_difference[0] < 0.3


def test_a_student_with_more_heads_has_some_without_a_match(teacher, random_examples):
    small = student_of(teacher, [0], ORDER)
    found = kept_heads(small, teacher, random_examples(32), null_model=quiet(teacher, 0))
    none = found.table.teacher_layer.isna()
    assert none.sum() == 8 and not found.table.kept[none].any()
    assert found.table.effect_correlation[none].isna().all()
    assert found.table.distance[none].isna().all()


def test_the_files(found, tmp_path):
    loaded = KeptHeads.load(found.save(tmp_path / "kept"))
    for name in ("table", "teacher", "summary"):
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(found, name))
    assert found.provenance.options["student"] == "student"
    assert "random blocks" in found.provenance.options["null_model"]


def test_bad_input_is_refused(teacher, random_examples):
    with pytest.raises(BertologyError, match="at least 4"):
        kept_heads(teacher, teacher, random_examples(2))
    with pytest.raises(BertologyError, match="maps"):
        kept_heads(teacher, teacher, random_examples(5), maps="piece")
    with pytest.raises(BertologyError, match="mode"):
        kept_heads(teacher, teacher, random_examples(5), mode="gone")


def effects(student, teacher):
    return Effects(np.array(student), np.array(teacher), np.arange(len(student[0])), [])


def test_correlations_are_pearson_and_intervals_cover():
    draw = np.random.default_rng(0)
    covered, runs = 0, 50
    for run in range(runs):
        shared = draw.normal(size=(2, 80))
        # Correlation .6 with the match, 0 with the other.
        student = 0.6 * shared + 0.8 * draw.normal(size=(2, 80))
        found = likeness(effects(student, shared), np.array([0, 1]), run)
        expected = np.corrcoef(student, shared)[:2, 2:]
        np.testing.assert_allclose(found.matched[:, 0], np.diag(expected))
        np.testing.assert_allclose(found.unmatched[:, 0], expected[[0, 1], [1, 0]])
        covered += int((found.matched[0, 1] <= 0.6) & (found.matched[0, 2] >= 0.6))
    assert covered / runs > 0.85, "three standard errors below 95 %"


def test_a_head_without_effect_has_no_correlation():
    draw = np.random.default_rng(0)
    teacher = draw.normal(size=(3, 30))
    student = np.stack([teacher[1], np.zeros(30)])
    found = likeness(effects(student, teacher), np.array([1, 0]), 0)
    assert found.matched[0, 0] == pytest.approx(1) and np.isnan(found.matched[1]).all()
    assert found.means[0, 0] == pytest.approx(1), "means are over the heads that have one"


def test_texts_of_a_document_are_resampled_together():
    draw = np.random.default_rng(0)
    teacher = np.repeat(draw.normal(size=(2, 12)), 10, axis=1)
    student = teacher + np.repeat(draw.normal(size=(2, 12)), 10, axis=1)
    alone = effects(student, teacher)
    together = replace(alone, units=np.repeat(np.arange(12), 10))
    widths = [
        np.ptp(likeness(one, np.array([0, 1]), 0).matched[0, 1:]) for one in (alone, together)
    ]
    assert widths[1] > 2 * widths[0]
