import json
from itertools import product

import numpy as np
import pytest

import twomode as tm
from twomode.game import binary_vectors, law_from_dict

TRIANGLE = tm.ExplicitLatents([[1, 0, 1], [0, 1, 1], [1, 1, 0]], [0.5, 0.25, 0.25])
LATENTS = [
    (tm.SparsePairs(0.3), 5),
    (tm.SparsePairs(0), 1),
    (tm.Bernoulli(0.2), 4),
    (tm.Bernoulli(0.2), 16),
    (TRIANGLE, 3),
]
DATA = [(tm.CorrelatedModes(), 2), (tm.CorrelatedCoefficients(0.4), 2)]


def support_set(law, n):
    return {tuple(row) for row in law.points(n)[0]}


@pytest.mark.parametrize(("law", "n"), LATENTS + DATA)
def test_points_are_distinct_binary_vectors_with_positive_probabilities_summing_to_one(law, n):
    support, probabilities = law.points(n)
    assert support.shape == (len(probabilities), n)
    assert support_set(law, n) <= set(product((0.0, 1.0), repeat=n))
    assert len(support_set(law, n)) == len(support)
    assert (probabilities > 0).all()
    assert probabilities.sum() == pytest.approx(1, rel=1e-14)


def test_sparse_pairs_supports_every_single_and_every_pair():
    binary = product((0.0, 1.0), repeat=4)
    assert support_set(tm.SparsePairs(0.3), 4) == {z for z in binary if sum(z) in (1, 2)}


@pytest.mark.parametrize(("q", "ones"), [(0, 1), (1, 2)])
def test_sparse_pairs_leaves_out_what_cannot_happen(q, ones):
    assert {sum(z) for z in support_set(tm.SparsePairs(q), 4)} == {ones}


@pytest.mark.parametrize("m_G", [2, 3, 7])
def test_sparse_pairs_moments(m_G):
    q = 0.3
    # one coordinate is on with probability 1 - q and two with q: 1 + q on average
    expected = np.full((m_G, m_G), 2 * q / (m_G * (m_G - 1)))
    np.fill_diagonal(expected, (1 + q) / m_G)
    np.testing.assert_allclose(tm.SparsePairs(q).moments(m_G), expected, rtol=1e-14)


@pytest.mark.parametrize("p", [0.0, 0.2, 1.0])
def test_bernoulli_moments(p):
    expected = np.full((5, 5), p**2)
    np.fill_diagonal(expected, p)
    np.testing.assert_allclose(tm.Bernoulli(p).moments(5), expected, rtol=1e-14)


def test_bernoulli_weighs_every_vector_by_its_number_of_ones():
    support, probabilities = tm.Bernoulli(0.2).points(3)
    assert len(support) == 8
    for z, probability in zip(support, probabilities, strict=True):
        assert probability == pytest.approx(np.prod(np.where(z == 1, 0.2, 0.8)), rel=1e-14)


def test_explicit_latents_are_the_points_given_without_the_impossible_ones():
    law = tm.ExplicitLatents(np.array([[1, 0], [0, 0], [1, 1]]), np.array([0.25, 0, 0.75]))
    support, probabilities = law.points(2)
    np.testing.assert_array_equal(support, [[1, 0], [1, 1]])
    np.testing.assert_array_equal(probabilities, [0.25, 0.75])
    np.testing.assert_array_equal(law.moments(2), [[1, 0.75], [0.75, 0.75]])


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        (tm.CorrelatedModes(), {(1, 0): 0.5, (0, 1): 0.5}),
        (tm.CorrelatedCoefficients(0.4), {(1, 0): 0.3, (0, 1): 0.3, (1, 1): 0.4}),
        (tm.CorrelatedCoefficients(0), {(1, 0): 0.5, (0, 1): 0.5}),
    ],
)
def test_data_laws(law, expected):
    support, probabilities = law.points(2)
    found = {tuple(row): p for row, p in zip(support, probabilities, strict=True)}
    assert found == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    "law",
    [
        tm.SparsePairs(0.3),
        tm.Bernoulli(0.2),
        TRIANGLE,
        # the floating-point sum of these probabilities is 1 - 1e-16
        tm.ExplicitLatents(np.eye(3), [0.7, 0.2, 0.1]),
        tm.CorrelatedModes(),
        tm.CorrelatedCoefficients(0.4),
    ],
)
def test_round_trip_through_json(law):
    assert law_from_dict(json.loads(json.dumps(law.to_dict()))) == law


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tm.SparsePairs(-0.1), r"q=-0\.1 must lie in \[0, 1\]"),
        (lambda: tm.SparsePairs(1.5), r"q=1\.5 must lie in"),
        (lambda: tm.SparsePairs(float("nan")), "q=nan must lie in"),
        (lambda: tm.Bernoulli(-0.1), r"p=-0\.1 must lie in"),
        (lambda: tm.Bernoulli(1.5), r"p=1\.5 must lie in"),
        (lambda: tm.CorrelatedCoefficients(1), "p_12=1 must lie in"),
        (lambda: tm.CorrelatedCoefficients(-0.1), r"p_12=-0\.1 must lie in \[0, 1\)"),
        (lambda: tm.SparsePairs(0.5).points(1), "m_G=1 has no pairs.*q=0 instead of q=0.5"),
        (lambda: tm.Bernoulli(0.5).points(17), "m_G=17 is too large.*use m_G <= 16"),
        (lambda: tm.SparsePairs(0.5).points(600), "m_G=600 makes more points than can be summed"),
        (lambda: binary_vectors(40), "m_G=40 makes more points than can be summed"),
        (lambda: TRIANGLE.points(4), "m_G=4 does not fit explicit latents of length 3"),
        (lambda: tm.ExplicitLatents([[1, 0], [0, 1]], [0.5, 0.4]), r"sums to 0\.9$"),
        (lambda: tm.ExplicitLatents([[1, 0], [0, 1]], [1.5, -0.5]), r"least entry -0\.5"),
        (lambda: tm.ExplicitLatents([[1, 0], [0, 1]], [np.nan, 1]), "sums to nan"),
        (lambda: tm.ExplicitLatents([[1, 0], [1, 0]], [0.5, 0.5]), "must not repeat a row"),
        (lambda: tm.ExplicitLatents([[1, 0], [0, 2]], [0.5, 0.5]), "only zeros and ones"),
        (lambda: tm.ExplicitLatents([[1, 0], [0, 1]], [1]), r"shape \(2, 2\).*shape \(1,\)"),
        (
            lambda: tm.ExplicitLatents([], []),
            r"Z=\[\] must be .* of shape \(S, m_G\)",
        ),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(tm.InputError, match=message):
        make()


def test_a_long_law_fits_a_line_and_is_told_from_another():
    weights = np.full(2**9, 2.0**-9)
    law = tm.ExplicitLatents(binary_vectors(9), weights)
    weights[:2] += (1e-12, -1e-12)
    other = tm.ExplicitLatents(binary_vectors(9), weights)
    assert repr(law).startswith("ExplicitLatents(512 points of {0,1}^9, ")
    assert len(repr(law)) <= 88
    assert repr(law) == repr(tm.ExplicitLatents(law.Z, law.prob)) != repr(other)
    assert repr(tm.ExplicitLatents([[1]], [1])) == "ExplicitLatents(Z=((1,),), prob=(1.0,))"
