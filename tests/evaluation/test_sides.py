import json

import numpy as np
import pytest

from affekt.errors import RunError
from affekt.evaluation import sides
from affekt.evaluation.report import report
from affekt.evaluation.table import results, write

EMOTIONS = np.array(["angry", "happy", "neutral", "sad"])


def keep(run, spread=1.0, names=("train", "dev"), fold="fold 1", dim=12):
    """Write embeddings of made-up utterances in German and English."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, dim))
    for name, n in zip(names, (90, 30), strict=False):
        which = rng.integers(4, size=n)
        x = centres[which] + spread * rng.normal(size=(n, dim))
        path = run / "seed-0" / f"fold-{fold}" / f"embeddings-{name}.npy"
        np.save(path, x.astype(np.float16))
        rows = [
            {"key": f"toy:{name}{i}", "truth": e, "language": ("de", "en")[i % 2], "corpus": "toy"}
            for i, e in enumerate(EMOTIONS[which].tolist())
        ]
        path.with_suffix(".json").write_text(json.dumps(rows))
    return run


def test_within_over_total_is_the_ratio_of_traces_of_numpys_covariances():
    rng = np.random.default_rng(1)
    x, which = rng.normal(size=(200, 6)), rng.integers(4, size=200)
    x += 2 * np.eye(4, 6)[which]
    parts = [x[which == c] for c in range(4)]
    within = sum(len(part) * np.cov(part.T, bias=True) for part in parts)
    total = len(x) * np.cov(x.T, bias=True)
    found = sides.within_over_total(x, EMOTIONS[which].tolist())
    assert found == pytest.approx(np.trace(within) / np.trace(total))
    turned = 3 * x @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 5
    assert sides.within_over_total(turned, EMOTIONS[which].tolist()) == pytest.approx(found)


def test_within_over_total_is_0_for_points_1_for_equal_means_and_nan_for_nothing():
    truth = ["sad", "sad", "angry", "angry"]
    assert sides.within_over_total(np.array([[0.0], [0.0], [1.0], [1.0]]), truth) == 0.0
    assert sides.within_over_total(np.array([[0.0], [1.0], [0.0], [1.0]]), truth) == 1.0
    assert np.isnan(sides.within_over_total(np.ones((4, 2)), truth))


def test_the_first_fold_that_has_them_is_read_and_half_precision_is_enough(make_run):
    run = keep(make_run(), fold="fold 3")
    train, dev = sides.read(run)
    assert (train.name, train.embeddings.shape, dev.name, len(dev.truth)) == (
        "train", (90, 12), "dev", 30
    )  # fmt: skip
    assert train.keys[:2] == ["toy:train0", "toy:train1"]
    x = train.embeddings.astype(float)
    means = np.stack([x[np.array(train.truth) == t].mean(0) for t in train.truth])
    expected = ((x - means) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    assert sides.numbers([train])[0]["within_over_total"] == pytest.approx(expected)


def test_the_first_seed_and_fold_are_those_of_the_smallest_number(make_run):
    run = make_run(seeds=(2, 10))
    for n, place in enumerate(("seed-10/fold-1", "seed-2/fold-10", "seed-2/fold-9"), 1):
        (run / place).mkdir()
        np.save(run / place / "embeddings-train.npy", np.ones((n, 4)))
        rows = [{"key": f"{place}:{i}", "truth": "sad", "language": "de"} for i in range(n)]
        (run / place / "embeddings-train.json").write_text(json.dumps(rows))
    assert sides.read(run)[0].keys[0] == "seed-2/fold-9:0"


def test_a_report_shows_both_sides_and_their_ratio(make_run):
    run = keep(make_run())
    page = report(run).read_text()
    found = json.loads((run / "report.json").read_text())["sides"]
    assert [(side["name"], side["n"]) for side in found] == [("train", 90), ("dev", 30)]
    assert "Embeddings of train and dev" in page
    for side in found:
        assert f"<b>{side['within_over_total']:.3f}</b>" in page
        line = f"| {side['name']} | {side['n']} | {side['within_over_total']:.3f} |"
        assert line in (run / "report.md").read_text()
    assert "toy:dev3: " in page


def test_what_a_run_did_not_keep_is_left_out(make_run):
    run = make_run()
    assert sides.read(run) == []
    assert "Embeddings of train" not in report(run).read_text()
    page = report(keep(run, names=("train",))).read_text()
    assert "Embeddings of train</h2>" in page
    (run / "seed-0/fold-fold 1/embeddings-train.json").unlink()
    assert "Embeddings of train" not in report(run).read_text()


def test_a_table_shows_the_maps_of_few_runs_and_the_ratio_of_all(make_run, tmp_path):
    runs = {"wccn": keep(make_run("wccn"), 0.3), "plain": keep(make_run("plain", draw=1), 1.0)}
    runs["none"] = make_run("none", draw=2)
    page = write(results(runs, tmp_path, "Figure 5"), tmp_path).read_text()
    assert page.count("embeddings of train and dev</h2>") == 2
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    compact, loose = (row["sides"][0]["within_over_total"] for row in rows[:2])
    assert compact < loose
    assert f"| wccn | train | 90 | {compact:.3f} |" in (tmp_path / "table.md").read_text()


def test_files_that_do_not_fit_each_other_are_named(make_run):
    run = keep(make_run())
    place = run / "seed-0/fold-fold 1"
    np.save(place / "embeddings-dev.npy", np.ones((3, 4)))
    message = r"embeddings-dev.npy holds \(3, 4\) numbers; .* the 30 utterances"
    with pytest.raises(RunError, match=message):
        sides.read(run)
    (place / "embeddings-dev.json").write_text('[{"key": "a"}]')
    with pytest.raises(RunError, match="embeddings-dev.json is not a list of utterances"):
        sides.read(run)
