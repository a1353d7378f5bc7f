"""Figures of p_adv* draw what they were given."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import Normalize, same_color
from matplotlib.figure import Figure

import twomode as tm
from twomode import adversarial
from twomode.adversarial import Data, Model, Quadrature, Target, TruncatedExponentials
from twomode.plotting._style import GROUP_COLOURS, MODE_COLOURS


@pytest.fixture
def axes():
    return Figure().subplots()


@pytest.fixture(scope="module")
def plane():
    """Two boxes that overlap and one alone, one of them cut by the domain."""
    x = np.array([[0.0, 0.0], [0.3, 0.2], [2.0, 0.9]])
    data = Data(x, np.array([0, 1, 1]), (-1.0, 2.2))
    return Quadrature(Target.of(Model.random(data, 1, hidden=4), data, eps=0.4, lam=5))


@pytest.fixture(scope="module")
def line():
    data = Data(np.array([[0.0], [3.0]]), np.array([0, 1]))
    model = Model(np.array([[1.5]]), np.zeros(1), loss="linear")
    return TruncatedExponentials(Target.of(model, data, eps=0.5, lam=2))


def test_a_map_is_the_density_over_the_boxes(axes, plane):
    assert tm.plotting.gibbs_map(axes, plane, resolution=40) is axes
    target = plane.target
    assert len(axes.images) == len(axes.patches) == 3
    for k, (image, frame) in enumerate(zip(axes.images, axes.patches, strict=True)):
        (left, bottom), (right, top) = target.low[k], target.high[k]
        assert image.get_extent() == [left, right, bottom, top]
        np.testing.assert_allclose(frame.get_xy(), target.low[k])
        assert (frame.get_width(), frame.get_height()) == (right - left, top - bottom)
        assert image.origin == "lower"
        # any pixel, row and column: the sum over the anchors, in units of a whole box's 1/area
        for row, column in ((0, 0), (3, 30), (39, 12)):
            where = (
                target.low[k]
                + (target.high[k] - target.low[k]) * (np.array([column, row]) + 0.5) / 40
            )
            density = np.exp(plane.log_density(np.tile(where, (3, 1)))).sum() * 0.8**2
            assert image.get_array()[row, column] == pytest.approx(density)
    assert target.high[2].max() - target.x[2].max() < 0.4  # it was cut
    assert len({id(image.norm) for image in axes.images}) == 1  # one scale
    highest = max(image.get_array().max() for image in axes.images)
    assert axes.images[0].get_clim() == (0, highest)
    alone = axes.images[2].get_array().mean() * np.prod(target.high[2] - target.low[2]) / 0.8**2
    assert alone == pytest.approx(1, abs=0.01)


def test_a_map_shows_the_samples_and_the_anchors(axes, plane):
    x = np.arange(7 * 2 * 3 * 2, dtype=float).reshape(7, 2, 3, 2)
    norm = Normalize(0, 3)
    tm.plotting.gibbs_map(axes, plane, x, most=5, norm=norm)
    cloud, first, second = axes.lines
    np.testing.assert_array_equal(cloud.get_xydata(), x.reshape(14, 3, 2)[::3].reshape(-1, 2))
    np.testing.assert_array_equal(first.get_xydata(), plane.target.x[:1])
    np.testing.assert_array_equal(second.get_xydata(), plane.target.x[1:])
    assert first.get_marker() != second.get_marker()
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["samples", "anchor of class 0", "anchor of class 1"]
    assert axes.images[0].norm is norm
    axes.figure.canvas.draw()


def test_each_class_has_a_marker(axes):
    data = Data(np.arange(10.0).reshape(5, 2), np.arange(5) + 5)
    model = Model.random(data, loss="softmax")
    tm.plotting.gibbs_map(axes, Quadrature(Target.of(model, data, 0.3, 1)))
    assert sum(len(line.get_xydata()) for line in axes.lines) == 5
    assert len({line.get_marker() for line in axes.lines}) == 5


def test_a_density_on_the_line(axes, line):
    x = adversarial.sample(line.target, adversarial.sampler("projected"), 300, chains=2).x
    assert tm.plotting.gibbs_density(axes, line, x, points=101, bins=40) is axes
    curve, anchors = axes.lines
    at, density = curve.get_xydata().T
    np.testing.assert_allclose(at, np.linspace(-0.5, 3.5, 101))
    two = np.exp(line.log_density(np.stack([at, at], axis=1)[..., None]))
    np.testing.assert_allclose(density, two.sum(axis=1) / 2)
    np.testing.assert_array_equal(anchors.get_xdata(), [0, 3])
    heights, _ = np.histogram(x, np.linspace(-0.5, 3.5, 41), density=True)
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], heights)
    assert "1,200 samples" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_each_dimension_has_its_figure(axes, plane, line):
    with pytest.raises(tm.InputError, match="d=1: a map is for d = 2"):
        tm.plotting.gibbs_map(axes, line)
    with pytest.raises(tm.InputError, match="d=2: a density on a line is for d = 1"):
        tm.plotting.gibbs_density(axes, plane)


def test_losses_as_histograms(axes):
    losses = {"a": np.array([[0.0, 1.0], [1.0, 4.0]]), "b": np.array([2.0, 4.0])}
    tm.plotting.loss_histogram(axes, losses, {"mean": 1.5, "other": 3.0}, bins=4)
    for outline, values in zip(axes.patches, losses.values(), strict=True):
        shares = np.histogram(values, np.linspace(0, 4, 5))[0] / values.size
        drawn = outline.get_xy()[1:-1:2, 1]
        np.testing.assert_allclose(drawn, shares)
    assert [mark.get_xdata()[0] for mark in axes.lines] == [1.5, 3.0]
    names = {text.get_text() for text in axes.get_legend().get_texts()}
    assert names == {"a", "b", "mean", "other"}


def test_losses_step_by_step(axes):
    losses = np.random.default_rng(0).random((20, 3, 4))
    tm.plotting.loss_trace(axes, losses, {"exact": 0.4}, first=10)
    *chains, mean, mark = axes.lines
    assert len(chains) == 3
    for k, one in enumerate(chains):
        np.testing.assert_allclose(one.get_ydata(), losses[:, k].mean(axis=1))
    np.testing.assert_allclose(mean.get_ydata(), losses.mean(axis=(1, 2)))
    np.testing.assert_array_equal(mean.get_xdata(), np.arange(10, 30))
    assert mark.get_ydata()[0] == 0.4


def test_orders_are_fitted_to_the_smallest_steps(axes):
    h = np.geomspace(1e-4, 1, 9)
    errors = {"one": (3 * h**0.5, 0.5), "two": (np.where(h < 5e-3, 2 * h**0.9, 1), 1)}
    tm.plotting.bias_orders(axes, h, errors, fit=4)
    for k, (name, (e, order)) in enumerate(errors.items()):
        drawn, due = axes.lines[2 * k : 2 * k + 2]
        np.testing.assert_allclose(drawn.get_xydata(), np.stack([h, e], axis=1))
        np.testing.assert_allclose(
            due.get_ydata()[[0, -1]], e[0] * 10.0 ** np.array([0, 4 * order])
        )
        assert drawn.get_label() == f"{name}: order {(0.5, 0.9)[k]:.3f}"
        assert same_color(drawn.get_color(), due.get_color())
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_atoms_lie_beside_their_curve():
    above, below = Figure().subplots(2, 1)
    exact = ([0.5, 2.0], [0.54, 0.97])
    sampled = ([0.5, 1.0, 2.0], [0.53, 0.8, 0.98], [0.01, 0.02, 0.005])
    drawn = tm.plotting.face_atoms((above, below), adversarial.face_atom, exact, sampled)
    assert drawn == (above, below)
    beta, atom = above.lines[0].get_xydata().T
    assert (beta[0], beta[-1]) == (0.5, 2)
    assert atom[[0, -1]] == pytest.approx([adversarial.face_atom(x) for x in (0.5, 2)])
    for axes, minus in ((above, lambda x: 0), (below, adversarial.face_atom)):
        squares = next(line for line in axes.lines if line.get_marker() == "s")
        np.testing.assert_allclose(
            squares.get_ydata(), [p - minus(x) for x, p in zip(*exact, strict=True)]
        )
        (bars,) = axes.containers
        ends = np.array([segment[:, 1] for segment in bars.lines[2][0].get_segments()])
        wanted = [
            [p - minus(x) - 2 * e, p - minus(x) + 2 * e] for x, p, e in zip(*sampled, strict=True)
        ]
        np.testing.assert_allclose(ends, wanted, atol=1e-12)


def test_the_path_between_uniform_and_worst(axes):
    lam, loss, dual = [0.1, 1, 10], [1.0, 1.5, 1.9], [1.0, 1.2, 1.6]
    tm.plotting.regularization_path(axes, lam, loss, dual, uniform=0.95, largest=2.125)
    top, bottom, mean, value = axes.lines
    assert (top.get_ydata()[0], bottom.get_ydata()[0]) == (2.125, 0.95)
    np.testing.assert_allclose(mean.get_xydata(), np.stack([lam, loss], axis=1))
    np.testing.assert_allclose(value.get_xydata(), np.stack([lam, dual], axis=1))
    assert [same_color(x.get_color(), c) for x, c in zip((mean, value), MODE_COLOURS, strict=True)]
    assert {text.get_text() for text in axes.texts} == {"largest loss: 2.125", "uniform law: 0.950"}
    assert axes.get_xscale() == "log"
    axes.figure.canvas.draw()


def test_marks_and_groups_have_colours_of_their_own(axes):
    tm.plotting.loss_trace(axes, np.ones((3, 1, 1)), {"a": 1.0, "b": 2.0})
    *_, mean, a, b = (line.get_color() for line in axes.lines)
    assert mean == GROUP_COLOURS[0]
    assert len({mean, a, b}) == 3


def test_plotting_does_without_samplers():
    """Their parts of SciPy are not needed to draw."""
    code = "import sys, twomode.plotting; print('twomode.adversarial' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


# Training


def test_medians_over_seeds_and_their_range():
    rows = [
        {"method": name, "seed": seed, "gradients": at, "robust_error": (seed + 1) / at}
        for name in ("fgsm", "algorithm-1")
        for seed in range(3)
        for at in (10, 20)
    ]
    axes = tm.plotting.robust_errors(pd.DataFrame(rows))
    assert [line.get_label() for line in axes.lines] == ["fgsm, 3 seeds", "algorithm-1, 3 seeds"]
    for line, band in zip(axes.lines, axes.collections, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [10, 20])
        np.testing.assert_allclose(line.get_ydata(), [0.2, 0.1])
        heights = band.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == pytest.approx((1 / 20, 3 / 10))
    assert axes.get_xscale() == "log"
    with pytest.raises(tm.InputError, match="the table has no column robust_error"):
        tm.plotting.robust_errors(pd.DataFrame(rows).drop(columns="robust_error"))
