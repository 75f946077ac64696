"""The solver: the objective of scikit-learn, a bound that holds, many sets as each alone."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from bertology.probing.representations.estimators.blocks import Features, RowBlocks, row_blocks
from bertology.probing.representations.estimators.certificate import duality_gap
from bertology.probing.representations.estimators.objective import LabelSet, Objective
from bertology.probing.representations.estimators.solver import TOLERANCE, Solution, solve


class Case(NamedTuple):
    features: np.ndarray
    codes: np.ndarray
    C: float
    weights: np.ndarray | None = None


def drawn(
    rows: int = 600, width: int = 12, classes: int = 4, signal: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Features of very different variance, and classes that depend on them."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((rows, width)) @ rng.standard_normal((width, width))
    logits = signal * features @ rng.standard_normal((width, classes))
    codes = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    codes[:classes] = np.arange(classes)
    return features, codes


def cases() -> dict[str, Case]:
    rng = np.random.default_rng(1)
    features, codes = drawn()
    pairs, two = drawn(classes=2, signal=0.3, seed=2)
    noise = rng.integers(0, 5, 600)
    collinear = np.concatenate([features, features[:, :4] + features[:, 4:8]], axis=1)
    constant = np.concatenate([features, np.full((600, 1), 7.0), np.zeros((600, 1))], axis=1)
    rare = np.where(np.arange(600) == 17, 4, codes)
    return {
        "several classes": Case(features, codes, 0.1),
        "strong penalty": Case(features, codes, 1e-4),
        "two classes": Case(pairs, two, 0.1),
        "two classes, weak penalty": Case(pairs, two, 100.0),
        "labels that are noise": Case(features, noise, 1.0),
        "nearly separable": Case(*drawn(signal=5.0), 10.0),
        "collinear": Case(collinear, codes, 1.0),
        "constant features": Case(constant, codes, 1.0),
        "one row of a class": Case(features, rare, 1.0),
        "one row of two classes": Case(pairs, (np.arange(600) == 17).astype(int), 1.0),
        "weights": Case(features, codes, 1.0, rng.gamma(0.5, size=600)),
        "two classes, weights": Case(pairs, two, 1.0, rng.integers(0, 3, 600).astype(float)),
    }


CASES = cases()


def label_set(case: Case) -> LabelSet:
    return LabelSet(case.codes, int(case.codes.max()) + 1, case.weights)


def standardised(case: Case) -> np.ndarray:
    mean = np.average(case.features, axis=0, weights=case.weights)
    variance = np.average((case.features - mean) ** 2, axis=0, weights=case.weights)
    return (case.features - mean) / np.sqrt(np.where(variance > 1e-20, variance, np.inf))


def objective_of(case: Case, W: np.ndarray, b: np.ndarray) -> float:
    """C times the summed log loss plus half the squared norm, in double precision."""
    logits = standardised(case) @ W.T + b
    if len(W) == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    own = logits[np.arange(len(logits)), case.codes]
    losses = np.logaddexp.reduce(logits, axis=1) - own
    weights = np.ones(len(losses)) if case.weights is None else case.weights
    return float(case.C * (weights * losses).sum() + (W**2).sum() / 2)


def sklearn_of(case: Case) -> LogisticRegression:
    model = LogisticRegression(C=case.C, tol=1e-8, max_iter=20_000)
    return model.fit(standardised(case), case.codes, case.weights)


def solved(case: Case, dtype: type = np.float32, tolerance: float = TOLERANCE) -> Solution:
    features = Features(case.features.astype(dtype))
    return solve(Objective(features, [label_set(case)]), [case.C], tolerance=tolerance)


def weights_of(solution: Solution) -> tuple[np.ndarray, np.ndarray]:
    return solution.theta[:, :-1].numpy(), solution.theta[:, -1].numpy()


@pytest.mark.parametrize("name", CASES)
def test_the_objective_is_that_of_scikit_learn_within_what_the_gap_says(name):
    case, model = CASES[name], sklearn_of(CASES[name])
    least = objective_of(case, model.coef_, model.intercept_)
    solution = solved(case)
    W, b = weights_of(solution)
    value = objective_of(case, W, b)
    assert value == pytest.approx(float(solution.value), rel=1e-5)
    assert least * (1 - 1e-6) <= value <= least * 1.001
    assert value - least <= float(solution.gap) + 1e-5 * least
    assert float(solution.gap) <= 1e-3 * value
    ours, theirs = (
        standardised(case) @ part.T + each
        for part, each in ((W, b), (model.coef_, model.intercept_))
    )
    same = (ours > 0) == (theirs > 0) if len(W) == 1 else ours.argmax(1) == theirs.argmax(1)
    assert same.mean() >= 0.97


@pytest.mark.parametrize("name", CASES)
def test_a_small_tolerance_gives_the_weights_of_scikit_learn(name):
    case, model = CASES[name], sklearn_of(CASES[name])
    W, b = weights_of(solved(case, np.float64, 1e-12))
    scale = np.abs(model.coef_).max()
    np.testing.assert_allclose(W, model.coef_, atol=2e-4 * scale)
    np.testing.assert_allclose(b - b.mean(), model.intercept_ - model.intercept_.mean(), atol=1e-3)


def gap_at(case: Case, theta: torch.Tensor) -> tuple[float, float, float]:
    """The objective, its duality gap and half the squared gradient by W."""
    objective = Objective(Features(case.features), [label_set(case)])
    found = objective.evaluate(theta)
    W = theta[:, :-1]
    gradient = torch.cat([case.C * found.slope + W, case.C * found.intercept_slope[:, None]], dim=1)
    value = case.C * float(found.loss) + float(W.square().sum()) / 2
    half = float(gradient[:, :-1].square().sum()) / 2
    return value, duality_gap(case.C, theta, gradient, *objective.class_totals[0]), half


@pytest.mark.parametrize("name", CASES)
def test_the_gap_is_never_less_than_the_distance_from_the_minimum(name):
    case = CASES[name]
    best = solved(case, np.float64, 1e-12)
    generator = torch.Generator().manual_seed(0)
    least = float(best.value)
    for spread in (1e-4, 1e-2, 1.0):
        for only_intercepts in (False, True):
            noise = torch.randn(best.theta.shape, generator=generator, dtype=torch.float64)
            if only_intercepts:
                noise[:, :-1] = 0
            value, gap, _ = gap_at(case, best.theta + spread * noise)
            assert value - least > 0
            assert gap >= (value - least) * (1 - 1e-6) - 1e-9 * least
    # It says little only far away: at the minimum it vanishes.
    assert gap_at(case, best.theta)[1] <= 1e-9 * least


def test_with_the_right_class_totals_the_gap_is_half_the_squared_gradient():
    # Intercepts that are best for random weights: what is left is the gradient by the weights.
    case = CASES["several classes"]
    theta = torch.randn(4, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    objective = Objective(Features(case.features), [label_set(case)])
    for _ in range(50):
        found = objective.evaluate(theta)
        theta[:, -1] -= torch.linalg.pinv(found.curvature[0]) @ found.intercept_slope
    assert found.intercept_slope.abs().max() < 1e-9
    _, gap, half = gap_at(case, theta)
    assert gap == pytest.approx(half, rel=1e-6)


@pytest.mark.parametrize("name", ["several classes", "two classes", "nearly separable"])
def test_a_path_ends_where_cold_starts_end_in_fewer_passes(name):
    objective = Objective(Features(CASES[name].features), [label_set(CASES[name])])
    theta, passes, cold = None, 0, 0
    for C in (1e-3, 1e-2, 1e-1, 1.0):
        warm = solve(objective, [C], start=theta)
        alone = solve(objective, [C])
        assert float((warm.value - alone.value).abs()) <= float(max(warm.gap, alone.gap))
        close = (
            solve(objective, [C], start=start, tolerance=1e-11).theta[:, :-1]
            for start in (theta, None)
        )
        torch.testing.assert_close(*close, atol=1e-4, rtol=0)
        theta, passes, cold = warm.theta, passes + warm.passes, cold + alone.passes
    assert passes < cold


def many_sets() -> list[LabelSet]:
    """Different numbers of classes, a resample, a subset and a control."""
    rng = np.random.default_rng(5)
    _, codes = drawn()
    _, two = drawn(classes=2)
    resample = np.bincount(rng.integers(0, 600, 600), minlength=600).astype(float)
    subset = np.where(np.arange(600) < 200, 1.0, 0.0)
    return [
        LabelSet(codes, 4),
        LabelSet(two, 2),
        LabelSet(codes, 4, resample),
        LabelSet(codes, 4, subset),
        LabelSet(rng.integers(0, 7, 600), 7),
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_sets_end_where_each_ends_alone(dtype):
    features = Features(drawn()[0].astype(dtype))
    sets, strengths = many_sets(), [1.0, 0.1, 0.01, 1.0, 0.5]
    tolerance = 1e-12 if dtype is np.float64 else 1e-4
    together = solve(Objective(features, sets), strengths, tolerance=tolerance)
    alone = [
        solve(Objective(features, [each]), [C], tolerance=tolerance)
        for each, C in zip(sets, strengths, strict=True)
    ]
    close = {"atol": 1e-4, "rtol": 0} if dtype is np.float64 else {"atol": 0.1, "rtol": 0}
    torch.testing.assert_close(together.theta, torch.cat([one.theta for one in alone]), **close)
    torch.testing.assert_close(
        together.value, torch.cat([one.value for one in alone]), rtol=2 * tolerance, atol=0
    )


def test_sets_that_are_done_leave(monkeypatch):
    columns = []
    evaluate = Objective.evaluate

    def counting(self, theta):
        columns.append(len(theta))
        return evaluate(self, theta)

    monkeypatch.setattr(Objective, "evaluate", counting)
    solve(Objective(Features(drawn()[0]), many_sets()), [1e-3, 1e-3, 1e-3, 1.0, 1e-3])
    assert columns[0] == 4 + 1 + 4 + 4 + 7
    assert columns[-1] == 4
    assert columns == sorted(columns, reverse=True)


@pytest.mark.parametrize("kind", ["subset", "repeats"])
def test_weights_are_rows_left_out_and_rows_repeated(kind):
    features, codes = drawn()
    rng = np.random.default_rng(3)
    counts = np.arange(600) % 3 > 0 if kind == "subset" else rng.integers(0, 4, 600)
    chosen = np.repeat(np.arange(600), counts)
    weighted = solve(
        Objective(Features(features), [LabelSet(codes, 4, counts.astype(float))]), [0.5],
        tolerance=1e-12,
    )  # fmt: skip
    plain = solve(
        Objective(Features(features[chosen]), [LabelSet(codes[chosen], 4)]), [0.5], tolerance=1e-12
    )
    torch.testing.assert_close(weighted.theta, plain.theta, atol=1e-4, rtol=0)
    torch.testing.assert_close(weighted.value, plain.value, rtol=1e-9, atol=0)


def test_blocks_end_where_the_whole_ends_and_are_read_one_at_a_time(tmp_path):
    features = drawn()[0]
    path = tmp_path / "features.npy"
    np.save(path, features)
    mapped = np.load(path, mmap_mode="r")
    sizes = []

    def read():
        for block in row_blocks(mapped, 128).read():
            sizes.append(len(block))
            yield block

    strengths = [1.0, 0.1, 0.01, 1.0, 0.5]
    blocks = Features(RowBlocks((600, 12), read))
    whole = Features(features)
    np.testing.assert_allclose(blocks.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(blocks.inverse, whole.inverse, rtol=1e-12)
    from_blocks, from_whole = (
        solve(Objective(each, many_sets()), strengths, tolerance=1e-12) for each in (blocks, whole)
    )
    torch.testing.assert_close(from_blocks.theta, from_whole.theta, atol=1e-4, rtol=0)
    assert max(sizes) == 128
    assert len(sizes) > 5 * from_blocks.passes


def test_what_did_not_converge_says_how_far_it_is():
    case = CASES["nearly separable"]
    objective = Objective(Features(case.features), [label_set(case)])
    with pytest.warns(
        ConvergenceWarning, match=r"1 of 1 .* may be \d+\.\d% above .* more than 0\.1%"
    ):
        solution = solve(objective, [case.C], max_passes=5)
    assert solution.passes == 5
    least = float(solved(case, np.float64, 1e-9).value)
    assert float(solution.value) - least <= float(solution.gap)


def test_more_than_single_precision_can_give_is_not_waited_for():
    case = CASES["several classes"]
    objective = Objective(Features(case.features.astype(np.float32)), [label_set(case)])
    with pytest.warns(ConvergenceWarning):
        solution = solve(objective, [case.C], tolerance=1e-12)
    assert solution.passes < 200
    assert float(solution.gap / solution.value) < 1e-4


def test_features_that_are_no_numbers_are_refused():
    features = drawn()[0]
    features[3, 2] = np.nan
    with pytest.raises(ValueError, match="1 of 12 features hold NaN or infinity"):
        Features(features)


def test_constant_features_are_standardised_to_0():
    features = np.full((50, 3), 0.1, dtype=np.float32)
    features[:, 1] = np.arange(50)
    (block,) = Features(features)
    assert (block[:, [0, 2]] == 0).all()
    assert block[:, 1].std(correction=0) == pytest.approx(1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_accelerator_finds_what_the_cpu_finds(dtype):
    strengths = [1.0, 0.1, 0.01, 1.0, 0.5]
    tolerance = 1e-12 if dtype is np.float64 else 1e-4
    there, here = (
        solve(
            Objective(Features(drawn()[0].astype(dtype), device), many_sets()), strengths,
            tolerance=tolerance,
        )
        for device in ("cuda", "cpu")
    )  # fmt: skip
    torch.testing.assert_close(there.value.cpu(), here.value, rtol=2 * tolerance, atol=0)
    torch.testing.assert_close(there.theta.cpu(), here.theta, atol=0.1, rtol=0)
