"""Gaussian starts, drawn in R^d or, with the same law, directly in R^r."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from twomode._typing import JSON, NotNegative
from twomode.checks import check_fields, checked
from twomode.errors import require, require_choice
from twomode.game.state import State
from twomode.game.two_mode import Game

__all__ = ["MODES", "GaussianStart"]

#: What the directions of u_1 and u_2 may be.
MODES = ("random", "axis")

#: Products <w_i, v_j> of this size have squares, and so gradients, that still are numbers to all
#: digits when divided by a few thousand.
LEAST_PRODUCT = 1e-145


@dataclass(frozen=True)
class GaussianStart:
    """w_i(0) ~ N(0, std_W^2 I), v_j(0) ~ N(0, std_V^2 I), b(0) = bias.

    Parameters
    ----------
    std_W, std_V : float, optional
        Standard deviation of a coordinate; d^(-1/2) and d^(-1) by default (the canonical preset).
    bias : float
        b(0).
    modes : {"random", "axis"}
        Directions of u_1, u_2: uniformly random, or in the plane of the first two axes and
        symmetric about its diagonal (equal to the axes when gamma = 0).  It matters only for
        coordinate-wise rules such as Adam.
    shared : bool
        Draw in R^d for every engine, so that all of them start alike.  The reduced engine draws in
        R^r otherwise: the same law, not the same numbers, and at any d.

    Raises
    ------
    InputError
        For a negative or infinite scale, an infinite bias, or unknown modes.

    Examples
    --------
    A generator that begins as long as the discriminator, which the theorems do not allow:

    >>> import twomode as tm
    >>> game, start = tm.Game.preset(d=64), tm.GaussianStart(std_V=64**-0.5)
    >>> opt, _ = tm.recipe(game, "sgda")
    >>> tm.theory.theorem_4_1(tm.simulate(game, opt, 10, start=start)).applies
    False
    """

    std_W: NotNegative | None = None
    std_V: NotNegative | None = None
    bias: float = 0.0
    modes: str = "random"
    shared: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        require_choice("modes", self.modes, MODES)

    @checked
    def scales(self, game: Game) -> tuple[float, float]:
        """(std_W, std_V) for this game.

        Raises
        ------
        InputError
            Where the generator's gradient would be 0 in floating point: beyond d = 2^480.

        Examples
        --------
        >>> import twomode as tm
        >>> tm.GaussianStart().scales(tm.Game.preset(d=64))  # d^(-1/2) and 1/d
        (0.125, 0.015625)
        """
        std_W = game.d**-0.5 if self.std_W is None else self.std_W
        std_V = 1 / game.d if self.std_V is None else self.std_V
        product = math.sqrt(game.d) * std_W * std_V
        require(
            not (std_W and std_V) or product >= LEAST_PRODUCT,
            f"the start has <w_i, v_j> of some {product:.1e}, whose squares floating point does not"
            f" hold: use d <= 2**480, or sqrt(d) std_W std_V >= {LEAST_PRODUCT}",
        )
        return std_W, std_V

    @checked
    def draw(self, game: Game, rng: np.random.Generator) -> State:
        """One start in R^d.

        Examples
        --------
        >>> import numpy as np, twomode as tm
        >>> game = tm.Game.preset(d=16, gamma=0.0)
        >>> start = tm.GaussianStart(modes="axis").draw(game, np.random.default_rng(0))
        >>> start.W.shape, start.U[:, :3].tolist()
        ((3, 16), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        """
        std_W, std_V = self.scales(game)
        U = _random_modes(game, rng) if self.modes == "random" else _axis_modes(game)
        W = std_W * rng.standard_normal((game.m_D, game.d))
        V = std_V * rng.standard_normal((game.m_G, game.d))
        return State(W, V, np.float64(self.bias), U)

    @checked
    def draw_reduced(self, game: Game, rng: np.random.Generator) -> State:
        """One start in R^r with exactly the law of ``draw(...).reduce()[0]``, for any d.

        Notes
        -----
        Bartlett's decomposition: in the basis that Gram-Schmidt makes of u_1, u_2, w_1, ...,
        v_m_G, vector number k (from 0) has k standard normal coordinates, then an independent
        chi variable with d - k degrees of freedom, then zeros.  Nothing of length d is made.

        Examples
        --------
        >>> import numpy as np, twomode as tm
        >>> game = tm.Game.preset(d=10**12)
        >>> start = tm.GaussianStart().draw_reduced(game, np.random.default_rng(0))
        >>> game.reduced_dimension, start.W.shape
        (58, (28, 58))
        """
        std_W, std_V = self.scales(game)
        r, neurons = game.reduced_dimension, game.m_D + game.m_G
        rows = np.tril(rng.standard_normal((neurons, r)), k=1)
        own = np.arange(2, r)  # the coordinate of the direction that each row adds
        rows[own - 2, own] = np.sqrt(rng.chisquare(float(game.d) - own))
        scale = np.repeat([std_W, std_V], [game.m_D, game.m_G])[:, None]
        W, V = np.split(scale * rows, [game.m_D])
        U = np.zeros((2, r))
        U[0, 0], U[1, 0], U[1, 1] = 1, game.gamma, math.sqrt(1 - game.gamma**2)
        return State(W, V, np.float64(self.bias), U)

    def to_dict(self) -> JSON:
        """Plain-JSON form; the keyword arguments of the constructor.

        Examples
        --------
        >>> import twomode as tm
        >>> start = tm.GaussianStart(bias=0.5)
        >>> tm.GaussianStart(**start.to_dict()) == start
        True
        """
        return dict(vars(self))


def _random_modes(game: Game, rng: np.random.Generator) -> np.ndarray:
    first, second = rng.standard_normal((2, game.d))
    u_1 = first / np.linalg.norm(first)
    across = second - (second @ u_1) * u_1
    across /= np.linalg.norm(across)
    return np.stack([u_1, game.gamma * u_1 + math.sqrt(1 - game.gamma**2) * across])


def _axis_modes(game: Game) -> np.ndarray:
    angle = math.asin(game.gamma) / 2  # of each mode to its own axis
    U = np.zeros((2, game.d))
    U[:, :2] = [[math.cos(angle), math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return U
