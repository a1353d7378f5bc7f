"""Sample p_adv*, the regularized optimal adversary, around some points, and say how well.

    python sims/langevin.py --data moons --model mlp --lam 10 --eps 0.3

Trains a classifier, runs chains in the boxes around points that it has not seen, and prints their
mean loss beside the exact one.  Saves samples.npz, summary.json and density.png in runs/<name>.
"""

from __future__ import annotations

import twomode_program

import argparse
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.random import SeedSequence

import twomode as tm
from twomode import adversarial, cli
from twomode._typing import Count, Whole
from twomode.adversarial import (
    MIXED,
    Chains,
    Data,
    ExactLoss,
    Langevin,
    Model,
    Sampler,
    Target,
    TruncatedExponentials,
    describe_chains,
    exact_loss,
)
from twomode.checks import take
from twomode.errors import InputError, require, require_choice
from twomode.io import save_arrays, to_json
from twomode.names import new_file, save_text
from twomode.progress import Report
from twomode.tables import Column, Table

MODELS = ("linear", "logistic", "softmax", "mlp")
TRAINING = 500  #: points to train on
SHOWN = 16  #: anchors in the figure
LARGEST = 2**31  #: bytes of samples
SHORT = 0.9  #: acceptance below which an unadjusted step is too long

#: What each sampler really samples.
REALLY = {
    "sign": "The sign step does not know lam: it samples another law than p_adv*, at any size.",
    "projected": "Unadjusted, and projected to the faces: atoms there, and a bias of O(sqrt(h)).",
    "reflected": "Unadjusted: a bias of O(h), half of it at half the step once h is small.",
    "mala": "Metropolis leaves p_adv* invariant at any h; but it rejects steps out of the box, and"
    " freezes in corners as d grows.",
    "mala-folded": "Metropolis leaves p_adv* invariant at any h; all that is left is to mix.",
    "exact": "Independent draws from p_adv* itself.",
}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser(description=__doc__)
    data = parser.add_argument_group("the data")
    data.add_argument(
        "--data", default="moons", metavar="NAME", help=f"{', '.join(adversarial.DATA)} [moons]"
    )
    data.add_argument("--n", type=cli.whole, default=16, help="anchors [16]")
    data.add_argument("--d", type=cli.whole, help="blobs: dimension [2]")
    data.add_argument("--noise", type=float, help="standard deviation, but of digits [by data]")
    model = parser.add_argument_group("the model")
    model.add_argument(
        "--model",
        default="mlp",
        metavar="NAME",
        help="linear (minus the margin of logistic regression), logistic, softmax, or mlp: one"
        " hidden layer, and the logistic loss for two classes, softmax for more [mlp]",
    )
    model.add_argument("--hidden", type=cli.whole, help="mlp: width of the hidden layer [32]")
    model.add_argument(
        "--activation", metavar="NAME", help=f"mlp: {', '.join(adversarial.ACTIVATIONS)} [tanh]"
    )
    model.add_argument(
        "--train",
        type=cli.whole,
        default=2000,
        metavar="STEPS",
        help=f"of SGD on {TRAINING} other points; 0: random weights [2000]",
    )
    law = parser.add_argument_group("the law")
    law.add_argument("--lam", type=float, default=10.0, help="1/strength of regularization [10]")
    law.add_argument("--eps", type=float, default=0.3, help="half width of the boxes [0.3]")
    run = parser.add_argument_group("the sampler")
    run.add_argument(
        "--sampler",
        default="mala-folded",
        metavar="NAME",
        help=f"{', '.join(REALLY)} [mala-folded]",
    )
    cli.add_step_flags(run)
    run.add_argument("--steps", type=cli.whole, default=2000, help="of each chain [2000]")
    run.add_argument("--chains", type=cli.whole, default=8, help="of each anchor [8]")
    run.add_argument("--burn", type=cli.whole, help="first steps to leave out [a tenth]")
    run.add_argument("--seed", type=cli.natural, default=0, help="root of all randomness [0]")
    cli.add_output_flags(parser, "SAMPLER-DATA-MODEL-seedS")
    return parser.parse_args()


def main() -> None:
    """Parse, train, sample, judge, print, save."""
    args = parse()
    sampler = sampler_from(args)
    of_data, of_model, of_training, of_chains, of_exact = SeedSequence(args.seed).spawn(5)
    pool = data_from(args, of_data)
    target = target_from(args, pool, of_model)
    name = f"{args.sampler}-{args.data}-{args.model}-seed{args.seed}"
    with cli.run_folder(args, name) as folder:
        with tm.ProgressBar("langevin") as bar:
            target, wrong = trained(args, target, pool, of_training, bar)
            began = time.perf_counter()
            sampler, chains = sampled(args, target, sampler, np.random.default_rng(of_chains), bar)
            seconds = time.perf_counter() - began
            exact = exact_loss(target, np.random.default_rng(of_exact))
            measured = {
                "training_error": wrong,
                **describe_chains(target, chains, exact, sampler, bar),
                "seconds": seconds,
            }
        summary = settings(args, target, sampler) | {k: plain(x) for k, x in measured.items()}
        summary["really"] = REALLY[args.sampler]
        text = to_json(summary, indent=1)
        print(text if args.json else tell(summary), flush=True)

        arrays = {"x": chains.x, "losses": chains.losses, "acceptance": chains.acceptance}
        arrays |= {"anchors": target.x, "labels": target.y, "low": target.low, "high": target.high}
        save_arrays(folder / "samples.npz", arrays | target.model.theta, summary)
        save_text(folder / "summary.json", text + "\n")
        if not args.no_plot:
            figure = drawn(summary, target, chains, exact)
            with new_file(folder / "density.png") as file:
                figure.savefig(file, dpi=150)
    if not args.json:
        print(cli.told())


# What the flags describe


def sampler_from(args: argparse.Namespace) -> Sampler | None:
    """The sampler, or None for independent draws; checks the whole numbers too."""
    require_choice("sampler", args.sampler, REALLY)
    for name, kind in (("n", Count), ("steps", Count), ("chains", Count), ("train", Whole)):
        take(name, getattr(args, name), kind)
    steps = cli.given(args, *cli.STEP_SIZES)
    if args.sampler != "exact":
        args.burn = args.steps // 10 if args.burn is None else args.burn
        take("burn", args.burn, Whole)
        require(
            args.burn < args.steps,
            f"burn={args.burn} leaves none of steps={args.steps}: make it smaller",
        )
        return adversarial.sampler(args.sampler, **steps)
    for name, value in (steps | cli.given(args, "burn")).items():
        raise InputError(f"{name}={value!r}: sampler exact draws independently; leave it out")
    args.burn = 0
    return None


def data_from(args: argparse.Namespace, seed: SeedSequence) -> Data:
    """The anchors, and after them the points to train on."""
    options = cli.given(args, "d", "noise")
    pool = adversarial.load_data(args.data, args.n + TRAINING, seed, **options)
    kept = args.n * args.chains * max(args.steps - args.burn, 0)
    gib = 8 * kept * (pool.x.shape[1] + 1) / 2**30
    require(
        gib <= LARGEST / 2**30,
        f"{kept:,} samples of d={pool.x.shape[1]} would take {gib:,.1f} GiB, over"
        f" {LARGEST / 2**30:g}: reduce steps, chains or n, or raise burn",
    )
    return pool


def target_from(args: argparse.Namespace, pool: Data, of_model: SeedSequence) -> Target:
    """The law of a model with random weights: whatever is unusable is so before it is trained."""
    require_choice("model", args.model, MODELS)
    layer = cli.given(args, "hidden", "activation")
    for name, value in layer.items():
        require(args.model == "mlp", f"{name}={value!r} needs --model mlp")
    classes = int(pool.y.max()) + 1
    require(
        classes <= 2 or args.model in ("softmax", "mlp"),
        f"model {args.model!r} is for two classes, and {args.data} have {classes}: choose softmax"
        " or mlp",
    )
    # The linear loss has no minimum: its weights come from the logistic one.
    options = {
        "linear": {"loss": "logistic"},
        "logistic": {"loss": "logistic"},
        "softmax": {"loss": "softmax"},
        "mlp": {"hidden": 32} | layer,
    }[args.model]
    model = Model.random(pool, of_model, **options)
    target = Target.of(as_sampled(args, model), pool.take(slice(args.n)), args.eps, args.lam)
    require(
        args.sampler != "exact" or TruncatedExponentials.applies(target),
        "sampler exact needs --model linear, or logistic with a whole lam; for"
        f" {args.model} at lam={args.lam:g} choose mala-folded",
    )
    return replace(target, model=model)


def as_sampled(args: argparse.Namespace, model: Model) -> Model:
    """The model with the loss of the law, which that of its training need not be."""
    return replace(model, loss="linear") if args.model == "linear" else model


def trained(
    args: argparse.Namespace, target: Target, pool: Data, of_training: SeedSequence, bar: Report
) -> tuple[Target, float]:
    """The law of the trained model, and the share of its training points that it gets wrong."""
    model, others = target.model, pool.take(slice(args.n, None))
    natural = adversarial.method("natural")
    for state in adversarial.train(
        model, others, natural, eps=args.eps, steps=args.train, seed=of_training
    ):
        model = state.model
        bar(tm.Progress(state.step, args.train, "step"))
    wrong = float((model.predict(others.x) != others.y).mean())
    return replace(target, model=as_sampled(args, model)), wrong


def sampled(
    args: argparse.Namespace,
    target: Target,
    sampler: Sampler | None,
    rng: np.random.Generator,
    bar: Report,
) -> tuple[Sampler | None, Chains]:
    """The sampler with its steps, and chains or independent draws in the shape of chains."""
    if sampler is None:
        x = TruncatedExponentials(target).sample(args.steps * args.chains, rng)
        x = x.reshape(args.steps, args.chains, *target.x.shape)
        return None, Chains(x, target.losses(x), np.ones(len(target.x)), 0)
    found = 0
    # Apart, so that R-hat sees.
    start = rng.uniform(target.low, target.high, (args.chains, *target.x.shape))
    if isinstance(sampler, Langevin) and args.h is None:
        sampler, start, found = adversarial.suited(target, sampler, args.chains, rng)
    options = {"chains": args.chains, "burn": args.burn, "start": start, "progress": bar}
    chains = adversarial.sample(target, sampler, args.steps, seed=rng, **options)
    return sampler, chains._replace(gradients=chains.gradients + found)


# What is left behind


def settings(args: argparse.Namespace, target: Target, sampler: Sampler | None) -> dict[str, Any]:
    """All that the samples follow from."""
    model = target.model
    return {
        **{name: getattr(args, name) for name in ("data", "n", "noise", "model", "train")},
        "d": target.x.shape[1],
        "loss": model.loss,
        "hidden": None if model.b is None else len(model.b),
        "activation": None if model.b is None else model.activation,
        **{name: getattr(args, name) for name in ("lam", "eps", "sampler")},
        **{name: listed(getattr(sampler, name, None)) for name in cli.STEP_SIZES},
        **{name: getattr(args, name) for name in ("steps", "chains", "burn", "seed")},
    }


def listed(size: float | np.ndarray | None) -> float | list[float] | None:
    """A step size, or that of each anchor."""
    return size.ravel().tolist() if isinstance(size, np.ndarray) else size


def plain(value: Any) -> Any:
    """For JSON: None for what is not finite."""
    value = np.asarray(value).item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def tell(summary: dict[str, Any]) -> str:
    """The summary for a person."""
    s = summary
    layer = "" if s["hidden"] is None else f" of {s['hidden']} {s['activation']}"
    wrong = f"{100 * s['training_error']:.1f} % of {TRAINING} points wrong"
    way = f"after the first {s['burn']:,} of {s['steps']:,} steps"
    if s["sampler"] == "exact":
        way = f"{s['steps']:,} independent draws each"
    mala = s["sampler"].startswith("mala")
    beside = f"{show(s['bias_in_errors'], 1)} standard errors"
    if s["bias"] is None:
        beside = "unknown: compare with --sampler mala-folded, or with a smaller step"
    rows = [
        ("E[l] sampled", s["mean_loss"], f"+- {show(s['standard_error'])}, {way}"),
        ("E[l] exact", s["exact_mean_loss"], s["exact_by"]),
        ("bias", s["bias"], beside),
        ("of endless chains", s["stationary_bias"], "from their stationary law"),
        ("its TV", s["stationary_tv"], "to p_adv*"),
        ("E[l] uniform", s["uniform_mean_loss"], "lam = 0"),
        ("largest l", s["largest_loss"], "lam = infinity, mean over the boxes"),
        ("dual value", s["dual"], "largest E[l] - KL / lam"),
        ("KL", s["kl"], "of p_adv* to the uniform law, in nats"),
        ("on faces", s["on_faces"], f"in corners {show(s['in_corners'])}; p_adv* has no atoms"),
        ("displacement", s["displacement"], "largest of a coordinate, so W_inf is no more"),
        (
            "acceptance",
            s["acceptance"],
            f"{'share of steps' if mala else 'that Metropolis would have'}; least of an anchor"
            f" {show(s['acceptance_least'])}",
        ),
    ]
    always = ("E[l] exact", "bias")
    numbers = Table(Column("", 18, "<"), Column("", 9), Column("", 0, "<"), gap=1, indent=4)
    lines = [
        f"p_adv* of {s['n']} anchors of {s['data']}: d = {s['d']}, lam = {s['lam']:g},"
        f" eps = {s['eps']:g}",
        f"  model       {s['model']}{layer}, {s['train']:,} steps of SGD, {wrong}",
        f"  sampler     {s['sampler']}{sizes(s)}, {s['chains']} chains an anchor",
        f"  cost        {s['gradients']:,} gradient evaluations, {s['seconds']:.2f} s",
        f"  effective   {show(s['ess'], 0)} samples an anchor (median), least"
        f" {show(s['ess_least'], 0)}; largest R-hat {show(s['rhat'], 3)}",
        *(
            numbers.row(name, show(value), f" {note}")
            for name, value, note in rows
            if value is not None or name in always
        ),
        f"  {s['really']}",
    ]
    if not mala and (s["acceptance_least"] or 1) < SHORT:
        lines.append(
            f"  {sizes(s)[2:]} is too long for lam = {s['lam']:g}: Metropolis would accept"
            f" {100 * s['acceptance_least']:.0f} % of the steps around one anchor,\n"
            "  so that the mean loss is off by far more than its standard error: choose"
            " mala-folded, or a shorter --h."
        )
    if s["unmixed"]:
        lines.append(
            f"  {s['unmixed']} of {s['n']} anchors did not mix (R-hat not below {MIXED.rhat},"
            f" effective size below {MIXED.size}, or acceptance below {MIXED.acceptance:g}),\n"
            "  so that the standard error means little: take another step size, or more steps."
        )
    return "\n".join(lines)


def sizes(summary: dict[str, Any]) -> str:
    """The step sizes in words: the shortest and the longest, where each anchor has one."""
    words = []
    for name in cli.STEP_SIZES:
        if summary[name] is not None:
            ends = sorted({f"{f(summary[name]):.3g}" for f in (np.min, np.max)}, key=float)
            words.append(f", {name} = {' to '.join(ends)}")
    return "".join(words)


def show(value: float | None, digits: int = 4) -> str:
    """A number with so many decimals; a dash for none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def drawn(summary: dict[str, Any], target: Target, chains: Chains, exact: ExactLoss) -> Figure:
    """The density under the samples where it can be drawn; else their losses."""
    s, d, some = summary, target.x.shape[1], slice(SHOWN)
    if exact.law is None or d > 2:
        figure = Figure(figsize=(9, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        marks = {"of $p^*_{adv}$": s["exact_mean_loss"], "uniform law": s["uniform_mean_loss"]}
        marks = {f"mean, {name}": x for name, x in marks.items() if x is not None}
        tm.plotting.loss_trace(left, chains.losses, marks, first=s["burn"])
        tm.plotting.loss_histogram(right, {"samples": chains.losses}, marks)
    else:
        figure = Figure(figsize=(7, 5), layout="constrained")
        axes, law = figure.subplots(), type(exact.law)(target.take(some))
        draw = tm.plotting.gibbs_density if d == 1 else tm.plotting.gibbs_map
        draw(axes, law, chains.x[:, :, some])
        if d == 2:
            label = "density of $p^*_{adv}$ x anchors / uniform density"
            figure.colorbar(axes.images[0], ax=axes, location="bottom", aspect=40, label=label)
            style = {"ncols": 3, "fontsize": 8, "frameon": False, "markerscale": 1.5}
            marks = axes.get_legend_handles_labels()
            figure.legend(*marks, loc="outside lower center", **style)
    caption = f"{s['sampler']} on {s['data']}, {s['model']}: d = {d}, $\\lambda$ = {s['lam']:g}"
    caption += f", $\\varepsilon$ = {s['eps']:g}{sizes(s)}\n"
    caption += f"{chains.losses.size:,} samples of {s['n']} anchors"
    figure.suptitle(caption, fontsize=10)
    return figure


if __name__ == "__main__":
    twomode_program.run(main)
