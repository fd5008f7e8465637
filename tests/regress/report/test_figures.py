import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from regress.compare import compare
from regress.report import figures
from regress.report.figure_style import style
from regress.report.inline_svg import inline_svg, save


@pytest.mark.parametrize("name", list(figures.figure_functions()))
@pytest.mark.parametrize("width", [7.6, 3.7])
def test_many_methods_with_long_names_stay_inside_the_figure(name, width, runs, hostile):
    names = [f"{hostile} {k} · flattened · auto-sklearn:search_space=fast" for k in range(13)]
    found = compare(runs(names), bootstrap=200)
    figure = figures.figure_functions()[name](found, width)
    assert figure.get_figwidth() == width
    canvas = FigureCanvasAgg(figure)
    with style():
        canvas.draw()
        box = figure.get_tightbbox(canvas.get_renderer())
    assert box.x0 > -0.1
    assert box.x1 < width + 0.1
    assert box.y0 > -0.1
    assert box.y1 < figure.get_figheight() + 0.1


def test_box_plots_show_each_subject_and_the_pooled_mae(comparison):
    axes = figures.box_plots(comparison).axes[0]
    diamonds = next(line for line in axes.lines if line.get_marker() == "D")
    np.testing.assert_allclose(diamonds.get_xdata(), comparison.table["mae"])
    dots = [line for line in axes.lines if line.get_marker() == "."]
    own = comparison.by_subject
    best = own[own["method"] == comparison.names[0]]["mae"]
    np.testing.assert_allclose(np.sort(dots[0].get_xdata()), np.sort(best))
    assert dots[0].get_ydata().mean() > dots[-1].get_ydata().mean()  # the best is on top


def test_scatter_panels_share_limits_and_count_wild_points(runs):
    made = runs(["a", "b"], n_images=3000)
    made[1].predictions.loc[0, "predicted_age"] = 900.0
    found = compare(made, bootstrap=200)
    panels = [axes for axes in figures.scatter(found).axes if axes.get_visible()]
    assert panels[0].get_xlim() == panels[1].get_ylim() == figures.age_limits(found)
    assert figures.age_limits(found)[1] < 200
    ages = np.concatenate([run.predictions["age"] for run in found.runs])
    assert figures.age_limits(found)[0] < ages.min() < ages.max() < figures.age_limits(found)[1]
    texts = [text.get_text() for axes in panels for text in axes.texts]
    assert any(re.fullmatch(r"\d+ outside", text) for text in texts)


def test_error_by_age_draws_the_table(comparison):
    axes, below = figures.error_by_age(comparison).axes
    for line, name in zip(axes.lines, comparison.names, strict=True):
        own = comparison.by_age[comparison.by_age["method"] == name]
        np.testing.assert_allclose(line.get_ydata(), own["mae"])
    heights = [bar.get_height() for bar in below.patches]
    assert sum(heights) == 80


def test_cumulative_score_passes_through_cs5(comparison):
    axes = figures.cumulative_score(comparison).axes[0]
    for line, share in zip(axes.lines, comparison.table["cs5"], strict=False):
        at = np.flatnonzero(np.isclose(line.get_xdata(), 5))[0]
        assert line.get_ydata()[at] == pytest.approx(100 * share)


def test_drawing_leaves_the_settings_alone(comparison, tmp_path):
    before = dict(matplotlib.rcParams)
    save(figures.box_plots(comparison), tmp_path / "box")
    inline_svg(figures.scatter_panel(comparison, 0), "p", "text")
    assert dict(matplotlib.rcParams) == before


def test_saved_figures_are_a_picture_and_an_svg_and_repeat_exactly(comparison, tmp_path):
    for name in ("a", "b"):
        save(figures.error_by_age(comparison), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert ET.parse(tmp_path / "a.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_inline_svg_is_namespaced_by_its_prefix_and_follows_the_scheme(comparison, hostile):
    text = inline_svg(figures.box_plots(comparison), "fig", f'what "{hostile}" shows')
    root = ET.fromstring(text)
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == f'what "{hostile}" shows'
    assert "http" not in text
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert ids
    assert len(set(ids)) == len(ids)
    assert all(i.startswith("fig-") for i in ids)
    referred = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    assert referred <= set(ids)
    assert "var(--ink)" in text
    assert "#1b1f24" not in text
    assert not [element for element in root.iter() if element.tag in ("style", "script")]


def test_many_points_become_one_picture(runs, monkeypatch):
    found = compare(runs(["a"]), bootstrap=200)
    text = inline_svg(figures.scatter_panel(found, 0), "p", "points")
    assert text.count("<use") >= 80
    assert "data:image/png" not in text
    monkeypatch.setattr(figures, "MANY_POINTS", 10)
    text = inline_svg(figures.scatter_panel(found, 0), "p", "points")
    assert "data:image/png" in text
    assert text.count("<use") < 40
