"""Polar factors by Gram matrices of rows: few, however long the rows are.

The eigenvectors of X X^T turn X's rows until they are nearly at right angles; a second Gram matrix,
of rows that differ in length by now, has the smallest singular values to rounding, where the first
has their squares to the rounding of the largest.  Lanes that are done wait for the others unmoved.
"""

from __future__ import annotations

import numpy as np

from twomode.engines.compiled.lanes import (
    Lanes,
    absolute,
    any_less,
    divide_or_zero,
    fill,
    larger,
    load,
    square_root,
    store,
    transposed,
    where_less,
)
from twomode.engines.compiled.moves import CLIPPED, OWN
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.products import clear, multiply
from twomode.engines.compiled.records import Polar, RuleCode
from twomode.rules import NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS, RANK

#: Sweeps over all pairs, after which even a replica that diverges ends.
SWEEPS = 30
#: Of `Polar.numbers`, counted from the end: the norm of all rows, the squared norm of the polar
#: factor, and the nuclear norm.
LENGTH, SQUARES, NUCLEAR = 3, 2, 1
A, B, C = NEWTON_SCHULZ


@part
def rounding(array: np.ndarray) -> float:
    """Of numbers like those of the array."""
    return 2.0**-52 if array.itemsize == 8 else 2.0**-23


@part
def turn_two(c: Lanes, s: Lanes, X: np.ndarray, i: int, j: int, k: int, m: int) -> None:
    """Turn the numbers at [i, j] and [k, m] by an angle with this cosine and sine."""
    x, y = load(X, i, j), load(X, k, m)
    store(X, i, j, c * x - s * y)
    store(X, k, m, s * x + c * y)


@part
def turn_pair(rows: int, p: int, q: int, least: Lanes, X: np.ndarray, Q: np.ndarray) -> bool:
    """Turn coordinates p < q until X[p, q] is 0; whether there was anything to turn.

    Of X only what is on and above the diagonal is there.
    """
    x_pp, x_qq, x_pq = load(X, p, p), load(X, q, q), load(X, p, q)
    small, square = least * absolute(x_pp * x_qq), x_pq * x_pq
    if not any_less(small, square):
        return False
    one, zero = fill(X, 1.0), fill(X, 0.0)
    # tan = twice / u, and u^2 + twice^2 = 2 u h, which leaves one division.
    apart, twice = x_qq - x_pp, x_pq + x_pq
    h = square_root(apart * apart + twice * twice)
    u = absolute(apart) + h
    r = one / square_root((u + u) * h)
    twice = where_less(apart, zero, -twice, twice)
    c = where_less(small, square, u * r, one)
    s = where_less(small, square, twice * r, zero)
    shift = where_less(small, square, twice * (x_pq + x_pq) * (h * r) * r, zero)
    store(X, p, p, x_pp - shift)
    store(X, q, q, x_qq + shift)
    store(X, p, q, where_less(small, square, zero, x_pq))
    for k in range(p):
        turn_two(c, s, X, k, p, k, q)
    for k in range(p + 1, q):
        turn_two(c, s, X, p, k, k, q)
    for k in range(q + 1, rows):
        turn_two(c, s, X, p, k, q, k)
    for k in range(rows):
        turn_two(c, s, Q, k, p, k, q)
    return True


@part(forceinline=False)
def diagonalize(rows: int, X: np.ndarray, Q: np.ndarray, numbers: np.ndarray) -> None:
    """X over its trace becomes Q^T X Q, a diagonal, by Jacobi's turns; `LENGTH` its trace's root.

    A pair is at right angles to the rounding of its own lengths, not of the longest.
    """
    clear(Q)
    trace, one = fill(X, 0.0), fill(X, 1.0)
    for i in range(rows):
        trace += load(X, i, i)
        store(Q, i, i, one)
    for i in range(rows):
        for j in range(i, rows):
            store(X, i, j, divide_or_zero(load(X, i, j), trace))
    store(numbers, numbers.shape[0] - LENGTH, 0, square_root(trace))
    least = fill(X, rounding(X) ** 2)
    for _ in range(SWEEPS):
        turned = 0
        for p in range(rows):
            for q in range(p + 1, rows):
                turned += turn_pair(rows, p, q, least, X, Q)
        if turned == 0:
            break


@part
def share_of(rule: RuleCode, s: Lanes, length: Lanes) -> Lanes:
    """What becomes of a singular value; `length` is the root of the sum of all their squares."""
    norm_eps = fill(s, rule.norm_eps)
    if rule.exact_polar:
        return divide_or_zero(s, s + norm_eps)
    a, b, c = fill(s, A), fill(s, B), fill(s, C)
    x = divide_or_zero(s, length + norm_eps)
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x * x
        x *= a + square * (b + c * square)
    return x


@part
def first_turn(rows: int, polar: Polar) -> None:
    """From the rows' Gram matrix to what turns them to right angles, nearly."""
    diagonalize(rows, polar.gram, polar.first, polar.numbers)
    for i in range(rows):
        for j in range(rows):
            store(polar.turn, i, j, load(polar.first, j, i))


@part
def second_turn(rows: int, rule: RuleCode, polar: Polar) -> None:
    """From the turned rows' Gram matrix to what makes the polar factor of them, and its norms."""
    X, numbers = polar.gram, polar.numbers
    diagonalize(rows, X, polar.second, numbers)
    end, zero, largest = numbers.shape[0], fill(X, 0.0), fill(X, 0.0)
    length, squares, nuclear = load(numbers, end - LENGTH, 0), fill(X, 0.0), fill(X, 0.0)
    for i in range(rows):
        s = square_root(larger(zero, load(X, i, i)))
        store(numbers, i, 0, s)
        largest = larger(s, largest)
    least = fill(X, RANK * rounding(X)) * largest
    for i in range(rows):
        s = load(numbers, i, 0)
        share = share_of(rule, length * s, length)
        if rule.exact_polar:
            share = where_less(s, least, zero, share)
            nuclear += length * s
        else:
            nuclear += length * s * share
        squares += share * share
        store(numbers, i, 0, divide_or_zero(share, length * s))
    store(numbers, end - SQUARES, 0, squares)
    store(numbers, end - NUCLEAR, 0, nuclear)
    multiply(polar.first, transposed(polar.second), 1.0, False, X)
    for i in range(rows):
        for j in range(rows):
            store(X, i, j, load(X, i, j) * load(numbers, j, 0))
    multiply(X, polar.second, 1.0, False, polar.turn)


@part
def turn_rows(rows: int, T: np.ndarray, column: np.ndarray, X: np.ndarray) -> None:
    """X <- T X."""
    for k in range(X.shape[1]):
        for i in range(rows):
            x = fill(X, 0.0)
            for j in range(rows):
                x += load(T, i, j) * load(X, j, k)
            store(column, i, 0, x)
        for i in range(rows):
            store(X, i, k, load(column, i, 0))


@part
def put_norms(rule: RuleCode, numbers: np.ndarray, norms: np.ndarray) -> None:
    """A layer's norms as `direct` leaves them, of its polar factor and, where asked, nuclear."""
    end, zero = numbers.shape[0], fill(norms, 0.0)
    squares, nuclear = load(numbers, end - SQUARES, 0), load(numbers, end - NUCLEAR, 0)
    own = rule.magnitude == OWN or rule.magnitude == CLIPPED
    for i in range(norms.shape[0]):
        store(norms, i, 0, squares if i == 0 else zero)
        if own:
            store(norms, i, 1, nuclear * nuclear if i == 0 else zero)


@part
def number_factor(rule: RuleCode, X: np.ndarray, norms: np.ndarray) -> None:
    """The polar factor of a matrix of one entry, the bias's direction, in its place."""
    s = absolute(load(X, 0, 0))
    share = share_of(rule, s, s)
    store(X, 0, 0, load(X, 0, 0) * divide_or_zero(share, s))
    store(norms, 0, 0, share * share)
    if rule.magnitude == OWN or rule.magnitude == CLIPPED:
        nuclear = s if rule.exact_polar else s * share
        store(norms, 0, 1, nuclear * nuclear)


@part(forceinline=False)
def polar_factor(rows: int, rule: RuleCode, X: np.ndarray, polar: Polar, norms: np.ndarray) -> None:
    """The polar factor of a player's directions, in their place."""
    column = polar.column[0]
    multiply(X, X, 1.0, False, polar.gram)
    first_turn(rows, polar)
    turn_rows(rows, polar.turn, column, X)
    multiply(X, X, 1.0, False, polar.gram)
    second_turn(rows, rule, polar)
    turn_rows(rows, polar.turn, column, X)
    put_norms(rule, polar.numbers, norms)
