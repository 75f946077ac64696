"""Models made by hand, of which it is known what each head is worth."""

import numpy as np
import pytest
import torch

from bertology.ablation import ablate
from bertology.ablation.held_out import held_out
from bertology.ablation.joined import joined
from bertology.ablation.parts import every_head, every_pair, head_set
from bertology.attribution.calibration import one_head_carries
from bertology.attribution.calibration.carriers import vocabulary
from bertology.attribution.calibration.handmade import CARRIER, NEGATIVE, POSITIVE
from bertology.corpora import Example, Examples
from bertology.corpora.text import text_to_sentence

OTHER = (0, 3)


@pytest.fixture(scope="module")
def cues():
    """40 texts of 3 to 6 words, one of which says the class."""
    draw = np.random.default_rng(0)
    fillers = [word for word in vocabulary() if word not in (NEGATIVE, POSITIVE, "trumpet")]
    examples = []
    for number in range(40):
        words = list(draw.choice(fillers, draw.integers(2, 6)))
        words.insert(draw.integers(len(words)), (NEGATIVE, POSITIVE)[number % 2])
        sentence = text_to_sentence(" ".join(words), id=f"s{number}")
        examples.append(Example(sentence, label=("negative", "positive")[number % 2]))
    return Examples("cues", tuple(examples), "0" * 64)


def copied(model, factor):
    """Let another head do what the carrier does, times a factor."""
    block = model.module.bert.encoder.layer[0].attention
    source, place = (slice(4 * head, 4 * head + 4) for _, head in (CARRIER, OTHER))
    with torch.no_grad():
        for name in ("query", "key", "value"):
            weight = getattr(block.self, name).weight
            weight[place] = weight[source]
        block.output.dense.weight[:, place] = factor * block.output.dense.weight[:, source]
    return model


def accuracies(model, data, parts=None, **options):
    result = ablate(model, data, parts=parts, metrics=["accuracy"], modes=["zero"], **options)
    return result.table.set_index("part"), result


def test_exactly_one_head_matters(cues):
    table, _ = accuracies(one_head_carries().model, cues)
    assert (table.base == 1).all()
    assert table.delta["L0H1"] == -0.5 and table.p_adjusted["L0H1"] < 0.001
    others = table.drop("L0H1")
    assert (others.delta == 0).all() and (others.p_adjusted == 1).all()


def test_two_heads_back_each_other_up(cues):
    model = copied(one_head_carries().model, 1.0)
    table, _ = accuracies(model, cues)
    assert (table.base == 1).all() and (table.delta == 0).all(), "each alone is harmless"
    pairs = every_pair([CARRIER, OTHER, (0, 0), (1, 2)])
    both, _ = accuracies(model, cues, pairs, null_sets=20)
    assert both.delta["L0H1+L0H3"] == -0.5, "both together are fatal"
    assert (both.drop("L0H1+L0H3").delta == 0).all()
    null = both.loc["L0H1+L0H3"]
    assert null.null_mean == 0 and null.null_low == 0
    # Layer 0 has six pairs of heads; the set is the most extreme of them.
    assert null.p_null == pytest.approx(1 / 6)
    assert both.p_null["L0H0+L1H2"] == 1 and both["layer"].isna().all()


def test_removing_one_head_helps(cues):
    table, _ = accuracies(copied(one_head_carries().model, -2.0), cues)
    assert (table.base == 0).all() and table.delta["L0H3"] == 1
    assert table.p_adjusted["L0H3"] < 0.001 and (table.drop("L0H3").delta == 0).all()


def test_the_best_head_is_honest_only_on_other_data(cues):
    """Heads without any effect, whose outcomes are noise: the best looks good where chosen."""
    _, result = accuracies(one_head_carries().model, cues)
    draw = np.random.default_rng(0)
    naive, honest, flagged = [], [], 0
    for seed in range(40):
        rows = draw.random((1, 8, 40, 1)) < 0.8
        ones = np.ones((1, 8, 40, 1))
        result.ablated[:] = np.concatenate([rows, ones], -1)
        result.base[:] = np.stack([draw.random(40) < 0.8, np.ones(40)], -1)
        found = held_out(result, "accuracy", seed=seed).iloc[0]
        naive.append(found.naive_delta)
        honest.append(found.delta)
        flagged += found.p_adjusted <= 0.05
    assert np.mean(naive) > 0.05
    spread = np.std(honest) / np.sqrt(len(honest))
    assert abs(np.mean(honest)) < 3 * spread and flagged <= 6


def test_a_real_gain_survives_the_other_half(cues):
    _, result = accuracies(copied(one_head_carries().model, -2.0), cues)
    found = held_out(result, "accuracy").iloc[0]
    assert found.part == found.other_part == "L0H3" and found.same_part
    assert found.delta == 1 and found.p_adjusted < 0.001
    lowest = held_out(accuracies(one_head_carries().model, cues)[1], "accuracy",
                      choice="lowest").iloc[0]  # fmt: skip
    assert lowest.part == "L0H1" and lowest.delta == -0.5


def test_several_runs_make_one_table(cues):
    models = [one_head_carries().model, copied(one_head_carries().model, 1.0)]
    parts = [*every_head(models[0].module)[:2], head_set("both", [CARRIER, OTHER])]
    runs = {
        str(number): accuracies(model, cues, parts, null_sets=0)[1]
        for number, model in enumerate(models)
    }
    table = joined(runs).set_index("part")
    assert table["mean"]["L0H1"] == -0.25 and table["sd"]["L0H1"] == pytest.approx(0.5 / 2**0.5)
    assert table["delta 0"]["L0H1"] == -0.5 and table["delta 1"]["L0H1"] == 0
    assert table["mean"]["both"] == -0.5 and table["sd"]["both"] == 0 and (table.runs == 2).all()
