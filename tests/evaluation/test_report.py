import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

import affekt
from affekt.errors import RunError
from affekt.evaluation import log, pages, predictions
from affekt.evaluation.report import headline, report


class Page(HTMLParser):
    """The visible words of a page, the addresses it refers to, and whether its tags nest."""

    VOID = ("meta", "br")

    def __init__(self, text):
        super().__init__()
        self.words, self.addresses, self.open = "", [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.addresses += [v for k, v in attrs if k in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def test_the_numbers_are_scikit_learns(make_run):
    run = make_run(n=200, seeds=(0, 1))
    report(run)
    found = json.loads((run / "report.json").read_text())["scores"]
    judged = predictions.read(run)
    pair = [p.truth for p in judged], [p.label for p in judged]
    assert found["UA"]["value"] == pytest.approx(balanced_accuracy_score(*pair), abs=1e-6)
    assert found["WA"]["value"] == pytest.approx(accuracy_score(*pair), abs=1e-6)
    for name, average in (("macro-F1", "macro"), ("WF1", "weighted")):
        assert found[name]["value"] == pytest.approx(f1_score(*pair, average=average), abs=1e-6)
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]


def test_the_page_is_whole_refers_to_nothing_and_shows_every_part(make_run):
    path = report(make_run(seeds=(0, 1, 2)))
    text = path.read_text()
    page = Page(text)
    assert not page.open
    assert not page.addresses
    assert "http" not in text
    assert "url(" not in text
    for title in ("How it was made", "Confusion", "Per class", "Per fold", "Per seed", "Per gender",
                  "Per speaker", "Training: loss", "Training: score", "Embeddings", "Recipe",
                  "Environment"):  # fmt: skip
        assert title in page.words
    assert "affekt run demo/toy.toml --data wav" in page.words
    assert "dropped: bored 81" in page.words
    assert "no samples <empty>" in page.words  # and escaped, or it would be a tag
    assert "expected 0.700" in page.words
    assert "Somebody 2023, Table 1" in page.words
    assert "UA = UAR = balanced accuracy = macro recall" in page.words


def test_the_headline_says_scores_intervals_sizes_and_commit(make_run):
    run = make_run(n=120, seeds=(0, 1, 2))
    score = r"0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\]"
    found = headline(predictions.read(run), commit="abc1234def")
    assert re.fullmatch(
        rf"UA {score}, WA {score}, n = 120, 5 folds x 3 seeds, 10 speakers, commit abc1234", found
    )
    for name in ("report.html", "report.md"):
        report(run)
        assert found in (run / name).read_text()


def test_the_same_run_gives_the_same_bytes(make_run):
    run = make_run()
    names = ("report.html", "report.md", "report.json")
    report(run)
    once = [(run / name).read_bytes() for name in names]
    report(run)
    assert [(run / name).read_bytes() for name in names] == once


def test_markdown_tables_have_as_many_cells_in_every_row(make_run):
    run = make_run(seeds=(0, 1))
    report(run)
    for block in (run / "report.md").read_text().split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1
    assert "| fold 5 | 24 |" in (run / "report.md").read_text()


def test_predictions_alone_are_enough(judge, tmp_path):
    judged = [replace(p, fold="all", speaker=None, gender=None) for p in judge(30)]
    predictions.write(tmp_path / "seed-0" / "fold-all" / "predictions.jsonl", judged)
    page = Page(report(tmp_path).read_text())
    assert "No speaker is known: the intervals take each utterance for itself" in page.words
    assert "1 fold × 1 seed" in page.words
    assert "Per speaker" not in page.words


def test_shared_speakers_and_few_speakers_are_pointed_out(make_run):
    run = make_run()
    folds = json.loads((run / "folds.json").read_text())
    (run / "folds.json").write_text(json.dumps([fold | {"sharing": "all"} for fold in folds]))
    page = Page(report(run).read_text())
    assert "Only 10 speakers" in page.words
    assert "Train and test share speakers" in page.words


def test_a_score_that_is_not_defined_is_null_and_a_dash(make_run):
    run = make_run(folds=1)
    report(run)
    found = json.loads((run / "report.json").read_text())
    assert found["scores"]["UA"]["fold_deviation"] is None
    assert "(–)" in (run / "report.html").read_text()


def test_broken_files_are_named(make_run):
    run = make_run()
    for name, text, message in (
        ("environment.json", "{", "environment.json is not JSON"),
        ("recipe.toml", "a = ", "recipe.toml is not TOML"),
        ("log.csv", "seed,fold\n0,a\n", "log.csv has the columns .*; expected seed, fold, epoch"),
        ("log.csv", "seed,fold,epoch,loss\n0,a,0,low\n", "log.csv, line 2: .*'low'"),
    ):
        kept = (run / name).read_text()
        (run / name).write_text(text)
        with pytest.raises(RunError, match=message):
            report(run)
        (run / name).write_text(kept)
    np.save(run / "seed-0" / "fold-fold 1" / "embeddings.npy", np.ones((3, 4)))
    with pytest.raises(RunError, match=r"holds \(3, 4\) numbers; expected .* the 24 lines"):
        report(run)


def test_a_measure_that_was_not_taken_in_an_epoch_has_no_point(make_run):
    measures = log.read(make_run(folds=2) / "log.csv")
    assert [epoch for epoch, _ in measures["dev_UA"][0, "fold 2"]][:3] == [0, 2, 4]
    assert len(measures["train_loss"][0, "fold 1"]) == 30
    assert {axis: list(panel) for axis, panel in log.panels(measures).items()} == {
        "loss": ["train_loss", "dev_loss"], "score": ["dev_UA"]
    }  # fmt: skip


def test_what_networks_of_corpora_share_begins_the_line_of_each(tmp_path):
    rows = ["seed,fold,epoch,loss,corpus", "0,1,1,4.0,", "0,1,2,3.0,x", "0,1,2,2.0,y", "0,2,1,5.0,"]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    assert log.read(tmp_path / "log.csv")["loss"] == {
        (0, "1, x"): [(1.0, 4.0), (2.0, 3.0)],
        (0, "1, y"): [(1.0, 4.0), (2.0, 2.0)],
        (0, "2"): [(1.0, 5.0)],
    }


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(9.34, "9.3 s"), (80.5, "1 min 20 s"), (59.99, "1 min 00 s"), (7500, "2 h 05 min")],
)
def test_durations_read_like_a_watch(seconds, words):
    assert pages.duration(seconds) == words


def test_a_report_needs_no_heavy_import_and_less_than_a_second(make_run):
    run = make_run(n=339, seeds=(0, 1, 2))
    heavy = ("torch", "sklearn", "scipy", "pandas", "matplotlib", "pyarrow", "lightning")
    code = (
        "import sys, time, pathlib; from affekt.evaluation.report import report; "
        f"report(pathlib.Path({str(run)!r})); "
        f"print([m for m in {heavy} if m in sys.modules], time.process_time())"
    )
    source = str(Path(affekt.__path__[0]).parent)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": source, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    loaded, seconds = done.stdout.rsplit(" ", 1)
    assert loaded == "[]"
    assert float(seconds) < 1.5  # 0.4 on an idle core
