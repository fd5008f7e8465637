"""The pages in a browser: sorting, filters, tooltips, downloads, widths, schemes, accessibility."""

import io
import re
import shutil
import xml.etree.ElementTree as ET

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from regress.compare import compare
from regress.compare_groups import compare_groups
from regress.confidence import confidence_table
from regress.report.formats import MINUS, NOTHING
from regress.report.group_page import write_group_report
from regress.report.page import environment, render
from tests.regress.report.conftest import HOSTILE, make_runs
from tests.regress.test_gender import gender_run

WIDE, NARROW = (1280, 900), (390, 844)
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@pytest.fixture(scope="session")
def browser():
    driver = pytest.importorskip("playwright.sync_api", reason="the extra `test` is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("there is no Chromium; try: apt-get install chromium")
    with driver.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def comparison():
    names = ["gap · auto-sklearn", HOSTILE, "flattened · softmax", "flattened · auto-sklearn:fast"]
    names += [f"first_conv · ridge:alpha={k}" for k in (1, 9, 10)]
    return compare(make_runs(names, n_images=80), bootstrap=300)


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    runs = [gender_run(folder / f"{k}", seed=k, right=0.9 - 0.1 * k, method=f"net {k}")
            for k in range(3)]  # fmt: skip
    return compare_groups(runs, bootstrap=300)


@pytest.fixture(scope="module")
def pages(comparison, groups, tmp_path_factory):
    """Return the addresses of the two pages, each alone in its folder."""
    ages = tmp_path_factory.mktemp("ages") / "report.html"
    ages.write_text(render(comparison, ages.parent), encoding="utf-8")
    written = write_group_report(groups, tmp_path_factory.mktemp("groups"))
    alone = shutil.copy(written, tmp_path_factory.mktemp("alone") / "report.html")
    return {"ages": ages.as_uri(), "groups": alone.as_uri()}


@pytest.fixture
def visit(browser, pages):
    """Open a page: `visit("ages", scheme="dark")`; in the end nothing must have gone wrong."""
    contexts, wrong = [], []

    def asked(request):
        if not request.url.startswith(("data:", "blob:", "file:")):
            wrong.append(request.url)

    def visit(name="ages", size=WIDE, scheme="light", **options):
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", asked)
        page.goto(pages[name])
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


def column(page, heading, table="table.ranking"):
    """Return the texts of the shown cells below a heading."""
    return page.evaluate(
        """([table, heading]) => {
          const found = document.querySelector(table);
          const headers = [...found.tHead.rows[0].cells];
          const k = headers.findIndex(cell => cell.textContent === heading);
          return [...found.tBodies[0].rows].filter(row => !row.hidden)
            .map(row => row.cells[k].textContent);
        }""",
        [table, heading],
    )


def sort(page, heading, key=None, table="table.ranking"):
    """Sort by clicking a heading or by a key on it, and wait until it is done and said."""
    button = page.locator(table).get_by_role("button", name=heading, exact=True)
    said = page.locator(".spoken")
    page.evaluate("document.querySelector('.spoken').textContent = ''")
    button.press(key) if key else button.click()
    said.filter(has_text="Sorted by").wait_for(state="attached")
    return said.text_content()


def test_a_click_sorts_by_numbers(visit, comparison):
    page = visit()
    assert column(page, "#") == [str(k) for k in range(1, 8)]
    assert sort(page, "bias") == "Sorted by bias, ascending"
    wanted = comparison.table.sort_values("bias")
    assert column(page, "#") == wanted["rank"].astype(str).tolist()
    assert sort(page, "bias") == "Sorted by bias, descending"
    assert column(page, "#") == wanted["rank"].astype(str).tolist()[::-1]
    sort(page, "95 % CI")
    assert column(page, "#") == comparison.table.sort_values("mae_low")["rank"].astype(str).tolist()
    marked = page.locator("table.ranking th[aria-sort]")
    assert marked.count() == 1
    assert marked.get_attribute("aria-sort") == "ascending"


def test_the_keyboard_sorts_texts_with_numbers_in_their_order(visit):
    page = visit()
    assert sort(page, "method", "Enter") == "Sorted by method, ascending"
    names = [name for name in column(page, "method") if "ridge" in name]
    assert names == [f"first_conv · ridge:alpha={k}" for k in (1, 9, 10)]
    assert sort(page, "method", "Space") == "Sorted by method, descending"
    assert column(page, "method")[-1] == HOSTILE


def test_nothing_comes_last_and_durations_are_durations(browser):
    cells = {
        "R²": [NOTHING, "0.9", "~1.5", "", "0.10", "~0.2", "1,000.5"],
        "CI": ["10^11", "~0.1 to 0.2", "9.40 (8^11)", NOTHING, "+0.2", "3 / 1,002", "4.1 ± 2 %"],
        "p": ["<0.001", "0.001", "0.000", "1.000", NOTHING, "0.020", "0.3"],
        "time": ["2 h 00 min", "59.0 s", "13 h 20 min", "4 min 05 s", "", "9.5 s", "60 min 00 s"],
        "hash": ["0a1", "12", NOTHING, "9f", "b2", "00c", "0b"],
    }
    wanted = {
        "R²": ["~1.5", "~0.2", "0.10", "0.9", "1,000.5", NOTHING, ""],
        "CI": ["~0.1 to 0.2", "+0.2", "3 / 1,002", "4.1 ± 2 %", "9.40 (8^11)", "10^11", NOTHING],
        "p": ["0.000", "<0.001", "0.001", "0.020", "0.3", "1.000", NOTHING],
        "time": ["9.5 s", "59.0 s", "4 min 05 s", "60 min 00 s", "2 h 00 min", "13 h 20 min", ""],
    }
    for texts in (*cells.values(), *wanted.values()):
        texts[:] = [text.replace("~", MINUS).replace("^", "\N{EN DASH}") for text in texts]
    rows = zip(*cells.values(), strict=True)
    html = "".join(
        ["<div><table class='ranking sortable asc n-last'><thead><tr>"]
        + [f"<th>{name}</th>" for name in cells]
        + ["</tr></thead><tbody>"]
        + ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
        + [f"</tbody></table></div><script>{environment().globals['script']}</script>"]
    )
    page = browser.new_page()
    page.set_content(html)
    for name, order in wanted.items():
        sort(page, name)
        assert column(page, name) == order
    sort(page, "R²")
    sort(page, "R²")
    assert column(page, "R²")[:5] == wanted["R²"][4::-1]
    sort(page, "hash")
    assert column(page, "hash")[-1] == NOTHING
    page.close()


def test_the_filter_keeps_what_has_every_word_and_counts_it(visit):
    page = visit()
    box = page.get_by_role("searchbox", name="Filter: Ranking")
    count = page.locator(".filter", has=box).locator("output")
    assert count.text_content() == "7 rows"
    box.fill("RIDGE alpha=1")
    assert column(page, "method") == [f"first_conv · ridge:alpha={k}" for k in (1, 10)]
    assert count.text_content() == "2 of 7 rows"
    sort(page, "MAE")
    sort(page, "MAE")
    assert [name[-2:] for name in column(page, "method")] == ["10", "=1"]
    box.fill("")
    assert len(column(page, "method")) == 7
    assert page.get_by_role("searchbox", name=re.compile("All pairs")).count() == 1


def test_without_scripts_the_page_is_whole(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("button").count() == 0
    assert page.locator("table.ranking tbody tr:visible").count() == 7
    assert page.locator("figure svg:visible").count() == 4 + 7
    links = page.locator(".downloads a").all()
    assert len(links) == 4 + 7
    assert all(link.get_attribute("href").startswith("data:text/csv") for link in links)


def focus(page, svg):
    """Focus a figure; what scrolling to it hides is hidden before anything is shown."""
    svg.focus()
    page.evaluate("new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)))")


def shown(page):
    return page.locator(".tip").text_content() if page.locator(".tip").is_visible() else None


def test_pointing_at_a_figure_tells_the_value(visit, comparison):
    page = visit()
    figure = page.locator("figure", has=page.locator("[data-name=errors_by_subject]"))
    svg = figure.locator(".wide svg")
    svg.scroll_into_view_if_needed()
    diamonds = svg.locator("[data-row='0'] use")
    assert diamonds.count() == len(comparison.names)
    for k in (0, 1, 6):
        box = diamonds.nth(k).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        row = comparison.table.iloc[k]
        wanted = f"{row['method']}: mean absolute error {row['mae']:.2f} years over 80 images"
        assert shown(page).startswith(wanted)
    page.keyboard.press("Escape")
    page.mouse.move(2, 2)
    assert shown(page) is None


@pytest.mark.parametrize(("name", "kind"), [("error_by_age", "wide"), ("cumulative_score", "wide"),
                                            ("errors_by_subject", "narrow"),
                                            ("mean_ranks", "wide")])  # fmt: skip
def test_the_keyboard_reads_every_mark_and_each_is_where_its_row_is(name, kind, visit, comparison):
    """The marks' places in the drawing are a linear function of their values."""
    page = visit(size=WIDE if kind == "wide" else NARROW)
    svg = page.locator("figure", has=page.locator(f"[data-name={name}]")).locator(f".{kind} svg")
    assert "Arrow keys" in svg.get_attribute("aria-label")
    svg.focus()
    n = svg.locator("[data-row] use").count()
    places, texts = [], []
    for _ in range(min(n, 36)):
        page.keyboard.press("ArrowRight")
        ring = svg.locator(".ring")
        places.append([float(ring.get_attribute(a)) for a in ("cx", "cy")])
        texts.append(shown(page))
    assert page.locator(".spoken").text_content() == texts[-1]
    pattern, axis = {
        "error_by_age": (r": ([\d.]+) years \(", 1),
        "cumulative_score": (r": ([\d.]+) %", 1),
        "errors_by_subject": (r": ([\d.]+) years$", 0),
        "mean_ranks": (r": mean rank ([\d.]+)$", 0),
    }[name]
    values = [float(m[1]) for m in (re.search(pattern, text) for text in texts) if m]
    assert len(values) == len(comparison.names) if name == "mean_ranks" else len(values) > 12
    at = np.array([place[axis] for place, text in zip(places, texts, strict=True)
                   if re.search(pattern, text)])  # fmt: skip
    line = np.polyval(np.polyfit(values, at, 1), values)
    np.testing.assert_allclose(at, line, atol=0.6)
    page.keyboard.press("Escape")
    assert shown(page) is None


def test_the_scatter_tells_images_and_ages(visit, comparison):
    page = visit()
    svg = page.locator("#scatter ~ .panels svg").first
    focus(page, svg)
    page.keyboard.press("End")
    told = re.fullmatch(r"(.+): true age (\d+), predicted (\S+)", shown(page))
    table = comparison.runs[0].predictions.set_index("image")
    row = table.loc[told[1]]
    assert row["age"] == float(told[2]) == table["age"].max()
    assert f"{row['predicted_age']:.1f}" == told[3].replace(MINUS, "-")


def test_the_groups_page_tells_cells_and_bins(visit, groups):
    page = visit("groups")
    focus(page, page.locator("#confusion ~ .panels svg").first)
    page.keyboard.press("Home")
    matrix = groups.confusion[0]
    a, b = groups.groups
    assert shown(page).startswith(f"true {a}, predicted {a}: {matrix[0, 0]} images, ")
    page.keyboard.press("ArrowRight")
    assert shown(page).startswith(f"true {a}, predicted {b}: {matrix[0, 1]} images, ")
    focus(page, page.locator("#histogram ~ .panels svg").first)
    page.keyboard.press("Home")
    assert re.fullmatch(rf"true {a}, probability 0.00 to 0.05: \d+ images", shown(page))
    bins = confidence_table(groups)
    own = bins[bins["method"] == groups.names[0]]
    focus(page, page.locator("#reliability ~ .panels svg").first)
    for row in own.to_dict("records"):
        page.keyboard.press("ArrowRight")
        wanted = f"probability {row['confidence']:.2f}: {row['accuracy']:.2f} right ("
        assert shown(page).startswith(wanted)
        assert shown(page).endswith(f", {row['n_images']} images")


def fetched(page, locator):
    with page.expect_download() as download:
        locator.click()
    return download.value.suggested_filename, download.value.path()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_download_as_svg_png_and_csv(scheme, visit, comparison):
    page = visit(scheme=scheme)
    downloads = page.locator("[data-name=errors_by_subject]")
    name, path = fetched(page, downloads.get_by_text("SVG"))
    assert name == "errors_by_subject.svg"
    text = path.read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in text
    assert "#1b1f24" in text  # the ink of the light scheme in both
    name, path = fetched(page, downloads.get_by_text("PNG"))
    assert name == "errors_by_subject.png"
    picture = matplotlib.image.imread(io.BytesIO(path.read_bytes()), format="png")
    width = float(root.get("width").removesuffix("pt"))
    assert picture.shape[1] == pytest.approx(width * 4 / 3 * 4, abs=1)
    assert (picture[0, 0] == 1).all()  # white, not transparent
    assert 0.01 < (picture[..., :3].min(axis=2) < 0.5).mean() < 0.5  # something is drawn
    name, path = fetched(page, downloads.get_by_text("CSV"))
    assert name == "errors_by_subject.csv"
    table = pd.read_csv(path, dtype={"subject": str})
    own = table[table["subject"].notna()].reset_index(drop=True)
    assert own["method"].tolist() == comparison.by_subject["method"].tolist()
    np.testing.assert_allclose(own["mae"], comparison.by_subject["mae"], rtol=1e-5)


def overflow(page):
    return page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


@pytest.mark.parametrize(
    ("name", "scheme", "size"),
    [
        ("ages", "light", WIDE),
        ("ages", "dark", NARROW),
        ("groups", "dark", WIDE),
        ("groups", "light", NARROW),
    ],
)
def test_no_page_breaks_the_rules_for_accessible_content(name, scheme, size, visit):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit(name, size=size, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = axe.run(page, {"exclude": ["figure svg > *"]}, WCAG)  # labelled as a whole
    assert found.violations_count == 0, found.generate_report()
    assert len(found.response["passes"]) > 10
    assert overflow(page) <= 0


def test_the_dark_scheme_is_dark(visit):
    look = "getComputedStyle(document.body).backgroundColor"
    brightness = {
        scheme: np.mean([int(n) for n in re.findall(r"\d+", visit(scheme=scheme).evaluate(look))])
        for scheme in ("light", "dark")
    }
    assert brightness["light"] > 240
    assert brightness["dark"] < 40


@pytest.mark.parametrize("name", ["ages", "groups"])
def test_the_ranking_fits_at_1100_px_and_on_paper(name, visit):
    page = visit(name, size=(1100, 800))
    cut = """() => [...document.querySelectorAll('.scroll')].filter(
      box => box.querySelector('table').scrollWidth > box.clientWidth + 1 && box.offsetParent
    ).map(box => box.getAttribute('aria-labelledby') || box.getAttribute('aria-label'))"""
    assert "ranking" not in page.evaluate(cut)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 1016, "height": 700})  # A4 across, less its margins
    assert page.evaluate(cut) == []
    assert page.locator("main button:not(thead *)").filter(visible=True).count() == 0
    assert page.locator(".filter, .downloads").filter(visible=True).count() == 0


@pytest.mark.parametrize(("name", "most"), [("ages", 12), ("groups", 6)])
def test_the_page_prints_on_few_sheets(name, most, visit):
    page = visit(name, scheme="dark")
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    sheets = len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert 2 <= sheets <= most
