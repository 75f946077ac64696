"""The online code against codes worked out on paper, and against the published figures."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertology.errors import BertologyError
from bertology.probing.representations.controls import ControlTask
from bertology.probing.representations.estimators.linear import LinearProbe
from bertology.probing.representations.measures import DescriptionLength, description_length
from bertology.probing.representations.measures.description_length import block_ends

from .classifiers import Fixed, Memory


def probe() -> object:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    """300 sentences of 8 words: 60 types with vectors of their own, 4 classes."""
    rng = np.random.default_rng(0)
    types = rng.integers(60, size=2400)
    vectors = rng.normal(size=(60, 20))
    classes = rng.integers(4, size=60)
    return {
        "sentences": np.repeat(np.arange(300), 8),
        "X": vectors[types] + 0.1 * rng.normal(size=(2400, 20)),
        "types": types,
        "labels": classes[types],
        "noise": rng.integers(4, size=2400),
    }


# Blocks


def test_blocks_end_at_the_standard_shares() -> None:
    # The 39,832 training sentences of the Penn Treebank.
    assert block_ends(39_832) == [
        40, 80, 159, 319, 637, 1275, 2490, 4979, 9958, 19_916, 39_832
    ]  # fmt: skip
    assert block_ends(8000)[:3] == [8, 16, 32]


def test_no_block_is_smaller_than_five_sentences() -> None:
    assert block_ends(100) == [6, 12, 25, 50, 100]  # 3 is too few; 3 to 6 would be, too.
    assert block_ends(10) == [5, 10]
    for sentences in range(10, 3000):
        ends = np.array(block_ends(sentences))
        assert np.diff(ends, prepend=0).min() >= 5 and ends[-1] == sentences
        shares = [end / sentences for end in ends]
        assert all(min(abs(s - t) for t in (
            .001, .002, .004, .008, .016, .032, .0625, .125, .25, .5, 1
        )) <= 0.5 / sentences + 1e-12 for s in shares)  # fmt: skip
    with pytest.raises(BertologyError, match="9 sentences are too few for an online code"):
        block_ends(9)


def test_sentences_stay_whole_and_orders_differ(data) -> None:
    result = description_length(
        Fixed((0.25,) * 4), data["X"], data["labels"][None], sentences=data["sentences"], orders=3
    )
    ends = block_ends(300)
    for block in result.block:
        by_sentence = block.reshape(300, 8)
        assert (by_sentence == by_sentence[:, :1]).all()
        assert np.bincount(by_sentence[:, 0]).tolist() == np.diff(ends, prepend=0).tolist()
    assert (result.block[0] != result.block[1]).mean() > 0.3
    again, other = (
        description_length(Fixed((0.25,) * 4), data["X"], data["labels"][None],
                           sentences=data["sentences"], seed=seed).block
        for seed in (0, 1)
    )  # fmt: skip
    assert (again == result.block).all() and (other != result.block).any()


# Closed forms


def test_the_uniform_predictor_costs_the_uniform_code(data) -> None:
    result = description_length(
        Fixed((0.25,) * 4), data["X"], data["labels"][None], sentences=data["sentences"]
    )
    assert result.code == pytest.approx(np.full((1, 3, 2400), 2.0))
    assert result.uniform() == 2 * 2400
    table = result.table(data["sentences"], seed=0).set_index("metric")
    assert table.loc["codelength", "value"] == pytest.approx(4800)
    assert table.loc["compression", ["value", "ci_low", "ci_high"]].tolist() == pytest.approx(
        [1.0] * 3
    )


def test_a_fixed_distribution_costs_its_closed_form(data) -> None:
    shares = np.array([0.7, 0.2, 0.1, 0.0])
    result = description_length(
        Fixed(tuple(shares)), data["X"], data["labels"][None], sentences=data["sentences"], orders=2
    )
    for code, block in zip(result.code[0], result.block, strict=True):
        for number in range(block.max() + 1):
            sent, before = block == number, int((block < number).sum())
            counts = np.bincount(data["labels"][sent], minlength=4)
            mixed = (before * shares + 1 / 4) / (before + 1) if number else np.full(4, 1 / 4)
            assert code[sent].sum() == pytest.approx(-(counts * np.log2(mixed)).sum())


def test_what_is_known_by_heart_costs_nearly_nothing_and_the_unknown_a_finite_number() -> None:
    """Sentences of one item: what is new costs log2(K · (items before + 1)) bits, nothing more."""
    items = np.arange(80) % 40
    labels = items % 5
    result = description_length(
        Memory(), items[:, None], labels[None], sentences=np.arange(80), orders=1
    )
    code, block = result.code[0, 0], result.block[0]
    for number in range(1, block.max() + 1):
        before, sent = np.flatnonzero(block < number), np.flatnonzero(block == number)
        known = np.isin(items[sent], items[before])
        assert known.any() or number == 1
        n = len(before)
        assert code[sent][~known] == pytest.approx(np.log2(5 * (n + 1)))
        # A mixing weight of 1/(n + 1) adds less than 1.5 bits to n items.
        assert (code[sent][known] * n < 1.5).all()


def test_blocks_are_learned_from_what_was_sent_before_and_nothing_else(data) -> None:
    X, labels = data["X"].copy(), np.stack([data["labels"], data["noise"]])
    given = {"sentences": data["sentences"], "orders": 2, "seed": 3}
    before = description_length(probe(), X, labels, **given)
    last = before.block[0].max()
    # What comes last in the first order is changed: whatever was sent before costs the same.
    changed = before.block[0] == last
    X[changed] += 100.0
    labels[:, changed] = (labels[:, changed] + 1) % 4
    after = description_length(probe(), X, labels, **given)
    assert (after.code[:, 0, ~changed] == before.code[:, 0, ~changed]).all()
    assert (after.code[:, 0, changed] != before.code[:, 0, changed]).any()
    # In the second order the same items come earlier, and much changes.
    assert (after.code[:, 1, ~changed] != before.code[:, 1, ~changed]).mean() > 0.5


# Compression


def test_random_labels_do_not_compress_and_labels_in_the_input_do(data) -> None:
    """Known answers: about 1 or below, and far above."""
    one_hot = np.eye(4)[data["labels"]]
    inside = description_length(
        LinearProbe(), one_hot, data["labels"][None], sentences=data["sentences"], orders=1
    )
    noise = description_length(
        probe(), data["X"], data["noise"][None], sentences=data["sentences"], orders=2
    )
    assert inside.uniform() / inside.lengths()[0, 0] > 10
    assert (noise.uniform() / noise.lengths() < 1.0).all()
    assert (noise.uniform() / noise.lengths() > 0.8).all()


def test_the_control_task_costs_more_than_a_task_that_follows_the_input(data) -> None:
    """Labels of a linear rule, against labels of types that have to be learned by heart."""
    rule = data["X"][:, :4].argmax(axis=1)
    types = data["types"].astype(str)
    controls = [ControlTask(seed=draw).fit(types, rule).transform(types) for draw in range(3)]
    result = description_length(
        probe(), data["X"], np.stack([rule, *controls]), sentences=data["sentences"], orders=2
    )
    table = result.table(data["sentences"] // 10, seed=0).set_index("metric")
    row = table.loc["compression_over_control"]
    assert row["value"] > row["ci_low"] > 1.1
    lengths = result.lengths()
    assert row["value"] == pytest.approx(lengths[1:].mean() / lengths[0].mean())
    assert row["sd"] == pytest.approx((lengths[1:].mean(axis=0) / lengths[0]).std(ddof=1))
    compression = table.loc["compression"]
    assert compression["value"] == pytest.approx(4800 / lengths[0].mean())
    assert compression["control"] == pytest.approx((4800 / lengths[1:]).mean())
    assert table.loc["codelength", "control"] == pytest.approx(lengths[1:].mean())
    assert table["n"].eq(2400).all() and not table["descriptive"].any()


def test_intervals_are_ratios_of_sums_over_units(data) -> None:
    """The oracle resamples units one by one."""
    result = description_length(
        probe(), data["X"], data["labels"][None], sentences=data["sentences"], orders=2
    )
    units = data["sentences"] // 10
    table = result.table(units, seed=0).set_index("metric")
    cost = result.code[0].mean(axis=0)
    rng = np.random.default_rng(9)
    draws = []
    for _ in range(4000):
        rows = np.concatenate([
            np.arange(80) + 80 * unit for unit in rng.integers(30, size=30)
        ])  # fmt: skip
        draws.append(2 * len(rows) / cost[rows].sum())
    low, high = np.quantile(draws, [0.025, 0.975])
    row = table.loc["compression"]
    width = high - low
    # Two sets of draws agree on a percentile to a few hundredths of the width.
    assert row["ci_low"] == pytest.approx(low, abs=0.06 * width)
    assert row["ci_high"] == pytest.approx(high, abs=0.06 * width)
    few = result.table(data["sentences"] // 40, seed=0)
    assert few["descriptive"].all() and few[["ci_low", "ci_high"]].isna().all(axis=None)


def test_blocks_add_up(data) -> None:
    labels = np.stack([data["labels"], data["noise"]])
    result = description_length(probe(), data["X"], labels, sentences=data["sentences"], orders=2)
    blocks = result.blocks()
    assert blocks.groupby(["labels", "order"])["bits"].sum().to_numpy() == pytest.approx(
        result.lengths().ravel()
    )
    first = blocks[blocks["block"] == 0]
    assert (first["bits"] == first["uniform_bits"]).all() and (first["trained_on"] == 0).all()
    rows = blocks[(blocks["labels"] == 0) & (blocks["order"] == 0)]
    assert rows["trained_on"].tolist() == [8 * end for end in [0, *block_ends(300)[:-1]]]
    # The more was learned, the cheaper an item.
    assert (rows["bits"] / rows["items"]).is_monotonic_decreasing


# Published


def test_the_released_units_are_those_of_the_paper() -> None:
    """Part of speech, first layer of ELMo: 950,028 targets, 45 tags (Voita & Titov 2020, table 2).

    The released code says 96.0 thousands, that is 53.1 times less than the uniform 5,095; all in
    bits that is 136.4, 37.4 times less.
    """
    items = 950_028
    block = (np.arange(items) >= items // 1000).astype(int)
    uniform = np.log2(45)
    rest = (96.0 * 1024 - uniform * (block == 0).sum()) / np.log(2) / (block == 1).sum()
    code = np.where(block == 0, uniform, rest)
    result = DescriptionLength(code[None, None], block[None], 45)
    assert result.uniform("released") == pytest.approx(5095, abs=0.5)
    assert result.lengths("released")[0, 0] == pytest.approx(96.0)
    assert result.uniform() / 1024 == pytest.approx(5095, abs=0.5)
    # As near as 96.0 is known: its last digit is worth 0.07 bits of 1,024.
    assert result.lengths()[0, 0] / 1024 == pytest.approx(136.4, abs=0.2)
    units = np.arange(items) // 1000
    for convention, compression in (("released", 53.1), ("bits", 37.4)):
        table = result.table(units, seed=0, convention=convention).set_index("metric")
        assert table.loc["compression", "value"] == pytest.approx(compression, abs=0.06)


# Rare labels, and input that cannot be coded


def test_a_prefix_with_one_label_is_coded_too() -> None:
    """Rare labels: a classifier that needs two classes is not asked until there are two."""
    labels = np.zeros(40, int)
    labels[:2] = 1
    X = np.random.default_rng(0).normal(size=(40, 3))
    for estimator in (probe(), LinearProbe()):
        result = description_length(
            estimator, X, labels[None], sentences=np.arange(40), orders=4, seed=1
        )
        # A prefix that has only 0: a 0 costs log2 of (n + 1) / (n + 1/2), n being what was sent.
        firsts = [
            (order, number)
            for order in range(4)
            for number in range(1, result.block.max() + 1)
            if not labels[result.block[order] < number].any()
        ]
        assert firsts
        for order, number in firsts:
            sent = result.block[order] == number
            n = (result.block[order] < number).sum()
            expected = np.where(labels[sent] == 0, (n + 1) / (n + 0.5), 2 * (n + 1))
            assert result.code[0, order, sent] == pytest.approx(np.log2(expected))


def test_labels_may_be_words(data) -> None:
    words = np.array(["NOUN", "VERB", "ADJ", "X"], dtype=object)[data["labels"]]
    numbers, named = (
        description_length(probe(), data["X"], labels[None], sentences=data["sentences"], orders=1)
        for labels in (np.unique(words, return_inverse=True)[1], words)
    )
    assert (numbers.code == named.code).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label_sets": np.zeros((1, 2399), int)}, r"shape \(1, 2399\) were given for 2400 items"),
        ({"label_sets": np.zeros(2400, int)}, r"give \(set, item\)"),
        ({"label_sets": np.zeros((1, 2400), int)}, "All 2400 items have the label"),
        ({"estimator": RidgeClassifier()}, "RidgeClassifier gives no probabilities"),
        ({"orders": 0}, "orders is 0"),
        ({"sentences": np.repeat(np.arange(8), 300)}, "8 sentences are too few"),
    ],
)
def test_input_that_cannot_be_coded_is_refused(data, change, message) -> None:
    given = {"estimator": probe(), "X": data["X"], "label_sets": data["labels"][None],
             "sentences": data["sentences"]} | change  # fmt: skip
    with pytest.raises(BertologyError, match=message):
        description_length(**given)
