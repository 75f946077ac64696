"""Parsers that read attention: trees, the convex fit, networks, baselines, the whole analysis."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from bertology.capture import capture, collate
from bertology.corpora import Corpus, encode, read_conllu
from bertology.corpora.text import words_to_sentence
from bertology.errors import BertologyError, CorpusError, ModelError
from bertology.models import LoadedModel
from bertology.probing.heads import attention_between_words
from bertology.probing.heads.parsers import (
    AttentionParser,
    NetworkParser,
    ParserInput,
    Parsers,
    best_candidates,
    best_tree,
    parse_with_attention,
    read_inputs,
)
from bertology.probing.heads.parsers.baselines import best_offset, correct_words, offset_heads
from bertology.probing.heads.parsers.features import (
    LEFT_OUT,
    embedding_table,
    gold_candidates,
    sample_sentences,
    word_vectors,
)
from bertology.probing.heads.parsers.networks import AttentionAndWords, DistanceAndWords
from bertology.probing.heads.parsers.objective import Objective
from bertology.probing.heads.parsers.scoring import Outcome, Scorer
from bertology.probing.heads.parsers.training import attachment, hold_out
from bertology.probing.heads.parsers.trees import is_tree


def random_tree(words: int, generator: np.random.Generator) -> np.ndarray:
    """Heads of a random tree: each word hangs from one before it in a random order."""
    order = generator.permutation(words)
    heads = np.full(words, -1)
    for place in range(1, words):
        heads[order[place]] = order[generator.integers(place)]
    return heads


def made(maps: np.ndarray, heads: np.ndarray, vectors: np.ndarray | None = None) -> ParserInput:
    """A sentence with such maps (head, word, word), no specials, and vectors of one zero."""
    maps = maps * (1 - np.eye(len(heads)))
    return ParserInput(
        torch.from_numpy(maps).float(),
        torch.zeros(2, len(maps), len(heads)),
        torch.from_numpy(np.zeros((len(heads), 1)) if vectors is None else vectors).float(),
        torch.from_numpy(heads + 1),
    )


def pointing(heads: np.ndarray, strength: float = 0.8) -> np.ndarray:
    """A map in which each word attends to its head, the root to nothing."""
    found = np.zeros((len(heads), len(heads)))
    children = np.flatnonzero(heads >= 0)
    found[children, heads[children]] = strength
    return found


def treebank(
    count: int, generator: np.random.Generator, perfect: int | None = 2, transposed: bool = False
) -> list[ParserInput]:
    """Sentences with five heads of noise, of which one may follow the tree."""
    sentences = []
    for words in generator.integers(4, 9, size=count).tolist():
        heads = random_tree(words, generator)
        maps = generator.dirichlet(np.ones(words), size=(5, words))
        if perfect is not None:
            maps[perfect] = pointing(heads).T if transposed else pointing(heads)
        sentences.append(made(maps, heads))
    return sentences


# Trees


def test_best_tree_is_the_best_of_all_trees() -> None:
    generator = np.random.default_rng(0)
    cyclic = 0
    for words in (1, 2, 3, 4) * 15:
        scores = generator.normal(size=(words, words + 1))
        every = (np.array(heads) for heads in product(range(-1, words), repeat=words))
        trees = [heads for heads in every if is_tree(heads)]
        assert len(trees) == words ** (words - 1)  # rooted labelled trees, Cayley
        sums = [scores[np.arange(words), heads + 1].sum() for heads in trees]
        assert best_tree(scores).tolist() == trees[int(np.argmax(sums))].tolist()
        cyclic += not is_tree(best_candidates(scores))
    assert cyclic > 20  # contraction was needed


def test_a_cycle_is_broken_where_it_costs_least() -> None:
    # Words 0 and 1 prefer each other. Broken at 0 the sum is 1 + 9 + 3, at 1 it is 8 + 2 + 3.
    scores = np.array([[1.0, 0, 8, 0], [2, 9, 0, 0], [0, 3, 1, 0]])
    assert best_candidates(scores).tolist() == [1, 0, 0]
    assert best_tree(scores).tolist() == [-1, 0, 0]


def test_where_the_best_candidates_are_a_tree_they_are_the_best_tree() -> None:
    generator = np.random.default_rng(2)
    for _ in range(20):
        heads = random_tree(9, generator)
        scores = generator.random((9, 10))
        scores[np.arange(9), heads + 1] += 2
        assert best_candidates(scores).tolist() == heads.tolist() == best_tree(scores).tolist()


def test_trees_have_one_root_though_two_would_score_more() -> None:
    scores = np.array([[5.0, 0, 1], [4, 1, 0]])
    assert best_candidates(scores).tolist() == [-1, -1]
    assert best_tree(scores).tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("heads", "expected"),
    [([1, -1, 1], True), ([-1, -1, 1], False), ([1, 0, -1], False), ([0, -1], False)],
)
def test_is_tree(heads: list[int], expected: bool) -> None:
    assert is_tree(np.array(heads)) == expected


def test_ties_take_root_then_the_first_word_and_no_word_heads_itself() -> None:
    assert best_candidates(np.zeros((3, 4))).tolist() == [-1, -1, -1]
    scores = np.array([[0.0, 9, 1, 1], [0, 1, 9, 1], [0, 1, 1, 9]])
    assert best_candidates(scores).tolist() == [1, 0, 0]


# The convex model


def with_specials(count: int = 6) -> list[ParserInput]:
    generator = np.random.default_rng(3)
    found = []
    for sentence in treebank(count, generator):
        specials = torch.rand(2, 5, len(sentence), generator=torch.manual_seed(len(found)))
        gold = sentence.gold.clone()
        gold[1] = LEFT_OUT
        found.append(ParserInput(sentence.maps, specials, sentence.vectors, gold))
    return found


def by_hand(sentences: list[ParserInput], objective: Objective, parameters: torch.Tensor):
    """The loss word by word, from the formula, for autograd to differentiate."""
    to_head, to_dependent, cls, sep = parameters[:-1].view(4, 5)
    deviation = torch.from_numpy(objective.deviations)
    special = torch.from_numpy(objective.special_deviations)
    losses = []
    for sentence in sentences:
        maps, specials = sentence.maps.double(), sentence.specials.double()
        for j, gold in enumerate(sentence.gold.tolist()):
            if gold == LEFT_OUT:
                continue
            odds = {0: cls @ (specials[0, :, j] / special[0])
                    + sep @ (specials[1, :, j] / special[1]) + parameters[-1]}  # fmt: skip
            for i in range(len(sentence)):
                if i != j:
                    odds[1 + i] = (to_dependent @ (maps[:, i, j] / deviation[1])
                                   + to_head @ (maps[:, j, i] / deviation[0]))  # fmt: skip
            losses.append(torch.stack(list(odds.values())).logsumexp(0) - odds[gold])
    return torch.stack(losses).mean() + 0.1 / 2 * (parameters[:-1] ** 2).sum()


def test_loss_gradient_and_curvature_are_those_of_the_formula() -> None:
    sentences = with_specials()
    objective = Objective.of(sentences)
    parameters = torch.from_numpy(np.random.default_rng(4).normal(size=21) / 2).requires_grad_()
    expected = by_hand(sentences, objective, parameters)
    slopes = torch.autograd.grad(expected, parameters)[0]
    loss, gradient = objective.loss(parameters.detach().numpy(), 0.1)
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_allclose(gradient, slopes.numpy(), atol=1e-6)
    second = torch.autograd.functional.hessian(
        lambda x: by_hand(sentences, objective, x), parameters.detach()
    )
    curvature = objective.curvature(parameters.detach().numpy(), 0.1)
    np.testing.assert_allclose(curvature, second.numpy(), atol=1e-5)


def test_without_weights_the_loss_is_the_log_of_the_number_of_candidates() -> None:
    sentences = treebank(8, np.random.default_rng(5))
    objective = Objective.of(sentences)
    # A word of n has n candidates: the n - 1 others and ROOT.
    expected = np.average([np.log(len(s)) for s in sentences], weights=[len(s) for s in sentences])
    assert objective.loss(np.zeros(objective.size), 1.0)[0] == pytest.approx(expected, rel=1e-6)


def test_deviations_are_those_among_the_candidates_of_a_word() -> None:
    sentences = treebank(5, np.random.default_rng(6))
    rows, columns = [], []
    for sentence in sentences:
        maps = sentence.maps.numpy().astype(float)
        for j in range(len(sentence)):
            others = np.arange(len(sentence)) != j
            rows.append(maps[:, j, others] - maps[:, j, others].mean(1, keepdims=True))
            columns.append(maps[:, others, j] - maps[:, others, j].mean(1, keepdims=True))
    expected = [np.concatenate(part, axis=1).std(1) for part in (rows, columns)]
    np.testing.assert_allclose(Objective.of(sentences).deviations, expected, rtol=1e-5)


@pytest.mark.parametrize(("transposed", "direction"), [(False, 0), (True, 1)])
def test_a_perfect_head_is_found_in_its_direction(transposed: bool, direction: int) -> None:
    generator = np.random.default_rng(7)
    parser = AttentionParser().fit(treebank(60, generator, transposed=transposed))
    unseen = treebank(40, generator, transposed=transposed)
    assert attachment(parser.scores, unseen) == 1
    scaled = parser.weights_ * parser.deviations_
    assert np.unravel_index(np.abs(scaled).argmax(), scaled.shape) == (direction, 2)
    assert np.unravel_index(parser.weights_.argmax(), scaled.shape) == (direction, 2)
    assert parser.gradient_ <= 1e-5
    hit = [correct_words(s, heads) for s, heads in zip(unseen, parser.predict(unseen), strict=True)]
    assert np.concatenate(hit).all()


def test_maps_of_other_sentences_teach_nothing() -> None:
    generator = np.random.default_rng(8)
    sentences = [
        made(np.stack([pointing(random_tree(7, generator))]), random_tree(7, generator))
        for _ in range(400)
    ]
    parser = AttentionParser().fit(sentences[:200])
    reached = attachment(parser.scores, sentences[200:])
    # Chance is one of seven candidates: 1400 words, so 3 standard errors are 0.028.
    assert reached == pytest.approx(1 / 7, abs=0.03)
    own = [made(np.stack([pointing(s.gold.numpy() - 1)]), s.gold.numpy() - 1) for s in sentences]
    assert attachment(AttentionParser().fit(own[:200]).scores, own[200:]) == 1


def test_root_is_told_by_attention_to_specials() -> None:
    generator = np.random.default_rng(9)
    sentences = []
    for sentence in treebank(60, generator, perfect=None):
        specials = torch.rand(2, 5, len(sentence)) * 0.1
        specials[1, 3, sentence.gold == 0] = 0.9  # the root attends to [SEP] in one head
        sentences.append(ParserInput(sentence.maps, specials, sentence.vectors, sentence.gold))
    parser = AttentionParser().fit(sentences[:40])
    for sentence in sentences[40:]:
        heads = best_tree(parser.scores(sentence))
        assert heads[sentence.gold == 0] == -1
    assert np.unravel_index(parser.special_weights_.argmax(), (2, 5)) == (1, 3)


def test_the_penalty_is_chosen_by_held_out_sentences() -> None:
    sentences = []
    for sentence in treebank(50, np.random.default_rng(10), perfect=None):
        hint = pointing(sentence.gold.numpy() - 1, 0.3)
        maps = sentence.maps.numpy() + hint * (np.arange(5) == 1)[:, None, None]
        sentences.append(made(maps, sentence.gold.numpy() - 1))
    strengths = (10.0, 0.1, 1e-4)
    fitted, held = hold_out(sentences, 0)
    assert len(held) == 10
    parsers = [AttentionParser(strengths=(strength,)).fit(fitted) for strength in strengths]
    sizes = [float(np.linalg.norm(parser.weights_ * parser.deviations_)) for parser in parsers]
    assert sizes[0] < sizes[1] / 3 < sizes[1] < sizes[2]
    reached = [attachment(parser.scores, held) for parser in parsers]
    assert len(set(reached)) > 1
    chosen = AttentionParser(strengths=strengths[::-1]).fit(sentences)
    assert chosen.strength_ == strengths[int(np.argmax(reached))]  # the strongest of equals
    assert clone(chosen).get_params() == chosen.get_params()


# Networks


def two_kinds(count: int, generator: np.random.Generator) -> list[ParserInput]:
    """Words of kind 0 attend to their head in head 0, words of kind 1 in head 1."""
    sentences = []
    for words in generator.integers(4, 9, size=count).tolist():
        heads, kind = random_tree(words, generator), generator.integers(2, size=words)
        other = random_tree(words, generator)
        maps = np.stack(
            [np.where((kind == k)[:, None], pointing(heads), pointing(other)) for k in (0, 1)]
        )
        sentences.append(made(maps, heads, np.eye(2)[kind]))
    return sentences


def test_words_say_which_head_to_read() -> None:
    generator = np.random.default_rng(11)
    train, unseen = two_kinds(300, generator), two_kinds(60, generator)
    with_words = NetworkParser(epochs=8).fit(train)
    assert attachment(with_words.scores, unseen) > 0.85
    assert attachment(AttentionParser().fit(train).scores, unseen) < 0.7
    again = NetworkParser(epochs=8).fit(train)
    assert np.array_equal(again.scores(unseen[0]), with_words.scores(unseen[0]))
    assert clone(again).get_params() == again.get_params()


def test_attention_and_words_is_the_formula() -> None:
    generator = np.random.default_rng(12)
    sentences = two_kinds(5, generator)
    network = AttentionAndWords(sentences)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    sentence = sentences[0]
    scores = network(sentence).detach().numpy()
    vectors = network.words(sentence.vectors).numpy()
    of_i, of_j = (
        network.candidate.weight.detach().numpy(),
        network.dependent.weight.detach().numpy(),
    )
    bias, maps = network.dependent.bias.detach().numpy(), sentence.maps.numpy()
    deviations = network.deviations.numpy()
    for j, i in product(range(len(sentence)), repeat=2):
        weights = (of_i @ vectors[i] + of_j @ vectors[j] + bias).reshape(2, 2) / deviations
        expected = weights[0] @ maps[:, j, i] + weights[1] @ maps[:, i, j]
        assert scores[j, 1 + i] == pytest.approx(expected, abs=1e-4)
    assert scores[:, 0] == pytest.approx(network.root.bias.item())  # there are no specials


def test_distances_and_words_learn_offsets_by_kind() -> None:
    # Words of kind 0 hang from the next word, words of kind 1 from the one before.
    generator = np.random.default_rng(13)
    sentences = []
    for words in generator.integers(4, 9, size=200).tolist():
        kind = generator.integers(2, size=words)
        heads = np.clip(np.arange(words) + np.where(kind == 0, 1, -1), -1, words)
        heads[heads == words] = -1
        sentences.append(made(np.zeros((1, words, words)), heads, np.eye(2)[kind]))
    parser = NetworkParser("distance + words").fit(sentences[:150])
    assert attachment(parser.scores, sentences[150:]) > 0.97
    offsets = [
        np.mean(np.concatenate([correct_words(s, offset_heads(len(s), o)) for s in sentences]))
        for o in (1, -1)
    ]
    assert max(offsets) < 0.7
    # Neither ROOT's own vector nor the maps play a part.
    network = DistanceAndWords(sentences)
    assert network(sentences[0]).shape == (len(sentences[0]), len(sentences[0]) + 1)


def test_unknown_network() -> None:
    with pytest.raises(BertologyError, match="distance \\+ words"):
        NetworkParser("structural").fit([])


# Baselines


def test_right_branching_of_chains_and_of_a_tree_on_paper() -> None:
    chain = offset_heads(6, 1)
    assert chain.tolist() == [1, 2, 3, 4, 5, -1] and is_tree(chain)
    forward, backward = np.arange(1, 7), np.arange(-1, 5)
    forward[-1] = -1
    for heads, right, best in ((forward, 1.0, 1), (backward, 0.0, -1)):
        sentence = made(np.zeros((1, 6, 6)), heads)
        assert correct_words(sentence, chain).mean() == right
        assert best_offset([sentence]) == best
        assert correct_words(sentence, offset_heads(6, best)).mean() == 1
    # the→dog, old→dog, dog→barked, barked→ROOT: right for old, dog and, being last, barked.
    paper = made(np.zeros((1, 4, 4)), np.array([2, 2, 3, -1]))
    assert correct_words(paper, offset_heads(4, 1)).tolist() == [False, True, True, True]


# What is read of a text


def tree_sentence(words: list[str], heads: tuple[int, ...], id: str = "s"):
    deprels = tuple("punct" if word == "." else "dep" for word in words)
    return words_to_sentence(words, id=id, heads=heads, deprels=deprels)


TEXTS = [
    tree_sentence(["w1", "w2", "w3", ".", "w4"], (1, -1, 1, 1, 2)),
    tree_sentence(["w5", "w6"], (-1, 0)),
    tree_sentence(["w7", "w8", "w9", "w10", "w11", ".", "w12"], (1, -1, 1, 2, 3, 1, 4)),
]


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2"])
def test_a_batch_reads_what_single_texts_read(tiny_model, family: str) -> None:
    model = tiny_model(family)
    encodings = [encode(sentence, model.tokenizer) for sentence in TEXTS]
    together = read_inputs(model, collate(encodings, model))
    for encoding, one in zip(encodings, together, strict=True):
        alone = read_inputs(model, collate([encoding], model))[0]
        for name in ("maps", "specials", "vectors"):
            assert torch.allclose(getattr(one, name), getattr(alone, name), atol=1e-6)
        assert torch.equal(one.gold, alone.gold)
        assert bool(one.specials.any()) == (family != "gpt2")


def test_maps_and_specials_are_all_attention_of_a_word(demo) -> None:
    sentence = tree_sentence(["Unbelievable", "tokenizers", "splinter", "."], (1, 2, -1, 2))
    encoding = encode(sentence, demo.tokenizer)
    assert encoding.word_tokens.max() > 1
    read = read_inputs(demo, collate([encoding], demo))[0]
    heads = [(layer, head) for layer in range(6) for head in range(12)]
    expected = attention_between_words(demo, sentence, heads)
    itself = expected.diagonal(axis1=1, axis2=2).copy()
    np.testing.assert_allclose(read.maps, expected * (1 - np.eye(4)), atol=1e-6)
    np.testing.assert_allclose(
        (read.maps.sum(2) + read.specials.sum(0)).numpy() + itself, 1, atol=1e-5
    )
    assert read.gold.tolist() == [2, 3, 0, LEFT_OUT]
    # Attention to each special by itself, from the whole map of every layer.
    whole = capture(demo, sentence)[0].attention.reshape(72, len(encoding), -1)
    rows = whole[:, encoding.words == 1].mean(1)  # (head, token), the mean over the word's rows
    np.testing.assert_allclose(read.specials[0, :, 1].numpy(), rows[:, 0], atol=1e-6)
    np.testing.assert_allclose(read.specials[1, :, 1].numpy(), rows[:, -1], atol=1e-6)
    table = demo.module.get_input_embeddings().weight.detach()
    tokens = encoding.ids[encoding.words == 1]
    torch.testing.assert_close(word_vectors(encoding, table)[1], table[tokens].mean(0))


def test_gold_leaves_out_punctuation_and_words_without_tokens(demo) -> None:
    encoding = encode(tree_sentence(["a", "\u200b", "b", "."], (1, -1, 0, 0)), demo.tokenizer)
    assert encoding.word_tokens.tolist() == [1, 0, 1, 1]
    assert gold_candidates(encoding).tolist() == [LEFT_OUT, LEFT_OUT, 1, LEFT_OUT]


def test_the_sample_keeps_order_count_and_budget() -> None:
    sentences = [tree_sentence(["w1"] * 4, (1, -1, 1, 1), id=str(i)) for i in range(30)]
    bare = [words_to_sentence(["w2"], id="bare")]
    corpus = Corpus("made", tuple(sentences[:15] + bare + sentences[15:]), "")
    sample = sample_sentences(corpus, 10, 3, seed=0)
    places = [int(sentence.id) for sentence in sample.sentences]
    assert places == sorted(places) and len(set(places)) == 10
    assert places != [int(s.id) for s in sample_sentences(corpus, 10, 3, seed=1).sentences]
    assert len(sample_sentences(corpus, 99, 3, seed=0)) == 30
    # Two bytes a weight: 3 heads, 4 words, 4 words and 2 specials make 144 a sentence.
    assert len(sample_sentences(corpus, 99, 3, seed=0, budget=7 * 144)) == 7


# Word vectors


def test_models_without_embeddings_are_refused(tiny_model, tokenizer_of) -> None:
    bare = LoadedModel("bare", torch.nn.Linear(1, 1), tokenizer_of(), "encoder")
    bare.module.config = tiny_model("bert").config
    with pytest.raises(ModelError, match="get_input_embeddings"):
        embedding_table(bare)
    assert embedding_table(tiny_model("bert")).shape == (60, 32)


# Scores


def test_rows_pool_words_and_pair_differences() -> None:
    generator = np.random.default_rng(14)
    words = generator.integers(5, 15, size=40)
    base = Outcome("base", False, generator.binomial(words, 0.3).astype(float))
    better = Outcome("better", True, np.minimum(base.correct + 2, words))
    copies = [Outcome("copy", False, base.correct + shift) for shift in (0.0, 1.0)]
    mean = Outcome.mean(copies)
    table = Scorer(words, 0).table([base, better, mean], base).set_index("system")
    assert table.loc["base", "uas"] == pytest.approx(base.correct.sum() / words.sum())
    assert table["n"].tolist() == [words.sum()] * 3
    assert table["seeds"].tolist() == [1, 1, 2]
    # Two copies that differ by one word a unit.
    assert table.loc["copy", "sd"] == pytest.approx(40 / np.sqrt(2) / words.sum())
    assert np.isnan(table.loc["base", "sd"])
    assert table.loc["copy", "difference"] == pytest.approx(20 / words.sum())
    assert np.isnan(table.loc["base", "difference"]) and np.isnan(table.loc["base", "p_adjusted"])
    gap = table.loc["better", "uas"] - table.loc["base", "uas"]
    assert table.loc["better", "difference"] == pytest.approx(gap)
    assert table.loc["better", "difference_low"] > 0 and table.loc["better", "p_adjusted"] < 0.001
    pairs = Scorer(words, 0).comparisons([(better, base), (base, better)])
    assert pairs["difference"].tolist() == pytest.approx([gap, -gap])
    assert pairs["against"].tolist() == ["base", "better"]
    few = [Outcome(one.system, False, one.correct[:5]) for one in (base, better)]
    row = Scorer(words[:5], 0).table(few, few[0]).iloc[1]
    assert row["descriptive"] and row["difference"] == pytest.approx(10 / words[:5].sum())
    assert np.isnan(row["p_adjusted"]) and np.isnan(row["difference_low"])


# The whole


def corpora(count: int = 45) -> tuple[Corpus, Corpus]:
    generator = np.random.default_rng(15)
    sentences = []
    for number, words in enumerate(generator.integers(4, 9, size=count).tolist()):
        forms = [f"w{i}" for i in generator.integers(50, size=words)]
        heads = tuple(random_tree(words, generator).tolist())
        sentences.append(tree_sentence(forms, heads, id=str(number)))
    middle = count * 2 // 3
    return Corpus("train", tuple(sentences[:middle]), "a"), Corpus(
        "dev", tuple(sentences[middle:]), "b"
    )


def test_the_analysis_of_a_random_model_on_random_trees(tiny_model, tmp_path) -> None:
    train, dev = corpora()
    model = tiny_model("bert")
    found = parse_with_attention(model, train, dev, random_models=2, starts=2)
    assert list(found.table.columns) == [
        "system", "tree", "uas", "ci_low", "ci_high", "n", "difference", "difference_low",
        "difference_high", "p_adjusted", "seeds", "sd", "descriptive",
    ]  # fmt: skip
    assert len(found.table) == 12 and len(found.comparisons) == 8
    assert found.table["n"].unique().tolist() == [sum(len(s) for s in dev.sentences)]
    assert found.table["uas"].between(0, 0.5).all()  # nothing is to be learned
    assert set(found.table.loc[found.table["system"].str.startswith("random"), "seeds"]) == {2}
    seeds = found.table.groupby("system")[["seeds", "sd"]].max()
    assert seeds.loc[["distance + words", "attention + words"], "seeds"].tolist() == [2, 2]
    assert seeds.loc["attention", "seeds"] == 1 and np.isnan(seeds.loc["attention", "sd"])
    assert (seeds.loc[["distance + words", "attention + words"], "sd"] > 0).all()
    assert list(found.heads.columns) == ["layer", "head", "direction", "weight", "scaled"]
    assert len(found.heads) == 2 * 12
    loaded = Parsers.load(found.save(tmp_path / "parsers"))
    for name in ("table", "comparisons", "heads"):
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(found, name))
    assert loaded.provenance == found.provenance
    again = parse_with_attention(model, train, dev, random_models=2, starts=2)
    pd.testing.assert_frame_equal(again.table, found.table)


def test_a_planted_head_is_found_through_the_model(tiny_model) -> None:
    """Trees drawn from the model's own attention: word j hangs from where L1H2 looks."""
    model = tiny_model("bert")
    parts = []
    for corpus in corpora(90):
        sentences = []
        for sentence in corpus.sentences:
            word_map = attention_between_words(model, sentence, [(1, 2)])[0]
            scores = np.column_stack([np.zeros(len(sentence)), word_map])
            heads = tuple(best_tree(np.log(scores + 1e-9)).tolist())
            sentences.append(tree_sentence(list(sentence.words), heads, id=sentence.id))
        parts.append(Corpus(corpus.name, tuple(sentences), corpus.sha256))
    found = parse_with_attention(model, *parts, random_models=1, starts=1)
    best = found.heads.loc[found.heads["scaled"].abs().idxmax()]
    assert (best["layer"], best["head"], best["direction"]) == (1, 2, "dependent_to_head")
    uas = found.table.set_index(["system", "tree"])["uas"]
    assert uas["attention", True] > 0.75 > 0.5 > uas["random blocks: attention", True]


def test_bad_input_is_refused_first(tiny_model) -> None:
    train, dev = corpora(12)
    model = tiny_model("bert")
    bare = Corpus("bare", (words_to_sentence(["w1"], id="x"),), "")
    with pytest.raises(CorpusError, match="bare has a dependency tree"):
        parse_with_attention(model, bare, dev)
    with pytest.raises(CorpusError, match="also in"):
        parse_with_attention(model, train, train)
    with pytest.raises(BertologyError, match="sentences is 0"):
        parse_with_attention(model, train, dev, sentences=0)
    with pytest.raises(BertologyError, match="random_models is 0"):
        parse_with_attention(model, train, dev, random_models=0)


@pytest.mark.slow
def test_attention_parses_real_text_and_random_blocks_do_not(demo, shared_file) -> None:
    train = read_conllu(shared_file("ud/en_ewt-ud-train.conllu"))
    dev = read_conllu(shared_file("ud/en_ewt-ud-dev.conllu")).first(300)
    found = parse_with_attention(demo, train, dev, sentences=600, random_models=1)
    table = found.table.set_index(["system", "tree"])
    uas = table["uas"]
    # The order of Clark et al. 2019, table 3: 26, 30, 61 and 77.
    assert uas["attention", False] > uas["random blocks: attention", False] + 0.15
    assert uas["attention", False] > uas["right-branching", False] + 0.15
    assert uas["attention + words", False] > uas["attention", False] + 0.03
    assert table.loc[("attention", False), "p_adjusted"] < 0.01
