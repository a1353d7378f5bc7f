"""Shared by several test modules."""

import numpy as np

import twomode as tm


def explicit_start(game, replicas, seed, **scales):
    """Gaussian starts in R^d, stacked along a replica axis."""
    rng = np.random.default_rng(seed)
    draws = [tm.GaussianStart(**scales).draw(game, rng).arrays() for _ in range(replicas)]
    return tm.State(**{name: np.stack([draw[name] for draw in draws]) for name in draws[0]})
