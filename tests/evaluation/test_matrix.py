import json
import re

import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from affekt.evaluation import intervals, predictions
from affekt.evaluation.compare import compare, holm
from affekt.evaluation.matrix import results, write

CORPORA = ("german", "english", "polish")
ROWS = {
    "german": ["german"],
    "english": ["english"],
    "polish": ["polish"],
    "german+english": ["german", "english"],
    "german+polish": ["german", "polish"],
    "english+polish": ["english", "polish"],
    "german+english+polish": [*CORPORA],
}


@pytest.fixture
def runs(make_runs):
    """A run per subset, good on what it was trained on."""
    return {
        name: make_runs(
            name, {c: 2.0 if c in some else 0.8 for c in CORPORA}, train_on=some, draw=n
        )
        for n, (name, some) in enumerate(ROWS.items())
    }


@pytest.fixture
def page(runs, tmp_path):
    return write(results(runs, tmp_path, "Matrix & more", trained=ROWS), tmp_path)


@pytest.fixture
def found(page):
    return json.loads(page.with_suffix(".json").read_text())


def on(corpus, run):
    return [p for p in predictions.read(run) if p.corpus == corpus]


def test_every_cell_is_scikit_learns_score_of_its_run_on_its_corpus(runs, found):
    assert [row["name"] for row in found["rows"]] == list(ROWS)
    for row in found["rows"]:
        for corpus in CORPORA:
            cell, part = row["by_corpus"][corpus], on(corpus, runs[row["name"]])
            pair = [p.truth for p in part], [p.label for p in part]
            assert cell["UA"]["value"] == pytest.approx(balanced_accuracy_score(*pair), abs=1e-6)
            assert cell["WA"]["value"] == pytest.approx(accuracy_score(*pair), abs=1e-6)
            assert cell["UA"]["low"] == pytest.approx(intervals.interval(part).low, abs=1e-6)
            inside = corpus in ROWS[row["name"]]
            assert cell["training"] == ("trained on" if inside else "not trained on")


def test_the_best_of_a_column_has_the_highest_score(found):
    for corpus in CORPORA:
        scores = {r["name"]: r["by_corpus"][corpus]["UA"]["value"] for r in found["rows"]}
        assert found["corpora"][corpus]["best"] == max(scores, key=scores.__getitem__)
        assert found["corpora"][corpus]["n"] == 120


def test_differences_are_those_of_the_run_trained_on_the_corpus_alone(runs, found):
    for corpus in CORPORA:
        pairs = found["differences"][corpus]
        assert [d["a"] for d in pairs] == [name for name in ROWS if name != corpus]
        assert {d["b"] for d in pairs} == {corpus}
        for d in pairs:
            expected = compare(on(corpus, runs[d["a"]]), on(corpus, runs[corpus]))
            for key in ("difference", "low", "high", "p"):
                assert d[key] == pytest.approx(getattr(expected, key), abs=1e-6)
        adjusted = [d["adjusted"] for d in pairs]
        assert adjusted == pytest.approx(holm([d["p"] for d in pairs]), abs=1e-5)


def test_means_are_of_the_runs_of_one_size_with_and_without_the_corpus(found):
    scores = {r["name"]: r["by_corpus"]["polish"]["UA"]["value"] for r in found["rows"]}
    points = found["means"]["polish"]
    assert [(p["corpora"], p["training"]) for p in points] == [
        (1, "not trained on"), (1, "trained on"), (2, "not trained on"), (2, "trained on"),
        (3, "trained on"),
    ]  # fmt: skip
    mean = (scores["german+polish"] + scores["english+polish"]) / 2
    assert points[3]["UA"] == pytest.approx(mean, abs=1e-6)
    assert list(points[3]["runs"]) == ["german+polish", "english+polish"]
    assert points[4]["UA"] == scores["german+english+polish"]


def test_the_page_frames_what_was_trained_on_and_has_a_picture_per_corpus(page):
    text = page.read_text()
    assert "<title>Matrix &amp; more</title>" in text
    assert text.count("box-shadow: inset") == 3 + 2 * 3 + 3
    heat = text[: text.index("What other training cost")]
    assert heat.count("○ ") == 2 * 3 + 3
    assert len(re.findall(r"<td[^>]*>(?:○ )?<b>0\.", heat)) == 3
    assert text.count("more corpora in training</h2>") == 3
    assert text.count("<polyline") == 2 * 3
    assert "german+<wbr>english" in text
    assert "reference</td>" in text


def test_the_text_has_the_same_rows_in_whole_tables(page, found):
    text = page.with_suffix(".md").read_text()
    assert "| german+english |" in text
    assert "| german | ○ english | german | -" in text
    assert "| polish | trained on | 2 |" in text
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1
    assert text.count(" | reference |") == 0
    assert len(found["rows"]) == sum(line.startswith("| ") and " | 0." in line or "**0." in line
                                     for line in text.split("##")[0].splitlines())  # fmt: skip


def test_a_row_that_did_not_run_stands_as_such_with_its_reason(runs, tmp_path):
    del runs["german"], runs["german+polish"]
    missing = dict.fromkeys(("german", "german+polish"), "a recording is <broken>")
    made = results(runs, tmp_path, "Matrix", trained=ROWS, missing=missing)
    text = write(made, tmp_path).read_text()
    assert made.differences["german"] == []  # whose reference is missing
    assert len(made.differences["polish"]) == 4
    assert text.count(">did not run</td>") == 2 * 2
    assert "<b>german, german+polish:</b> a recording is &lt;broken&gt;" in text
    said = (tmp_path / "matrix.md").read_text()
    assert "| german+polish | did not run | | | | | |" in said
    assert "> german, german+polish: a recording" in said


def test_without_runs_on_single_corpora_the_run_on_all_is_the_reference(runs, tmp_path):
    trained = {name: some for name, some in ROWS.items() if len(some) > 1}
    some = {name: runs[name] for name in trained}
    made = results(some, tmp_path, "Matrix", trained=trained)
    assert {c["reference"] for c in made.corpora.values()} == {"german+english+polish"}
    assert "minus the run on german+<wbr>english+<wbr>polish" in write(made, tmp_path).read_text()


def test_single_corpora_have_no_picture(runs, tmp_path):
    trained = {name: some for name, some in ROWS.items() if len(some) == 1}
    some = {name: runs[name] for name in trained}
    text = write(results(some, tmp_path, "Matrix", trained=trained), tmp_path).read_text()
    assert "<svg" not in text
    assert "What other training cost" in text


def test_emotions_that_a_run_never_heard_are_told(runs, tmp_path):
    for file in runs["german"].rglob("predictions.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            del line["probabilities"]["sad"]
            line["label"] = max(line["probabilities"], key=line["probabilities"].get)
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = results(runs, tmp_path, "Matrix", trained=ROWS)
    assert made.rows[0]["by_corpus"]["polish"]["unheard"] == ["sad"]
    assert made.rows[1]["by_corpus"]["polish"]["unheard"] == []
    text = write(made, tmp_path).read_text()
    assert text.count('<span title="sad">1 unheard</span>') == 3
    assert "their recall is 0" in text
