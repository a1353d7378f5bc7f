import argparse
import contextlib
import importlib
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import made_comparison, run_here
from matplotlib.animation import PillowWriter
from matplotlib.colors import same_color, to_rgb
from matplotlib.figure import Figure
from PIL import Image

import twomode as tm
from twomode.game import mode_cosines
from twomode.plotting._style import MODE_COLOURS, PLAYER_COLOURS
from twomode.plotting.plane import _frames
from twomode.rules import DIRECTIONS, GRANULARITIES, MAGNITUDES
from twomode.statistics import clopper_pearson
from twomode.theory import alignments, explain

FIGURES = Path(__file__).parents[1] / "figures"
SCRIPTS = sorted(path.stem for path in FIGURES.glob("*.py") if path.stem != "common")
FRESH = ["p_adv_samples"]  #: drawn from what no file holds


@pytest.fixture(scope="module")
def result():
    game = tm.Game.preset(256)
    opt, steps = tm.recipe(game, "sgda")
    return tm.simulate(game, opt, steps, replicas=[1, 3, 4], seed=0)


@pytest.fixture(scope="module")
def normalized():
    game = tm.Game.preset(64)
    opt, steps = tm.recipe(game, "nsgda")
    return tm.simulate(game, opt, steps, replicas=3, seed=0, record_every=100)


@pytest.fixture(scope="module")
def diverged():
    game = tm.Game.preset(256)
    result = tm.simulate(game, tm.optimizer("sgda", eta_D=0.1, eta_G=30.0), 3000, seed=0)
    assert result.diverged.all()
    return result


def y(line):
    return np.asarray(line.get_ydata(), dtype=float)


# --- Runs over time -------------------------------------------------------------------------------


def test_draws_what_was_recorded(result):
    judgement = tm.judge(result)
    above, below = tm.plotting.mode_alignment(result, judgement, replica=1)
    cosines = mode_cosines(result.projections_V[1], result.gram_V[1])
    drawn = [line.get_ydata() for line in above.lines]
    m_G = result.game.m_G
    np.testing.assert_array_equal(np.transpose(drawn[:m_G]), cosines[..., 0])
    np.testing.assert_array_equal(np.transpose(drawn[m_G : 2 * m_G]), cosines[..., 1])
    np.testing.assert_array_equal(drawn[2 * m_G], result.collapse_cosine()[1])
    assert below.get_yscale() == "log"
    marks = [line.get_xdata()[0] for line in above.lines if line.get_linestyle() == ":"]
    assert marks == [judgement.T0[1]]
    assert len(above.get_legend().get_texts()) == 3
    assert above.figure.axes == [above, below]


def test_a_closer_look_stands_beside_a_run(result):
    T0 = int(tm.judge(result).T0[1])
    closer = result.again(replicas=[3], steps=T0 + 100, record_every=1)
    above, _ = tm.plotting.mode_alignment(result, replica=1, closer=closer)
    _, right, _, below = above.figure.axes
    cosines = mode_cosines(closer.projections_V[0], closer.gram_V[0])
    np.testing.assert_array_equal(y(right.lines[0]), cosines[:, 0, 0])
    low, high = below.get_xlim()
    exact = tm.judge(closer).T0[0]
    assert 0 < low < exact < high < closer.steps[-1]
    assert [axes.lines[-1].get_xdata()[0] for axes in (right, below)] == [exact, exact]


def test_modes_differ_without_colour(result):
    above, _ = tm.plotting.mode_alignment(result)
    styles = {line.get_linestyle() for line in above.lines[: 2 * result.game.m_G]}
    assert styles == {"-", "--"}


def test_every_figure_draws_a_diverged_and_a_single_replica(diverged):
    plotting = tm.plotting
    axes = [
        plotting.mode_alignment(diverged)[0],
        plotting.neuron_alignment(diverged)[0, 0],
        plotting.latent_extremes(diverged)[0],
        plotting.pace(diverged)[0, 0],
        plotting.update_norms(diverged)[0],
        plotting.modes_plane(Figure().subplots(), diverged),
    ]
    for ax in axes:
        ax.figure.canvas.draw()


def test_neuron_alignment_follows_the_neuron_that_comes_nearest(result, normalized):
    axes = tm.plotting.neuron_alignment([result, normalized], replica=1)
    assert axes.shape == (2, 2)
    for column, run in enumerate((result, normalized)):
        until = run.steps <= tm.judge(run).judged_at[1]
        for row, cosines in enumerate(alignments(run)):
            nearest = cosines[1, until].max(axis=(0, 2)).argmax()
            for target in range(3):
                line = axes[row, column].lines[target]
                np.testing.assert_array_equal(y(line), cosines[1, :, nearest, target])
    T0 = tm.judge(result).T0[1]
    assert np.isfinite(T0)
    assert [ax.lines[-1].get_xdata()[0] for ax in axes[:, 0]] == [T0, T0]
    assert "sgda, d = 256" in axes[0, 0].get_title()
    assert "replica 3: collapsed" in axes[0, 0].get_title()


def test_latent_extremes_are_over_every_z(result):
    (ax,) = tm.plotting.latent_extremes(result, replica=2)
    every = result.outputs(tm.all_latents(result.game.m_G))
    cosines = np.abs(every.cosines[2])
    drawn = [y(line) for line in ax.lines[:4]]
    wanted = [f(cosines[..., mode], axis=1) for mode in (0, 1) for f in (np.max, np.min)]
    np.testing.assert_allclose(drawn, wanted, rtol=0, atol=1e-12)
    support = np.abs(result.outputs().cosines[2]).max(axis=1)[:, 0]
    assert not np.allclose(drawn[0], support)  # the law's support is not every z
    assert same_color(ax.lines[0].get_color(), MODE_COLOURS[0])


def test_pace_is_the_median_over_replicas(normalized):
    axes = tm.plotting.pace(normalized)
    medians = np.median(normalized.grad_norms, axis=0)
    for player in range(2):
        np.testing.assert_allclose(y(axes[0, 0].lines[player]), medians[:, player])
    ratio = np.median(explain(normalized).step_ratio, axis=0)
    np.testing.assert_allclose(y(axes[1, 0].lines[0]), ratio)
    game, opt = normalized.game, normalized.opt
    constant = opt.eta_D * np.sqrt(game.m_D + 1) / (opt.eta_G * np.sqrt(game.m_G))
    np.testing.assert_allclose(ratio[1:], constant, rtol=1e-6)  # b is a block of its own


def test_pace_of_a_collapse_is_in_units_of_each_replicas_T0(result):
    judgement = tm.judge(result)
    assert judgement.verdict == "collapsed"
    axes = tm.plotting.pace(result)
    line = axes[0, 0].lines[1]
    at_T0 = [
        result.grad_norms[k, np.searchsorted(result.steps, T0 * 0.5, side="right") - 1, 0]
        for k, T0 in enumerate(judgement.T0)
        if np.isfinite(T0)
    ]
    half = np.abs(np.asarray(line.get_xdata()) - 0.5).argmin()
    assert y(line)[half] == pytest.approx(np.median(at_T0), rel=0.02)
    assert "T_0" in axes[1, 0].get_xlabel()


def test_update_norms_are_relative_to_their_medians(normalized):
    axes = tm.plotting.update_norms(normalized)
    R = normalized.replicas
    for player in range(2):
        for first, norms in ((0, normalized.grad_norms), (R, normalized.update_norms)):
            norms = norms[..., player]
            wanted = norms / np.nanmedian(norms, axis=1, keepdims=True)
            drawn = [y(line) for line in axes[player].lines[first : first + R]]
            np.testing.assert_array_equal(drawn, wanted[:, 1:])
        np.testing.assert_allclose(drawn, 1, rtol=1e-6)  # normalized steps are of one length


# --- Tables ---------------------------------------------------------------------------------------


@pytest.fixture
def axes():
    return Figure().subplots()


def test_proportions_have_clopper_pearson_bars(axes):
    table = pd.DataFrame(
        {
            "opt": ["b"] * 9 + ["a"] * 6,
            "d": [64] * 4 + [256] * 5 + [64] * 3 + [256] * 3,
            "good": [True, True, False, True] + [False] * 5 + [True] * 3 + [False, True, False],
        }
    )
    tm.plotting.proportions(axes, table, "d", "good", by="opt", confidence=0.9)
    for container, counts in zip(
        axes.containers, ([(3, 4), (0, 5)], [(3, 3), (1, 3)]), strict=True
    ):
        points, _, (bars,) = container.lines
        np.testing.assert_array_equal(points.get_xdata(), [64, 256])
        np.testing.assert_allclose(y(points), [k / n for k, n in counts])
        drawn = [segment[:, 1] for segment in bars.get_segments()]
        np.testing.assert_allclose(drawn, [clopper_pearson(k, n, 0.9) for k, n in counts])
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["b, 4-5 seeds a point", "a, 3 seeds a point"]
    first, second = (container.lines[0].get_markersize() for container in axes.containers)
    assert first > second  # seen behind it where both are the same


def test_scaling_shows_medians_quartiles_and_the_fit(axes):
    rng = np.random.default_rng(0)
    x = np.array([10.0, 100.0, 1000.0])
    samples = [at**-0.5 * rng.lognormal(0, 0.3, 41) for at in x]
    trend = tm.statistics.fit_power(x, samples)
    tm.plotting.scaling(axes, trend, samples, "thing", symbol="d")
    points, _, (bars,) = axes.containers[0].lines
    np.testing.assert_allclose(y(points), [np.median(s) for s in samples])
    quartiles = [np.quantile(s, [0.25, 0.75]) for s in samples]
    np.testing.assert_allclose([s[:, 1] for s in bars.get_segments()], quartiles)
    line = next(line for line in axes.lines if len(line.get_xdata()) == 100)
    np.testing.assert_allclose(y(line), trend.coefficient * line.get_xdata() ** trend.exponent)
    band = axes.collections[-1].get_paths()[0].get_extents()
    np.testing.assert_allclose(
        [band.ymin, band.ymax], [trend.band(x)[0].min(), trend.band(x)[1].max()], rtol=1e-6
    )
    text = " ".join(text.get_text() for text in axes.get_legend().get_texts())
    assert f"d^{{{trend.exponent:.2f}}}" in text
    assert f"{trend.exponent_interval[0]:.2f} to" in text
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_verdict_map_shows_the_most_frequent_and_how_frequent_it_is(axes):
    words = ["collapsed", "collapsed", "mixed", "both-modes", "both-modes", "both-modes"]
    table = pd.DataFrame({"x": [1, 1, 1, 4, 4, 1], "y": [2, 2, 2, 2, 2, 3], "verdict": words})
    tm.plotting.verdict_map(axes, table, "x", "y")
    (mesh,) = axes.collections
    collapsed, both = (
        np.array(to_rgb(patch.get_facecolor())) for patch in axes.get_legend().get_patches()
    )
    np.testing.assert_allclose(
        np.reshape(mesh.get_array(), (2, 2, 3)),
        [[1 - 2 / 3 * (1 - collapsed), both], [both, np.ones(3)]],
    )
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["collapsed", "both-modes"]
    with pytest.raises(tm.InputError, match="verdicts are needed"):
        tm.plotting.verdict_map(axes, table.assign(verdict="good"), "x", "y")


def test_phase_diagram_has_means_in_their_cells(axes):
    table = pd.DataFrame(
        {
            "x": [1, 1, 4, 4, 1, 1],
            "y": [0.1, 0.1, 0.1, 0.1, 0.2, 0.2],
            "good": [True, False, True, True, False, False],
        }
    )
    tm.plotting.phase_diagram(axes, table, "x", "y", "good")
    (mesh,) = axes.collections
    cells = mesh.get_array()
    np.testing.assert_array_equal(cells.filled(-1), [[0.5, 1], [0, -1]])
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], [0.5, 2, 8])
    np.testing.assert_allclose(corners[:, 0, 1], 0.1 * np.sqrt([1 / 2, 2, 8]))
    assert {(*text.get_position(), text.get_text()) for text in axes.texts} == {
        (1, 0.1, ".50"),
        (4, 0.1, "1"),
        (1, 0.2, ".00"),
    }
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.figure.axes[1].get_ylabel() == "good"
    assert axes.patch.get_hatch()  # where there are no data, and no colour of a share


def test_phase_diagram_of_numbers_beyond_shares(axes):
    values = [0.25, 1.0, 10.0, 20.5]
    table = pd.DataFrame({"x": range(1, 5), "y": 1, "T0": values})
    tm.plotting.phase_diagram(axes, table, "x", "y", "T0", limits=None)
    assert [text.get_text() for text in axes.texts] == [".25", "1", "10.00", "20.50"]


def test_tables_name_the_missing_column(axes):
    table = pd.DataFrame({"x": [1]})
    with pytest.raises(tm.InputError, match="no column good"):
        tm.plotting.proportions(axes, table, "x", "good")
    with pytest.raises(tm.InputError, match="no column y, good"):
        tm.plotting.phase_diagram(axes, table, "x", "y", "good")


# --- Rules side by side ---------------------------------------------------------------------------


COUNTS = {
    "sgda": {"recipe": (9, 31), "fine": (1, 30), "best": (20, 2)},
    "nsgda": {"recipe": (9, 8), "best": (40, 2)},
    "adalr": {"recipe": (9, 0), "best": (12, 2)},
    "extragradient": {"recipe": (9, 22), "fine": (1, 5), "best": (0, 2)},
    "optimistic-nsgda": {"recipe": (9, 9), "best": (33, 2)},
    "optimistic-adam": {"recipe": (9, 11), "best": (1, 2)},
}


def test_compared_draws_the_table():
    made = made_comparison(COUNTS)
    table = made.table().set_index("rule")
    panels = tm.plotting.compared(made)
    # in the order of their bases; what builds on nothing here, and on what is not here, together
    groups = [
        ["sgda", "extragradient"],
        ["nsgda", "optimistic-nsgda"],
        ["adalr", "optimistic-adam"],
    ]
    titles = ["sgda and what builds on it", "nsgda and what builds on it", "other rules"]
    assert len(panels) == 3
    for panel, rules, title in zip(panels, groups, titles, strict=True):
        assert panel.get_title(loc="left").endswith(title)
        ticks = panel.get_yticks()
        assert [label.get_text() for label in panel.get_yticklabels()] == rules
        assert (np.diff(ticks) < 0).all()  # from top to bottom
        columns = ("collapsed", "collapsed_fine", "recovered")
        for container, column in zip(panel.containers, columns, strict=True):
            points, _, (bars,) = container.lines
            proportions = table.loc[rules, column].dropna()
            if column == "collapsed_fine" and panel is not panels[0]:  # nothing ran
                assert not len(points.get_xdata())
                continue
            np.testing.assert_allclose(points.get_xdata(), [p.share for p in proportions])
            np.testing.assert_allclose(np.round(y(points)), ticks)
            drawn = [segment[:, 0] for segment in bars.get_segments()]
            np.testing.assert_allclose(drawn, [p.interval for p in proportions], atol=1e-12)
        written = {round(text.get_position()[1]): text.get_text() for text in panel.texts}
        assert written == {
            tick: f"{table.loc[rule, 'gradients']:,.0f} g"
            for tick, rule in zip(ticks, rules, strict=True)
            if table.loc[rule, "recovered"].successes
        }
    assert "d = 64, 40 seeds" in panels[0].get_title(loc="left")
    labels = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert [label.split()[0] for label in labels] == ["collapsed", "collapsed", "recovered"]
    assert all(panel.get_legend() is None for panel in panels[1:])
    looks = {
        (line.get_marker(), same_color(line.get_markerfacecolor(), "white"))
        for line in (container.lines[0] for container in panels[0].containers)
    }
    assert len(looks) == 3  # also without colour


@pytest.mark.parametrize(
    ("rules", "title"),
    [
        (["sgda"], "other rules"),
        (["sgda", "nsgda", "extra-adam"], "other rules"),
        (["adam", "extra-adam"], "adam and what builds on it"),
        (["extra-adam", "adam"], "adam and what builds on it"),
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [0, 40])
def test_compared_with_one_group(rules, title, count):
    panels = tm.plotting.compared(made_comparison(dict.fromkeys(rules, (count, count))))
    assert len(panels) == 1
    assert panels[0].get_title(loc="left").endswith(title)
    assert [label.get_text() for label in panels[0].get_yticklabels()] == rules
    panels[0].figure.canvas.draw()
    assert len(panels[0].texts) == (len(rules) if count else 0)


def test_compared_has_the_same_room_for_every_rule():
    panels = tm.plotting.compared(made_comparison(dict.fromkeys(tm.rules.RULES, (3, 4))))
    panels[0].figure.canvas.draw()
    steps = []
    for panel in panels:
        boxes = [label.get_window_extent() for label in panel.get_yticklabels()]
        steps += [above.y0 - below.y0 for above, below in itertools.pairwise(boxes)]
        assert all(box.height < min(steps) for box in boxes)
    assert max(steps) < 1.2 * min(steps)


def graft_table(**axes):
    names = ("direction", "magnitude", "granularity")
    rows = [
        {**dict(zip(names, cell, strict=True)), "d": 64, "recovered": k < n % 5, "replica": k}
        for n, cell in enumerate(np.stack(np.meshgrid(*axes.values()), -1).reshape(-1, 3).tolist())
        for k in range(4)
    ]
    return pd.DataFrame(rows)


def test_factorial_has_a_panel_for_each_granularity():
    table = graft_table(
        direction=["momentum", "gradient"], magnitude=["unit", "own", "adam"], granularity=["layer"]
    )
    table = pd.concat([table, table.assign(granularity="global", recovered=~table["recovered"])])
    gone = (table["granularity"] == "layer") & (table["magnitude"] == "own")
    table = table[~(gone & (table["direction"] == "gradient"))]
    panels = tm.plotting.factorial(table, label="so many")
    assert [panel.get_title() for panel in panels] == ["one norm per layer", "one norm per player"]
    for panel, granularity in zip(panels, ("layer", "global"), strict=True):
        (mesh,) = panel.collections
        cells = np.ma.filled(mesh.get_array().astype(float), np.nan)
        columns = [label.get_text() for label in panel.get_xticklabels()]
        rows = [label.get_text() for label in panels[0].get_yticklabels()]
        assert columns == ["momentum", "gradient"]
        assert rows == ["unit", "own", "adam"]
        assert mesh.get_clim() == (0, 1)
        written = {text.get_position(): text.get_text() for text in panel.texts}
        for i, magnitude in enumerate(rows):
            for j, direction in enumerate(columns):
                one = table[
                    (table["granularity"] == granularity)
                    & (table["magnitude"] == magnitude)
                    & (table["direction"] == direction)
                ]
                np.testing.assert_equal(cells[i, j], one["recovered"].mean())
                if len(one):
                    assert written.pop((j + 0.5, i + 0.5)) == f"{100 * one['recovered'].mean():.0f}"
        assert not written  # nothing where nothing ran
    assert panels[0].figure.axes[-1].get_ylabel() == "so many"
    panels[0].figure.canvas.draw()


def test_factorial_of_another_column_with_one_panel():
    table = graft_table(direction=["adam"], magnitude=["own"], granularity=["neuron"])
    table["other"] = [0.0, 0.5, 1.0, 1.0]
    (panel,) = tm.plotting.factorial(table, "other")
    assert panel.collections[0].get_array().tolist() == [[0.625]]
    panel.figure.canvas.draw()


# --- The plane of the modes -----------------------------------------------------------------------


def test_plane_coordinates_keep_products():
    gamma, d = 0.3, 5
    rng = np.random.default_rng(0)
    u_1 = np.eye(d)[0]
    u_2 = gamma * u_1 + np.sqrt(1 - gamma**2) * np.eye(d)[1]
    in_plane = rng.normal(size=(4, 2)) @ [u_1, u_2]
    points = tm.plotting.plane_coordinates(in_plane @ np.transpose([u_1, u_2]), gamma)
    np.testing.assert_allclose(points @ points.T, in_plane @ in_plane.T, atol=1e-12)
    first, second = tm.plotting.plane_coordinates([[1, gamma], [gamma, 1]], gamma)
    np.testing.assert_allclose(first, second[::-1])
    assert first[0] > first[1] > 0


@pytest.mark.parametrize("directions", [False, True])
def test_modes_plane_shows_the_support(axes, normalized, directions):
    tm.plotting.modes_plane(axes, normalized, record=3, replica=1, directions=directions)
    latents, probabilities = normalized.game.latent_points
    outputs = normalized.outputs(latents)
    products = (outputs.cosines if directions else outputs.projections)[1, 3]
    (dots,) = axes.collections
    np.testing.assert_allclose(
        dots.get_offsets(), tm.plotting.plane_coordinates(products, normalized.game.gamma)
    )
    areas = dots.get_sizes()
    np.testing.assert_allclose(areas / areas.sum(), probabilities)
    assert f"iteration {normalized.steps[3]:,}" in axes.get_xlabel()
    names = {text.get_text() for text in axes.texts if text.get_text()}
    assert {"$u_1$", "$u_2$"} < names
    assert len(names) == 3


@pytest.mark.parametrize("directions", [False, True])
def test_the_modes_are_where_they_are_in_the_plane(axes, normalized, directions):
    """As arrows; the direction of u_1 + u_2 is a unit vector at any angle between the modes."""
    other = replace(normalized, game=replace(normalized.game, gamma=0.4))
    tm.plotting.modes_plane(axes, other, directions=directions)
    ends = {text.get_text(): text.xy for text in axes.texts if text.get_text()}
    u_1, u_2, average = ends.values()
    np.testing.assert_allclose([u_1, u_2], tm.plotting.plane_coordinates([[1, 0.4], [0.4, 1]], 0.4))
    length = np.linalg.norm(np.add(u_1, u_2)) if directions else 2
    np.testing.assert_allclose(average, np.add(u_1, u_2) / length)


def test_nothing_in_the_plane_is_cut_off(axes, normalized):
    other = replace(normalized, projections_V=-normalized.projections_V)
    tm.plotting.modes_plane(axes, other, directions=True)
    (dots,) = axes.collections
    shown = np.asarray(dots.get_offsets())
    assert shown.min() < -0.5
    for low, high in (axes.get_xlim(), axes.get_ylim()):
        assert low < shown.min() - 0.1
        assert high > 1.1


def test_animation_shows_unit_vectors_and_ends_at_T0(result, normalized, tmp_path):
    animation = tm.plotting.animate([result, normalized], replica=1, frames=16)
    path = tmp_path / "a.gif"
    animation.save(path, PillowWriter(10), dpi=40)
    with Image.open(path) as image:
        assert image.n_frames > 3
    left, right = animation._fig.axes  # the last frame is drawn
    clocks = [axes.texts[-1].get_text() for axes in (left, right)]
    ends = [int(tm.judge(run).judged_at[1]) for run in (result, normalized)]
    assert ends[0] == tm.judge(result).T0[1] < result.steps[-1]
    assert clocks == [f"iteration {end:,}" for end in ends]
    dots = next(line for line in right.lines if same_color(line.get_color(), PLAYER_COLOURS[1]))
    shown = next(line for line in right.lines if line.get_marker() == "o")
    products = mode_cosines(normalized.projections_V[1], normalized.gram_V[1])
    wanted = tm.plotting.plane_coordinates(products, normalized.game.gamma)
    np.testing.assert_allclose(shown.get_xydata(), wanted[-1])
    np.testing.assert_allclose(dots.get_xydata(), wanted[:, 0])
    assert np.all(np.linalg.norm(shown.get_xydata(), axis=1) <= 1 + 1e-9)


def test_frames_follow_the_movement():
    still, moving = np.zeros((91, 3, 2)), np.linspace(0, 1, 10)[:, None, None]
    positions = np.concatenate([still, moving + np.zeros((10, 3, 2))])
    shown = _frames(positions, np.arange(101), 10)
    assert shown[-1] == 100
    assert np.all(np.diff(shown) > 0)
    assert np.mean(shown >= 90) >= 0.7  # 10 % of the time


# --- The scripts ----------------------------------------------------------------------------------


def call(script, *arguments, cwd):
    return run_here(FIGURES / f"{script}.py", *arguments, cwd=cwd)


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_has_help(script, tmp_path):
    done = call(script, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("--from" in done.stdout) == (script not in FRESH)
    assert not list(tmp_path.iterdir())


def test_script_draws_saved_results(result, normalized, tmp_path):
    result.save(tmp_path / "a.npz")
    normalized.save(tmp_path / "b.npz")
    out = tmp_path / "new"
    done = call("neuron_alignment", "--from", "a.npz", "b.npz", "--out", out, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [str(out / f"neuron_alignment.{x}") for x in ("png", "pdf")]
    assert (out / "neuron_alignment.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "neuron_alignment.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("adam_norm", ["adam_norm"]),
        ("mode_alignment", ["mode_alignment_sgda", "mode_alignment_nsgda"]),
    ],
)
def test_script_runs_afresh(script, names, tmp_path):
    done = call(script, "--out", tmp_path, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    wanted = {f"{name}.{suffix}" for name in names for suffix in ("png", "pdf")}
    assert {path.name for path in tmp_path.iterdir()} == wanted


@pytest.mark.parametrize(
    ("script", "x", "panels"),
    [
        ("recovery_width", "m_G", ["width"]),
        ("step_ratio", "ratio", ["schedules", "corrections and anchoring"]),
    ],
)
def test_script_draws_a_saved_table(script, x, panels, tmp_path):
    rows = [
        {"panel": panel, x: at, "opt": opt, "recovered": k < at}
        for panel in panels
        for at in (2, 3)
        for opt in ("nsgda", "sga-nsgda")
        for k in range(4)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "table.csv", index=False)
    done = call(script, "--from", "table.csv", "--out", tmp_path, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / f"{script}.png").exists()


@pytest.mark.parametrize(
    ("script", "columns", "rows"),
    [
        (
            "sampler_bias",
            ["sampler", "h", "bias", "tv"],
            [(name, h, -h, h) for name in ("projected", "reflected") for h in (0.01, 0.02, 0.04)],
        ),
        (
            "precision_horizon",
            ["rule", "dtype", "t", "error", "T0"],
            [
                (rule, dtype, t, 1e-9 * t, 3 if rule == "sgda" else np.nan)
                for rule in ("sgda", "nsgda")
                for dtype in ("float64", "float32")
                for t in (1, 2, 4)
            ],
        ),
        (
            "singular_values",
            ["rule", "t", "replica", "ratio", "recovered"],
            [
                (rule, t, k, 1 / (t + k), k == 0)
                for rule in ("sgda", "l-nsgda", "nsgda", "spectral-nsgda", "muon")
                for t in (1, 10)
                for k in (0, 1)
            ],
        ),
        (
            "readings",
            ["panel", "std_W", "std_V", "replica", "recovered"],
            [
                (panel, w, v, k, k == 0)
                for panel in ("a norm per neuron", "per layer", "per player", "polar factor")
                for w in (0.01, 0.1)
                for v in (0.01, 0.1)
                for k in (0, 1)
            ],
        ),
        (
            "face_atom",
            ["of", "beta", "atom", "error"],
            [(name, beta, 0.5, 0.1) for name in ("stationary law", "chains") for beta in (1, 2)],
        ),
        (
            "regularization",
            ["of", "lam", "loss"],
            [("uniform", 0, 0.1), ("largest", np.inf, 2)]
            + [(name, lam, lam / 10) for name in ("p_adv*", "dual") for lam in (1, 10)],
        ),
        (
            "robust_error",
            ["data", "method", "seed", "gradients", "robust_error"],
            [(data, "fgsm", 0, n, 1 / n) for data in ("digits", "moons") for n in (10, 20)],
        ),
        (
            "tracking_lag",
            ["sampler", "learning_rate", "seed", "lag"],
            [(name, lr, 0, lr) for name in ("one step", "ten steps") for lr in (0.02, 0.05, 0.1)],
        ),
    ],
)
def test_script_draws_a_table_or_says_what_it_lacks(script, columns, rows, tmp_path):
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(tmp_path / "table.csv", index=False)
    done = call(script, "--from", "table.csv", "--out", tmp_path, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / f"{script}.png").exists()
    table[table[columns[0]] != rows[0][0]].to_csv(tmp_path / "less.csv", index=False)
    done = call(script, "--from", "less.csv", "--out", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert f"less.csv has no rows of {rows[0][0]}\n" in done.stderr


@pytest.mark.parametrize(
    ("script", "source", "message"),
    [
        ("pace", "no.npz", "does not exist"),
        ("recovery_batch", "no.csv", "cannot be read"),
        ("graft_factorial", "other.csv", "other.csv has no rows of"),
        ("graft_factorial", "one.csv", "one.csv has no column direction, granularity, replica"),
    ],
)
def test_script_says_in_one_line_what_it_cannot_read(script, source, message, tmp_path):
    for name, magnitudes in (("other.csv", ["own"]), ("one.csv", list(MAGNITUDES))):
        pd.DataFrame({"magnitude": magnitudes, "recovered": True}).to_csv(tmp_path / name)
    done = call(script, "--from", source, "--out", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_script_says_which_axis_decides(tmp_path):
    """The whole factorial, in which the magnitude alone decides, but for the unit steps."""
    table = graft_table(
        direction=DIRECTIONS, magnitude=tuple(MAGNITUDES), granularity=GRANULARITIES
    )
    table["recovered"] = table["magnitude"].isin(["adam", "constant"])
    unit = table["magnitude"] == "unit"
    table.loc[unit, "recovered"] = table.loc[unit, "granularity"] == "neuron"
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "table.csv")  # in any order
    done = call("graft_factorial", "--from", "table.csv", "--out", tmp_path, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    means = np.array([0, 1 / 3, 1, 0, 0, 1])  # own, unit, constant, gradient, momentum, adam
    every = np.zeros((6, 3)) + means[:, None]
    every[1] = 1, 0, 0
    shares = means.var() / every.var(), every.mean(axis=0).var() / every.var()
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("variance")]
    parts = [part.strip() for part in line.partition(":")[2].split(",")]
    assert parts == [
        f"{name} {100 * share:.0f} % ({100 * share:.0f}-{100 * share:.0f})"
        for name, share in zip(("direction", "magnitude", "granularity"), (0, *shares), strict=True)
    ]
    assert (tmp_path / "graft_factorial.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def common(monkeypatch):
    monkeypatch.syspath_prepend(FIGURES)
    return importlib.import_module("common")


def arguments(**changes):
    return argparse.Namespace(**({"source": None, "save_table": None, "store": None} | changes))


def test_a_fresh_sweep_of_panels_can_be_saved_for_later(common, monkeypatch, tmp_path):
    monkeypatch.setattr(tm.sweeps, "processes", contextlib.nullcontext)
    cell = {"d": 16, "opt": "nsgda", "steps": 2}
    panels = {"one": [cell, cell | {"gamma": 0.3}], "two": [cell | {"opt": "sgda"}]}
    path = tmp_path / "new" / "table.csv"
    fresh = common.sweep(arguments(save_table=path), panels, 3, seed=4)
    assert fresh["panel"].tolist() == ["one"] * 6 + ["two"] * 3
    plain = tm.sweep([cell for listed in panels.values() for cell in listed], 3, seed=4)
    pd.testing.assert_frame_equal(fresh.drop(columns="panel"), plain)
    again = common.sweep(arguments(source=path), panels, 3)
    pd.testing.assert_frame_equal(again, fresh, check_dtype=False)
    with pytest.raises(tm.InputError, match=r"table\.csv has no rows of three, two and a half"):
        common.sweep(arguments(source=path), panels | {"three": [], "two and a half": []}, 3)


def test_a_table_is_run_only_without_a_source(common, tmp_path):
    def run():
        ran.append(1)
        return pd.DataFrame({"x": ["a", "b"]})

    ran, path = [], tmp_path / "t.csv"
    table = common.table(arguments(save_table=path), run, "x", ["a", "b"])
    assert table["x"].tolist() == ["a", "b"]
    assert common.table(arguments(source=path), run, "x", ["a"])["x"].tolist() == ["a", "b"]
    assert ran == [1]
    for column, values, missing in (("x", ["a", "c"], "c"), ("y", ["a"], "a")):
        with pytest.raises(tm.InputError, match=f"has no rows of {missing}$"):
            common.table(arguments(source=path), run, column, values)
    with pytest.raises(tm.InputError, match="cannot be read as a table") as refusal:
        common.table(arguments(source=tmp_path / "none.csv"), run, "x", ["a"])
    assert "\n" not in str(refusal.value)
    assert ran == [1]
