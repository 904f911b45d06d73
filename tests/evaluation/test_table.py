import json

import pytest

from affekt.evaluation.report import report
from affekt.evaluation.table import results, write


def table(runs, folder, title, **more):
    return write(results(runs, folder, title, **more), folder)


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
    assert found["rows"][0]["beside"][0]["expected"] == 0.7
    for name in ("table.html", "table.md"):
        text = (tmp_path / "tables" / name).read_text()
        assert "Beside the expected scores" in text
        assert text.count("Somebody 2023, Table 1") == 1


def test_a_table_links_to_the_reports_that_are_there(runs, tmp_path):
    report(runs["mean"])
    page = table(runs, tmp_path / "tables", "Poolings & more").read_text()
    assert '<a href="../mean/report.html">mean</a>' in page
    assert page.count("<a href") == 2  # in both of its lines
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


def expect(run, text, varied=""):
    recipe = (run / "recipe.toml").read_text().replace("UA = 0.7", text)
    (run / "recipe.toml").write_text(recipe + varied)


def test_a_published_mean_stands_beside_our_mean_over_folds(runs, tmp_path):
    expect(runs["mean"], "WA = [0.75, 0.02]")
    page = table({"mean": runs["mean"]}, tmp_path / "tables", "One").read_text()
    found = json.loads((tmp_path / "tables" / "table.json").read_text())["rows"][0]
    wa = found["scores"]["WA"]
    assert found["beside"] == [
        {
            "said": "WA",
            "metric": "WA",
            "expected": 0.75,
            "expected_deviation": 0.02,
            "ours": wa["fold_mean"],
            "ours_deviation": wa["fold_deviation"],
            "difference": pytest.approx(wa["fold_mean"] - 0.75, abs=2e-6),
        }
    ]
    assert "0.750 (0.020)" in page
    assert f"{wa['fold_mean']:.3f} ({wa['fold_deviation']:.3f})" in page


def test_rows_that_did_not_run_stand_in_the_table_with_the_reason_said_once(runs, tmp_path):
    missing = {"wavlm": "no checkpoint <x>", "iemocap": "no folder", "hubert": "no checkpoint <x>"}
    page = table({"mean": runs["mean"]}, tmp_path, "One", missing=missing).read_text()
    assert page.count("did not run") == 3
    assert "<b>wavlm, hubert:</b> no checkpoint &lt;x&gt;" in page
    text = (tmp_path / "table.md").read_text()
    assert "> wavlm, hubert: no checkpoint <x>" in text
    assert json.loads((tmp_path / "table.json").read_text())["missing"] == missing


def test_few_runs_show_their_confusion_matrices_and_many_the_clearest_pairs(make_run, tmp_path):
    few = {f"run {n}": make_run(f"r{n}", draw=n) for n in range(6)}
    assert table(few, tmp_path / "few", "Few").read_text().count("label given") == 6
    many = few | {"run 6": make_run("r6", draw=6)}
    page = table(many, tmp_path / "many", "Many").read_text()
    assert page.count("label given") == 0
    assert "The 10 pairs of 21 with the smallest p" in page
    assert "All 21 pairs" in page
    assert len(json.loads((tmp_path / "many" / "table.json").read_text())["tests"]) == 21


HEADS = "[pooling]\nheads = {}\nchannel_dropout = {}\n"


def test_a_grid_over_one_number_is_a_chart_with_intervals_and_expected_scores(make_run, tmp_path):
    runs = {f"heads={n}": make_run(f"h{n}", draw=n) for n in (1, 4, 32)}
    for (_, run), n in zip(runs.items(), (1, 4, 32), strict=True):
        expect(run, "WA = 0.73", HEADS.format(n, 0.0))
    page = table(runs, tmp_path, "Heads", varied={"heads": "pooling.heads"}).read_text()
    assert "<h2>UA and WA</h2>" in page
    assert page.count("0.730 expected") == 3
    assert page.count("<polyline") == 2
    found = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [(row["label"], row["varied"]) for row in found][1] == ("4", {"heads": 4})


def test_a_grid_over_two_numbers_has_a_chart_per_score_and_a_line_per_second_number(
    make_run, tmp_path
):
    runs = {}
    for heads in (1, 4):
        for p in (0.0, 0.25, 0.5):
            run = make_run(f"{heads}-{p}", draw=round(heads + 10 * p))
            expect(run, "UA = 0.7", HEADS.format(heads, p))
            runs[f"heads={heads},channel_dropout={p:g}"] = run
    varied = {"heads": "pooling.heads", "channel_dropout": "pooling.channel_dropout"}
    page = table(runs, tmp_path, "Grid", varied=varied).read_text()
    assert "<h2>WA</h2>" in page
    assert "A line per channel_dropout" in page
    assert page.count("<polyline") == 2 * 3
    assert ">(4, 0.25)<" in page


def test_a_grid_over_names_has_no_chart(make_run, tmp_path):
    runs = {f"corpus={n}": make_run(n) for n in ("a", "b")}
    page = table(runs, tmp_path, "Names", varied={"corpus": "corpus.name"}).read_text()
    assert "<polyline" not in page


def test_a_varied_base_is_told_by_the_name_of_the_row(make_run, tmp_path):
    runs = {}
    for base in ("small", "small-without"):
        for on in ("emodb", "emodb-nemo"):
            run = make_run(f"{base}-{on}", draw=len(runs))
            runs[f"base={base},train_on={on}"] = run
            text = (run / "recipe.toml").read_text()
            values = json.dumps(on.split("-"))
            (run / "recipe.toml").write_text(text.replace("train_on = []", f"train_on = {values}"))
    table(runs, tmp_path, "Bases", varied={"base": "base", "train_on": "train_on"})
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [row["varied"] for row in rows[1:3]] == [
        {"base": "small", "train_on": ["emodb", "nemo"]},
        {"base": "small-without", "train_on": ["emodb"]},
    ]


def test_notes_stand_under_the_title_and_in_the_data(runs, tmp_path):
    notes = ["Found by search <s>.", "On 3 corpora."]
    page = table({"mean": runs["mean"]}, tmp_path, "One", notes=notes).read_text()
    assert '<h1>One</h1>\n<p class="note">Found by search &lt;s&gt;.</p>\n<p class="note">' in page
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("# One\n\nFound by search <s>.\n\nOn 3 corpora.\n\n|")
    assert json.loads((tmp_path / "table.json").read_text())["notes"] == notes
    table({"mean": runs["mean"]}, tmp_path, "One")
    assert (tmp_path / "table.md").read_text().startswith("# One\n\n| run |")
    assert json.loads((tmp_path / "table.json").read_text())["notes"] == []
