"""The benchmark's rivals: the same step as a user of NumPy, PyTorch or JAX would write it.

Each takes one run in R^d, from the same start and with the same numbers as the package's engines;
`bench.py` checks that they agree before it times anything.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from twomode.game import Game, State, clipped_cubic, clipped_cubic_slope
from twomode.rules import Optimizer

MODULES = {"PyTorch": "torch", "JAX": "jax"}  #: rivals that need not be installed


def installed(engine: str) -> bool:
    """Whether the engine's library is there."""
    return engine not in MODULES or importlib.util.find_spec(MODULES[engine]) is not None


class Points(NamedTuple):
    """The two laws as arrays."""

    X: Any  #: data points, shape (S_data, d)
    p: Any  #: their probabilities
    Z: Any  #: latents, shape (S, m_G)
    q: Any  #: their probabilities


def law_points(game: Game, U: np.ndarray) -> Points:
    """The supports of the data (in R^d, given the modes) and of the latents."""
    coefficients, p = game.data_points
    return Points(coefficients @ U, p, *game.latent_points)


class PlainNumPy:
    """One run in R^d with whole arrays and the gradient by hand."""

    def __init__(self, game: Game, opt: Optimizer, start: State) -> None:
        self.game, self.opt, self.t = game, opt, 0
        one = start.replica(0)
        self.points = law_points(game, one.U)
        self.theta = {"W": one.W.copy(), "b": np.array(one.b), "V": one.V.copy()}
        self.eta = {"W": opt.eta_D, "b": opt.eta_D, "V": opt.eta_G}
        if opt.uses_second_moment:
            self.M = {name: np.zeros_like(x) for name, x in self.theta.items()}
            self.S = {name: np.zeros_like(x) for name, x in self.theta.items()}

    def advance(self, steps: int) -> None:
        """Take this many steps."""
        for _ in range(steps):
            self.t += 1
            for name, g in self.gradient().items():
                direction = self.adam(name, g) if self.opt.uses_second_moment else g
                self.theta[name] += self.eta[name] * direction

    def gradient(self) -> dict[str, Any]:
        """Ascent directions of W and b, descent direction of V."""
        game, (X, p, Z, q) = self.game, self.points
        W, b, V = self.theta["W"], self.theta["b"], self.theta["V"]
        real = W @ X.T
        fake = W @ V.T @ Z.T
        right = p * expit(-self.logits(real, b))
        wrong = q * expit(self.logits(fake, b))
        A = game.a * clipped_cubic_slope(real, game.clip) * right
        C = (game.a * clipped_cubic_slope(fake, game.clip) * wrong) @ Z
        return {"W": A @ X - C @ V, "b": game.lam * (right.sum() - wrong.sum()), "V": C.T @ W}

    def logits(self, z: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The discriminator's logit at each point, from <w_i, point>."""
        return self.game.a * clipped_cubic(z, self.game.clip).sum(axis=0) + self.game.lam * b

    def adam(self, name: str, g: Any) -> np.ndarray:
        """Adam's direction, the moments advanced in place."""
        opt, M, S = self.opt, self.M[name], self.S[name]
        M *= opt.beta1
        M += (1 - opt.beta1) * g
        S *= opt.beta2
        S += (1 - opt.beta2) * g**2
        first, second = opt.moment_scales(self.t)
        return first * M / (np.sqrt(second * S) + opt.eps)


def objective(
    game: Game, points: Points, theta: dict[str, Any], clip: Callable, log_sigmoid: Callable
) -> Any:
    """E log D(X) + E log(1 - D(V z)), for a library that differentiates it."""
    X, p, Z, q = points

    def logits(z: Any) -> Any:
        c = clip(z, -game.clip, game.clip)
        return game.a * (c * c * (3 * z - 2 * c)).sum(axis=0) + game.lam * theta["b"]

    real = logits(theta["W"] @ X.T)
    fake = logits(theta["W"] @ theta["V"].T @ Z.T)
    return p @ log_sigmoid(real) + q @ log_sigmoid(-fake)


class PyTorch:
    """One run in R^d by PyTorch's autograd and fused optimizers."""

    def __init__(self, game: Game, opt: Optimizer, start: State) -> None:
        import torch

        one = start.replica(0)
        points = Points(*map(torch.tensor, law_points(game, one.U)))
        self.theta = {
            name: torch.tensor(getattr(one, name), requires_grad=True) for name in ("W", "b", "V")
        }
        W, b, V = self.theta.values()
        players = [
            {"params": [W, b], "lr": opt.eta_D, "maximize": True},
            {"params": [V], "lr": opt.eta_G},
        ]
        if opt.uses_second_moment:
            betas = (opt.beta1, opt.beta2)
            self.optimizer = torch.optim.Adam(players, betas=betas, eps=opt.eps, fused=True)
        else:
            self.optimizer = torch.optim.SGD(players, fused=True)
        functions = (torch.clip, torch.nn.functional.logsigmoid)
        self.objective = functools.partial(objective, game, points, self.theta, *functions)

    def advance(self, steps: int) -> None:
        """Take this many steps."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            self.objective().backward()
            self.optimizer.step()


class Jax:
    """One run in R^d by JAX, all steps in one compiled loop."""

    def __init__(self, game: Game, opt: Optimizer, start: State) -> None:
        import jax

        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp

        one = start.replica(0)
        points = Points(*map(jnp.asarray, law_points(game, one.U)))
        self.t, self.theta = 0, {name: jnp.array(getattr(one, name)) for name in ("W", "b", "V")}
        self.M, self.S = (
            {name: jnp.zeros_like(x) for name, x in self.theta.items() if opt.uses_second_moment}
            for _ in range(2)
        )
        eta = {"W": opt.eta_D, "b": opt.eta_D, "V": -opt.eta_G}

        def value(theta: dict[str, Any]) -> Any:
            return objective(game, points, theta, jnp.clip, jax.nn.log_sigmoid)

        def step(t: Any, carry: tuple) -> tuple:
            theta, M, S = carry
            direction = gradient = jax.grad(value)(theta)
            if opt.uses_second_moment:
                first, second = opt.moment_scales(t + 1)
                M = {k: opt.beta1 * M[k] + (1 - opt.beta1) * g for k, g in gradient.items()}
                S = {k: opt.beta2 * S[k] + (1 - opt.beta2) * g**2 for k, g in gradient.items()}
                direction = {k: first * M[k] / (jnp.sqrt(second * S[k]) + opt.eps) for k in M}
            return {k: theta[k] + eta[k] * direction[k] for k in theta}, M, S

        def loop(begin: Any, end: Any, *carry: Any) -> tuple:
            return jax.lax.fori_loop(begin, end, step, carry)

        self.loop, self.wait = jax.jit(loop, donate_argnums=(2, 3, 4)), jax.block_until_ready

    def advance(self, steps: int) -> None:
        """Take this many steps."""
        done = self.loop(self.t, self.t + steps, self.theta, self.M, self.S)
        self.theta, self.M, self.S = self.wait(done)
        self.t += steps


def parameters(runner: PlainNumPy | PyTorch | Jax) -> dict[str, np.ndarray]:
    """W, b and V of a rival's run."""
    if isinstance(runner, PyTorch):
        return {name: x.detach().numpy() for name, x in runner.theta.items()}
    return {name: np.asarray(x) for name, x in runner.theta.items()}
