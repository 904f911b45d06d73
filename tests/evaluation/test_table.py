import json

import pytest

from affekt.evaluation.report import report
from affekt.evaluation.table import table


@pytest.fixture
def runs(make_run):
    """Three runs over the same utterances; one has more seeds."""
    return {
        "mean": make_run("mean", skill=1.4, draw=1),
        "correlation": make_run("correlation", skill=1.6, draw=2),
        "best | of all": make_run("best", skill=3.0, draw=3, seeds=(0, 1)),
    }


def test_a_table_has_a_row_per_run_with_the_numbers_of_its_report(runs, tmp_path):
    report(runs["mean"])
    table(runs, tmp_path / "tables", "Poolings & more")
    found = json.loads((tmp_path / "tables" / "table.json").read_text())
    assert [row["name"] for row in found["rows"]] == list(runs)
    alone = json.loads((runs["mean"] / "report.json").read_text())
    assert found["rows"][0]["scores"] == alone["scores"]
    assert found["rows"][2]["seeds"] == 2
    assert found["rows"][0]["seconds"] == 80.5
    for name in ("table.html", "table.md"):
        assert (tmp_path / "tables" / name).read_text().count("expected 0.700") == 3


def test_a_table_links_to_the_reports_that_are_there(runs, tmp_path):
    report(runs["mean"])
    page = table(runs, tmp_path / "tables", "Poolings & more").read_text()
    assert '<a href="../mean/report.html">mean</a>' in page
    assert page.count("<a href") == 1
    assert "<title>Poolings &amp; more</title>" in page
    assert "[mean](../mean/report.html)" in (tmp_path / "tables" / "table.md").read_text()


def test_a_table_tests_every_pair_and_says_the_smallest_p(runs, tmp_path):
    table(runs, tmp_path, "Poolings")
    tests = json.loads((tmp_path / "table.json").read_text())["tests"]
    assert len(tests) == 3
    assert all(t["adjusted"] >= t["p"] >= t["smallest"] >= 2 / 2**10 - 1e-6 for t in tests)
    assert {(t["clusters"], t["n"]) for t in tests} == {(10, 120)}


def test_runs_over_other_utterances_stand_in_the_table_but_are_not_tested(make_run, runs, tmp_path):
    runs["other corpus"] = make_run("other", n=90)
    page = table(runs, tmp_path, "Poolings").read_text()
    found = json.loads((tmp_path / "table.json").read_text())
    assert len(found["rows"]) == 4
    assert len(found["tests"]) == 3
    assert "other corpus" in page


def test_a_table_of_one_run_has_no_tests(runs, tmp_path):
    page = table({"mean": runs["mean"]}, tmp_path, "One").read_text()
    assert "Are they different?" not in page


def test_markdown_rows_have_as_many_cells_as_their_head(runs, tmp_path):
    table({"a": runs["mean"], "b": runs["correlation"]}, tmp_path, "Poolings")
    for block in (tmp_path / "table.md").read_text().split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1
