# ruff: noqa: B008, B905, RUF017
"""How flow.json was made: the flow of SGDA to 50 digits, by a loop of its own.

    pip install mpmath==1.4.1 gmpy2
    python tests/data/record_flow.py

The formulas are written anew, without care for cancellation: fifty digits leave some thirty.  Time
is changed as the project's engine changes it, so that one unit of it is a change of the state by
its own size; the method is another one, Gragg's, extrapolated to order 20 (Hairer, Norsett, Wanner,
"Solving Ordinary Differential Equations I", section II.9).
"""

import json
import random
from pathlib import Path

from mpmath import exp, mp, mpf, sqrt

mp.dps = 50
M, A, GAMMA, Q = 3, mpf(1) / 8, mpf(1) / 8, mpf(1) / 16
R = 2 + 2 * M
#: The dimension's logarithm to base 2, eta_G/eta_D, and where to compare, in the changed time: a
#: neuron turns to a mode, merges both, the generator follows.
CASES = {"2^12": (12, 1, (3, 8, 13, 30)), "2^100": (100, 8, (34, 46, 52, 60))}
COLUMNS, ENOUGH = 10, mpf(10) ** -15
#: z and its probability, as SparsePairs(Q) has them.
LATENTS = [
    ([int(k in on) for k in range(M)], (1 - Q) / M if len(on) == 1 else Q / (M * (M - 1) / 2))
    for on in ({0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2})
]


def start(log_d, seed):
    """W, V and b in R^r with u_1 on the first axis: numbers of few digits, exact in binary."""
    draw, d = random.Random(seed), 2.0**log_d
    rows = []
    for k, std in enumerate([d**-0.5] * M + [1 / d] * M):
        row = [round(draw.gauss(0, 1) * 256) / 256 * std for _ in range(2 + k)]
        rows.append([*row, d**0.5 * std, *[0.0] * (R - 3 - k)])
    return rows[:M], rows[M:], 0.0


def dot(x, y):
    return sum((p * q for p, q in zip(x, y)), mpf(0))


def sigmoid(x):
    return 1 / (1 + exp(-x))


def field(W, V, b, lam):
    """dW/dt, dV/dt and db/dt of SGDA's flow."""
    across = sqrt(1 - GAMMA**2)
    modes = [[mpf(1), mpf(0), *[mpf(0)] * (R - 2)], [GAMMA, across, *[mpf(0)] * (R - 2)]]
    to_W, to_V, to_b = [[mpf(0)] * R for _ in W], [[mpf(0)] * R for _ in V], mpf(0)
    for x in modes:
        values = [(z**3, 3 * z**2) for z in (dot(w, x) for w in W)]
        wrong = sigmoid(-(A * sum(v for v, _ in values) + lam * b)) / 2
        to_b += lam * wrong
        for i, (_, slope) in enumerate(values):
            to_W[i] = [g + A * slope * wrong * c for g, c in zip(to_W[i], x)]
    for z, p in LATENTS:
        x = [sum((V[j][k] for j in range(M) if z[j]), mpf(0)) for k in range(R)]
        values = [(z**3, 3 * z**2) for z in (dot(w, x) for w in W)]
        wrong = p * sigmoid(A * sum(v for v, _ in values) + lam * b)
        to_b -= lam * wrong
        for i, (_, slope) in enumerate(values):
            to_W[i] = [g - A * slope * wrong * c for g, c in zip(to_W[i], x)]
            for j in range(M):
                if z[j]:
                    to_V[j] = [g + A * slope * wrong * c for g, c in zip(to_V[j], W[i])]
    return to_W, to_V, to_b


def flat(W, V, b):
    return [*sum(W, []), *sum(V, []), b]


def rows(y):
    table = [y[R * k : R * (k + 1)] for k in range(2 * M)]
    return table[:M], table[M:], y[-1]


def turned(y):
    """The same in the basis of u_1 + u_2 and u_1 - u_2."""
    along, across = sqrt((1 + GAMMA) / 2), sqrt((1 - GAMMA) / 2)
    out = list(y)
    for k in range(0, 2 * M * R, R):
        out[k], out[k + 1] = along * y[k] + across * y[k + 1], across * y[k] - along * y[k + 1]
    return out


def main():
    made = {}
    for name, (log_d, ratio, times) in CASES.items():
        W, V, b = start(log_d, seed=log_d)
        y = [mpf(x) for x in flat(W, V, b)]
        size = [max(abs(x) for x in turned(y)[R * k : R * (k + 1)]) for k in range(2 * M)]
        floor = [s / sqrt(mpf(2) ** log_d) for s in size for _ in range(R)] + [mpf(1)]
        ratios = [mpf(1)] * (M * R) + [mpf(ratio)] * (M * R) + [mpf(1)]

        def slope(y, floor=floor, ratios=ratios, lam=mpf(2) ** (-log_d // 2)):
            """dy/ds: a rate of change of 1, in the turned coordinates."""
            g = [r * x for r, x in zip(ratios, flat(*field(*rows(y), lam)))]
            changes = zip(turned(g), turned(y), floor)
            rate = sqrt(sum(p * p / (x * x + f * f) for p, x, f in changes))
            return [x / rate for x in g]

        s, H, states = mpf(0), mpf(1) / 8, {}
        for until in times:
            while s < until:
                z, error = gragg(slope, y, H := min(H, until - s), floor)
                if error < ENOUGH:
                    y, s = z, s + H
                H *= min(mpf(2), max(mpf(1) / 4, (ENOUGH / error) ** (mpf(1) / 20) * 4 / 5))
            states[until] = [mp.nstr(x, 20) for x in turned(y)]
            print(name, until, flush=True)
        made[name] = {"log_d": log_d, "ratio": ratio, "W": W, "V": V, "states": states}
    Path(__file__).with_name("flow.json").write_text(json.dumps(made, indent=1) + "\n")


def gragg(slope, y, H, floor):
    """One step, midpoint rules with 2, 4, 6, ... substeps extrapolated in h^2, and its error."""
    table, first = [], slope(y)
    for column in range(COLUMNS):
        n = 2 * (column + 1)
        h = H / n
        before, now = y, [x + h * g for x, g in zip(y, first)]
        for _ in range(n - 1):
            g = slope(now)
            before, now = now, [x + 2 * h * k for x, k in zip(before, g)]
        g = slope(now)
        row = [[(p + q + h * k) / 2 for p, q, k in zip(now, before, g)]]
        for j in range(column):
            share = (mpf(n) / (2 * (column - j))) ** 2 - 1
            row.append([x + (x - z) / share for x, z in zip(row[j], table[j])])
        table = row
    least = [f * mpf(10) ** -6 for f in floor]
    changes = zip(table[-1], table[-2], least)
    return table[-1], max(abs(p - q) / (abs(p) + f) for p, q, f in changes) + mpf(10) ** -40


if __name__ == "__main__":
    main()
