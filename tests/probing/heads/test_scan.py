"""Which models a scan takes."""

import pytest

from bertology import BertologyError
from bertology.ablation.structural import prune
from bertology.corpora import Corpus
from bertology.corpora.text import text_to_sentence
from bertology.probing.heads import analyse_heads

CORPUS = Corpus("c", tuple(text_to_sentence(f"w1 w2 w{n}", id=f"s{n}") for n in range(3)), "0" * 64)


@pytest.mark.parametrize("gone", [[(0, 1)], [(0, head) for head in range(4)]])
def test_layers_that_differ_in_their_heads_are_refused(tiny_model, tmp_path, gone) -> None:
    model = prune(tiny_model("bert"), gone)
    with pytest.raises(BertologyError, match="equally many in every layer"):
        analyse_heads(model, CORPUS, folder=tmp_path / "scan")
    assert not (tmp_path / "scan").exists()


def test_a_model_that_was_pruned_evenly_is_read(tiny_model) -> None:
    model = tiny_model("bert")
    layers = model.config.num_hidden_layers
    even = prune(model, [(layer, 1) for layer in range(layers)])
    assert (
        analyse_heads(even, CORPUS).table["head"].nunique() == model.config.num_attention_heads - 1
    )
