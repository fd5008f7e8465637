import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from regress.compare import compare
from regress.report.page import headline, render, write_report

#: Addresses that are names: nothing is fetched from them.
NAMES = {"http://www.w3.org/1999/xlink", "https://github.com/tofsjonas/sortable"}
VOID = {"meta", "link", "br", "hr", "img", "input", "wbr", "col"}


class Strict(HTMLParser):
    """Parse a page and fail where tags do not nest."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.references, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        if values.get("id"):
            self.ids.append(values["id"])
        self.references += [
            values[name] for name in ("src", "href", "srcset", "action", "data") if values.get(name)
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(html):
    parser = Strict()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def page(comparison):
    return render(comparison, Path("report"))


def test_the_page_is_well_formed_with_unique_ids(page):
    parser = parsed(page)
    assert len(set(parser.ids)) == len(parser.ids)
    assert parser.tags.count("h1") == 1
    labelled = re.findall(r'aria-labelledby="([^"]+)"', page)
    assert set(labelled) <= set(parser.ids)


def test_the_page_asks_the_network_for_nothing(page):
    parser = parsed(page)
    assert all(reference.startswith(("#", "data:")) for reference in parser.references)
    assert set(re.findall(r"https?://[^\s\"']+", page)) <= NAMES
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page
    assert parser.tags.count("script") == 1


def test_the_only_script_that_may_run_is_the_pages_own(page):
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert f"script-src 'sha256-{digest}'" in policy
    assert not re.search(r"\son\w+=", page)


def test_hostile_names_are_text(page, hostile):
    parser = parsed(page)
    assert page.count("<script") == 1
    assert "b" not in parser.tags
    assert hostile in "".join(parser.text)


def test_hostile_titles_folders_and_statistics_are_text(runs, tmp_path):
    bad = "</title></pre><script>1</script>"
    changes = {"a": {"statistics": {bad: {"counts": {bad: 3}}}, "protocol": bad}}
    found = compare(runs(["a"], changes=changes), bootstrap=200)
    html = render(found, tmp_path / bad.replace("/", ""), title=bad)
    assert parsed(html).tags.count("script") == 1


def test_the_numbers_the_passport_and_the_statistics_are_there(comparison, page):
    text = " ".join(" ".join(parsed(page).text).split())
    for row in comparison.table.to_dict("records"):
        assert f"{row['mae']:.2f}" in text
        assert f"{row['mae_low']:.2f}\N{EN DASH}{row['mae_high']:.2f}" in text
    for words in ("mtcnn", "0.4", "mobilefacenet", "feedfacefeed", "0123456789ab", "12 of 12",
                  "2 no_face", "50 in all, 4 a fold (3 to 6)", "rbf (10), linear (2)",
                  "featx regress faces.h5"):  # fmt: skip
        assert words in text


def test_the_headline_says_whether_the_best_stands_apart(runs):
    apart = headline(compare(runs(["a", "b", "c"], n_subjects=40, n_images=400), bootstrap=200))
    assert (apart["best"], apart["next"], apart["distinct"]) == ("a", "b", True)
    assert (apart["apart"], apart["others"]) == (2, 2)
    made = runs(["a", "b"])
    close = made[0].predictions.assign(
        predicted_age=made[0].predictions["predicted_age"] + np.tile([0.01, -0.01], 40)
    )
    alike = headline(compare([made[0], type(made[0])(made[1].folder, made[1].info, close)]))
    assert not alike["distinct"]
    alone = headline(compare(made[:1], bootstrap=200))
    assert alone["next"] is None


@pytest.mark.parametrize("n", [1, 2, 14])
def test_any_number_of_methods(n, runs, tmp_path):
    found = compare(runs([f"method {k}" for k in range(n)]), bootstrap=200)
    parser = parsed(render(found, tmp_path))
    assert ("Which differences are real" in parser.text) == (n > 1)
    assert ("All pairs" in parser.text) == (n > 2)


def test_runs_without_subjects_or_a_record_still_make_a_page(runs, tmp_path):
    bare = {"features": {}, "counts": {}, "folds": {}, "statistics": {}, "versions": {}}
    made = runs(["a", "b"], changes={"a": bare | {"folds": {"missing": []}}})
    for run in made:
        run.predictions["subject"] = ""
    text = " ".join(parsed(render(compare(made, bootstrap=200), tmp_path)).text)
    assert "Subjects are unknown" in text
    assert "not recorded" in text


def test_write_report_writes_all_files_and_replaces_them(comparison, tmp_path):
    folder = tmp_path / "deep" / "report"
    folder.mkdir(parents=True)
    (folder / "table.csv").write_text("of an earlier report")
    page = write_report(comparison, folder, "first")
    assert "<title>first</title>" in page.read_text(encoding="utf-8")
    assert page == folder / "report.html"
    figures = ("cumulative_score", "error_by_age", "errors_by_subject", "mean_ranks")
    figures += ("predicted_against_true",)
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "by_age.csv",
        "by_subject.csv",
        "cumulative_score.csv",
        *(f"figures/{name}.{kind}" for name in figures for kind in ("png", "svg")),
        "predicted_against_true.csv",
        "ranks.csv",
        "report.html",
        "table.csv",
        "table.md",
        "tests.csv",
        "worst_images.csv",
    ]
    assert len(pd.read_csv(folder / "tests.csv")) == 3
    assert len(pd.read_csv(folder / "table.csv")) == 3


def test_the_whole_record_is_on_the_page(comparison, page):
    text = "".join(parsed(page).text)
    assert json.dumps(comparison.runs[0].info, indent=2, ensure_ascii=False) in text
