import json

import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from affekt.evaluation import by_corpus, compare, intervals, predictions
from affekt.evaluation.report import notes, report
from affekt.evaluation.table import results, write

SKILLS = {"german": 2.5, "english": 2.0, "polish": 1.0}


@pytest.fixture
def runs(make_runs):
    """Trained on German and English, or on German and Polish; and a run over German alone."""
    return {
        "de-en": make_runs("de-en", SKILLS, train_on=["german", "english"], draw=1),
        "de-pl": make_runs("de-pl", SKILLS, train_on=["german", "polish"], draw=2),
        "de": make_runs("de", {"german": 2.0}, train_on=["german"], draw=3),
    }


def test_the_scores_on_a_corpus_are_scikit_learns_of_its_utterances(runs):
    report(runs["de-en"])
    found = json.loads((runs["de-en"] / "report.json").read_text())["by_corpus"]
    assert list(found) == list(SKILLS)
    for name, scores in found.items():
        part = [p for p in predictions.read(runs["de-en"]) if p.corpus == name]
        pair = [p.truth for p in part], [p.label for p in part]
        assert scores["UA"]["value"] == pytest.approx(balanced_accuracy_score(*pair), abs=1e-6)
        assert scores["WA"]["value"] == pytest.approx(accuracy_score(*pair), abs=1e-6)
        assert scores["UA"]["low"] == pytest.approx(intervals.interval(part).low, abs=1e-6)
        assert scores["n"] == len(part) == 120
    assert [scores["language"] for scores in found.values()] == ["de", "en", "pl"]


def test_a_corpus_of_which_one_speaker_is_tested_is_named(judge_all):
    judged = judge_all(SKILLS)
    assert not [note for note in notes(judged, []) if "Only one speaker" in note]
    one = next(p.speaker for p in judged if p.corpus == "polish")
    told = notes([p for p in judged if p.corpus != "polish" or p.speaker == one], [])
    assert "Only one speaker of polish is tested: the interval of that corpus takes" in told[0]


def test_what_was_trained_on_stands_in_the_folds_or_else_in_the_recipe(runs):
    report(runs["de-en"])
    found = json.loads((runs["de-en"] / "report.json").read_text())["by_corpus"]
    wanted = ["trained on", "trained on", "not trained on"]
    assert [scores["training"] for scores in found.values()] == wanted
    recipe = {"train_on": ["german", "english"]}
    assert [by_corpus.training(name, recipe, []) for name in SKILLS] == wanted
    assert by_corpus.training("polish", {"train_on": []}, []) == "trained on"


def test_a_language_that_is_left_out_was_not_trained_on_whatever_the_recipe_says():
    folds = [
        {"name": "de", "train": ["ravdess:1", "ravdess:2"], "test": ["emodb:1"]},
        {"name": "en", "train": ["emodb:1"], "test": ["ravdess:1", "ravdess:2"]},
    ]
    assert by_corpus.training("emodb", {}, folds) == "not trained on"
    few = [fold | {"train": [*fold["train"], "emodb:2", "emodb:2", "emodb:3"]} for fold in folds]
    assert by_corpus.training("emodb", {"few_shot": {"shots": 30}}, few) == "2 clips"
    assert by_corpus.training("emodb", {}, few) == "trained on"
    small = {"few_shot": {"shots": 30}, "train_on": ["emodb"]}
    assert by_corpus.training("emodb", small, few) == "trained on"


def test_a_report_names_every_corpus_and_whether_it_was_trained_on(runs, make_run):
    page = report(runs["de-en"]).read_text()
    text = (runs["de-en"] / "report.md").read_text()
    assert "<h2>By corpus</h2>" in page
    assert page.count("<td>not trained on</td>") == 1
    assert "| polish | pl | 0." in text
    assert "| 120 | not trained on |" in text
    assert "Per corpus" not in page + text
    assert "By corpus" not in report(make_run()).read_text()


def test_a_table_marks_scores_on_corpora_that_were_not_trained_on(runs, tmp_path):
    page = write(results(runs, tmp_path, "Across"), tmp_path).read_text()
    found = json.loads((tmp_path / "table.json").read_text())
    assert [list(row["by_corpus"]) for row in found["rows"]] == [list(SKILLS), list(SKILLS),
                                                                ["german"]]  # fmt: skip
    assert page.count("<td>○ ") == 2 * 2
    assert page.count("<td>–</td>") == 2 * 2  # what was not judged
    assert "○ not trained on." in page
    text = (tmp_path / "table.md").read_text()
    assert text.count("| ○ 0.") == 2 * 2
    assert "○ not trained on." in text
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_the_picture_has_a_mark_per_run_and_corpus_hollow_where_not_trained_on(runs, tmp_path):
    picture = by_corpus.picture(results(runs, tmp_path, "Across").rows)
    assert picture.count("<title>") == 3 + 3 + 1
    assert picture.count("stroke-opacity") == 7  # intervals
    hollow = picture.count('fill="var(--card')
    assert hollow == 2 + 1  # and the legend's
    assert "de-en on polish, not trained on: UA 0." in picture


def test_one_corpus_is_not_broken_down(make_run, tmp_path):
    made = results({"a": make_run("a"), "b": make_run("b", draw=1)}, tmp_path, "One")
    page = write(made, tmp_path).read_text()
    assert "y corpus" not in page + (tmp_path / "table.md").read_text()
    assert json.loads((tmp_path / "table.json").read_text())["tests_by_corpus"] == {}


def test_runs_are_tested_on_each_corpus_that_they_share(runs, tmp_path):
    page = write(results(runs, tmp_path, "Across"), tmp_path).read_text()
    tests = json.loads((tmp_path / "table.json").read_text())["tests_by_corpus"]
    assert {name: len(pairs) for name, pairs in tests.items()} == {
        "german": 3, "english": 1, "polish": 1
    }  # fmt: skip
    alone = [
        [p for p in predictions.read(runs[name]) if p.corpus == "polish"]
        for name in ("de-en", "de-pl")
    ]
    expected = compare.compare(*alone)
    assert tests["polish"][0]["difference"] == pytest.approx(expected.difference, abs=1e-6)
    assert tests["polish"][0]["p"] == pytest.approx(expected.p, abs=1e-6)
    german = tests["german"]
    assert [t["adjusted"] for t in german] == pytest.approx(
        compare.holm([t["p"] for t in german]), abs=1e-5
    )
    assert "Are they different, by corpus?" in page
    assert "| polish | de-en - de-pl |" in (tmp_path / "table.md").read_text()


def test_a_grid_over_shots_has_a_line_per_corpus(make_runs, tmp_path):
    grid = {}
    for shots in (0, 30, 80):
        more = f"few_shot = {{ shots = {shots} }}" if not shots else ""
        how = {"train_on": ["german", "english"], "shots": shots, "recipe": more}
        grid[f"shots={shots}"] = make_runs(f"{shots}", SKILLS, draw=shots, **how)
    made = results(grid, tmp_path, "Shots", varied={"shots": "few_shot.shots"})
    page = write(made, tmp_path).read_text()
    chart = page[page.index("<h2>UA by corpus</h2>") : page.index("<h2>All scores")]
    assert chart.count("<polyline") == 3
    assert chart.count("stroke-opacity") == 9
    assert chart.count("not trained on: UA") == 1
    assert chart.count("30 clips: UA") == chart.count("80 clips: UA") == 1
    assert "some clips trained on" in chart
    assert "UA on each corpus" not in page  # the lines say it


def test_the_terminal_shows_scores_by_corpus_and_compares_on_each(affekt, runs):
    code, out, _ = affekt("report", runs["de-en"])
    assert code == 0
    assert "by corpus german (de) english (en) polish (pl)" in out
    assert "* not trained on" in out
    both = [runs["de-en"], runs["de-pl"]]
    code, out, _ = affekt("compare", *both)
    assert "UA by corpus" in out
    assert "polish: A" not in out
    code, out, _ = affekt("compare", *both, runs["de"], "--by", "corpus")
    assert code == 0
    assert out.index("german: A") < out.index("english: A") < out.index("polish: A")
    assert out.count("Paired permutation test over 10 speakers") == 1


def test_what_cannot_be_compared_by_corpus_is_refused(affekt, runs, make_runs):
    code, _, err = affekt("compare", runs["de-en"], runs["de-pl"], "--by", "speaker")
    assert (code, "give --by corpus" in err) == (1, True)
    other = make_runs("other", {"polish": 1.0}, train_on=["polish"])
    code, _, err = affekt("compare", runs["de"], other, "--by", "corpus")
    assert (code, "judged the same utterances of any corpus" in err) == (1, True)
