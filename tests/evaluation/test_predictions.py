import json
import time
from dataclasses import replace

import pytest

from affekt.errors import RunError
from affekt.evaluation import predictions


def test_what_is_written_is_read_again(judge, tmp_path):
    judged = judge(30)
    judged[0] = replace(judged[0], id="ü1", speaker=None, gender=None, language=None)
    path = tmp_path / "new" / "predictions.jsonl"
    predictions.write(path, judged)
    assert predictions.read(path) == judged
    assert [p.name for p in path.parent.iterdir()] == ["predictions.jsonl"]


def test_probabilities_are_rounded_so_that_bytes_do_not_depend_on_the_last_bit(judge, tmp_path):
    exact = replace(judge(1)[0], label="sad", probabilities={"sad": 0.1 + 0.2, "angry": 0.7})
    close = replace(exact, probabilities={"sad": 0.3, "angry": 0.7})
    for name, prediction in (("a", exact), ("b", close)):
        predictions.write(tmp_path / name, [prediction])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_interrupted_write_leaves_the_old_file(judge, tmp_path):
    path = tmp_path / "predictions.jsonl"
    predictions.write(path, judge(5))
    old = path.read_bytes()

    def interrupted():
        yield from judge(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predictions.write(path, interrupted())
    assert path.read_bytes() == old


def test_a_run_is_read_by_seed_then_fold_in_the_order_of_the_protocol(judge, make_run):
    run = make_run(seeds=(0, 10, 2), folds=5)
    order = json.loads((run / "folds.json").read_text())
    (run / "folds.json").write_text(json.dumps(order[::-1]))
    places = list(dict.fromkeys((p.seed, p.fold) for p in predictions.read(run)))
    assert places[:5] == [(0, f"fold {n}") for n in (5, 4, 3, 2, 1)]
    assert [seed for seed, _ in places[::5]] == [0, 2, 10]


def test_without_folds_json_the_folds_come_in_natural_order(make_run):
    run = make_run(speakers=12, folds=12)
    (run / "folds.json").unlink()
    folds = dict.fromkeys(p.fold for p in predictions.read(run))
    assert list(folds) == [f"fold {n}" for n in range(1, 13)]


def test_reading_thousands_of_lines_takes_a_fraction_of_a_second(judge, tmp_path):
    path = tmp_path / "predictions.jsonl"
    predictions.write(path, judge(5000))
    start = time.process_time()
    assert len(predictions.read(path)) == 5000
    assert time.process_time() - start < 1.0


def test_a_missing_run_is_explained(tmp_path):
    with pytest.raises(RunError, match="does not exist; give the folder"):
        predictions.read(tmp_path / "nothing")
    with pytest.raises(RunError, match="holds no seed-"):
        predictions.read(tmp_path)
    (table := tmp_path / "table.html").write_text("<html>")
    with pytest.raises(RunError, match="table.html is neither a run's folder nor"):
        predictions.read(table)


def test_an_unfinished_run_is_refused_with_the_fold_that_is_missing(make_run):
    run = make_run(seeds=(0, 1))
    (run / "seed-1" / "fold-fold 3" / "predictions.jsonl").unlink()
    with pytest.raises(RunError, match="seed 1, fold 'fold 3' has predictions for 0 of 24"):
        predictions.read(run)


def test_a_fold_with_a_missing_line_is_refused(make_run):
    run = make_run()
    file = run / "seed-0" / "fold-fold 2" / "predictions.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(RunError, match="fold 'fold 2' has predictions for 23 of 24"):
        predictions.read(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "0"}, "expected 'seed' to be a whole number, got '0'"),
        ({"truth": None}, "expected 'truth' to be text, got None"),
        ({"label": "calm"}, "'calm' is not among the probabilities"),
        ({"probabilities": {"sad": 1.5}, "label": "sad"}, r"in \[0, 1\], got 1.5"),
        ({"probabilities": {"sad": float("nan")}, "label": "sad"}, "got nan"),
        ({"mood": "fine"}, "expected the fields"),
    ],
)
def test_an_invalid_line_is_named_with_file_and_number(judge, tmp_path, change, message):
    path = tmp_path / "predictions.jsonl"
    predictions.write(path, judge(3))
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | change)
    path.write_text("\n".join(lines))
    with pytest.raises(RunError, match=f"predictions.jsonl, line 2: .*{message}"):
        predictions.read(path)


def test_a_torn_line_a_double_line_and_an_empty_file_are_refused(judge, tmp_path):
    path = tmp_path / "predictions.jsonl"
    predictions.write(path, judge(2))
    text = path.read_text()
    path.write_text(text[:-20])
    with pytest.raises(RunError, match="line 2: "):
        predictions.read(path)
    path.write_text(text + text)
    with pytest.raises(RunError, match="line 3: toy:u0000 is there twice"):
        predictions.read(path)
    path.write_text("")
    with pytest.raises(RunError, match="is empty"):
        predictions.read(path)
