"""Toy data, and models whose loss has an analytic gradient, per sample, in x and in theta."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from scipy.special import expit

from twomode import engines
from twomode._typing import Count, FloatArray, IntArray, NotNegative, Rows, Seed
from twomode.checks import check_fields, checked, take
from twomode.errors import InputError, require, require_choice, require_memory, shown

__all__ = ["ACTIVATIONS", "DATA", "LOSSES", "Data", "Model", "load_data"]


class Data(NamedTuple):
    """Labelled points, shapes (n, d) and (n,), and the domain: least and largest coordinate.

    Examples
    --------
    Any arrays will do; pictures have a domain, which cuts the boxes of `Target`:

    >>> import numpy as np
    >>> import twomode as tm
    >>> data = tm.adversarial.Data(np.array([[0.1, 0.9], [0.5, 0.5]]), np.array([0, 1]), (0, 1))
    >>> data.take([1]).x.tolist()
    [[0.5, 0.5]]
    """

    x: FloatArray
    y: IntArray
    domain: tuple[float, float] = (-np.inf, np.inf)

    def arrays(self) -> tuple[FloatArray, IntArray]:
        """Both as arrays; raises `InputError` unless they are points and their labels."""
        hint = Annotated[FloatArray, "(n, d)", "finite"]
        x, y = take("data.x", self.x, hint), take("data.y", self.y, Annotated[np.ndarray, "(n)"])
        require(len(x) == len(y), f"data has {len(x)} points and {len(y)} labels: one each")
        for wrong in y[(y < 0) | (y != np.floor(y)) | (y >= 2**31)]:
            raise InputError(f"label {wrong} is out of range: labels are 0, 1, ...")
        return x, y.astype(np.int64)

    def take(self, rows: Rows) -> "Data":
        """Some of the points."""
        return self._replace(x=self.x[rows], y=self.y[rows])


def blobs(n: int, rng: np.random.Generator, d: int = 2, noise: float = 0.5) -> Data:
    """Two Gaussians, at -1 and 1 along the diagonal of R^d."""
    y = np.arange(n) % 2
    return Data((2 * y - 1)[:, None] / np.sqrt(d) + noise * rng.standard_normal((n, d)), y)


def moons(n: int, rng: np.random.Generator, noise: float = 0.1) -> Data:
    """Two interleaved half circles of radius 1."""
    y, angle = np.arange(n) % 2, np.pi * rng.random(n)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x[y == 1] = np.array([1.0, 0.5]) - x[y == 1]
    return Data(x + noise * rng.standard_normal((n, 2)), y)


def circles(n: int, rng: np.random.Generator, noise: float = 0.1) -> Data:
    """Two concentric circles, of radii 1/2 and 1."""
    y, angle = np.arange(n) % 2, 2 * np.pi * rng.random(n)
    x = ((1 + y) / 2)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Data(x + noise * rng.standard_normal((n, 2)), y)


def mixture(n: int, rng: np.random.Generator, noise: float = 0.3) -> Data:
    """Four Gaussians on the line, at -3, -1, 1 and 3, of alternating labels."""
    component = np.arange(n) % 4
    return Data((2.0 * component - 3)[:, None] + noise * rng.standard_normal((n, 1)), component % 2)


def digits(n: int, rng: np.random.Generator) -> Data:
    """8 x 8 grey digits in [0, 1]^64, `n` of scikit-learn's 1,797 in random order."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError(
            "data 'digits' needs scikit-learn: pip install 'twomode[digits]'"
        ) from error
    x, y = load_digits(return_X_y=True)
    require(n <= len(y), f"n={n} is more than the {len(y)} digits there are")
    order = rng.permutation(len(y))[:n]
    return Data(x[order] / 16, y[order].astype(np.int64), (0.0, 1.0))


#: Each takes n, a generator, and options of its own.
DATA: dict[str, Callable[..., Data]] = {
    f.__name__: f for f in (blobs, moons, circles, mixture, digits)
}


@checked
def load_data(name: str, n: Count, seed: Seed = 0, **options: float) -> Data:
    """`n` points of a named toy data set, the classes in turn (digits: in random order).

    Parameters
    ----------
    name : str
        A key of `DATA`: blobs, moons, circles, mixture or digits.
    n : int
        At most 1,797 of digits.
    seed : int, SeedSequence or Generator
    **options : float
        ``noise``, the standard deviation of the points, but of digits; ``d``, of blobs.

    Returns
    -------
    Data

    Raises
    ------
    InputError
        If there is no such name or option, a number is out of range, or scikit-learn is missing.

    Examples
    --------
    >>> import twomode as tm
    >>> data = tm.adversarial.load_data("mixture", n=4, noise=0)
    >>> data.x.ravel().tolist(), data.y.tolist()
    ([-3.0, -1.0, 1.0, 3.0], [0, 1, 0, 1])
    """
    require_choice("data", name, DATA)
    takes = list(inspect.signature(DATA[name]).parameters)[2:]
    for option, value in options.items():
        known = f"takes {' and '.join(takes)}" if takes else "takes no options"
        require(option in takes, f"{option}={shown(value)}: data {name!r} {known}")
        options[option] = take(option, value, Count if option == "d" else NotNegative)
    require_memory(32.0 * n * options.get("d", 2), f"n={n}", "use fewer points")
    return DATA[name](n, np.random.default_rng(seed), **options)


def _linear(scores: FloatArray, y: IntArray) -> tuple[FloatArray, FloatArray]:
    minus_sign = np.asarray(1.0 - 2 * y[:, None])
    return (minus_sign * scores)[:, 0], minus_sign


def _logistic(scores: FloatArray, y: IntArray) -> tuple[FloatArray, FloatArray]:
    minus_m, minus_sign = _linear(scores, y)
    return np.logaddexp(0.0, minus_m), minus_sign * expit(minus_m)[:, None]


def _softmax(scores: FloatArray, y: IntArray) -> tuple[FloatArray, FloatArray]:
    rows, below = np.arange(len(y)), scores - scores.max(axis=1, keepdims=True)
    p = np.exp(below)
    total = p.sum(axis=1)
    p /= total[:, None]
    p[rows, y] -= 1
    return np.log(total) - below[rows, y], p


#: From scores (n, k) and labels (n,): the losses (n,), and their gradients in the scores (n, k).
#: Linear is -m and logistic log(1 + exp(-m)), of the margin m = (2y - 1) f(x), k = 1.
LOSSES = {"linear": _linear, "logistic": _logistic, "softmax": _softmax}


def _tanh(z: FloatArray) -> tuple[FloatArray, FloatArray]:
    h = np.tanh(z)
    return h, 1 - h * h


def _softplus(z: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.logaddexp(0.0, z), expit(z)


#: Values and slopes.
ACTIVATIONS = {"tanh": _tanh, "softplus": _softplus}


@dataclass(frozen=True)
class Model:
    """Scores f(x) = A h + c, of h = x or of one hidden layer h = phi(B x + b), and a loss of them.

    Parameters
    ----------
    A : ndarray, shape (k, d) or (k, hidden)
    c : ndarray, shape (k,)
    B, b : ndarray, shapes (hidden, d) and (hidden,), optional
    loss : str
        linear or logistic (k = 1), or softmax; see `LOSSES`.
    activation : str
        tanh or softplus.

    Raises
    ------
    InputError
        If shapes do not fit, a number is not finite, or a name is unknown.

    Examples
    --------
    The linear loss is -m, of the margin m = (2y - 1) f(x); its gradient in x moves against that:

    >>> import numpy as np
    >>> import twomode as tm
    >>> model = tm.adversarial.Model(np.array([[1.0, -2.0]]), np.zeros(1), loss="linear")
    >>> x, y = np.array([[3.0, 1.0], [3.0, 1.0]]), np.array([0, 1])
    >>> loss, gradient = model.loss_grad(x, y)
    >>> model.predict(x).tolist(), loss.tolist(), gradient.tolist()
    ([1, 1], [1.0, -1.0], [[1.0, -2.0], [-1.0, 2.0]])
    """

    EXAMPLE: ClassVar[str] = "tm.adversarial.Model.random(data)"

    A: Annotated[FloatArray, "finite"]
    c: Annotated[FloatArray, "finite"]
    B: Annotated[FloatArray, "finite"] | None = None
    b: Annotated[FloatArray, "finite"] | None = None
    loss: str = "logistic"
    activation: str = "tanh"

    def __post_init__(self) -> None:
        check_fields(self)
        require_choice("loss", self.loss, LOSSES)
        require_choice("activation", self.activation, ACTIVATIONS)
        k, h = self.A.shape if self.A.ndim == 2 else (-1, -1)
        fits = self.c.shape == (k,) and (k == 1) == (self.loss != "softmax")
        if self.B is None or self.b is None:
            fits = fits and self.B is self.b
        else:
            fits = fits and self.B.ndim == 2 and len(self.B) == h and self.b.shape == (h,)
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self.theta.items())
        require(fits, f"shapes do not fit each other or the {self.loss} loss: {shapes}")

    @classmethod
    @checked
    def random(
        cls,
        data: Data,
        seed: Seed = 0,
        *,
        hidden: Count | None = None,
        loss: str | None = None,
        activation: str = "tanh",
        scale: NotNegative = 1.0,
    ) -> "Model":
        """A model for some data, with weights N(0, scale^2 / fan-in) and biases 0.

        Logistic for two classes and softmax for more, unless `loss` says otherwise; without a
        hidden layer unless `hidden` is its width.

        Examples
        --------
        >>> import twomode as tm
        >>> data = tm.adversarial.load_data("moons", n=8)
        >>> model = tm.adversarial.Model.random(data, hidden=16)
        >>> model.loss, {name: array.shape for name, array in model.theta.items()}
        ('logistic', {'A': (1, 16), 'c': (1,), 'B': (16, 2), 'b': (16,)})
        """
        x, y = data.arrays()
        rng, d, classes = np.random.default_rng(seed), x.shape[1], int(y.max()) + 1
        loss = loss or ("logistic" if classes <= 2 else "softmax")
        k, h = classes if loss == "softmax" else 1, d if hidden is None else hidden
        require_memory(24.0 * h * (d + k), f"hidden={hidden}", "use a narrower layer")

        def layer(rows: int, columns: int) -> FloatArray:
            return rng.standard_normal((rows, columns)) * scale / np.sqrt(columns)

        A = layer(k, h)
        B, b = (None, None) if hidden is None else (layer(h, d), np.zeros(h))
        return cls(A, np.zeros(k), B, b, loss, activation)

    @property
    def theta(self) -> dict[str, FloatArray]:
        """The parameters by name."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)[:4]}
        return {name: array for name, array in arrays.items() if array is not None}

    def step(self, gradient: dict[str, FloatArray], size: float) -> "Model":
        """The model with theta - size * gradient.

        Raises
        ------
        InputError
            If theta is then not finite.
        """
        theta: dict[str, Any] = {k: x - size * gradient[k] for k, x in self.theta.items()}
        return replace(self, **theta)

    @property
    def _inputs(self) -> int:
        """The points' dimension, d."""
        return (self.A if self.B is None else self.B).shape[1]

    def check(self, x: FloatArray, y: IntArray) -> None:
        """Raise `InputError` unless the points have the model's d and the labels are in range."""
        d, classes = self._inputs, max(2, len(self.c))
        fits = x.ndim == 2 and x.shape[1] == d and y.shape == x.shape[:1]
        require(fits, f"x, y have shapes {x.shape}, {y.shape}: (n, {d}) and (n,) are needed")
        require(bool(np.isfinite(x).all()), "x holds a NaN or an infinity")
        wrong = y[(y < 0) | (y >= classes) | (y != np.floor(y))]
        if len(wrong):
            raise InputError(f"label {wrong[0]} is out of range: 0 to {classes - 1} are known")

    def scores(self, x: FloatArray) -> FloatArray:
        """f(x), shape (n, k)."""
        return self._hidden(x)[0] @ self.A.T + self.c

    def predict(self, x: FloatArray) -> IntArray:
        """The likeliest labels, shape (n,)."""
        scores = self.scores(x)
        return scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(np.int64)

    def losses(self, x: FloatArray, y: IntArray) -> FloatArray:
        """The loss of each sample, shape (n,); fewer labels are those of the samples in turn."""
        return self._seen(x, y, np.empty((len(x), 0)))[0]

    def loss_grad(self, x: FloatArray, y: IntArray) -> tuple[FloatArray, FloatArray]:
        """The loss of each sample, shape (n,), and its gradient in x, shape (n, d).

        Not of their mean: that would divide lambda by the number of samples.
        """
        return self._seen(x, y, np.empty(x.shape))

    def _seen(
        self, x: FloatArray, y: IntArray, gradients: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Losses, and gradients if there is room for them."""
        if x.shape[1:] != (self._inputs,) or not len(y) or len(x) % len(y) > 0:
            need = f"(n, {self._inputs}) and n labels, or as many as go into n, are needed"
            raise InputError(f"x, y have shapes {x.shape}, {y.shape}: {need}")
        losses = np.empty(len(x))
        engines.loss_and_gradient(self.network, x, y, losses, gradients)
        return losses, gradients

    @cached_property
    def network(self) -> "engines.Network":
        """As compiled functions take it, whose formulas are those of `theta_grad`."""
        softplus, linear = self.activation == "softplus", self.loss == "linear"
        return engines.Network.of(self.A, self.c, self.B, self.b, softplus=softplus, linear=linear)

    def theta_grad(self, x: FloatArray, y: IntArray) -> tuple[FloatArray, dict[str, FloatArray]]:
        """The loss of each sample, shape (n,), and the gradient of their mean in theta, by name.

        Examples
        --------
        A step down this gradient lowers the mean loss:

        >>> import twomode as tm
        >>> data = tm.adversarial.load_data("moons", n=8)
        >>> model = tm.adversarial.Model.random(data, hidden=16)
        >>> loss, gradient = model.theta_grad(data.x, data.y)
        >>> bool(model.step(gradient, 0.1).losses(data.x, data.y).mean() < loss.mean())
        True
        """
        loss, outer, inner, h = self._backward(x, y)
        gradient = {"A": outer.T @ h / len(y), "c": outer.mean(axis=0)}
        if self.B is not None:
            gradient |= {"B": inner.T @ x / len(y), "b": inner.mean(axis=0)}
        return loss, gradient

    def _hidden(self, x: FloatArray) -> tuple[FloatArray, FloatArray | float]:
        """The layer h, and its slopes."""
        if self.B is None or self.b is None:
            return x, 1.0
        return ACTIVATIONS[self.activation](x @ self.B.T + self.b)

    def _backward(self, x: FloatArray, y: IntArray) -> tuple[FloatArray, ...]:
        """Losses; their gradients at the scores, and where the first layer ends; and h."""
        h, slope = self._hidden(x)
        loss, outer = LOSSES[self.loss](h @ self.A.T + self.c, y)
        return loss, outer, outer if self.B is None else (outer @ self.A) * slope, h
