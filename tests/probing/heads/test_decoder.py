"""Heads of language models, on models whose heads are made by hand and on random ones."""

import numpy as np
import pandas as pd
import pytest
import torch

import bertology
from bertology import BertologyError
from bertology.capture import capture, record
from bertology.probing.heads.decoder import DecoderHeads, decoder_heads
from bertology.probing.heads.repeated import SCORES, draw_sequences, score_sequences

from .handmade import induction

BLOCKS = (5, 12)


@pytest.fixture(scope="module")
def by_hand() -> DecoderHeads:
    return decoder_heads(induction(), blocks=BLOCKS, sequences=32)


def means(table: pd.DataFrame, layer: int, head: int) -> dict[str, float]:
    rows = table[(table["layer"] == layer) & (table["head"] == head)]
    return dict(zip(rows["score"], rows["mean"], strict=True))


def test_each_head_made_by_hand_has_its_name_and_no_other(by_hand) -> None:
    names = {(row.layer, row.head): row.score for row in by_hand.named.itertuples()}
    assert names == {(0, 0): "previous_token", (1, 0): "induction", (1, 1): "duplicate_token"}
    assert len(by_hand.named) == 3
    assert means(by_hand.table, 0, 0)["previous_token"] == pytest.approx(1, abs=1e-6)
    assert means(by_hand.table, 1, 0)["induction"] == pytest.approx(1, abs=1e-6)
    # The token itself is as good a match as its first occurrence.
    assert means(by_hand.table, 1, 1)["duplicate_token"] == pytest.approx(0.5, abs=1e-6)


def test_an_even_head_has_the_baseline_and_no_difference(by_hand) -> None:
    rows = by_hand.table[(by_hand.table["layer"] == 0) & (by_hand.table["head"] == 1)]
    np.testing.assert_allclose(rows["mean"], rows["baseline"], atol=1e-6)
    np.testing.assert_allclose(rows["difference"], 0, atol=1e-6)
    assert not rows["named"].any() and (rows["p_adjusted"] > 0.05).all()
    # Row i sees i + 1 keys: the mean of 1 / (i + 1) over the rows of every second block.
    groups = draw_sequences(induction(), blocks=BLOCKS, count=32, seed=0)
    expected = np.average(
        [np.mean([1 / (i + 1) for i in range(g.block + 1, 2 * g.block + 1)]) for g in groups],
        weights=[len(g.ids) for g in groups],
    )
    np.testing.assert_allclose(rows["baseline"], expected, atol=1e-6)


def test_without_the_repetition_the_control_is_small(by_hand) -> None:
    rows = by_hand.table.set_index(["layer", "head", "score"])
    assert rows.loc[(1, 0, "induction"), "control"] < 0.1
    # At a fixed distance from the end the previous-token head is what it was.
    assert rows.loc[(0, 0, "previous_token"), "p_adjusted"] < 0.001


def test_scores_are_those_of_the_captured_maps(tiny_model) -> None:
    model = tiny_model("llama")
    text = "w1 w2 w3 w4 w5 w3 w4 w5 w6 w7"
    captured = capture(model, text)[0].attention
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    block = 4
    (scores,), (even,), _ = score_sequences(model, ids[:, : 2 * block + 1], block)
    captured = capture(model, " ".join(text.split()[: 2 * block + 1]))[0].attention
    rows = range(block + 1, 2 * block + 1)
    offsets = {"previous_token": -1, "duplicate_token": -block, "induction": -block + 1}
    for name, offset in offsets.items():
        expected = np.mean([captured[:, :, i, i + offset] for i in rows], axis=0)
        np.testing.assert_allclose(scores[..., SCORES.index(name)], expected, atol=1e-6)
    first = captured[:, :, block + 1 :, 0].mean(-1)
    np.testing.assert_allclose(scores[..., SCORES.index("first_token")], first, atol=1e-6)
    np.testing.assert_allclose(even, np.mean([1 / (i + 1) for i in rows]), atol=1e-6)


def test_decay_of_known_heads(by_hand) -> None:
    one = by_hand.decay[(by_hand.decay["layer"] == 0) & (by_hand.decay["head"] == 0)]
    expected = (one["distance"] == 1).astype(float)
    np.testing.assert_allclose(one["mean"], expected, atol=1e-6)
    even = by_hand.decay[(by_hand.decay["layer"] == 0) & (by_hand.decay["head"] == 1)]
    np.testing.assert_allclose(even["mean"], even["baseline"], atol=1e-6)


def test_decay_has_intervals_over_sequences(tiny_model) -> None:
    model = tiny_model("llama")
    decay = decoder_heads(model, blocks=(5, 8), sequences=32).decay
    assert (decay["n"] == 32).all()
    assert (decay["ci_low"] <= decay["mean"]).all() and (decay["mean"] <= decay["ci_high"]).all()
    assert (decay["ci_low"] < decay["ci_high"]).mean() > 0.9
    # A mean over the rows of every sequence, all sequences counting alike.
    (layer, head, distance) = (1, 2, 3)
    by_hand = []
    for group in draw_sequences(model, blocks=(5, 8), count=32, seed=0):
        for ids in group.ids:
            found = record(model.module, input_ids=ids[None], use_cache=False)
            maps = found.records[layer].attention[0, head]
            rows = range(group.block + 1, 2 * group.block + 1)
            by_hand.append(np.mean([maps[i, i - distance] for i in rows]))
    row = decay.set_index(["layer", "head", "distance"]).loc[(layer, head, distance)]
    assert row["mean"] == pytest.approx(np.mean(by_hand), abs=1e-6)


def test_too_few_sequences_name_no_head() -> None:
    found = decoder_heads(induction(), blocks=BLOCKS, sequences=6)
    assert found.table["descriptive"].all() and found.table["p_adjusted"].isna().all()
    assert found.named.empty
    assert means(found.table, 1, 0)["induction"] == pytest.approx(1, abs=1e-6)


def test_random_models_have_no_induction_heads(tiny_model) -> None:
    found = decoder_heads(tiny_model("gpt2"), blocks=(5, 12), sequences=32).named
    assert "induction" not in set(found["score"])


def test_sequences_repeat_and_controls_do_not(tiny_model) -> None:
    model = tiny_model("gpt2")
    groups = draw_sequences(model, blocks=(4, 9), count=11, seed=1)
    assert [group.block for group in groups] == [4, 5, 6, 7, 8, 9]
    assert sum(len(group.ids) for group in groups) == 11
    for group in groups:
        b = group.block
        assert torch.equal(group.ids[:, 1 : b + 1], group.ids[:, b + 1 :])
        # The rows that are looked at are the same tokens.
        assert torch.equal(group.control[:, b + 1 :], group.ids[:, b + 1 :])
        for row in group.control:
            assert len(set(row[1:].tolist())) == 2 * b
        assert not set(group.ids[:, 1:].flatten().tolist()) & set(model.tokenizer.all_special_ids)
    again = draw_sequences(model, blocks=(4, 9), count=11, seed=1)
    assert all(torch.equal(a.ids, b.ids) for a, b in zip(groups, again, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blocks": (5, 20)}, r"do not fit the model, which reads at most 40.*at most 19"),
        ({"blocks": (2, 5)}, "at least 3 tokens"),
        ({"sequences": 0}, "at least one sequence"),
        ({"thresholds": {"sink": 0.5}}, r"\['sink'\] do not exist; there are previous_token"),
    ],
)
def test_bad_input_is_refused(arguments, message, tiny_model) -> None:
    with pytest.raises(BertologyError, match=message):
        decoder_heads(tiny_model("gpt2"), **{"blocks": (4, 6), **arguments})


def test_results_come_back(by_hand, tmp_path) -> None:
    loaded = DecoderHeads.load(by_hand.save(tmp_path / "heads"))
    pd.testing.assert_frame_equal(loaded.table, by_hand.table)


def test_a_real_language_model(shared_file) -> None:
    """The stories model is too small for induction; it has heads for the previous token."""
    model = bertology.load_model(shared_file("models/stories260K"))
    found = decoder_heads(model, sequences=32).named
    assert set(found["score"]) == {"previous_token"} and (3, 6) in set(
        zip(found["layer"], found["head"], strict=True)
    )
