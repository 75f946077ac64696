"""Distances between heads, their clusters and their layers, on planted and on real scans."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon, pdist, squareform
from scipy.stats import kstest

from bertology import BertologyError
from bertology.capture import Shards, capture
from bertology.capture.shards import Member, write_shard
from bertology.corpora import Corpus
from bertology.corpora.text import text_to_sentence
from bertology.probing.heads import STATISTICS, HeadScan, distances, scan_heads
from bertology.probing.heads.clusters import cluster_heads, group, head_names, lay_out
from bertology.probing.heads.distances import closeness_p, head_distances, layer_test
from bertology.probing.heads.divergence import SMOOTHING
from bertology.probing.heads.options import ScanOptions
from bertology.probing.heads.rows import OTHER

WITH_DIVERGENCE = ScanOptions(parts=("divergence",))


def planted(folder: Path, sums: np.ndarray, rows: np.ndarray, shape: tuple[int, int]) -> HeadScan:
    """A scan with these divergences (sentence, pair) and rows (sentence,), in two shards."""
    folder.mkdir(exist_ok=True)
    order = np.arange(len(rows))
    members = tuple(part for part in (order[::2], order[1::2]) if len(part))
    for number, chosen in enumerate(members):
        records = [
            {
                "divergence": torch.from_numpy(sums[[i]]).float(),
                "divergence_rows": torch.tensor([int(rows[i])], dtype=torch.int32),
                "statistics": torch.zeros(1, *shape, len(STATISTICS) + 1),
                "baselines": torch.zeros(1, shape[0], len(STATISTICS) + 1),
            }
            for i in chosen
        ]
        write_shard(folder, number, [Member(int(i), str(i), 1) for i in chosen], records)
    sentences = [text_to_sentence("w1", id=str(i)) for i in order]
    return HeadScan(sentences, order, Shards(folder, members), [], WITH_DIVERGENCE)


def of_points(
    folder: Path, points: np.ndarray, shape: tuple[int, int], sentences: int = 40
) -> HeadScan:
    """A scan in which heads lie at these points, up to noise of each sentence."""
    generator = np.random.default_rng(1)
    rows = generator.integers(5, 30, sentences)
    noise = generator.uniform(0.8, 1.2, (sentences, len(points) * (len(points) - 1) // 2))
    return planted(folder, pdist(points) * noise * rows[:, None], rows, shape)


def layers_of(shape: tuple[int, int]) -> np.ndarray:
    return np.arange(shape[0]).repeat(shape[1])


def test_distances_are_means_or_sums_over_rows(tmp_path) -> None:
    sums, rows = np.arange(1.0, 13).reshape(4, 3), np.array([2, 3, 5, 6])
    scan = planted(tmp_path, sums, rows, (1, 3))
    whole = head_distances(scan, reduction="sum")
    assert whole.tolist() == squareform(sums.sum(0)).tolist()
    assert (whole == whole.T).all() and (whole.diagonal() == 0).all() and whole[0, 2] == 26
    assert np.allclose(head_distances(scan), whole / 16)
    halves = [head_distances(scan, reduction="sum", half=half) for half in ("even", "odd")]
    assert halves[0][0, 1] == 1 + 7 and halves[1][0, 1] == 4 + 10
    assert head_distances(scan, half="odd")[0, 1] == pytest.approx(14 / 9)


def test_distances_of_a_model(tiny_model) -> None:
    model, texts = tiny_model("bert"), ["w1 w2 w3 . w4", "w5 w6"]
    sentences = tuple(text_to_sentence(text, id=text) for text in texts)
    scan = scan_heads(model, Corpus("texts", sentences, "0"), options=WITH_DIVERGENCE)
    expected, rows = np.zeros((12, 12)), 0
    for sentence in sentences:
        maps = capture(model, sentence)[0].attention.astype(np.float64)
        n = maps.shape[-1]
        maps = (1 - SMOOTHING) * maps.reshape(12, n, n) + SMOOTHING / n
        rows += n
        for i, j in combinations(range(12), 2):
            # scipy returns the square root.
            expected[i, j] += (jensenshannon(maps[i], maps[j], axis=1) ** 2).sum()
    found = head_distances(scan)
    assert np.abs(found - (expected + expected.T) / rows).max() < 1e-6


def test_two_groups_are_two_clusters(tmp_path) -> None:
    generator = np.random.default_rng(0)
    # Heads of both groups in every layer, two thirds of them in the first.
    far = np.tile([0, 1, 0], 6)
    points = generator.normal(size=(18, 2)) * 0.05 + far[:, None]
    found = cluster_heads(of_points(tmp_path, points, (6, 3)), restarts=2)
    assert found.heads["cluster"].tolist() == far.tolist()
    assert list(found.heads) == ["layer", "head", "x", "y", "cluster", "name"]
    assert found.heads[["layer", "head"]].iloc[4].tolist() == [1, 1]
    chosen = found.silhouettes.set_index("clusters")["chosen"]
    assert chosen.idxmax() == 2 and chosen.sum() == 1
    assert found.silhouettes["clusters"].tolist() == list(range(2, 18))
    assert found.silhouettes.loc[0, ["even", "odd"]].min() > 0.8
    assert found.silhouettes.loc[0, "even"] != found.silhouettes.loc[0, "odd"]
    assert found.test.loc[0, "half_rand"] == 1 and found.test.loc[0, "half_spearman"] > 0.9
    # Layers hold both groups alike: heads of one layer are no closer than others.
    assert found.test.loc[0, "p"] > 0.05
    places = found.heads[["x", "y"]].to_numpy()
    assert np.abs(squareform(pdist(places)) - found.distances).max() < 0.1
    given = cluster_heads(of_points(tmp_path, points, (6, 3)), clusters=3, restarts=1)
    assert given.heads["cluster"].nunique() == 3 and len(given.silhouettes) == 1


def test_clusters_are_numbered_by_size() -> None:
    points = np.array([0.0, 5, 5.1, 9, 9.1, 9.2])[:, None]
    assert group(squareform(pdist(points)), 3).tolist() == [2, 1, 1, 0, 0, 0]


def test_points_of_the_plane_are_laid_out_without_stress() -> None:
    generator = np.random.default_rng(0)
    flat, deep = generator.normal(size=(20, 2)), generator.normal(size=(20, 10))
    true = squareform(pdist(flat))
    places, stress = lay_out(true, seed=0, restarts=4)
    assert np.abs(squareform(pdist(places)) - true).max() < 1e-3
    assert stress["stress"].min() < 1e-4
    assert stress["restart"].tolist() == [0, 1, 2, 3]
    assert stress["best"].tolist() == (stress["stress"] == stress["stress"].min()).tolist()
    # Ten dimensions do not fit into two. Kruskal's stress 1, from the places themselves.
    true = squareform(pdist(deep))
    places, stress = lay_out(true, seed=0, restarts=4)
    given, laid = pdist(deep), pdist(places)
    expected = np.sqrt(((given - laid) ** 2).sum() / (laid**2).sum())
    assert expected > 0.2
    assert stress.loc[stress["best"], "stress"].item() == pytest.approx(expected, rel=1e-6)
    assert stress["stress"].nunique() > 1
    again, _ = lay_out(true, seed=0, restarts=4)
    assert (again == places).all()


def test_p_of_four_heads_by_hand() -> None:
    # Two layers of two heads: of the three ways to pair them, this is the closest.
    near = np.array([[0, 1, 5, 6], [1, 0, 7, 8], [5, 7, 0, 2], [6, 8, 2, 0]], dtype=float)
    assert closeness_p(near, np.array([0, 0, 1, 1]), seed=0) == pytest.approx(1 / 3)
    # Pairs 0–2 and 1–3 are 13 apart in sum, 0–3 and 1–2 too: the farthest.
    order = [0, 2, 1, 3]
    assert closeness_p(near[np.ix_(order, order)], np.array([0, 0, 1, 1]), seed=0) == 1


def test_p_is_uniform_where_layers_mean_nothing(monkeypatch) -> None:
    monkeypatch.setattr(distances, "PERMUTATIONS", 199)
    generator, layer = np.random.default_rng(0), layers_of((4, 6))
    p = [
        closeness_p(squareform(pdist(generator.normal(size=(24, 3)))), layer, seed=seed)
        for seed in range(300)
    ]
    assert kstest(p, "uniform").pvalue > 0.05
    assert 0.02 < np.mean(np.array(p) <= 0.05) < 0.09
    # A positive control: the same with points of a layer moved a little, together.
    moved = [
        closeness_p(
            squareform(pdist(generator.normal(size=(24, 3)) + 0.7 * layer[:, None])), layer, seed=0
        )
        for _ in range(50)
    ]
    assert np.mean(np.array(moved) <= 0.05) > 0.9


def test_closeness_of_layers(tmp_path) -> None:
    shape = (4, 5)
    layer = layers_of(shape)
    points = np.random.default_rng(0).normal(size=(20, 3)) + 2 * layer[:, None]
    scan = of_points(tmp_path, points, shape)
    found = layer_test(scan, head_distances(scan), layer, seed=0).loc[0]
    whole = squareform(head_distances(scan))
    first, second = np.triu_indices(20, 1)
    within = whole[layer[first] == layer[second]].mean()
    assert found["within_layer"] == pytest.approx(within, rel=1e-6)
    assert found["null_mean"] == pytest.approx(whole.mean(), rel=1e-6)
    assert found["effect"] == pytest.approx(whole.mean() - within, rel=1e-5)
    assert found["ci_low"] < found["effect"] < found["ci_high"]
    assert found["ci_high"] - found["ci_low"] < 0.2 * found["effect"]
    assert found["p"] == pytest.approx(1 / 10_001)
    assert found["n"] == 40 and not found["descriptive"]
    # The mean over all pairs is what shuffled heads come to.
    generator = np.random.default_rng(2)
    orders = [generator.permutation(20) for _ in range(2000)]
    square = squareform(whole)
    shuffled = [
        squareform(square[np.ix_(o, o)])[layer[first] == layer[second]].mean() for o in orders
    ]
    assert np.mean(shuffled) == pytest.approx(whole.mean(), rel=0.01)


def test_too_little_data_is_described(tmp_path) -> None:
    points = np.random.default_rng(0).normal(size=(6, 2))
    scan = of_points(tmp_path / "few", points, (2, 3), sentences=9)
    found = layer_test(scan, head_distances(scan), layers_of((2, 3)), seed=0).loc[0]
    assert found["descriptive"] and np.isnan(found["p"]) and np.isfinite(found["effect"])
    # Sentences count, not their rows.
    scan = of_points(tmp_path / "some", points, (2, 3), sentences=29)
    found = layer_test(scan, head_distances(scan), layers_of((2, 3)), seed=0).loc[0]
    assert found["descriptive"] and np.isnan(found["p"]) and found["n"] == 29
    scan = of_points(tmp_path / "enough", points, (2, 3), sentences=30)
    found = layer_test(scan, head_distances(scan), layers_of((2, 3)), seed=0).loc[0]
    assert not found["descriptive"] and np.isfinite(found["p"])
    scan = of_points(tmp_path / "single", points, (6, 1))
    found = cluster_heads(scan).test.loc[0]
    assert not found["descriptive"] and np.isnan(found["p"]) and np.isnan(found["effect"])


def test_names() -> None:
    heads: list[dict[str, float]] = [
        {"next": 0.51},
        {"previous": 0.51, "entropy_normalised": 0.9},
        {"previous": 0.51},
        {"entropy": 3.9},
        {"next": 0.55, "entropy": 3.9, "entropy_normalised": 0.9, "cls": 0.61},
        {"cls": 0.7, "sep": 0.61},
        {"sep": 0.61, "punctuation": 0.61},
        {"next": 0.5, "sep": 0.6},
    ]
    means = np.array([[head.get(name, 0.0) for name in (*STATISTICS, OTHER)] for head in heads])
    names = head_names(means[None])[0].tolist()
    assert names == ["next", "broad", "previous", OTHER, "cls", "sep", "punctuation", OTHER]
    names = head_names(means[None], "nats")[0].tolist()
    assert names == ["next", "previous", "previous", "broad", "cls", "sep", "punctuation", OTHER]


def test_demo_heads(demo, sample) -> None:
    scan = scan_heads(demo, sample.first(30), options=WITH_DIVERGENCE)
    found = cluster_heads(scan, clusters=4, restarts=1)
    named = found.heads.set_index(["layer", "head"])["name"]
    assert named[0, 2] == "previous"
    assert found.distances.shape == (72, 72) and found.distances.max() < np.log(2)
    assert found.test.loc[0, "half_spearman"] > 0.9
    assert found.test.loc[0, "effect"] > 0 and found.test.loc[0, "p"] < 0.01


def test_refusals(tmp_path, tiny_model) -> None:
    points = np.random.default_rng(0).normal(size=(6, 2))
    scan = of_points(tmp_path / "scan", points, (2, 3))
    with pytest.raises(BertologyError, match=r"reduction is 'median'.*mean, sum"):
        head_distances(scan, reduction="median")
    with pytest.raises(BertologyError, match="half 'left'"):
        head_distances(scan, half="left")
    for options in ({"clusters": 1}, {"clusters": 6}, {"broad": "bits"}, {"restarts": 0}):
        with pytest.raises(BertologyError, match="clusters must be from 2 to 5"):
            cluster_heads(scan, **options)
    two = of_points(tmp_path / "two", points[:2], (1, 2))
    with pytest.raises(BertologyError, match="has 2 heads and 40 units"):
        cluster_heads(two)
    one = of_points(tmp_path / "one", points, (2, 3), sentences=1)
    with pytest.raises(BertologyError, match="6 heads and 1 units"):
        cluster_heads(one)
    with pytest.raises(BertologyError, match="no odd unit"):
        head_distances(one, half="odd")
    corpus = Corpus("texts", (text_to_sentence("w1 w2", id="s"),), "0")
    without = scan_heads(tiny_model("bert"), corpus, options=ScanOptions(parts=()))
    for analysis in (head_distances, cluster_heads):
        with pytest.raises(BertologyError, match="not 'divergence'"):
            analysis(without)
