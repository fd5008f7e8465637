import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from matplotlib.backends.backend_agg import FigureCanvasAgg

from regress.compare import SIGNIFICANCE, compare
from regress.ranks import mean_ranks, ranks_table
from regress.report.figure_style import style
from regress.report.page import render
from regress.report.rank_figure import bar_levels, rank_figure, rank_text
from regress.report.sections import further_sections

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture
def found(runs):
    return compare(runs(NAMES, n_subjects=20, n_images=200), bootstrap=200)


def by_hand(comparison):
    """Rank the methods on each subject by counting who is better, ties by halves."""
    rows = []
    for _, own in comparison.by_subject.groupby(comparison.unit):
        error = own.set_index("method")["mae"].to_dict()
        rows.append(
            [
                1 + sum((error[b] < error[a]) + (error[b] == error[a]) / 2 for b in NAMES if b != a)
                for a in comparison.names
            ]
        )
    return np.array(rows)


def test_mean_ranks_and_friedmans_test_are_those_by_hand(found):
    ranks = mean_ranks(found)
    own = by_hand(found)
    n, k = own.shape
    expected = dict(zip(found.names, own.mean(axis=0), strict=True))
    np.testing.assert_allclose(ranks.mean_rank, [expected[name] for name in ranks.names])
    assert (np.diff(ranks.mean_rank) >= 0).all()
    assert [found.names[m] for m in ranks.methods] == list(ranks.names)
    # Demšar (2006), section 3.2.2, without ties
    chi2 = 12 * n / (k * (k + 1)) * (np.sum(own.mean(axis=0) ** 2) - k * (k + 1) ** 2 / 4)
    assert ranks.chi2 == pytest.approx(chi2)
    assert ranks.p == pytest.approx(scipy.stats.chi2.sf(chi2, k - 1))
    assert (ranks.n_blocks, ranks.n_left_out) == (20, 0)


def test_ties_share_the_mean_of_their_ranks(runs):
    made = runs(["a", "b", "c"])
    twin = dataclasses.replace(made[1], predictions=made[0].predictions.copy())
    ranks = mean_ranks(compare([made[0], twin, made[2]], bootstrap=200))
    rank = dict(zip(ranks.names, ranks.mean_rank, strict=True))
    assert rank["a"] == rank["b"]
    assert sum(rank.values()) == pytest.approx(6)
    alike = [dataclasses.replace(run, predictions=made[0].predictions.copy()) for run in made]
    ranks = mean_ranks(compare(alike, bootstrap=200))
    assert ranks.mean_rank.tolist() == [2, 2, 2]
    assert np.isnan(ranks.p)
    assert ranks.bars == ((0, 2),)


@pytest.mark.parametrize("seed", range(12))
def test_bars_are_the_longest_runs_whose_pairs_are_all_alike(found, seed):
    rng = np.random.default_rng(seed)
    p = np.where(rng.random(10) < 0.6, 0.5, 0.001)
    p[rng.integers(10)] = np.nan  # not tested, so not told apart
    changed = dataclasses.replace(found, tests=found.tests.assign(p_holm=p))
    ranks = mean_ranks(changed)
    apart = {
        frozenset((row.first, row.second))
        for row in changed.tests.itertuples()
        if row.p_holm < SIGNIFICANCE
    }

    def joined(first, last):
        pairs = itertools.combinations(ranks.names[first : last + 1], 2)
        return all(frozenset(pair) not in apart for pair in pairs)

    runs = [(i, j) for i, j in itertools.combinations(range(5), 2) if joined(i, j)]
    longest = [
        (i, j) for i, j in runs if not any(a <= i and j <= b and (a, b) != (i, j) for a, b in runs)
    ]
    assert list(ranks.bars) == longest
    under = {
        frozenset(pair)
        for i, j in longest
        for pair in itertools.combinations(ranks.names[i : j + 1], 2)
    }
    assert ranks.unjoined == 10 - len(apart) - len(under)


def test_subjects_that_a_method_has_not_predicted_are_left_out(runs):
    half = {"c": {"folds": {"planned": 12, "done": 10, "missing": ["3", "4"]}}}
    ranks = mean_ranks(compare(runs(["a", "b", "c"], changes=half), bootstrap=200))
    assert (ranks.n_blocks, ranks.n_left_out) == (10, 2)


def test_two_methods_have_no_diagram(runs, tmp_path):
    assert mean_ranks(compare(runs(["a", "b"]), bootstrap=200)) is None
    assert further_sections(compare(runs(["a", "b"]), bootstrap=200)).page["ranks"] is None
    page = render(compare(runs(["a", "b", "c"]), bootstrap=200), tmp_path)
    assert "Friedman" in page
    assert "12 subjects" in page


def test_the_table_names_the_bars_over_each_method(found):
    ranks = dataclasses.replace(mean_ranks(found), bars=((0, 1), (1, 3)))
    table = ranks_table(ranks, "subject")
    assert table["bars"].tolist() == ["1", "1 2", "2", "2", ""]
    assert table["method"].tolist() == list(ranks.names)
    assert (table["n_subjects"] == 20).all()


@pytest.mark.parametrize("width", [7.6, 3.7])
def test_the_diagram_shows_ranks_bars_and_names(found, width):
    ranks = dataclasses.replace(mean_ranks(found), bars=((0, 2), (1, 3), (3, 4)))
    axes = rank_figure(ranks, width).axes[0]
    dots = np.array([line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"])
    # the dots are an affine image of the ranks
    assert np.corrcoef(dots, ranks.mean_rank)[0, 1] == pytest.approx(1)
    bars = [line for line in axes.lines if line.get_linewidth() == 3]
    assert len(bars) == 3
    for bar, (first, last) in zip(bars, ranks.bars, strict=True):
        covered = (dots >= bar.get_xdata()[0]) & (dots <= bar.get_xdata()[1])
        assert covered[first : last + 1].all()
    levels = bar_levels(ranks)
    assert levels[0] != levels[1] != levels[2]  # neighbours overlap
    texts = [text.get_text() for text in axes.texts]
    for name, rank in zip(ranks.names, ranks.mean_rank, strict=True):
        assert name in texts
        assert f"{rank:.2f}" in texts
        assert f"{name} {rank:.2f}" in rank_text(ranks)


@pytest.mark.parametrize("width", [7.6, 3.7])
@pytest.mark.parametrize("n", [3, 13])
def test_many_methods_with_long_names_stay_inside_the_diagram(n, width, runs, hostile):
    names = [f"{hostile} {k} · flattened · auto-sklearn:search_space=fast" for k in range(n)]
    figure = rank_figure(mean_ranks(compare(runs(names), bootstrap=200)), width)
    canvas = FigureCanvasAgg(figure)
    with style():
        canvas.draw()
        box = figure.get_tightbbox(canvas.get_renderer())
    assert box.x0 > -0.1
    assert box.x1 < width + 0.1
    assert box.y0 > -0.1
    assert box.y1 < figure.get_figheight() + 0.1


def test_images_are_the_blocks_where_subjects_are_unknown(runs):
    made = runs(["a", "b", "c"])
    for run in made:
        run.predictions["subject"] = ""
    ranks = mean_ranks(compare(made, bootstrap=200))
    assert ranks.n_blocks == 80
    errors = pd.DataFrame(
        {r.method: (r.predictions["predicted_age"] - r.predictions["age"]).abs() for r in made}
    )
    expected = scipy.stats.friedmanchisquare(*errors.to_numpy().T)
    assert (ranks.chi2, ranks.p) == pytest.approx(tuple(expected))
