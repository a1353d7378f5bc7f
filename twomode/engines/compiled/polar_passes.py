"""Polar factors in R^d: passes over the coordinates, as in `passes`."""

from __future__ import annotations

import numba
import numpy as np

from twomode.engines.compiled import polars
from twomode.engines.compiled import records as enc
from twomode.engines.compiled.parts import part
from twomode.engines.compiled.passes import add_shares, sliced
from twomode.engines.compiled.products import multiply


@part(forceinline=False, parallel=True)
def add_grams(X: np.ndarray, grams: np.ndarray) -> None:
    """Pass: shares of the rows' Gram matrix."""
    replicas, slices = grams.shape[:2]
    for task in numba.prange(replicas * slices):
        replica, place = task // slices, task % slices
        rows = sliced(X[replica], place)
        multiply(rows, rows, 1.0, False, grams[replica, place])


@part(forceinline=False, parallel=True)
def turn(rows: int, T: np.ndarray, columns: np.ndarray, X: np.ndarray, grams: np.ndarray) -> None:
    """Pass: X <- T X, and shares of its Gram matrix."""
    replicas, slices = grams.shape[:2]
    for task in numba.prange(replicas * slices):
        replica, place = task // slices, task % slices
        own = sliced(X[replica], place)
        polars.turn_rows(rows, T[replica], columns[replica, place], own)
        multiply(own, own, 1.0, False, grams[replica, place])


@part
def polar_at(polar: enc.Polar, place: int) -> enc.Polar:
    """One run's share of arrays with a leading axis."""
    return enc.Polar(
        gram=polar.gram[place],
        first=polar.first[place],
        second=polar.second[place],
        turn=polar.turn[place],
        numbers=polar.numbers[place],
        column=polar.column[place],
    )


@part(forceinline=False)
def polar_factors(
    rows: int, rule: enc.RuleCode, X: np.ndarray, polar: enc.Polar, grams: np.ndarray
) -> None:
    """Polar factors of a player's directions, in their place."""
    add_grams(X, grams)
    for replica in range(len(X)):
        own = polar_at(polar, replica)
        add_shares(grams[replica], own.gram)
        polars.first_turn(rows, own)
    turn(rows, polar.turn, polar.column, X, grams)
    for replica in range(len(X)):
        own = polar_at(polar, replica)
        add_shares(grams[replica], own.gram)
        polars.second_turn(rows, rule, own)
    turn(rows, polar.turn, polar.column, X, grams)
