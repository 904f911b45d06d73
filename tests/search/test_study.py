"""Trials in one storage, with functions in the place of trainings."""

import math
import time

import optuna
import pytest

from affekt.errors import AffektError, RunError
from affekt.search import study
from affekt.search.space import Space

KEYS = {
    "x": {"low": 0.0, "high": 1.0},
    "n": {"low": 1, "high": 9, "step": 2},
    "lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "part": ["a", {"name": "b", "of": [1, 2]}],
}
SPACE = Space.parse(KEYS)


def bowl(values, what):
    """Two folds whose mean is best at x = 0.3, lr = 1e-3."""
    loss = (values["x"] - 0.3) ** 2 + (math.log10(values["lr"]) + 3) ** 2 / 10
    yield {"seed": 0, "fold": "a", "score": 0.9 - loss}
    yield {"seed": 0, "fold": "b", "score": 0.7 - loss}


def opened(path, *, prune=False, **about):
    return study.open_study(str(path), {"seed": 0} | about, prune=prune)


def worked(path, trials, scores=bowl, *, seed=0, prune=False):
    found = opened(path, prune=prune)
    study.work(found, SPACE, scores, trials=trials, seed=seed)
    return found


def looks(found):
    return [(t.value, study.values(t, SPACE)) for t in study.counted(found)]


@pytest.fixture
def whole(tmp_path):
    return looks(worked(tmp_path / "whole.journal", 16))


def test_a_trial_is_worth_the_mean_over_its_folds(whole):
    for value, values in whole:
        assert value == pytest.approx(sum(s["score"] for s in bowl(values, "")) / 2)


def test_values_are_those_of_the_space(whole):
    for _, values in whole:
        assert list(values) == list(KEYS)
        assert 0 <= values["x"] <= 1
        assert values["n"] in (1, 3, 5, 7, 9)
        assert type(values["n"]) is int
        assert 1e-5 <= values["lr"] <= 1e-1
        assert values["part"] in KEYS["part"]


def test_trials_after_the_random_ones_are_better(whole):
    values = [value for value, _ in whole]
    assert sum(values[10:]) / 6 > sum(values[:10]) / 10


@pytest.mark.parametrize("name", ["some.journal", "sqlite"])
def test_a_study_in_parts_is_the_study_in_one_go(tmp_path, whole, name):
    path = f"sqlite:///{tmp_path}/study.db" if name == "sqlite" else tmp_path / name
    for trials in (2, 4, 11, 16):
        found = worked(path, trials)
        assert len(found.trials) == trials
    assert looks(found) == whole
    assert looks(worked(path, 7)) == whole  # enough: nothing is done


def test_another_seed_gives_other_values(tmp_path, whole):
    assert looks(worked(tmp_path / "other.journal", 3, seed=1)) != whole[:3]


def test_a_trial_that_was_stopped_does_not_count_and_changes_nothing(tmp_path, whole):
    calls = []

    def stopped(values, what):
        calls.append(what)
        for n, score in enumerate(bowl(values, what)):
            if len(calls) in (3, 9) and n == 1:
                raise KeyboardInterrupt
            yield score

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            worked(tmp_path / "s.journal", 16, stopped)
    found = worked(tmp_path / "s.journal", 16, stopped)
    assert looks(found) == whole
    assert len(found.trials) == 18
    assert calls[1:5] == [f"trial {n} of 16" for n in (2, 3, 3, 4)]


def test_a_trial_whose_process_was_killed_is_given_up(tmp_path, whole):
    found = worked(tmp_path / "s.journal", 2)
    killed = found.ask()
    killed.set_user_attr("seen", time.time() - 10 * study.DEAD)
    assert looks(worked(tmp_path / "s.journal", 16)) == whole
    assert found.trials[2].state == optuna.trial.TrialState.FAIL


def test_a_running_trial_of_another_process_keeps_its_place(tmp_path, whole):
    """What others run is waited for, and told apart by its number before it says its place."""
    found = worked(tmp_path / "s.journal", 2)
    theirs = found.ask()
    theirs.set_user_attr("seen", time.time())
    told = []

    def progress(what, done, of):
        told.append((what, done, of))
        theirs.set_user_attr("place", 2)
        found.tell(theirs, state=optuna.trial.TrialState.PRUNED)

    study.work(found, SPACE, bowl, trials=4, seed=0, progress=progress)
    assert told == [("waiting for trials of other processes", 3, 4)]
    assert [t.user_attrs["place"] for t in study.counted(found)] == [0, 1, 2, 3]
    assert study.values(found.trials[3], SPACE) == whole[3][1]


def test_a_trial_that_others_gave_up_is_lost_and_done_again(tmp_path, whole):
    found, calls = opened(tmp_path / "s.journal"), []

    def slept(values, what):
        calls.append(what)
        if len(calls) == 2:
            found.tell(1, state=optuna.trial.TrialState.FAIL)
        yield from bowl(values, what)

    study.work(found, SPACE, slept, trials=4, seed=0)
    assert calls == [f"trial {n} of 4" for n in (1, 2, 2, 3, 4)]
    assert looks(found) == whole[:4]


def test_a_mistake_in_a_trial_is_noted_and_the_search_goes_on(tmp_path):
    def fails(values, what):
        yield {"seed": 0, "fold": "a", "score": 0.5}
        if values["x"] > 0.5:
            raise AffektError("x is too large")
        yield {"seed": 0, "fold": "b", "score": 0.5}

    found = study.counted(worked(tmp_path / "s.journal", 8, fails))
    assert len(found) == 8
    for trial in found:
        failed = study.values(trial, SPACE)["x"] > 0.5
        assert failed == (trial.state == optuna.trial.TrialState.FAIL)
        assert trial.user_attrs.get("reason") == ("x is too large" if failed else None)
    assert len({t.state for t in found}) == 2


def test_any_other_error_is_raised_and_its_trial_does_not_count(tmp_path):
    def broken(values, what):
        yield {"seed": 0, "fold": "a", "score": 1 / 0}

    with pytest.raises(ZeroDivisionError):
        worked(tmp_path / "s.journal", 2, broken)
    assert not study.counted(opened(tmp_path / "s.journal"))


def test_trials_below_the_median_are_ended_if_asked_for(tmp_path):
    done = []

    def folds(values, what):
        number = int(what.split()[1])
        for fold in "abc":
            yield {"seed": 0, "fold": fold, "score": 1 - number / 20}
            done.append((number, fold))

    found = study.counted(worked(tmp_path / "s.journal", 8, folds, prune=True))
    pruned = [t.state == optuna.trial.TrialState.PRUNED for t in found]
    assert pruned == [False] * 5 + [True] * 3  # the median is not asked before five trials
    assert found[7].value == pytest.approx(0.6)
    assert [fold for number, fold in done if number == 8] == []
    found = study.counted(worked(tmp_path / "t.journal", 8, folds))
    assert {t.state for t in found} == {optuna.trial.TrialState.COMPLETE}


def test_importance_needs_ten_scores_and_finds_what_matters(tmp_path):
    assert study.importance(worked(tmp_path / "s.journal", 9)) == {}
    shares = study.importance(worked(tmp_path / "s.journal", 40))
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares["x"], shares["lr"]) > max(shares["n"], shares["part"])

    def same(values, what):
        yield {"seed": 0, "fold": "a", "score": 0.5}

    assert study.importance(worked(tmp_path / "t.journal", 12, same)) == {}


def test_a_storage_of_another_search_is_refused(tmp_path):
    opened(tmp_path / "s.journal", recipe="a", space={"x": [1, 2]})
    opened(tmp_path / "s.journal", recipe="a", space={"x": (1, 2)})  # as JSON the same
    with pytest.raises(RunError, match="holds a search of another recipe; choose another --stor"):
        opened(tmp_path / "s.journal", recipe="b", space={"x": [1, 2]})
    with pytest.raises(RunError, match="another recipe and space"):
        opened(tmp_path / "s.journal", recipe="b", space={"x": [1, 3]})


@pytest.mark.parametrize("content", ["[stage]\nepochs = 1\n", '{\n "a": 1\n}\n', '{"a": 1}\n'])
def test_a_file_of_something_else_is_no_storage_and_stays_as_it_is(tmp_path, content):
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(RunError, match="--storage .*mine.toml cannot be opened"):
        opened(file)
    assert file.read_text() == content


@pytest.mark.parametrize("url", ["nothing://here", "sqlite:////no/such/folder/study.db"])
def test_a_database_that_is_not_there_is_told(url):
    with pytest.raises(RunError, match=f"--storage {url} cannot be opened.*sqlite:///study.db"):
        opened(url)
