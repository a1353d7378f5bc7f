"""A call of everything public that takes arguments, each with some that are accepted."""

import functools
from types import SimpleNamespace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import twomode as tm
from twomode import game, plotting, proofs, rules, runs, statistics, studies, theory
from twomode.adversarial import robustness

adversarial = tm.adversarial

#: The rooms that a user enters.
ROOMS = (
    *(tm, game, rules, runs, statistics, theory, proofs, studies, adversarial, robustness),
    plotting,
)


def own_step(gradient, state, memory):
    """Of a rule of one's own."""
    return gradient


#: What only holds what a call found, or only says what there must be.
RECORDS = {
    *(game.Evaluation, game.Extremes, game.Field, game.Law, game.Vector),
    *(rules.Cost, rules.NamedRule, rules.Recipe, rules.Stage),
    *(
        runs.Played,
        runs.Replayable,
        runs.Replayed,
        runs.Result,
        runs.RunProgress,
        tm.Progress,
        tm.ProgressBar,
        tm.InputError,
    ),
    *(proofs.Between, proofs.Box, proofs.Certificate, proofs.Claim, proofs.Instance),
    *(proofs.PrecisionHorizon,),
    *(statistics.LogisticTrend, statistics.PowerTrend),
    *(theory.Card, theory.Hypothesis, theory.Judgement, theory.Mechanism),
    *(studies.Comparison, studies.JobsFailedError, studies.LostJobError),
    *(
        adversarial.Advance,
        adversarial.Chains,
        adversarial.Data,
        adversarial.ExactLoss,
        adversarial.Mixing,
        adversarial.Suited,
    ),
    *(adversarial.GibbsLaw, adversarial.Sampler, adversarial.Stationary, adversarial.TrainingState),
}
#: What only other rooms call: array libraries, the step of an engine, the loop of a run.
PARTS = {
    *(game.array_namespace, game.as_array, game.player_norms, rules.corrected, rules.polar_factor),
    *(
        runs.Checkpoint,
        runs.SavedResult,
        runs.replay,
        runs.replay_all,
        runs.Minibatches,
        runs.Recorder,
        runs.commit,
        runs.draw_start,
        runs.origin,
        runs.play,
    ),
    *(runs.snapshot, runs.to_host, runs.sources),
    *(studies.StoredBlock,),
}


@functools.cache
def thing():
    """What the calls are given."""
    small = tm.Game.preset(d=16)
    opt = tm.optimizer("sgda", eta_D=0.1, eta_G=0.1)
    result = tm.simulate(small, *tm.recipe(small, "sgda"), replicas=2, record_every=8)
    state = tm.GaussianStart().draw(small, np.random.default_rng(0))
    zeros = tm.Vector(np.zeros((3, 16)), np.array(0.0), np.zeros((3, 16)))
    bilinear = tm.Bilinear([[1.0]])
    line = adversarial.load_data("mixture", n=4)
    plane = adversarial.load_data("moons", n=4)
    on_line = adversarial.Target.of(adversarial.Model.random(line), line, eps=0.5, lam=2)
    in_plane = adversarial.Target.of(adversarial.Model.random(plane), plane, eps=0.3, lam=2)
    reflected, fgsm = adversarial.sampler("reflected"), adversarial.method("fgsm")
    # Trained for a step, so that what trains is compiled: a call that is refused takes no time.
    model = adversarial.fit(adversarial.Model.random(plane), plane, fgsm, eps=0.3, steps=1)
    options = {"replicas": 2, "tuning": 1, "step_scales": [1], "ratios": [0.2]}
    return SimpleNamespace(
        game=small,
        opt=opt,
        result=result,
        state=state,
        zeros=zeros,
        bilinear=bilinear,
        point=bilinear.state([1.0], [0.0]),
        data=plane,
        model=model,
        target=in_plane,
        law=adversarial.closed_form(in_plane),
        on_line=on_line,
        rng=np.random.default_rng(0),
        chains=adversarial.sample(on_line, reflected, 20),
        exact=adversarial.exact_loss(on_line, np.random.default_rng(0)),
        sampler=reflected,
        method=fgsm,
        problem=robustness.Problem("moons", 8, 8, hidden=None, eps=0.3, steps=4, batch=4),
        table=pd.DataFrame(
            {
                "d": [16, 16, 64],
                "ratio": [0.2, 0.4, 0.2],
                "good": [True, False, True],
                "method": "fgsm",
                "seed": 0,
                "gradients": [1, 2, 3],
                "robust_error": [0.5, 0.2, 0.1],
                "verdict": "collapsed",
            }
        ),
        grafts=pd.DataFrame(
            [("gradient", "own", "neuron", True), ("momentum", "own", "neuron", False)],
            columns=["direction", "magnitude", "granularity", "recovered"],
        ),
        comparison=tm.compare_rules(["sgda"], {"d": 16, "steps": 4}, **options),
        share=statistics.Proportion(3, 4),
        logistic=statistics.fit_logistic([0, 1, 2], [1, 2, 3], [4, 4, 4]),
        trend=statistics.fit_power([16, 64], [[4, 4], [8, 8]], draws=10),
    )


def axes():
    return Figure().subplots()


def measure(result):
    return {"last": result.bias[:, -1]}


CELL = {"opt": "sgda", "d": 16, "steps": 4}
PROJECTIONS, GRAM = np.eye(3, 2), np.eye(3)
X, TWO = np.array([1.0, 2.0, 3.0]), np.ones((2, 2))
GENERATORS = {"projections_V": PROJECTIONS, "gram_V": GRAM}

#: What is called, and with which arguments; those of a method with its object as ``self``.
CALLS = {
    game.Bernoulli: lambda t: dict(p=0.2),
    game.Bilinear: lambda t: dict(A=[[1.0]]),
    game.Bilinear.state: lambda t: dict(self=t.bilinear, x=[1.0], y=[1.0]),
    game.CorrelatedCoefficients: lambda t: dict(p_12=0.2),
    game.CorrelatedModes: lambda t: {},
    game.EveryOutput: lambda t: dict(**GENERATORS, gamma=0.1),
    game.ExplicitLatents: lambda t: dict(Z=[[1, 0], [0, 1]], prob=[0.5, 0.5]),
    game.Game: lambda t: vars(tm.Game.preset(16)).copy(),
    game.Game.preset: lambda t: dict(d=16, m_D=3, m_G=3, clip=2.0, latents=t.game.latents),
    game.Game.from_dict: lambda t: dict(values=t.game.to_dict()),
    game.Game.check: lambda t: dict(self=t.game, state=t.state),
    game.GaussianStart: lambda t: dict(std_W=0.1, std_V=0.1, bias=0.0, modes="axis", shared=False),
    game.GaussianStart.draw: lambda t: dict(self=tm.GaussianStart(), game=t.game, rng=t.rng),
    game.GaussianStart.draw_reduced: lambda t: dict(
        self=tm.GaussianStart(), game=t.game, rng=t.rng
    ),
    game.Outputs: lambda t: dict(**GENERATORS, gamma=0.1, latents=GRAM),
    game.Outputs.coverage: lambda t: dict(
        self=tm.Outputs(**GENERATORS, gamma=0.1, latents=GRAM), probabilities=X / 6, delta=0.4
    ),
    game.SparsePairs: lambda t: dict(q=0.2),
    game.State: lambda t: t.state.arrays(),
    game.State.replicated: lambda t: dict(self=t.state, replicas=2),
    game.all_latents: lambda t: dict(m_G=3),
    game.at_rest: lambda t: dict(grad_norms=TWO, peak_grad_norms=TWO, nu=0.1),
    game.binary_vectors: lambda t: dict(n=3),
    game.clipped_cubic: lambda t: dict(z=X, clip=2.0),
    game.clipped_cubic_curvature: lambda t: dict(z=X, clip=2.0),
    game.clipped_cubic_slope: lambda t: dict(z=X, clip=2.0),
    game.extremes: lambda t: dict(game=t.game, **GENERATORS),
    game.law_from_dict: lambda t: dict(fields={"kind": "sparse-pairs", "q": 0.1}),
    game.mode_cosines: lambda t: GENERATORS,
    game.over_latents: lambda t: dict(game=t.game, **GENERATORS, measure=lambda o: o.asymmetry),
    rules.Optimizer: lambda t: t.opt.to_dict(),
    rules.OwnRule: lambda t: dict(
        eta_D=0.1,
        eta_G=0.1,
        step=own_step,
        equivariant=True,
        as_long_as_gradient=True,
        decay_D=0.5,
        name="mine",
    ),
    rules.Rule: lambda t: {k: v for k, v in t.opt.to_dict().items() if k[:3] != "eta"},
    rules.jacobian_product: lambda t: dict(game=t.game, state=t.state, v=t.zeros),
    rules.label: lambda t: dict(rule=t.opt),
    rules.named_rule: lambda t: dict(name="adam", beta1=0.5),
    rules.optimizer: lambda t: dict(name="nsgda", eta_D=0.1, eta_G=0.1, granularity="layer"),
    rules.recipe: lambda t: dict(
        game=t.game, name="adam", eta_D=0.1, ratio=0.2, steps=10, step_scale=2.0, beta1=0.5
    ),
    rules.rule_from_dict: lambda t: dict(fields=t.opt.to_dict()),
    rules.transposed_jacobian_product: lambda t: dict(game=t.game, state=t.state, v=t.zeros),
    runs.Result.again: lambda t: dict(self=t.result, steps=4, replicas=[0], record_every=2),
    runs.Result.extremes_at: lambda t: dict(self=t.result, records=[0, 1]),
    runs.Result.outputs: lambda t: dict(self=t.result, latents=GRAM),
    runs.Result.outputs_at: lambda t: dict(self=t.result, records=-1),
    runs.Result.times_at: lambda t: dict(self=t.result, records=[0, 1]),
    runs.Run: lambda t: vars(runs.Run.of(t.game, t.opt, 4)).copy(),
    runs.Run.of: lambda t: dict(game=t.game, opt=t.opt, steps=4, replicas=2, seed=1),
    runs.load: lambda t: dict(path="nowhere.npz"),
    runs.drawn: lambda t: dict(items=[1, 2, 3], sample=2, seed=1),
    runs.resume: lambda t: dict(path="nowhere.checkpoint", anyway=False),
    runs.saved_results: lambda t: dict(path=__file__),
    runs.simulate: lambda t: dict(
        game=t.game,
        opt=t.opt,
        steps=4,
        replicas=2,
        seed=1,
        batch_size=2,
        engine="reduced",
        record_every=2,
        resolve=2.0,
        start=tm.GaussianStart(),
        dtype="float64",
        progress=None,
    ),
    statistics.Proportion: lambda t: dict(successes=3, trials=4, confidence=0.9),
    statistics.Proportion.of: lambda t: dict(happened=[True, False], confidence=0.9),
    statistics.Proportion.against: lambda t: dict(self=t.share, threshold=0.5),
    statistics.LogisticTrend.band: lambda t: dict(self=t.logistic, x=[1.0]),
    statistics.PowerTrend.band: lambda t: dict(self=t.trend, x=[32.0]),
    statistics.against: lambda t: dict(interval=(0.1, 0.5), threshold=0.5, above=False),
    statistics.clopper_pearson: lambda t: dict(successes=3, trials=4, confidence=0.9),
    statistics.compare: lambda t: dict(first=t.share, second=t.share),
    statistics.compare_paired: lambda t: dict(
        first=[True, False], second=[True, True], confidence=0.9
    ),
    statistics.fit_logistic: lambda t: dict(
        x=[1, 2, 3], successes=[1, 2, 3], trials=[4, 4, 4], confidence=0.9
    ),
    statistics.fit_power: lambda t: dict(
        x=[1, 2], samples=[[1, 2], [3, 4]], confidence=0.9, draws=10, seed=1
    ),
    statistics.main_effects: lambda t: dict(
        samples=np.eye(12).reshape(2, 2, 3, 12), confidence=0.9
    ),
    theory.left_start: lambda t: dict(result=t.result),
    theory.overshot: lambda t: dict(result=t.result, at=[0, 1], nu=0.1),
    theory.alignments: lambda t: dict(result=t.result),
    theory.asymmetry_bound: lambda t: dict(game=t.game),
    theory.coverage_bound: lambda t: dict(game=t.game),
    theory.critical_ratio: lambda t: dict(start=t.state),
    theory.covers_both: lambda t: dict(result=t.result),
    theory.explain: lambda t: dict(result=t.result),
    theory.first_stationary: lambda t: dict(result=t.result, nu=0.1),
    theory.formula: lambda t: dict(bound=theory.asymmetry_bound),
    theory.judge: lambda t: dict(result=t.result, nu=0.1),
    theory.margins_of: lambda t: dict(left=X, right=1.0, at_most=True),
    theory.modes_covered: lambda t: dict(game=t.game, coverage=TWO),
    theory.moved: lambda t: dict(result=t.result, at=[0, 1]),
    theory.ratio_bound: lambda t: dict(game=t.game, ratio=2.0),
    theory.residual_bound: lambda t: dict(game=t.game),
    theory.slow_residual_bound: lambda t: dict(game=t.game),
    theory.spread: lambda t: dict(norms=t.result.grad_norms, skip=0.1, quantiles=(0.1, 0.9)),
    theory.theorem_4_1: lambda t: dict(
        result=t.result, bound=theory.asymmetry_bound, nu=0.1, probability=0.5, confidence=0.9
    ),
    theory.theorem_4_1_collapse: lambda t: dict(
        result=t.result, bound=theory.residual_bound, nu=0.1, probability=0.5, confidence=0.9
    ),
    theory.theorem_4_2: lambda t: dict(
        result=t.result,
        bound=theory.coverage_bound,
        delta=0.4,
        c=2.0,
        probability=0.5,
        confidence=0.9,
    ),
    theory.worst_of: lambda t: dict(margins=TWO, asked=TWO > 0),
    studies.stored_blocks: lambda t: dict(folder="nowhere"),
    proofs.Certificate.load: lambda t: dict(path="nowhere.json"),
    proofs.certify: lambda t: dict(
        game=t.game,
        opt=t.opt,
        steps=4,
        seed=1,
        replica=0,
        start=tm.GaussianStart(),
        radius=1e-9,
        nu=0.1,
        bits=64,
        most_bits=128,
        frame=False,
        progress=None,
    ),
    proofs.precision_horizon: lambda t: dict(
        result=t.result, replica=1, bits=64, most_bits=128, progress=None
    ),
    proofs.prove_card: lambda t: dict(
        theorem=tm.theory.theorem_4_1,
        result=t.result,
        replicas=[1],
        bits=64,
        most_bits=128,
        frame=False,
        progress=None,
    ),
    proofs.provable_box: lambda t: dict(game=t.game, opt=t.opt, steps=4, most=4, seed=1),
    proofs.verify_certificate: lambda t: dict(path="nowhere.json", bits=64, progress=None),
    studies.Store: lambda t: dict(folder="nowhere", any_version=True),
    studies.cell_key: lambda t: dict(cell=CELL, paired=["opt"]),
    studies.cells: lambda t: dict(d=[16, 64], opt=["sgda"]),
    studies.compare_rules: lambda t: dict(
        rules=["sgda"],
        cell={"d": 16, "steps": 4},
        step_scales=[1],
        ratios=[0.2],
        replicas=1,
        tuning=1,
        seed=0,
        executor=None,
        progress=None,
    ),
    studies.observe: lambda t: dict(result=t.result),
    studies.outcome: lambda t: dict(result=t.result),
    studies.plan: lambda t: dict(cell=CELL),
    studies.processes: lambda t: dict(workers=1),
    studies.ratios_of: lambda t: dict(d=16),
    studies.run_cell: lambda t: dict(cell=CELL, replicas=[0], seed=0, measure=measure, paired=[]),
    studies.sweep: lambda t: dict(
        grid=[CELL], replicas=1, executor=None, seed=0, measure=measure, paired=[], progress=None
    ),
    studies.tune: lambda t: dict(
        cells=[CELL], replicas=1, step_scales=[1], ratios=[0.2], executor=None, seed=0, paired=[]
    ),
    adversarial.Langevin: lambda t: dict(wall="reflect", metropolis=False, h=0.1),
    adversarial.Method: lambda t: dict(sampler=t.sampler, steps=1, copies=1, start="warm"),
    adversarial.Model: lambda t: dict(A=[[1.0, 2.0]], c=[0.0], loss="linear", activation="tanh"),
    adversarial.Model.random: lambda t: dict(
        data=t.data, seed=0, hidden=2, loss="logistic", activation="tanh", scale=1.0
    ),
    adversarial.Problem: lambda t: dict(
        data="moons", n_train=8, n_test=8, hidden=2, eps=0.3, lam=1.0, batch=4, steps=2
    ),
    adversarial.Quadrature: lambda t: dict(target=t.on_line, tolerance=1e-8),
    adversarial.SignStep: lambda t: dict(eta=0.5, sigma=0.1, law="uniform"),
    adversarial.Target: lambda t: vars(t.target).copy(),
    adversarial.Target.of: lambda t: dict(model=t.model, data=t.data, eps=0.3, lam=2.0),
    adversarial.TruncatedExponentials: lambda t: dict(target=t.target),
    adversarial.advance: lambda t: dict(
        target=t.target, sampler=t.sampler, x=t.target.x, steps=2, rng=t.rng
    ),
    adversarial.closed_form: lambda t: dict(target=t.target),
    adversarial.cost_to: lambda t: dict(table=t.table, level=pd.Series({0: 0.3}), cost="gradients"),
    adversarial.describe_chains: lambda t: dict(
        target=t.on_line, chains=t.chains, exact=t.exact, sampler=t.sampler
    ),
    adversarial.effective_sample_size: lambda t: dict(f=t.chains.losses),
    adversarial.exact_loss: lambda t: dict(target=t.on_line, rng=t.rng),
    adversarial.mixing: lambda t: dict(f=t.chains.losses),
    adversarial.face_atom: lambda t: dict(beta=1.0),
    adversarial.fit: lambda t: dict(model=t.model, data=t.data, method=t.method, eps=0.3, steps=2),
    adversarial.largest_loss: lambda t: dict(target=t.target, side=5),
    adversarial.learning_curve: lambda t: dict(
        problem=t.problem, method=t.method, seed=0, evaluations=1, progress=None
    ),
    adversarial.learning_curves: lambda t: dict(
        problem=t.problem, methods={"fgsm": t.method}, seeds=[0], evaluations=1, longer={}
    ),
    adversarial.load_data: lambda t: dict(name="blobs", n=4, seed=0, d=2, noise=0.1),
    adversarial.method: lambda t: dict(name="fgsm", steps=1, copies=2),
    adversarial.robust_error: lambda t: dict(
        model=t.model, data=t.data, eps=0.3, steps=2, restarts=1, seed=0
    ),
    adversarial.sample: lambda t: dict(
        target=t.target,
        sampler=t.sampler,
        steps=4,
        chains=2,
        burn=1,
        every=2,
        start=np.stack([t.target.x] * 2),
        seed=0,
        progress=None,
    ),
    adversarial.suited: lambda t: dict(target=t.target, sampler=t.sampler, chains=2, seed=1),
    adversarial.sampler: lambda t: dict(name="mala", h=0.1),
    adversarial.stationary: lambda t: dict(target=t.on_line, sampler=t.sampler, anchor=1),
    adversarial.tracking_lag: lambda t: dict(
        model=t.on_line.model,
        data=adversarial.load_data("mixture", n=4),
        method=t.method,
        eps=0.3,
        lam=1.0,
        learning_rate=0.5,
        duration=1.0,
        seed=0,
    ),
    adversarial.train: lambda t: dict(
        model=t.model,
        data=t.data,
        method=t.method,
        eps=0.3,
        lam=1.0,
        steps=1,
        batch=2,
        learning_rate=0.1,
        seed=0,
    ),
    plotting.animate: lambda t: dict(results=t.result, replica=0, frames=14, interval=80),
    plotting.bias_orders: lambda t: dict(axes=axes(), h=X, errors={"a": (X, 1.0)}, fit=2),
    plotting.compared: lambda t: dict(comparison=t.comparison),
    plotting.face_atoms: lambda t: dict(
        axes=tuple(Figure().subplots(2)), closed=abs, exact=(X, X), sampled=(X, X, X)
    ),
    plotting.factorial: lambda t: dict(table=t.grafts, value="recovered", label="share"),
    plotting.fitted: lambda t: dict(axes=axes(), x=X, curve=X, band=[X, X], label="a"),
    plotting.gibbs_density: lambda t: dict(
        axes=axes(), law=t.exact.law, x=t.chains.x, points=9, bins=4
    ),
    plotting.gibbs_map: lambda t: dict(
        axes=axes(), law=t.law, x=t.target.x[None], most=3, resolution=4
    ),
    plotting.latent_extremes: lambda t: dict(results=t.result, replica=0),
    plotting.loss_histogram: lambda t: dict(axes=axes(), losses={"a": X}, marks={"b": 1.0}, bins=4),
    plotting.loss_trace: lambda t: dict(
        axes=axes(), losses=t.chains.losses, marks={"b": 1.0}, first=3
    ),
    plotting.mode_alignment: lambda t: dict(
        result=t.result, judgement=tm.judge(t.result), closer=None, replica=1, figure=Figure()
    ),
    plotting.modes_plane: lambda t: dict(
        axes=axes(), result=t.result, record=1, replica=0, directions=True, trails=False
    ),
    plotting.neuron_alignment: lambda t: dict(results=[t.result], replica=0, figure=Figure()),
    plotting.pace: lambda t: dict(results=t.result, figure=Figure()),
    plotting.verdict_map: lambda t: dict(
        axes=axes(), table=t.table, x="d", y="ratio", verdict="verdict"
    ),
    plotting.phase_diagram: lambda t: dict(
        axes=axes(), table=t.table, x="d", y="ratio", value="good", limits=(0.0, 1.0), label=""
    ),
    plotting.plane_coordinates: lambda t: dict(projections=TWO, gamma=0.1),
    plotting.proportions: lambda t: dict(
        axes=axes(), table=t.table, x="d", success="good", by="method", confidence=0.9, joined=True
    ),
    plotting.regularization_path: lambda t: dict(
        axes=axes(), lam=X, mean_loss=X, dual=X, uniform=0.0, largest=1.0
    ),
    plotting.robust_errors: lambda t: dict(table=t.table, axes=axes()),
    plotting.scaling: lambda t: dict(
        axes=axes(), trend=t.trend, samples=[[4, 4], [8, 8]], label="a", symbol="x"
    ),
    plotting.seed_bands: lambda t: dict(
        axes=axes(), table=t.table, x="gradients", y="robust_error", by="method"
    ),
    plotting.update_norms: lambda t: dict(result=t.result, figure=Figure()),
}
