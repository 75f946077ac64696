"""The roles of surviving heads come from the tables of the head analyses."""

import pandas as pd
import pytest
from scipy.stats import hypergeom

from bertology import BertologyError
from bertology.ablation.gates import LearnedGates, kept_by_role, named_roles, surviving_heads
from bertology.probing.heads import analyse_heads, decoder_heads
from bertology.results import Provenance

SOURCE = Provenance("a model", None, None, "tokenizer", "data", "", 0, "sentence", 0, 0)


def gates(kept, layers=2, heads=4):
    rows = [
        {
            "penalty": 0.1,
            "seed": 0,
            "layer": layer,
            "head": head,
            "gate": float((layer, head) in kept),
            "kept": (layer, head) in kept,
        }
        for layer in range(layers)
        for head in range(heads)
    ]
    return LearnedGates(pd.DataFrame(rows), SOURCE, pd.DataFrame())


def roles(*rows):
    return pd.DataFrame(rows, columns=["layer", "head", "role"])


def test_survivors_carry_all_their_roles():
    known = roles((0, 1, "looks at next"), (0, 1, "syntactic: nsubj"), (1, 0, "looks at cls"))
    found = surviving_heads(gates({(0, 1), (1, 3)}), known)
    assert found[["layer", "head", "roles"]].to_numpy().tolist() == [
        [0, 1, "looks at next; syntactic: nsubj"], [1, 3, ""]
    ]  # fmt: skip


def test_roles_that_survive_more_often_than_heads_do():
    known = roles(*[(0, head, "next") for head in range(4)], *[(1, h, "cls") for h in range(4)])
    found = kept_by_role(gates({(0, 0), (0, 1), (0, 2), (1, 0)}), known).set_index("role")
    assert found.kept.to_dict() == {"cls": 1, "next": 3} and (found.expected == 2).all()
    # Four of eight survive: 3 or 4 of the role's four, by counting, (16 + 1) / 70.
    assert found.p["next"] == pytest.approx(17 / 70) == pytest.approx(hypergeom.sf(2, 8, 4, 4))
    assert found.p_adjusted["next"] == pytest.approx(34 / 70)


def test_roles_of_an_analysis(tiny_model, sample):
    found = analyse_heads(tiny_model("bert"), sample.first(12))
    known = named_roles(found)
    looks = known[known.role.str.startswith("looks at ")]
    assert len(looks) == 12 and looks.role.tolist() == ("looks at " + found.roles.looks_at).tolist()
    assert known.role.str.endswith(" map").sum() == 12
    syntactic = found.best[found.best.syntactic.astype(bool)]
    assert known.role.str.startswith("syntactic").sum() == len(syntactic)


def test_best_heads_are_syntactic_where_they_gain_ten_points(tiny_model, sample):
    found = analyse_heads(tiny_model("bert"), sample.first(12))
    best = pd.DataFrame({"relation": ["nsubj", "obj"], "layer": [1, 2], "head": [3, 0],
                         "syntactic": [True, False]})  # fmt: skip
    object.__setattr__(found, "best", best)
    known = named_roles(found)
    named = known[known.role.str.startswith("syntactic")]
    assert named.to_numpy().tolist() == [[1, 3, "syntactic: nsubj"]]


def test_roles_of_a_decoder_are_the_scores_that_name_its_heads(tiny_model):
    found = decoder_heads(tiny_model("gpt2", "causal-lm"), blocks=(4, 6), sequences=4)
    assert list(named_roles(found).columns) == ["layer", "head", "role"]
    assert len(named_roles(found)) == len(found.named)


def test_roles_of_another_model_are_refused():
    with pytest.raises(BertologyError, match="L5H0"):
        surviving_heads(gates({(0, 0)}), roles((5, 0, "next")))
