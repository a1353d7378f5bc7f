"""sims/langevin.py as a user meets it."""

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import strictly

from twomode import adversarial
from twomode.adversarial import DATA, SAMPLERS, Data, Model, Quadrature, Target
from twomode.io import load_arrays

#: Tiny: three anchors, some training, short chains.
TINY = ("--n", 3, "--train", 100, "--steps", 60, "--chains", 2)
# fmt: off
PROMISED = [
    "data", "n", "noise", "model", "train", "d", "loss", "hidden", "activation", "lam", "eps",
    "sampler", "h", "eta", "sigma", "steps", "chains", "burn", "seed", "training_error",
    "acceptance", "acceptance_least", "ess", "ess_least", "ess_bulk", "ess_tail",
    "rhat", "unmixed", "mean_loss",
    "standard_error", "exact_mean_loss", "exact_by", "bias", "bias_in_errors",
    "uniform_mean_loss", "largest_loss", "dual", "kl", "on_faces", "in_corners", "displacement",
    "gradients", "stationary_bias", "stationary_tv", "seconds", "really",
]
# fmt: on


def saved(name):
    """The target, the other arrays and the settings that a run left."""
    arrays, settings = load_arrays(Path("runs") / name / "samples.npz")
    theta = {k: arrays[k] for k in ("A", "c", "B", "b") if k in arrays}
    model = Model(**theta, loss=settings["loss"], activation=settings["activation"] or "tanh")
    box = (arrays[k] for k in ("anchors", "labels", "low", "high"))
    return Target(model, *box, settings["eps"], settings["lam"]), arrays, settings


def without_time(summary):
    return {k: v for k, v in summary.items() if k != "seconds"}


# What a run prints and saves


def test_saves_prints_and_loads_back(play):
    flags = ("--data", "moons", "--model", "mlp", "--lam", 5, "--eps", 0.2, "--sampler", "mala")
    status, output, errors = play("langevin.py", *TINY, *flags, "--h", 0.02, "--seed", 3)
    assert (status, errors) == (0, "")
    assert output.endswith(
        "saved samples.npz, summary.json, density.png in runs/mala-moons-mlp-seed3\n"
    )
    folder = Path("runs/mala-moons-mlp-seed3")
    assert sorted(p.name for p in folder.iterdir()) == [
        "density.png",
        "samples.npz",
        "summary.json",
    ]
    assert (folder / "density.png").read_bytes().startswith(b"\x89PNG")
    target, arrays, settings = saved(folder.name)
    assert strictly((folder / "summary.json").read_text()) == settings
    assert (settings["h"], settings["eta"], settings["sigma"]) == (0.02, None, None)
    assert (settings["steps"], settings["burn"], settings["chains"], settings["n"]) == (60, 6, 2, 3)
    assert arrays["x"].shape == (54, 2, 3, 2)
    assert arrays["acceptance"].shape == (3,)
    again = Target.of(target.model, Data(target.x, target.y), 0.2, 5)
    for name in ("low", "high"):
        np.testing.assert_array_equal(getattr(again, name), arrays[name])
    assert ((arrays["x"] >= target.low) & (arrays["x"] <= target.high)).all()
    np.testing.assert_allclose(target.losses(arrays["x"]), arrays["losses"], rtol=1e-12)


def test_the_summary_is_that_of_what_was_saved(play):
    """Each number anew, from the arrays."""
    status, output, errors = play(
        "langevin.py", *TINY, "--sampler", "projected", "--h", 0.01, "--json"
    )
    assert (status, errors) == (0, "")
    summary = strictly(output)
    assert list(summary) == PROMISED
    target, arrays, settings = saved("projected-moons-mlp-seed0")
    assert settings == summary
    law, uniform = Quadrature(target), Quadrature(replace(target, lam=0.0))
    ess = adversarial.effective_sample_size(arrays["losses"])
    error = np.sqrt((arrays["losses"].var(axis=(0, 1)) / ess).sum()) / 3
    bias = arrays["losses"].mean() - law.mean_loss.mean()
    on_face = (arrays["x"] == target.low) | (arrays["x"] == target.high)
    expected = {
        "mean_loss": arrays["losses"].mean(),
        "ess": np.median(ess),
        "ess_least": ess.min(),
        "standard_error": error,
        "exact_mean_loss": law.mean_loss.mean(),
        "bias": bias,
        "bias_in_errors": bias / error,
        "uniform_mean_loss": uniform.mean_loss.mean(),
        "dual": law.dual,
        "kl": law.kl.mean(),
        "on_faces": on_face.any(axis=-1).mean(),
        "in_corners": on_face.all(axis=-1).mean(),
        "displacement": np.abs(arrays["x"] - target.x).max(),
        "gradients": 60 * 2 * 3,
        "unmixed": (ess < 50).sum(),
    }
    assert {k: summary[k] for k in expected} == pytest.approx(expected)
    assert 0 < summary["in_corners"] < summary["on_faces"] < 1
    corners = [
        target.losses(np.where(s, target.low, target.high))
        for s in itertools.product((0, 1), repeat=2)
    ]
    assert summary["largest_loss"] >= np.max(corners, axis=0).mean() - 1e-12
    none = ("stationary_bias", "stationary_tv", "noise")
    assert [summary[name] for name in none] == [None] * len(none)


def test_what_a_person_reads(play):
    summary = strictly(play("langevin.py", *TINY, "--h", 0.01, "--json")[1])
    status, output, errors = play("langevin.py", *TINY, "--h", 0.01, "--no-plot")
    assert (status, errors) == (0, "")
    for text in (
        "p_adv* of 3 anchors of moons: d = 2, lam = 10, eps = 0.3\n",
        "mlp of 32 tanh, 100 steps of SGD",
        "mala-folded, h = 0.01, 2 chains an anchor\n",
        f"E[l] sampled {summary['mean_loss']:15.4f}  +- {summary['standard_error']:.4f}",
        f"E[l] exact {summary['exact_mean_loss']:17.4f}  by quadrature\n",
        f"{summary['bias_in_errors']:.1f} standard errors\n",
        f"{summary['acceptance']:.4f}  share of steps",
        "Metropolis leaves p_adv* invariant at any h",
        "3 of 3 anchors did not mix",
    ):
        assert text in output
    assert "None" not in output
    assert "nan" not in output
    assert output.endswith(
        "saved samples.npz, summary.json in runs/mala-folded-moons-mlp-seed0-2\n"
    )


def test_a_step_that_is_too_long_is_named(play):
    """At lam = 1000 the old default step of an unadjusted chain gives .13; .81 is right."""
    flags = ("--lam", 1000, "--chains", 4, "--n", 8, "--no-plot")
    reflected = ("--sampler", "reflected", "--h", 0.01)
    status, output, errors = play("langevin.py", *flags, *reflected)
    assert (status, errors) == (0, "")
    assert "  h = 0.01 is too long for lam = 1000: Metropolis would accept " in output
    assert "too long" not in play("langevin.py", *flags, *reflected[:2])[1]
    assert "too long" not in play("langevin.py", *flags[2:], *reflected[:2], "--h", 0.0001)[1]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("data", DATA)
def test_each_sampler_runs_on_each_data_set(play, data, sampler):
    flags = ("--data", data, "--sampler", sampler, "--lam", 2, "--eps", 0.2)
    status, output, errors = play("langevin.py", *TINY, *flags, "--json", "--no-plot")
    assert (status, errors) == (0, "")
    summary, target = strictly(output), saved(f"{sampler}-{data}-mlp-seed0")[0]
    assert (summary["sampler"], summary["data"], summary["d"]) == (sampler, data, target.x.shape[1])
    assert (summary["acceptance"] is None) == (sampler == "sign")
    assert sampler == "sign" or (len(summary["h"]) == 3 and min(summary["h"]) > 0)
    assert (summary["exact_mean_loss"] is None) == (data == "digits")
    one = data == "mixture" and not sampler.startswith("mala")
    assert (summary["stationary_tv"] is not None) == one
    if data == "digits":
        assert (target.low.min(), target.high.max()) == (0, 1)  # cut by the domain
        assert summary["exact_by"].startswith("none: d=64 is too much for quadrature")
        assert [summary[name] for name in ("bias", "kl", "dual", "largest_loss")] == [None] * 4


@pytest.mark.parametrize(
    ("flags", "drawn"),
    [
        ("--data mixture", 1),
        ("--data blobs --n 20", 1),
        ("--data blobs --d 3 --model logistic --lam 2", 2),
        ("--data moons --lam 1e5 --h 1e-7", 2),
    ],
)
def test_there_is_a_figure_without_a_density_too(play, monkeypatch, flags, drawn):
    figures = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig", lambda figure, *a, **k: figures.append(figure)
    )
    status, _, errors = play("langevin.py", *TINY, *flags.split())
    assert (status, errors) == (0, "")
    (figure,) = figures
    assert len([axes for axes in figure.axes if axes.get_label() != "<colorbar>"]) == drawn
    figure.canvas.draw()
    assert bool(figure.legends) == ("--n 20" in flags)  # a map's marks are named
    samples = int(load_arrays(next(Path("runs").glob("*/samples.npz")))[0]["losses"].size)
    assert f"{samples:,} samples" in figure.get_suptitle()


# Models, and the exact law


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--model linear", ("linear", None, None)),
        ("--model logistic", ("logistic", None, None)),
        ("--model softmax", ("softmax", None, None)),
        ("--model mlp", ("logistic", 32, "tanh")),
        ("--model mlp --hidden 5 --activation softplus", ("logistic", 5, "softplus")),
        ("--model mlp --data digits", ("softmax", 32, "tanh")),
    ],
)
def test_models(play, flags, expected):
    status, output, errors = play("langevin.py", *TINY, *flags.split(), "--json", "--no-plot")
    assert (status, errors) == (0, "")
    summary = strictly(output)
    assert tuple(summary[name] for name in ("loss", "hidden", "activation")) == expected


def test_the_linear_loss_has_the_weights_of_logistic_regression(play):
    for model in ("linear", "logistic"):
        assert play("langevin.py", *TINY, "--model", model, "--no-plot")[0] == 0
    linear, logistic = (
        saved(f"mala-folded-moons-{m}-seed0")[0].model for m in ("linear", "logistic")
    )
    assert (linear.A == logistic.A).all()
    assert (linear.loss, logistic.loss) == ("linear", "logistic")


def test_training_makes_a_classifier(play):
    """Without it the weights are random; the default one knows the moons."""
    wrong = {
        steps: strictly(
            play("langevin.py", "--steps", 2, "--train", steps, "--json", "--no-plot")[1]
        )
        for steps in (0, 2000)
    }
    assert wrong[0]["training_error"] > 0.15
    assert wrong[2000]["training_error"] < 0.05
    first, second = (saved(f"mala-folded-moons-mlp-seed0{end}")[0] for end in ("", "-2"))
    np.testing.assert_array_equal(first.x, second.x)  # the same anchors
    assert not np.allclose(first.model.A, second.model.A)


def test_independent_draws_in_any_dimension(play):
    """Of 6,000 each, beside the exact law: six standard errors apart once in 5e8 runs."""
    flags = ("--data", "blobs", "--d", 6, "--model", "logistic", "--sampler", "exact", "--n", 4)
    sizes = ("--steps", 2000, "--chains", 3, "--json", "--no-plot")
    status, output, errors = play("langevin.py", *flags, *sizes)
    assert (status, errors) == (0, "")
    summary = strictly(output)
    assert abs(summary["bias_in_errors"]) < 6
    assert summary["exact_by"] == "in exponentials"
    assert (summary["gradients"], summary["burn"], summary["acceptance"]) == (0, 0, None)
    assert summary["on_faces"] == 0
    target, arrays, _ = saved("exact-blobs-logistic-seed0")
    assert arrays["x"].shape == (2000, 3, 4, 6)
    law = adversarial.TruncatedExponentials(target)
    assert summary["dual"] == pytest.approx(law.dual)
    assert summary["kl"] == pytest.approx(10 * (summary["exact_mean_loss"] - law.dual))
    error = arrays["x"].std(axis=(0, 1)) / np.sqrt(6000)
    assert np.abs((arrays["x"].mean(axis=(0, 1)) - law.mean) / error).max() < 6
    # and a sampler of another law is seen: the negative control
    control = strictly(play("langevin.py", *flags[:-3], "sign", "--n", 4, *sizes)[1])
    assert abs(control["bias_in_errors"]) > 100


def test_the_bias_on_the_line_is_that_of_the_stationary_law(play):
    """Five standard errors; the bias itself is more than twenty of them."""
    flags = (
        "--data",
        "mixture",
        "--noise",
        0.5,
        "--eps",
        0.5,
        "--lam",
        5,
        "--sampler",
        "projected",
        "--h",
        0.01,
    )
    more = ("--n", 6, "--chains", 32, "--steps", 8000)
    output = play("langevin.py", *flags, *more, "--json", "--no-plot")[1]
    found = strictly(output)
    assert found["unmixed"] == 0
    assert abs(found["bias"] - found["stationary_bias"]) < 5 * found["standard_error"]
    assert abs(found["stationary_bias"]) > 20 * found["standard_error"]
    target = saved("projected-mixture-mlp-seed0")[0]
    law = adversarial.stationary(target.take([0]), adversarial.sampler("projected"))
    assert found["stationary_tv"] > law.mass[-2:].sum() / 6  # p_adv* has no atoms
    assert found["noise"] == 0.5


def test_what_does_not_exist_is_null(play):
    """PGD's points stand still, lam = 0 has no dual value, and too little noise no Nystrom law."""
    flags = ("--data", "mixture", "--sampler", "sign", "--sigma", 0, "--eta", 2, "--lam", 0)
    summary = strictly(play("langevin.py", *TINY, *flags, "--json", "--no-plot")[1])
    assert summary["unmixed"] == 3
    for name in ("ess", "standard_error", "bias_in_errors", "dual", "stationary_bias"):
        assert summary[name] is None
    assert summary["kl"] == pytest.approx(0, abs=1e-12)
    assert summary["exact_mean_loss"] == pytest.approx(summary["uniform_mean_loss"])
    assert "nan" not in play("langevin.py", *TINY, *flags, "--no-plot")[1]


# Seeds, folders, the bar


def test_the_seed_decides(play):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert play("langevin.py", *TINY, "--seed", seed, "--name", name, "--no-plot")[0] == 0
    (a, first), (b, second), (_, third) = (
        load_arrays(Path(f"runs/{k}/samples.npz")) for k in "abc"
    )
    assert all((a[name] == b[name]).all() for name in a)
    assert without_time(first) == without_time(second)
    assert first["mean_loss"] != third["mean_loss"]


def test_a_finished_run_is_not_overwritten(play):
    assert play("langevin.py", *TINY, "--no-plot", "--name", "mine")[0] == 0
    before = Path("runs/mine/samples.npz").read_bytes()
    status, output, errors = play("langevin.py", *TINY, "--no-plot", "--name", "mine", "--seed", 1)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert "runs/mine exists already" in errors
    assert Path("runs/mine/samples.npz").read_bytes() == before
    assert (
        play("langevin.py", *TINY, "--no-plot", "--name", "mine", "--seed", 1, "--overwrite")[0]
        == 0
    )
    assert Path("runs/mine/samples.npz").read_bytes() != before


def test_the_bar_counts_training_sampling_and_laws(play, monkeypatch):
    seen = []

    class Recorder:
        def __init__(self, *names, **options):
            pass

        def __enter__(self):
            return lambda p: seen.append((p.done, p.total))

        def __exit__(self, *exception):
            pass

    monkeypatch.setattr("twomode.ProgressBar", Recorder)
    flags = ("--sampler", "reflected", "--h", 0.01)
    assert play("langevin.py", *TINY, "--data", "mixture", *flags, "--no-plot")[0] == 0
    assert seen == [
        *((k, 100) for k in range(101)),
        *((k, 60) for k in range(61)),
        *((k, 3) for k in range(3)),
    ]


# Bad input


BAD = {
    "unknown data 'moon': did you mean moons": "--data moon",
    "unknown model 'mpl': did you mean mlp": "--model mpl",
    "unknown sampler 'reflect': did you mean reflected": "--sampler reflect",
    "unknown activation 'relu'": "--activation relu",
    "n=0 must be a whole number of at least 1": "--n 0",
    "steps=0 must be": "--steps 0",
    "chains=0 must be": "--chains 0",
    "train=-1 must be": "--train -1",
    "'-1' must be a whole number of at least 0": "--seed -1",
    "burn=60 leaves none of steps=60": "--burn 60",
    "burn=-1 must be": "--burn -1",
    "hidden=0 must be": "--hidden 0",
    "eps=0.0 must be positive": "--eps 0",
    "eps=-0.1 must be positive": "--eps -0.1",
    "eps=nan must be positive": "--eps nan",
    "lam=inf must be a finite number": "--lam inf",
    "lam=-1.0 must be": "--lam -1",
    "h=0.0 must be positive": "--h 0",
    "h=nan must be": "--h nan",
    "noise=-1.0 must be": "--noise -1",
    "noise=nan must be": "--noise nan",
    "d=0 must be": "--data blobs --d 0",
    "d=3: data 'moons' takes noise": "--d 3",
    "noise=0.1: data 'digits' takes no options": "--data digits --noise 0.1",
    "eta=0.5: sampler mala-folded takes h": "--eta 0.5",
    "h=0.1: sampler sign takes eta and sigma": "--sampler sign --h 0.1",
    "sigma=-1.0 must be": "--sampler sign --sigma -1",
    "hidden=8 needs --model mlp": "--model logistic --hidden 8",
    "activation='tanh' needs --model mlp": "--model linear --activation tanh",
    "model 'logistic' is for two classes, and digits have 10": "--data digits --model logistic",
    "sampler exact needs --model linear, or logistic with a whole lam": "--sampler exact",
    "for logistic at lam=2.5 choose mala-folded": "--sampler exact --model logistic --lam 2.5",
    "h=0.1: sampler exact draws independently": "--sampler exact --model linear --h 0.1",
    "burn=3: sampler exact draws independently": "--sampler exact --model linear --burn 3",
    "accepted none of 360 steps: make h smaller": "--sampler mala --h 1e9",
    "GiB, over 2: reduce steps, chains or n": "--data digits --steps 1000000",
    "is more than the 1797 digits there are": "--data digits --n 1500",
    "cannot write to": "--out a-file/runs",
    "invalid float value: 'x'": "--lam x",
    "unrecognized argument --gamma": "--gamma 1",
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_one_line_status_2_and_no_files(play, tmp_path, message):
    (tmp_path / "a-file").touch()
    status, output, errors = play("langevin.py", *TINY, *BAD[message].split())
    assert (status, output) == (2, "")
    assert message in errors
    assert errors.startswith("langevin.py: error: ")
    assert errors.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_digits_need_scikit_learn(play, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    status, output, errors = play("langevin.py", *TINY, "--data", "digits")
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert "pip install 'twomode[digits]'" in errors
    assert not list(tmp_path.iterdir())
