"""The right sides of the cards, as balls."""

from __future__ import annotations

from fractions import Fraction

from twomode.game import Game
from twomode.proofs.balls import Ball, ball
from twomode.rules import Optimizer
from twomode.theory import asymmetry_bound, coverage_bound, formula, slow_residual_bound

__all__ = ["of_asymmetry", "of_coverage", "of_residual"]


def of_asymmetry(game: Game, opt: Optimizer) -> tuple[Ball, str]:
    """`theory.ratio_bound` at eta_G/eta_D, and what it is; the same formula in balls."""
    d, log = ball(game.d), ball(game.d).log()
    half = ((1 - ball(game.gamma)) / 2).sqrt() / 2
    most = half, "half of what one mode alone has"
    if not (opt.eta_D > 0 and opt.eta_G > 0):
        return most
    far = log / d.sqrt(), formula(asymmetry_bound)
    ratio = ball(opt.eta_G) / ball(opt.eta_D)
    near = ratio * log**2 * log.sqrt() / (4 * d), "eta_G/eta_D (ln(d))^(5/2)/(4 d)"
    below = near if near[0] > far[0] else far
    return most if below[0] > half else (far[0].max(near[0]).min(half), below[1])


def of_residual(game: Game) -> tuple[Ball, str]:
    """`theory.slow_residual_bound`, and what it is."""
    power = (ball(game.d).log().log() * ball(Fraction(2, 3))).exp()
    return ball(Fraction(5, 2)) / power, formula(slow_residual_bound)


def of_coverage(game: Game) -> tuple[Ball, str]:
    """`theory.coverage_bound`, and what it is."""
    return ball(Fraction(1, 2 * game.m_G)), formula(coverage_bound)
