"""Intervals and trends: against SciPy, closed forms, exact enumeration and planted truths.

What can be enumerated is (proportions); the rest are counts over planted data sets of a fixed
seed, held against `ALARM`, the false-alarm rate of each such test.
"""

import json
import math
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, binomtest, chi2, chi2_contingency, multinomial

import twomode as tm
from twomode.statistics import (
    Proportion,
    clopper_pearson,
    compare,
    compare_paired,
    fit_logistic,
    fit_power,
    main_effects,
)
from twomode.statistics.factorial import _mean_squares

ALARM = 1e-4
#: Of statsmodels and ArviZ: `tests/data/record_statistics.py`.
RECORDED = json.loads((Path(__file__).parent / "data" / "statistics.json").read_text())
#: Three different dimensions and more, as a power of which something grows.
X = 2.0 ** np.arange(8, 18, 2)


def least(trials, share):
    """Smallest count that a true share would reach with probability 1 - `ALARM`."""
    return int(binom.ppf(ALARM, trials, share))


# Proportions


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize(
    ("k", "n"), [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (61, 64), (1, 5000)]
)
def test_clopper_pearson(k, n, confidence):
    expected = binomtest(k, n).proportion_ci(confidence, method="exact")
    found = clopper_pearson(k, n, confidence)
    assert found == pytest.approx((expected.low, expected.high), rel=1e-10)
    assert Proportion(k, n, confidence).interval == found
    assert Proportion(k, n, confidence).share == k / n


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 4), "successes=-1 must be a whole number of at least 0"),
        ((5, 4), "successes=5 must lie between 0 and trials=4"),
        ((0, 0), "trials=0 must be a whole number of at least 1"),
        ((1, 4, 0), r"confidence=0 must lie in \(0, 1\)"),
        ((1, 4, 1.0), r"confidence=1.0 must lie in \(0, 1\)"),
        ((1, 4, math.nan), "confidence=nan must lie"),
    ],
)
def test_unusable_proportions(arguments, message):
    with pytest.raises(tm.InputError, match=message):
        clopper_pearson(*arguments)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [1, 5, 16, 64])
def test_a_verdict_is_false_as_rarely_as_it_says(n, threshold, confidence):
    tail, counts = (1 - confidence) / 2, np.arange(n + 1)
    words = np.array([Proportion(int(k), n, confidence).against(threshold) for k in counts])
    assert set(words) <= {"holds", "fails", "undecided"}
    for truth in (threshold / 2, threshold):  # or less: then "holds" is false
        assert binom.pmf(counts[words == "holds"], n, truth).sum() <= tail
    for truth in (threshold, (1 + threshold) / 2):
        assert binom.pmf(counts[words == "fails"], n, truth).sum() <= tail
    # Power: a count is called as soon as the tail beyond it allows.
    assert np.array_equal(words == "holds", binom.sf(counts - 1, n, threshold) < tail)
    assert np.array_equal(words == "fails", binom.cdf(counts, n, threshold) < tail)
    if n == 64:
        assert (words[0], words[-1]) == ("fails", "holds")


def test_a_proportion_in_words():
    assert str(Proportion(61, 64)) == "61/64 (87-99 %)"
    assert str(Proportion(0, 3)) == "0/3 (0-71 %)"


@pytest.mark.parametrize(("n_1", "n_2"), [(1, 1), (3, 9), (12, 12)])
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_a_difference_is_covered_exactly_often_enough(n_1, n_2, confidence):
    intervals = {
        (j, k): compare(Proportion(j, n_1, confidence), Proportion(k, n_2, confidence))
        for j, k in product(range(n_1 + 1), range(n_2 + 1))
    }
    for p, q in product([0.0, 0.02, 0.3, 0.5, 0.9, 1.0], repeat=2):
        covered = sum(
            binom.pmf(j, n_1, p) * binom.pmf(k, n_2, q)
            for (j, k), (low, high) in intervals.items()
            if low <= p - q <= high
        )
        assert covered >= confidence - 1e-12


def test_a_difference_is_made_of_two_intervals_at_half_the_error():
    first, second = Proportion(40, 48, 0.9), Proportion(12, 32, 0.99)
    low, high = compare(first, second)
    a, b = (
        binomtest(p.successes, p.trials).proportion_ci(0.95, method="exact")
        for p in (first, second)
    )
    assert (low, high) == pytest.approx((a.low - b.high, a.high - b.low))
    assert 0 < low < first.share - second.share < high
    assert compare(second, first) == pytest.approx((-high, -low))
    low, high = compare(Proportion(20, 48), Proportion(12, 32))
    assert low < 0 < high


def agreeing(rng, n, both, first, second):
    """Outcomes of two rules on the same seeds: the chances that both, or only one, succeeds."""
    u = rng.random(n)
    only_first = (u >= both) & (u < both + first)
    only_second = (u >= both + first) & (u < both + first + second)
    return (u < both) | only_first, (u < both) | only_second


@pytest.mark.parametrize("n", [1, 8, 40])
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_a_paired_difference_is_covered_exactly_often_enough(n, confidence):
    """Over all counts of disagreement, each way; sharp enough to be of use."""
    counts = [(j, k) for j in range(n + 1) for k in range(n + 1 - j)]
    found = {
        (j, k): compare_paired(np.arange(n) < j, np.arange(n) >= n - k, confidence)
        for j, k in counts
    }
    for p, q in [(0.0, 0.0), (0.02, 0.02), (0.3, 0.0), (0.3, 0.1), (0.5, 0.5), (0.9, 0.05)]:
        law = multinomial(n, [p, q, 1 - p - q])
        covered = sum(
            law.pmf([j, k, n - j - k])
            for (j, k), (low, high) in found.items()
            if low - 1e-12 <= p - q <= high + 1e-12
        )
        assert covered >= confidence - 1e-9


def test_a_paired_difference():
    """Where two rules mostly agree it says more than two intervals side by side can."""
    first = np.arange(64) < 58
    second = np.roll(first, 2)  # 58 of 64 as well, two starts each way
    low, high = compare_paired(first, second)
    assert low == pytest.approx(-high)
    wide = compare(Proportion(58, 64), Proportion(58, 64))
    assert high < 0.9 * wide[1]
    assert compare_paired(second, first) == pytest.approx((-high, -low))
    assert compare_paired(first, first)[1] == pytest.approx(clopper_pearson(0, 64, 0.975)[1])
    ahead = compare_paired(np.ones(64, bool), first)
    behind = compare_paired(first, np.ones(64, bool))
    assert ahead == pytest.approx((-behind[1], -behind[0]))
    assert compare_paired(np.ones(64, bool), np.arange(64) < 40)[0] > 0.15
    with pytest.raises(tm.InputError, match=r"second=.* must be an array of truth values"):
        compare_paired([True] * 3, [True] * 2)


@pytest.mark.parametrize("row", RECORDED["proportions"], ids=str)
def test_proportions_against_statsmodels(row):
    k, n, confidence, *interval = row
    assert clopper_pearson(k, n, confidence) == pytest.approx(interval, rel=1e-9, abs=1e-12)


# Power laws


def samples(rng, exponent, n=24, sigma=0.5, x=X):
    """Lognormal seeds whose median is 3 x^exponent."""
    return [3 * at**exponent * rng.lognormal(0, sigma, n) for at in x]


@pytest.mark.parametrize("exponent", [-0.5, 0.0, 1.5])
def test_a_planted_power_law_is_found(exponent):
    """At a confidence of 99.9 %, which leaves a false alarm in a thousand."""
    y = samples(np.random.default_rng(0), exponent)
    trend = fit_power(X, y, confidence=0.999)
    low, high = trend.exponent_interval
    assert low < exponent < high
    assert low < trend.exponent < high
    assert high - low < 0.3
    np.testing.assert_array_equal(trend.medians, [np.median(values) for values in y])
    slope, intercept = np.polyfit(np.log(X), np.log(trend.medians), 1)
    assert (trend.exponent, math.log(trend.coefficient)) == pytest.approx((slope, intercept))
    np.testing.assert_allclose(trend(X), np.exp(intercept) * X**slope)
    # The band contains the curve and the truth, and is finite beyond the data.
    at = np.geomspace(X[0] / 4, X[-1] * 4, 50)
    lower, upper = trend.band(at)
    assert trend.band(at).shape == (2, 50)
    assert (lower < trend(at)).all()
    assert (trend(at) < upper).all()
    assert (lower < 3 * at**exponent).all()
    assert (3 * at**exponent < upper).all()


def test_an_exact_power_law_has_no_width():
    trend = fit_power([1, 2, 8], [[5.0], [20.0] * 3, [320.0] * 2])
    assert trend.exponent == pytest.approx(2)
    assert trend.coefficient == pytest.approx(5)
    assert trend.exponent_interval == pytest.approx((2, 2))
    np.testing.assert_allclose(trend.band([4.0]), [[80], [80]])


def test_bootstrap_medians_are_those_of_drawn_samples():
    """The law of medians of resampled values, without resampling: each of the 18 values and means
    of two as often as among drawn samples (chi squared at `ALARM`)."""
    for n in (9, 10):
        v = 2.0 ** np.arange(n)
        trend = fit_power([1, 2], [v, [1.0]], draws=20_000)
        found = np.exp(trend.draws[:, 0])  # at x = 1
        drawn = np.median(np.random.default_rng(5).choice(v, size=(20_000, n)), axis=1)
        kinds = np.unique(np.round(drawn, 6))
        table = np.array([[np.isclose(x, kind).sum() for kind in kinds] for x in (found, drawn)])
        assert table[0].sum() > 19_990
        assert chi2_contingency(table[:, table.sum(axis=0) > 40]).pvalue > ALARM


def test_higher_confidence_is_wider():
    y = samples(np.random.default_rng(2), -0.5)
    narrow, wide = (fit_power(X, y, confidence=c) for c in (0.5, 0.99))
    assert narrow.exponent == wide.exponent
    assert wide.exponent_interval[0] < narrow.exponent_interval[0]
    assert narrow.exponent_interval[1] < wide.exponent_interval[1]
    assert (wide.band(X)[0] < narrow.band(X)[0]).all()


def test_intervals_are_quantiles_of_the_draws():
    trend = fit_power(X, samples(np.random.default_rng(2), -0.5), confidence=0.9)
    tails = [0.05, 0.95]
    np.testing.assert_allclose(
        trend.exponent_interval, np.quantile(trend.draws[:, 1], tails), rtol=1e-2
    )
    curves = [np.exp(a + b * np.log(X)) for a, b in trend.draws]
    np.testing.assert_allclose(trend.band(X), np.quantile(curves, tails, axis=0), rtol=1e-3)


def test_draws_whose_median_has_no_logarithm_are_beyond_either_end():
    """With 2 zeros of 5, a median is zero in 32 % of the draws: nothing is known at 95 %."""
    zeros, inf = [0.0, 0.0, 5.0, 5.0, 5.0], math.inf
    trend = fit_power([1, 2], [[1.0, 2.0, 3.0], zeros])
    assert len(trend.draws) == 4000
    assert 0.2 < np.isnan(trend.draws).any(axis=1).mean() < 0.4
    assert trend.exponent_interval == (-inf, inf)
    np.testing.assert_array_equal(trend.band([1.5]), [[0], [inf]])
    assert np.isfinite(
        fit_power([1, 2], [[1.0, 2.0], zeros], confidence=0.2).exponent_interval
    ).all()


def test_the_bootstrap_depends_on_its_seed_alone():
    y = samples(np.random.default_rng(3), -0.5)
    fits = [fit_power(X, y, draws=50, seed=seed) for seed in (0, 0, 1)]
    assert np.array_equal(fits[0].draws, fits[1].draws)
    assert not np.array_equal(fits[0].draws, fits[2].draws)
    assert fits[0].draws.shape == (50, 2)


def test_a_few_replicas_that_do_something_else_do_not_decide():
    y = samples(np.random.default_rng(4), -0.5)
    before = fit_power(X, y)
    width = np.ptp(before.exponent_interval)
    for bad in (1e6, 0.0, math.inf):
        spoilt = [values.copy() for values in y]
        for n, values in enumerate(spoilt):
            values[: n % 3 + 1] = bad  # one to three of 24, more at some x than at others
        after = fit_power(X, spoilt)
        assert abs(after.exponent - before.exponent) < width / 2
        assert np.isfinite(after.exponent_interval).all()
    # Negative control: the means would follow the outliers.
    spoilt[-1][0] = 1e6
    means = [values[np.isfinite(values)].mean() for values in spoilt]
    assert abs(np.polyfit(np.log(X), np.log(means), 1)[0] - before.exponent) > 3 * width


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [[1.0], [0.0, 0.0, 5.0]], "the median at x=2 is 0: a power law needs positive"),
        ([1, 2], [[-1.0], [1.0]], "the median at x=1 is -1"),
        ([1, 2], [[math.nan, 1.0], [1.0]], "the median at x=1 is nan"),
        ([1, 2], [[1.0], [math.inf]], "the median at x=2 is inf"),
        ([4], [[1.0]], "at least two different x"),
        ([4, 4], [[1.0], [2.0]], "at least two different x"),
        ([1, 2], [[1.0]], "as many samples, not 2, 1"),
    ],
)
def test_no_power_law_without_positive_medians_at_two_x(x, y, message):
    with pytest.raises(tm.InputError, match=message) as refusal:
        fit_power(x, y)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"x": [0, 1]},
        {"x": [-1, 1]},
        {"x": [math.nan, 1]},
        {"samples": [[1.0], []]},
        {"confidence": 1.5},
        {"draws": 0},
    ],
    ids=str,
)
def test_unusable_arguments_of_a_power_law(changes):
    with pytest.raises(tm.InputError):
        fit_power(**({"x": [1, 2], "samples": [[1.0, 2.0], [3.0, 4.0]]} | changes))


# Logistic trends


@pytest.mark.parametrize("row", RECORDED["trends"], ids=lambda row: str(row["confidence"]))
def test_logistic_trends_against_statsmodels(row):
    data = [row[name] for name in ("x", "successes", "trials")]
    trend = fit_logistic(*data, confidence=row["confidence"])
    assert [trend.slope, *trend.slope_interval] == pytest.approx(row["slope"], rel=1e-6)
    level, *ends = 1 / (1 + np.exp(-np.array(row["level"])))
    at = row["x"][:1]
    assert trend(at)[0] == pytest.approx(level, rel=1e-6)
    np.testing.assert_allclose(trend.band(at)[:, 0], ends, rtol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("k", [[0, 0, 8], [0, 3, 8], [0, 8, 8]], ids=str)
def test_separated_seeds_bound_the_slope_from_one_side(k, sign):
    """The end is where the likelihood ratio to the limit of steep slopes is the quantile."""
    x, k, n = sign * np.arange(3), np.array(k), np.full(3, 8)
    trend = fit_logistic(x, k, n)
    assert trend.slope == sign * math.inf
    end, other = trend.slope_interval[::sign]
    assert other == sign * math.inf
    levels = np.linspace(-30, 30, 60_001)[:, None] - end
    logits = levels + end * x
    lost = (n * np.logaddexp(0, logits) - k * logits).sum(axis=1).min()
    best = -binom.logpmf(3, 8, 3 / 8) + math.log(math.comb(8, 3)) if 3 in k else 0.0
    assert 2 * (lost - best) == pytest.approx(chi2.ppf(0.95, 1), rel=1e-4)
    assert np.isnan(trend(x)).all()
    low, high = trend.band(x)
    assert (low < high).all()
    assert sign * (high[0] - 1) <= sign * (low[2] - 1) + 1  # and says which end is which
    assert low[k == 8].min() > 0.5
    assert high[k == 0].max() < 0.5


@pytest.mark.parametrize(
    ("x", "k", "n"),
    [([0.68, 1.82], [0, 15], [9, 19]), ([0, 1, 100], [0, 0, 2], [2, 2, 2])],
    ids=["tie at the end", "wide gap"],
)
def test_separation_is_seen_in_the_counts(x, k, n):
    """Not in a score, which is zero as well where every probability has been rounded to 0 or 1."""
    trend = fit_logistic(x, k, n)
    assert (trend.slope, trend.slope_interval[1]) == (math.inf, math.inf)
    assert 0 < trend.slope_interval[0] < 10
    assert trend.band(x)[0, 0] == 0.0


@pytest.mark.parametrize("k", [0, 64])
def test_seeds_that_all_agree_say_nothing_about_the_slope(k):
    trend = fit_logistic([8, 10, 12], [k] * 3, [64] * 3)
    assert math.isnan(trend.slope)
    assert trend.slope_interval == (-math.inf, math.inf)
    low, high = trend.band([8, 10, 12, 14])
    assert (low[:3] > 0.9).all() if k else (high[:3] < 0.1).all()
    assert high[3] - low[3] == pytest.approx(1.0)


def test_the_band_contains_the_curve():
    trend = fit_logistic(np.arange(8, 18, 2), [1, 5, 30, 50, 64], [64] * 5)
    at = np.linspace(0, 24, 50)
    lower, upper = trend.band(at)
    assert (lower < trend(at)).all()
    assert (trend(at) < upper).all()
    assert (lower >= 0).all()
    assert (upper <= 1).all()
    wide = fit_logistic(np.arange(8, 18, 2), [1, 5, 30, 50, 64], [64] * 5, confidence=0.999)
    assert (wide.band(at)[0] < lower).all()
    assert np.ptp(wide.slope_interval) > np.ptp(trend.slope_interval)


def assert_same_trend_elsewhere(shift, scale):
    x, k, n = np.arange(8, 18, 2), [1, 5, 30, 50, 64], [64] * 5
    trend, moved = fit_logistic(x, k, n), fit_logistic(scale * (x + shift), k, n)
    np.testing.assert_allclose(moved(scale * (x + shift)), trend(x), rtol=1e-4)
    np.testing.assert_allclose(
        np.multiply(moved.slope_interval, scale), trend.slope_interval, rtol=1e-3
    )


@pytest.mark.parametrize("shift", [0, 1000])
@pytest.mark.parametrize("scale", [1e-3, 1, 1e5])
def test_units_and_origin_of_x_do_not_matter(shift, scale):
    assert_same_trend_elsewhere(shift, scale)


def test_a_far_origin_of_x_does_not_matter():
    assert_same_trend_elsewhere(1e6, 1)


@pytest.mark.parametrize("x", [[3.0], [3.0, 3.0], [3.0, 3.0 + 1e-9, 4.0]])
def test_no_logistic_trend_at_one_x(x):
    with pytest.raises(tm.InputError, match=r"at least two different x.* not x=\[3.0"):
        fit_logistic(x, [1] * len(x), [2] * len(x))


@pytest.mark.parametrize(
    "changes",
    [
        {"successes": [1, 5]},
        {"successes": [-1, 2]},
        {"successes": [1]},
        {"x": [0, math.nan]},
        {"confidence": 1.5},
    ],
    ids=str,
)
def test_unusable_arguments_of_a_logistic_trend(changes):
    with pytest.raises(tm.InputError):
        fit_logistic(**({"x": [0, 1], "successes": [1, 2], "trials": [4, 4]} | changes))


@pytest.mark.parametrize(("k", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_counts_that_make_no_proportion(k, n):
    with pytest.raises(tm.InputError, match=r"must (lie between 0 and trials|be a whole number)"):
        Proportion(k, n)


def test_a_band_at_one_point():
    band = fit_logistic([0, 1, 2], [1, 4, 9], [10, 10, 10]).band(1.0)
    assert band.shape == (2, 1)


# Main effects


def test_mean_squares_without_a_seed_are_those_of_the_others():
    y = np.random.default_rng(7).normal(size=(6, 5))
    of_all, *without = _mean_squares(y)
    effects = y - y.mean(axis=0)
    pairs = [effects[:, r] @ effects[:, s] / 6 for r, s in permutations(range(5), 2)]
    assert of_all == pytest.approx(np.mean(pairs))
    for seed, found in enumerate(without):
        assert found == pytest.approx(_mean_squares(np.delete(y, seed, axis=1))[0])


def factorial(table, replicas=4):
    """The same number in each seed of a cell."""
    return np.repeat(np.asarray(table, dtype=float)[..., None], replicas, axis=-1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_axis_decides_everything(axis):
    values = np.array([0.2, 0.9, 0.4, 0.3])[: (2, 4, 3)[axis]]
    table = np.zeros((2, 4, 3)) + np.expand_dims(values, [k for k in range(3) if k != axis])
    shares, intervals = main_effects(factorial(table))
    np.testing.assert_allclose(shares, np.eye(3)[axis], atol=1e-12)
    np.testing.assert_allclose(intervals, np.stack([shares, shares], axis=1), atol=1e-12)


def test_a_pure_interaction_is_decided_by_no_axis():
    signs = np.array([-1.0, 1.0])
    table = signs[:, None, None] * signs[:, None] * signs  # whether an odd number is on
    shares, intervals = main_effects(factorial(0.5 + 0.25 * table))
    np.testing.assert_allclose(shares, 0, atol=1e-12)
    np.testing.assert_allclose(intervals, 0, atol=1e-12)


def test_additive_axes_share_by_their_variances():
    first, second = np.array([0.0, 1.0, 5.0]), np.array([0.0, 3.0])
    shares, _ = main_effects(factorial(first[:, None] + second))
    parts = first.var(), second.var()
    np.testing.assert_allclose(shares, np.divide(parts, sum(parts)), rtol=1e-12)
    # half of the variance in an interaction, which is missing to 1
    signs = np.array([-1.0, 1.0])
    shares, _ = main_effects(factorial(signs[:, None] + signs[:, None] * signs))
    np.testing.assert_allclose(shares, [0.5, 0], atol=1e-12)


def test_shares_are_averages_over_pairs_of_seeds():
    """Against sums of squares over all cells, one axis and one pair of seeds after the other."""
    rng = np.random.default_rng(0)
    chances = np.array([0.1, 0.5, 0.9])[:, None, None] * rng.random((3, 2, 4))
    y = (rng.random((3, 2, 4, 12)) < chances[..., None]).astype(float)

    def sum_of_squares(one, other):
        return sum((one[c] - one.mean()) * (other[c] - other.mean()) for c in np.ndindex(3, 2, 4))

    def main_effect(one, axis):
        each = [np.take(one, level, axis).mean() for level in range(one.shape[axis])]
        return np.broadcast_to(np.expand_dims(each, tuple({0, 1, 2} - {axis})), one.shape)

    pairs = [(y[..., r], y[..., s]) for r in range(12) for s in range(12) if r != s]
    total = sum(sum_of_squares(*pair) for pair in pairs)
    shares, intervals = main_effects(y)
    for axis in range(3):
        between = sum(sum_of_squares(*(main_effect(one, axis) for one in pair)) for pair in pairs)
        assert shares[axis] == pytest.approx(np.clip(between / total, 0, 1), rel=1e-12)
    assert shares[0] > 0.3
    assert intervals.shape == (3, 2)


def test_main_effects_know_neither_order_nor_unit():
    y = np.random.default_rng(1).random((3, 2, 2, 9))
    shares, intervals = main_effects(y)
    order = np.random.default_rng(2).permutation(3)
    for same in (y[order], 7 * y, 5 - y):
        np.testing.assert_allclose(main_effects(same)[0], shares, rtol=1e-9)
        np.testing.assert_allclose(main_effects(same)[1], intervals, rtol=1e-9)
    moved = main_effects(np.moveaxis(y, 0, 2))
    np.testing.assert_allclose(moved[0], shares[[1, 2, 0]], rtol=1e-9)
    np.testing.assert_allclose(moved[1], intervals[[1, 2, 0]], rtol=1e-9)


@pytest.mark.parametrize("same", [0.0, 1.0, 0.25])
def test_cells_that_are_all_alike_leave_nothing_to_decide(same):
    shares, intervals = main_effects(np.full((3, 2, 8), same))
    assert np.isnan(shares).all()
    assert intervals.shape == (2, 2)
    assert np.isnan(intervals).all()
    alternating = np.arange(8) % 2  # seeds that differ, and do so alike in every cell
    assert np.isnan(main_effects(np.zeros((3, 2, 8)) + alternating)[0]).all()


def test_cells_that_are_all_alike_up_to_rounding_leave_nothing_to_decide():
    shares, _ = main_effects(np.arange(10) < 3 + np.zeros((3, 6, 3, 10)))
    assert np.isnan(shares).all()


def test_pairing_matters():
    """What seeds have in common leaves differences between cells, and so the shares, alone."""
    effect = np.array([[0.0, 0.1], [1.0, 1.2]])[..., None]
    luck = np.random.default_rng(4).normal(0, 0.8, 50)
    paired = effect + luck
    shares, intervals = main_effects(paired)
    np.testing.assert_allclose(intervals, np.stack([shares, shares], axis=1), rtol=1e-9)
    rng = np.random.default_rng(5)
    shuffled = effect + np.stack([[rng.permutation(luck) for _ in range(2)] for _ in range(2)])
    np.testing.assert_allclose(shuffled.mean(axis=-1), paired.mean(axis=-1))
    _, wide = main_effects(shuffled)
    assert (np.ptp(wide, axis=1) > 0.1).all()
    _, unknown = main_effects(5 * shuffled - 5 * effect)  # no effect left
    np.testing.assert_array_equal(unknown, [[0, 1], [0, 1]])


def test_noise_is_no_effect():
    """Of two axes that decide alike, each decides half, however noisy the seeds; what the noise
    of cell means would add to the interactions is gone (mean of 400 sets, at `ALARM`)."""
    rng = np.random.default_rng(6)
    effect = np.array([[0.0, 0.5], [0.5, 1.0]])[..., None]
    shares = np.array(
        [main_effects(effect + rng.normal(0, 0.3, (2, 2, 24)))[0] for _ in range(400)]
    )
    error = shares.std(axis=0) / 20
    assert (np.abs(shares.mean(axis=0) - 0.5) < 0.02 + 4 * error).all()
    assert np.abs(shares.sum(axis=1).mean() - 1) < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3)),), r"must be an array of finite numbers of shape \(..., m, n, R\)"),
        ((np.zeros(3),), "must be an array of finite numbers"),
        ((np.zeros((2, 2, 2)),), r"samples has shape \(2, 2, 2\): at least three seeds"),
        ((np.zeros((2, 2, 2)), 1.0), r"confidence=1.0 must lie in \(0, 1\)"),
        ((np.zeros((2, 2, 2)), 0), r"confidence=0 must lie in \(0, 1\)"),
    ],
    ids=str,
)
def test_unusable_factorials(arguments, message):
    with pytest.raises(tm.InputError, match=message) as refusal:
        main_effects(*arguments)
    assert "\n" not in str(refusal.value)
