"""Attention to kinds of word: heads made by hand, a null that must catch position, real maps."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology import BertologyError
from bertology.capture import Shards, Site, capture
from bertology.capture.shards import Member, write_shard
from bertology.corpora import Corpus, Encoding, Sentence, encode, read_conllu
from bertology.corpora.text import text_to_sentence, words_to_sentence
from bertology.probing.heads import HeadScan, scan_heads
from bertology.probing.heads.features import (
    COLUMNS,
    PARTNERS,
    _served,
    feature_table,
    left_out_features,
)
from bertology.probing.heads.kinds import FEATURES
from bertology.probing.heads.options import ScanOptions
from bertology.probing.heads.received import Received
from bertology.probing.heads.rows import OTHER, STATISTICS

RECEIVED = ScanOptions(parts=("received",))
NAMES = [feature.name for feature in FEATURES]


SITE = Site("layer.0.attention", 0, "encoder", "self", 0, 1)


def scan_of(folder: Path, sentences: list[Sentence], records: list[dict], units=None) -> HeadScan:
    """A pass that kept these records, in two shards whose order is not that of the corpus."""
    order = np.random.default_rng(7).permutation(len(sentences))
    parts = np.array_split(order, 2)
    cls_and_sep = torch.zeros(1, 1, len((*STATISTICS, OTHER)))
    cls_and_sep[..., [STATISTICS.index("cls"), STATISTICS.index("sep")]] = 0.1
    for number, part in enumerate(parts):
        whole = [
            {"word_tokens": torch.ones(len(sentences[i]), dtype=torch.int16),
             "baselines": cls_and_sep, **records[i]}
            for i in part
        ]  # fmt: skip
        members = [Member(i, sentences[i].id, len(sentences[i])) for i in part.tolist()]
        write_shard(folder, number, members, whole)
    units = np.arange(len(sentences)) if units is None else units
    return HeadScan(sentences, units, Shards(folder, tuple(parts)), [], RECEIVED)


def received(encoding: Encoding, maps: np.ndarray) -> dict[str, torch.Tensor]:
    """What is kept of maps (head, token, token) of one text."""
    site = replace(SITE, heads=len(maps))
    collector = Received([encoding], torch.ones(1, len(encoding)))
    attention = torch.from_numpy(maps)[None].float()
    collector.observe(
        SimpleNamespace(
            site=site, attention=attention, rows=slice(None), keys=slice(None),
            computation=SimpleNamespace(visible_shape=attention.shape),
        )
    )  # fmt: skip
    return collector.records([site])[0]


def tagged(tags: str, number: int = 0) -> Sentence:
    """A sentence of the tiny vocabulary with one tag a letter: N, V, P, and X for others."""
    upos = {"N": "NOUN", "V": "VERB", "P": "PRON", "X": "X"}
    words = [f"w{i}" for i in range(len(tags))]
    return words_to_sentence(words, id=f"s{number}", upos=tuple(upos[tag] for tag in tags))


def test_a_head_with_all_weight_on_verbs_in_closed_form(tokenizer_of, tmp_path) -> None:
    # Every row spreads over the verbs, so each of v verbs receives 1/v; without verbs it spreads
    # over all n tokens. Of words that are no verbs, those receive nothing where there is one.
    kinds = ["NVN", "VVN", "NPVXV", "NNX", "VVVVP", "PX"]
    sentences, records = [tagged(k, i) for i, k in enumerate(kinds)], []
    for sentence in sentences:
        encoding = encode(sentence, tokenizer_of())
        verbs = np.array([w >= 0 and sentence.upos[w] == "VERB" for w in encoding.words])
        row = verbs / verbs.sum() if verbs.any() else np.full(len(verbs), 1 / len(verbs))
        even = np.full((len(verbs),) * 2, 1 / len(verbs))
        records.append(received(encoding, np.stack([np.tile(row, (len(verbs), 1)), even])))
    scan = scan_of(tmp_path, sentences, records)
    table = feature_table(scan).set_index(["feature", "head"])
    assert table.loc[("verb", 0), "mean"] == pytest.approx((1 + 1 / 2 + 1 / 2 + 1 / 4) / 4)
    assert table.loc[("verb", 0), "n"] == 4
    # Nouns: nothing in three sentences with a verb; one fifth (three words, two specials) in one.
    assert table.loc[("noun", 0), "mean"] == pytest.approx((1 / 5) / 4)
    assert table.loc[("pronoun", 0), "mean"] == pytest.approx((1 / 4) / 3)
    # An even head pays everything 1/n, specials too.
    n = np.array([len(kind) + 2 for kind in kinds])
    assert table.loc[("verb", 1), "mean"] == pytest.approx((1 / n[[0, 1, 2, 4]]).mean())
    assert table.loc[("cls", 1), "mean"] == pytest.approx((1 / n).mean())
    assert table.loc[("sep", 0), "mean"] == pytest.approx((1 / 5 + 1 / 4) / 6)
    # Zeros for the two sentences without a verb, as in the released code.
    zeros = feature_table(scan, absent="zero").set_index(["feature", "head"])
    assert zeros.loc[("verb", 0), "n"] == 6
    assert zeros.loc[("verb", 0), "mean"] == pytest.approx((1 + 1 / 2 + 1 / 2 + 1 / 4) / 6)
    assert zeros.loc[("cls", 0), "mean"] == table.loc[("cls", 0), "mean"]


def test_columns_and_what_too_little_data_says(tokenizer_of, tmp_path) -> None:
    sentences = [tagged("NVN", i) for i in range(29)]
    records = [
        received(encode(sentence, tokenizer_of()), np.full((1, 5, 5), 0.2))
        for sentence in sentences
    ]
    table = feature_table(scan_of(tmp_path, sentences, records))
    assert tuple(table.columns) == COLUMNS
    assert table["feature"].tolist() == ["noun", "verb", "cls", "sep"]
    assert table["descriptive"].all() and table["p_adjusted"].isna().all()
    words, specials = table[:2], table[2:]
    assert (words["n_paired"] == 29).all() and (words["difference"].abs() < 1e-7).all()
    assert words["difference_low"].isna().all()
    assert (specials["n_paired"] == 0).all() and specials["null"].isna().all()
    assert specials["difference"].isna().all()


def simulated(
    folder: Path, generator: np.random.Generator, *, pull: float, heads: int = 2
) -> HeadScan:
    """60 sentences of 8 words whose verb mostly comes second, in 30 units.

    Head 0 pays the second word more, whatever it is. `pull` is what the last head pays to verbs
    besides. Sentences differ in how much attention their words draw.
    """
    places = np.where(generator.random(60) < 0.6, 1, generator.integers(8, size=60))
    sentences = [tagged("X" * v + "V" + "X" * (7 - v), i) for i, v in enumerate(places)]
    records = []
    for place in places:
        mass = generator.exponential(0.02, size=(8, 1, heads)) * generator.exponential(1)
        mass[1, 0, 0] += 0.3 * generator.random()
        mass[place, 0, -1] += pull
        records.append(
            {"received": torch.from_numpy(mass).float(),
             "received_specials": torch.full((1, 1, heads, 2), 0.1)}
        )  # fmt: skip
    return scan_of(folder, sentences, records, np.arange(60) % 30)


def test_the_null_catches_a_head_of_positions_and_not_one_of_verbs(tmp_path) -> None:
    scan = simulated(tmp_path, np.random.default_rng(0), pull=0.1)
    rows = feature_table(scan, seed=0).query("feature == 'verb'").set_index("head")
    positions, verbs = rows.loc[0], rows.loc[1]
    # The head of positions pays verbs far more than an average word (a tenth of it), by place.
    assert positions["mean"] > 0.08 > 3 * 0.02
    assert positions["difference_low"] < 0 < positions["difference_high"]
    assert positions["p_adjusted"] > 0.2
    assert verbs["difference_low"] > 0.03 and verbs["p_adjusted"] < 0.001
    # Pairs of sentences with a verb in the same place see the pull in the null as well.
    assert verbs["null"] > 0.04
    for row in (positions, verbs):  # all sentences have a partner
        assert row["mean"] - row["null"] == pytest.approx(row["difference"])
        assert row["n_paired"] == row["n"] == 60 and not row["descriptive"]


def test_a_head_of_exact_positions_differs_nowhere(tokenizer_of, tmp_path) -> None:
    generator = np.random.default_rng(0)
    sentences, records = [], []
    for i in range(40):
        sentences.append(tagged("".join(generator.permutation(list("NVXXP"))), i))
        row = np.array([0.1, 0.4, 0.2, 0.1, 0.1, 0.05, 0.05])
        records.append(received(encode(sentences[-1], tokenizer_of()), np.tile(row, (1, 7, 1))))
    words = feature_table(scan_of(tmp_path, sentences, records)).query("n_paired > 0")
    assert len(words) == 3
    assert (words[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
    assert (words["p_adjusted"] == 1).all() and (words["mean"] > 0.1).all()


def test_null_data_is_flagged_rarely_and_intervals_cover(tmp_path) -> None:
    null_data(20, tmp_path)


@pytest.mark.slow
def test_null_data_is_flagged_rarely_and_intervals_cover_in_many_runs(tmp_path) -> None:
    null_data(400, tmp_path)


def null_data(runs: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    flagged = covered = 0
    for run in range(runs):
        (tmp_path / str(run)).mkdir()
        scan = simulated(tmp_path / str(run), generator, pull=0.0, heads=4)
        rows = feature_table(scan, seed=run).query("feature == 'verb'")
        flagged += (rows["p_adjusted"] < 0.05).any()
        covered += ((rows["difference_low"] <= 0) & (rows["difference_high"] >= 0)).mean()
    assert flagged / runs <= 0.05 + 1.96 * np.sqrt(0.05 * 0.95 / runs)
    assert covered / runs >= 0.93


def test_partners_are_other_sentences_of_as_many_words(tmp_path) -> None:
    sentences = [tagged("VNXXXX"[:length], i) for i, length in enumerate([2] * 9 + [3] * 2 + [5])]
    blank = torch.tensor([1, 0], dtype=torch.int16)  # a word without tokens
    records = [{"word_tokens": blank} if i == 4 else {} for i in range(len(sentences))]
    scan = scan_of(tmp_path, sentences, records)
    served = _served(scan, 0)
    assert (served[[4, 11]] == -1).all()  # a word without tokens, a length of its own
    # All eight of two words serve the seven others, both of three words each other.
    assert ((served >= 0).sum(1) == [7, 7, 7, 7, 0, 7, 7, 7, 7, 1, 1, 0]).all()
    for i, others in enumerate(served):
        own = others[others >= 0]
        assert len(set(own.tolist()) - {i}) == len(own)
        assert (scan.words[own] == scan.words[i]).all()
    many = [tagged("VN", i) for i in range(50)]
    (tmp_path / "many").mkdir()
    scan = scan_of(tmp_path / "many", many, [{}] * 50)
    served = _served(scan, 0)
    # Each serves as many as serve it.
    assert served.shape == (50, PARTNERS) and (np.bincount(served.ravel()) == PARTNERS).all()
    assert (served == _served(scan, 0)).all() and (served != _served(scan, 1)).any()


def test_the_null_is_the_mean_over_partners_at_the_same_places(tmp_path) -> None:
    # Three sentences of two words, each with both others as partners; the verb stands at place
    # 0, 1, 1. Sentence 0 pays its words 1 and 2, sentence 1 pays 3 and 4, sentence 2 pays 5 and 6.
    sentences = [tagged(tags, i) for i, tags in enumerate(["VX", "XV", "XV"])]
    records = [
        {"received": torch.tensor(mass).view(2, 1, 1),
         "received_specials": torch.zeros(1, 1, 1, 2)}
        for mass in ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0])
    ]  # fmt: skip
    row = feature_table(scan_of(tmp_path, sentences, records)).set_index("feature").loc["verb"]
    nulls = [(3 + 5) / 2, (2 + 6) / 2, (2 + 4) / 2]
    assert row["mean"] == pytest.approx((1 + 4 + 6) / 3)
    assert row["null"] == pytest.approx(np.mean(nulls))
    assert row["difference"] == pytest.approx(np.mean(np.array([1, 4, 6]) - nulls))


def test_words_without_tokens_have_no_feature(tokenizer_of, tmp_path) -> None:
    # The only verb of the second sentence has no token, so no row speaks of it.
    even = {"received": torch.full((2, 1, 1), 0.25), "received_specials": torch.zeros(1, 1, 1, 2)}
    blank = {"word_tokens": torch.tensor([1, 0], dtype=torch.int16)}
    sentences = [tagged("NV", 0), tagged("NV", 1)]
    table = feature_table(scan_of(tmp_path, sentences, [even, {**even, **blank}]))
    rows = table.set_index("feature")
    assert rows.loc["noun", ["n", "mean"]].tolist() == [2, 0.25]
    assert rows.loc["verb", ["n", "mean"]].tolist() == [1, 0.25]
    assert (rows["n_paired"] == 0).all()


def test_zeros_are_not_counted_for_negation(tmp_path) -> None:
    feats = [("Polarity=Neg", "_"), ("_", "Number=Sing")]
    sentences = [
        words_to_sentence(["w1", "w2"], id=str(i), upos=("VERB", "NOUN"), feats=each)
        for i, each in enumerate(feats)
    ]
    kept = {"received": torch.full((2, 1, 1), 0.2), "received_specials": torch.zeros(1, 1, 1, 2)}
    scan = scan_of(tmp_path, sentences, [kept, kept])
    for absent in ("skip", "zero"):
        row = feature_table(scan, absent=absent).set_index("feature").loc["negation"]
        assert row["n"] == 1 and row["mean"] == pytest.approx(0.2)


def marked(name: str, **annotation) -> list[int]:
    count = max(map(len, annotation.values()))
    sentence = words_to_sentence(["w"] * count, id="s", **annotation)
    feature = next(feature for feature in FEATURES if feature.name == name)
    return [i for i, yes in enumerate(feature.marked(sentence)) if yes]


def test_kinds_of_word_by_gold_annotation_of_any_language() -> None:
    tags = ("NOUN", "PROPN", "VERB", "AUX", "PRON", "DET")
    assert [marked(name, upos=tags) for name in ("noun", "verb", "pronoun")] == [[0], [2], [4]]
    labels = ("nsubj", "nsubj:pass", "csubj:outer", "expl", "expl:pv", "obl:agent", "expl:subj")
    assert marked("subject", deprels=labels) == [0, 1, 2, 3, 6]
    assert marked("object", deprels=("obj", "iobj", "obj:lvc", "obl", "ccomp")) == [0, 1, 2]
    # not, nobody, nebyl; but neither "PolarityNeg" nor a polarity that is not negative.
    feats = (
        "Polarity=Neg", "Number=Sing|PronType=Ind,Neg", "Tense=Past|Polarity=Neg|VerbForm=Part",
        "_", "Polarity=Pos", "Case=Neg",
    )  # fmt: skip
    assert marked("negation", feats=feats) == [0, 1, 2]
    assert [marked(name, lemmas=("not",)) for name in NAMES] == [[]] * 6


def test_features_that_nothing_has_are_left_out_and_named(demo, tiny_model) -> None:
    plain = Corpus("plain", (text_to_sentence("No tree here", id="s"),), "0")
    scan = scan_heads(demo, plain, options=RECEIVED)
    assert sorted(set(feature_table(scan)["feature"])) == ["cls", "sep"]
    reasons = dict(left_out_features(scan))
    assert list(reasons) == NAMES
    assert reasons["negation"] == "no word is annotated with Polarity=Neg or PronType=Neg"
    # A model without special tokens has nothing at all to look at.
    nothing = scan_heads(tiny_model("gpt2"), plain, options=RECEIVED)
    with pytest.raises(BertologyError, match=r"No feature .*noun: no word.*the tokenizer adds no"):
        feature_table(nothing)
    with pytest.raises(BertologyError, match="absent is 'mean'; it must be one of skip, zero"):
        feature_table(scan, absent="mean")
    with pytest.raises(BertologyError, match="not 'received'; ask for it"):
        feature_table(scan_heads(demo, plain))


def independent(demo, corpus: Corpus, absent: str) -> dict[str, np.ndarray]:
    """Means of each feature (layer, head), from whole maps and loops over words."""
    values: dict[str, list[np.ndarray]] = {}
    for sentence in corpus.sentences:
        one = capture(demo, sentence)[0]
        columns = np.array(one.attention, dtype=float).mean(2)
        words = one.encoding.words
        for name, tags, wanted in (
            ("noun", sentence.upos, {"NOUN"}),
            ("verb", sentence.upos, {"VERB"}),
            ("pronoun", sentence.upos, {"PRON"}),
            ("object", sentence.deprels, {"obj", "iobj"}),
        ):
            among = [
                columns[..., words == i].sum(-1) for i, tag in enumerate(tags) if tag in wanted
            ]
            if among or absent == "zero":
                largest = np.max(among, axis=0) if among else np.zeros((6, 12))
                values.setdefault(name, []).append(largest)
        values.setdefault("cls", []).append(columns[..., 0])
        values.setdefault("sep", []).append(columns[..., -1])
    return {name: np.mean(each, axis=0) for name, each in values.items()}


@pytest.mark.parametrize("absent", ["skip", "zero"])
def test_means_of_a_model_are_those_of_whole_maps(absent: str, demo, sample) -> None:
    corpus = sample.first(25)
    scan = scan_heads(demo, corpus, options=RECEIVED)
    table = feature_table(scan, absent=absent)
    for name, expected in independent(demo, corpus, absent).items():
        found = table[table["feature"] == name]["mean"].to_numpy().reshape(6, 12)
        assert np.abs(found - expected).max() < 1e-6, name


def swapped(corpus: Corpus) -> Corpus:
    """Each sentence with the annotation of another one of as many words."""
    lengths = np.array([len(sentence) for sentence in corpus.sentences])
    found = list(corpus.sentences)
    for length in set(lengths.tolist()):
        ring = np.flatnonzero(lengths == length)
        for own, other in zip(ring, np.roll(ring, 1), strict=True):
            donor = corpus.sentences[other]
            found[own] = replace(
                found[own], upos=donor.upos, deprels=donor.deprels, feats=donor.feats
            )
    return Corpus("swapped", tuple(found), "0")


def real_and_swapped(demo, corpus: Corpus) -> tuple[float, float]:
    """The share of heads that differ from the null, by true and by another's annotation."""
    shares = []
    for one in (corpus, swapped(corpus)):
        table = feature_table(scan_heads(demo, one, options=RECEIVED), seed=0)
        shares.append((table["p_adjusted"].dropna() < 0.05).mean())
    return shares[0], shares[1]


def test_heads_of_a_model_know_kinds_of_word_but_not_those_of_another_sentence(
    demo, sample
) -> None:
    real, other = real_and_swapped(demo, sample.first(150))
    assert real > 0.2 and other < 0.01


@pytest.mark.slow
def test_heads_of_a_model_on_a_treebank(demo, shared_file) -> None:
    corpus = read_conllu(shared_file("ud/en_ewt-ud-dev.conllu")).first(800)
    real, other = real_and_swapped(demo, corpus)
    assert real > 0.4 and other < 0.01
