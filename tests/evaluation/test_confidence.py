"""Confidence in a report: whose temperature, over whose draws, and what is told without one."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from affekt.errors import RunError
from affekt.evaluation import calibration, confidence, predictions
from affekt.evaluation.report import report


def write_dev(run, dev, *, sharp=1.0):
    """The dev side of every fold: made-up judgements of other utterances, made too sharp."""
    for path in run.glob("seed-*/fold-*/predictions.jsonl"):
        first = predictions.read(path)[0]
        own = [replace(p, id=f"dev-{p.id}", fold=first.fold, seed=first.seed) for p in dev]
        predictions.write(path.with_name("dev.jsonl"), calibration.scaled(own, 1 / sharp))


def numbers(run):
    report(run)
    return json.loads((run / "report.json").read_text())["confidence"]


def test_each_fold_is_scaled_by_the_temperature_of_its_own_dev_side(make_run, judge):
    run = make_run(n=100, folds=2)
    write_dev(run, judge(60, skill=1.0, draw=3))
    one = run / "seed-0/fold-fold 2/dev.jsonl"
    predictions.write(one, calibration.scaled(predictions.read(one), 1 / 3))
    found = confidence.numbers(run, predictions.read(run), [])
    fitted = {row["fold"]: row["temperature"] for row in found["temperatures"]}
    assert fitted["fold 2"] == pytest.approx(3 * fitted["fold 1"], rel=0.01)
    expected = []
    for p in predictions.read(run):
        t = calibration.temperature(
            predictions.read(run / f"seed-{p.seed}/fold-{p.fold}/dev.jsonl")
        )
        expected += calibration.scaled([p], t)
    for name, score in (("ECE", "ece"), ("NLL", "nll"), ("Brier", "brier")):
        measured = found["measures"][name]
        assert measured["scaled"]["value"] == pytest.approx(getattr(calibration, score)(expected))
        change = measured["scaled"]["value"] - measured["plain"]["value"]
        assert measured["change"]["value"] == pytest.approx(change)
    assert found["notes"] == []


def test_intervals_are_those_of_a_plain_loop_over_the_same_draws(judge):
    judged = judge(90, speakers=6, skill=1.0)
    names = list(dict.fromkeys(p.speaker for p in judged))
    nll = {s: [cost(p) for p in judged if p.speaker == s] for s in names}
    # Counts belong to speakers in ascending order of their sums: 15 utterances each, then NLL.
    names.sort(key=lambda s: (len(nll[s]), sum(nll[s])))
    draws = np.random.default_rng(0).multinomial(6, np.full(6, 1 / 6), size=1000)
    scores = [
        sum(n * sum(nll[s]) for s, n in zip(names, draw, strict=True))
        / sum(n * len(nll[s]) for s, n in zip(names, draw, strict=True))
        for draw in draws
    ]
    tail = stats.norm.cdf(np.sqrt(6 / 5) * stats.t.ppf(0.025, 5))
    found = confidence.measures({"plain": judged})["NLL"]["plain"]
    expected = np.quantile(scores, [tail, 1 - tail])
    assert (found["low"], found["high"]) == pytest.approx(expected.tolist(), abs=1e-4)


def cost(p):
    return -np.log(p.probabilities[p.truth])


def test_too_sure_models_are_mended_by_dev(make_run, judge):
    run = make_run(n=300, skill=1.0)
    for path in run.glob("seed-*/fold-*/predictions.jsonl"):
        predictions.write(path, calibration.scaled(predictions.read(path), 0.25))
    write_dev(run, judge(200, skill=1.0, draw=5), sharp=4.0)
    found = numbers(run)
    for name in ("ECE", "NLL", "Brier"):
        assert found["measures"][name]["change"]["high"] < 0
    assert abs(found["said"]["scaled"] - found["accuracy"]) < 0.05
    for name in ("report.html", "report.md"):
        words = (run / name).read_text()
        assert "Confidence" in words
        assert "scaled" in words
    assert "with the temperature of dev" in (run / "report.html").read_text()


def test_runs_and_folds_without_dev_say_so_and_are_not_scaled(make_run, judge):
    run = make_run(n=100, folds=2)  # whose folds.json has no dev sides
    found = numbers(run)
    assert "Fold(s) fold 1, fold 2 have no dev side" in found["notes"][0]
    assert found["temperatures"] == []
    assert {*found["measures"]["ECE"]} == {"plain"}
    folds = json.loads((run / "folds.json").read_text())
    (run / "folds.json").write_text(json.dumps([f | {"dev": ["toy:dev"]} for f in folds]))
    found = numbers(run)
    assert "Of seed 0, fold fold 1, seed 0, fold fold 2 it is not kept" in found["notes"][0]
    assert "affekt run --overwrite" in (run / "report.html").read_text()
    write_dev(run, judge(40, skill=1.0))
    (run / "seed-0/fold-fold 1/dev.jsonl").unlink()
    judged = predictions.read(run)
    found = confidence.numbers(run, judged, json.loads((run / "folds.json").read_text()))
    assert [row["fold"] for row in found["temperatures"]] == ["fold 2"]
    after = confidence.scaled(judged, {(0, "fold 2"): 2.0})
    for a, b in zip(judged, after, strict=True):
        same = a.probabilities == pytest.approx(b.probabilities, abs=2e-6)
        assert same == (a.fold == "fold 1")


def test_dev_predictions_of_another_fold_or_of_what_is_tested_are_refused(make_run, judge):
    run = make_run(n=100, folds=2)
    write_dev(run, judge(40))
    path = run / "seed-0/fold-fold 1/dev.jsonl"
    kept = path.read_bytes()
    path.write_bytes((run / "seed-0/fold-fold 2/dev.jsonl").read_bytes())
    with pytest.raises(RunError, match="expected the dev side of seed 0, fold 'fold 1'"):
        numbers(run)
    path.write_bytes(path.with_name("predictions.jsonl").read_bytes())
    with pytest.raises(RunError, match="or tested there"):
        numbers(run)
    path.write_bytes(kept)
    assert numbers(run)["temperatures"]


def test_one_speaker_alone_has_scores_without_an_interval(judge):
    found = confidence.measures({"plain": judge(1)})["Brier"]["plain"]
    assert np.isnan([found["low"], found["high"]]).all()
    assert np.isfinite(found["value"])
