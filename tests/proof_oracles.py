# ruff: noqa: B905
"""The recurrences of some rules to as many digits as wanted, by a loop of its own.

Nothing of the package is used: plain lists of mpmath's numbers, the formulas written anew.
"""

from fractions import Fraction

from mpmath import exp, mp, mpf, sqrt


class Game:
    """The gradient, point by point; probabilities are the given floats over their sum."""

    def __init__(self, gamma, a, lam, clip, latents, data):
        self.gamma, self.a, self.lam, self.clip = map(mpf, (gamma, a, lam, clip))
        self.latents, self.data = (
            [(list(z), mpf(p) / sum(map(mpf, law[1]))) for z, p in zip(*law, strict=True)]
            for law in (latents, data)
        )

    def activation(self, z):
        """The clipped cubic and its slope."""
        if abs(z) <= self.clip:
            return z**3, 3 * z**2
        sign = 1 if z > 0 else -1
        return sign * (3 * self.clip**2 * abs(z) - 2 * self.clip**3), 3 * self.clip**2

    def gradient(self, x):
        """Improving directions {W, b, V} at x."""
        W, b, V = x["W"], x["b"][0][0], x["V"]
        r = len(W[0])
        across = sqrt(1 - self.gamma**2)
        modes = [[mpf(1), mpf(0)], [self.gamma, across]]
        modes = [u + [mpf(0)] * (r - 2) for u in modes]
        g = {name: [[mpf(0)] * len(row) for row in rows] for name, rows in x.items()}
        for rows, law, sign in ((modes, self.data, 1), (V, self.latents, -1)):
            for z, p in law:
                point = [sum((zj * row[k] for zj, row in zip(z, rows)), mpf(0)) for k in range(r)]
                values = [self.activation(dot(w, point)) for w in W]
                logit = self.a * sum(v for v, _ in values) + self.lam * b
                wrong = p / (1 + exp(sign * logit))
                g["b"][0][0] += sign * self.lam * wrong
                for i, (_, slope) in enumerate(values):
                    c = self.a * slope * wrong
                    g["W"][i] = [s + sign * c * y for s, y in zip(g["W"][i], point)]
                    if sign == -1:
                        for j, zj in enumerate(z):
                            g["V"][j] = [s + zj * c * y for s, y in zip(g["V"][j], W[i])]
        return g


def dot(x, y):
    return sum((p * q for p, q in zip(x, y)), mpf(0))


def norm(rows):
    return sqrt(sum(dot(row, row) for row in rows))


def plus(x, *terms):
    """x + c y + ..., of parameters or of some of their layers."""
    out = {}
    for name, rows in x.items():
        out[name] = [list(row) for row in rows]
        for c, y in terms:
            if name in y:
                out[name] = [
                    [p + c[name] * q for p, q in zip(a, b)] for a, b in zip(out[name], y[name])
                ]
    return out


def normalized(g, blocks):
    if blocks == "none":
        return g
    if blocks == "neuron":
        return {name: [[c / norm([row]) for c in row] for row in rows] for name, rows in g.items()}
    if blocks == "layer":
        sizes = {name: norm(rows) for name, rows in g.items()}
    else:
        D = sqrt(norm(g["W"]) ** 2 + norm(g["b"]) ** 2)
        sizes = {"W": D, "b": D, "V": norm(g["V"])}
    return {name: [[c / sizes[name] for c in row] for row in rows] for name, rows in g.items()}


def only(g, *names):
    return {name: g[name] for name in names}


def run(
    game,
    start,
    eta_D,
    eta_G,
    steps,
    digits,
    schedule="simultaneous",
    blocks="none",
    beta=0.0,
    anchor=0.0,
    decay=0.0,
):
    """The states 0 to `steps`, {W, b, V} as lists of rows."""
    with mp.workdps(digits):
        game = Game(*game)
        first = x = {name: [[mpf(c) for c in row] for row in rows] for name, rows in start.items()}
        eta = {"W": mpf(eta_D), "b": mpf(eta_D), "V": mpf(eta_G)}
        M = before = None
        states = [x]

        def step(at):
            return normalized(game.gradient(at), blocks)

        for t in range(1, steps + 1):
            if schedule == "simultaneous" and beta:
                g = step(x)
                M = g if M is None else plus(g, (dict.fromkeys(x, mpf(beta)), M))
                x = plus(x, (eta, M))
            elif schedule == "simultaneous" and anchor:
                p = mpf(decay)
                pull = (1 - p) * mpf(anchor) / t
                now = {n: e / mpf(t) ** p for n, e in eta.items()}
                toward = plus(first, (dict.fromkeys(x, mpf(-1)), x))
                x = plus(x, (now, step(x)), (dict.fromkeys(x, pull), toward))
            elif schedule == "simultaneous":
                x = plus(x, (eta, step(x)))
            elif schedule == "alternating":
                x = plus(x, (eta, only(step(x), "V")))
                x = plus(x, (eta, only(step(x), "W", "b")))
            elif schedule == "extragradient":
                x = plus(x, (eta, step(plus(x, (eta, step(x))))))
            elif schedule == "past-extragradient":
                half = x if before is None else plus(x, (eta, before))
                before = step(half)
                x = plus(x, (eta, before))
            elif schedule == "optimistic":
                g = step(x)
                twice = {n: 2 * e for n, e in eta.items()}
                back = {n: -e for n, e in eta.items()}
                x = plus(x, (twice, g), (back, g if before is None else before))
                before = g
            states.append(x)
        return states


def exact(x):
    """An mpmath number as a fraction."""
    sign, man, power, _ = x._mpf_
    return (-1) ** sign * Fraction(int(man)) * Fraction(2) ** int(power)
