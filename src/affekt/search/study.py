"""Trials with Optuna's TPE, one after another or by several processes at once, in one storage.

Tang et al. 2023 (arXiv:2311.13678), section 4.5, use Hyperopt's TPE, which takes each key for
itself; Optuna's looks at all keys together. A trial counts when it has a score, was ended early,
or failed by a mistake that a message explains; one that was stopped or killed does not.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from statistics import fmean
from threading import Event, Thread
from typing import Any

import numpy as np
import optuna
import torch
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from affekt.errors import AffektError, RunError
from affekt.experiment import Progress
from affekt.search.space import Choices, Range, Space

NAME = "affekt search"  # of the one study in a storage
BEAT, DEAD = 15.0, 60.0  # seconds between signs of life of a trial; without one it is given up
WAIT = 0.5  # seconds between two looks at the trials of other processes
ENOUGH = 10  # trials with a score, to say which keys matter

Score = dict[str, Any]  # seed, fold, score
Scores = Callable[[dict[str, Any], str], Iterator[Score]]  # of a trial's values, called so


def open_study(storage: str, about: dict[str, Any], *, prune: bool) -> optuna.Study:
    """The study in a storage, begun there if there is none.

    Args:
        storage: a database's URL, or a file, which several machines may share.
        about: what it is a search of, by the names that a message gives them.

    Raises:
        RunError: the storage cannot be opened, or holds a search of something else.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            study_name=NAME,
            storage=_storage(storage),
            direction="maximize",
            pruner=MedianPruner() if prune else NopPruner(),
            load_if_exists=True,
        )
    except (ImportError, OSError, ValueError, KeyError, OptunaError, SQLAlchemyError) as e:
        raise RunError(
            f"--storage {storage} cannot be opened: {str(e).partition(chr(10))[0]}; give a file "
            "for trials alone, or the URL of a database such as sqlite:///study.db"
        ) from None
    about = json.loads(json.dumps(about))
    if "about" not in study.user_attrs:
        study.set_user_attr("about", about)
    before = study.user_attrs["about"]
    if other := [name for name in about if before.get(name) != about[name]]:
        raise RunError(
            f"{storage} holds a search of another {' and '.join(other)}; choose another --storage "
            "or --out"
        )
    return study


def _storage(where: str) -> BaseStorage:
    if "://" in where:
        return RDBStorage(where)
    file = Path(where)
    if not file.parent.is_dir():
        raise ValueError(f"there is no folder {file.parent}")
    if file.exists() and _begins_otherwise(file):
        raise ValueError("it holds something else than trials")
    return JournalStorage(JournalFileBackend(where))


def _begins_otherwise(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(1) not in (b"", b"{")


def work(
    study: optuna.Study,
    space: Space,
    scores: Scores,
    *,
    trials: int,
    seed: int,
    progress: Progress = lambda *_: None,
) -> None:
    """Run trials until so many count, those of other processes among them."""
    while (done := len(counted(study))) < trials:
        _give_up_the_dead(study)
        alive = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if done + len(alive) < trials:
            with suppress(UpdateFinishedTrialError):  # others took it for dead: it is lost
                _try(study, space, scores, trials=trials, seed=seed)
        else:
            progress("waiting for trials of other processes", done, trials)
            time.sleep(WAIT)


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count, by their places."""
    found = [t for t in study.get_trials(deepcopy=False) if _counts(t)]
    return sorted(found, key=lambda t: t.user_attrs["place"])


def _counts(trial: FrozenTrial) -> bool:
    judged = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    return judged or (trial.state == TrialState.FAIL and "reason" in trial.user_attrs)


def _try(study: optuna.Study, space: Space, scores: Scores, *, trials: int, seed: int) -> None:
    """Run one trial and write down how it ended."""
    trial = study.ask()
    with _alive(trial):
        place = _place(study, trial)
        if place >= trials:  # another process was faster
            study.tell(trial, state=TrialState.FAIL)
            return
        trial.set_user_attr("place", place)
        study.sampler = _sampler(seed, place)
        values = {key: _suggest(trial, key, of) for key, of in space.keys.items()}
        try:
            state = _run(trial, scores(values, f"trial {place + 1} of {trials}"))
        except (AffektError, torch.OutOfMemoryError) as e:
            trial.set_user_attr("reason", str(e))
            state = TrialState.FAIL
        except BaseException:  # an interrupt among them
            study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            raise
        value = _mean(trial.user_attrs["scores"]) if state == TrialState.COMPLETE else None
        study.tell(trial, value, state, skip_if_finished=True)


def _place(study: optuna.Study, trial: Trial) -> int:
    """The first free place among the trials that count or may yet, from 0.

    Earlier ones that have not said theirs take the first free places in turn.
    """
    others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
    others = [t for t in others if _counts(t) or t.state == TrialState.RUNNING]
    taken = {t.user_attrs["place"] for t in others if "place" in t.user_attrs}
    silent = sum("place" not in t.user_attrs and t.number < trial.number for t in others)
    return next(islice((n for n in count() if n not in taken), silent, None))


def _run(trial: Trial, scores: Iterator[Score]) -> TrialState:
    """Note the scores as they come, each with the seconds so far; how the trial ended."""
    started, known = time.monotonic(), list[Score]()
    for n, score in enumerate(scores):
        known.append(score)
        trial.set_user_attr("scores", known)
        trial.set_user_attr("seconds", round(time.monotonic() - started, 2))
        trial.report(_mean(known), n)
        if trial.should_prune():
            return TrialState.PRUNED
    return TrialState.COMPLETE


def _mean(scores: Sequence[Score]) -> float:
    return fmean(score["score"] for score in scores)


def _sampler(seed: int, place: int) -> TPESampler:
    """The sampler of a trial: a study that is taken up again goes on as if never stopped."""
    own = np.random.SeedSequence([seed, place]).generate_state(1)
    return TPESampler(seed=int(own[0]))


@contextmanager
def _alive(trial: Trial) -> Iterator[None]:
    """While it lasts, other processes see that the trial is worked on."""
    over = Event()

    def beat() -> None:
        with suppress(UpdateFinishedTrialError):
            while not over.wait(BEAT):
                trial.set_user_attr("seen", time.time())

    trial.set_user_attr("seen", time.time())
    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _give_up_the_dead(study: optuna.Study) -> None:
    """End trials whose process was killed."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
        if time.time() - trial.user_attrs.get("seen", begun) > DEAD:
            with suppress(UpdateFinishedTrialError):
                study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _suggest(trial: Trial, key: str, of: Range | Choices) -> Any:
    if isinstance(of, tuple):
        return named(of)[trial.suggest_categorical(key, list(named(of)))]
    low, high = of.ends
    suggest: Any = trial.suggest_int if of.whole else trial.suggest_float
    step = {"step": of.step} if of.step is not None else {}
    return suggest(key, low, high, log=of.log, **step)


def named(choices: Choices) -> dict[Any, Any]:
    """Choices by what stands for them in a study, which holds no tables and lists."""
    plain = (str, int, float, bool)
    return {c if isinstance(c, plain) else json.dumps(c): c for c in choices}


def values(trial: FrozenTrial, space: Space) -> dict[str, Any]:
    """A trial's values as they stand in a recipe."""
    return {
        key: named(of)[trial.params[key]] if isinstance(of, tuple) else trial.params[key]
        for key, of in space.keys.items()
    }


def importance(study: optuna.Study) -> dict[str, float]:
    """The share of each key in how scores vary, by fANOVA; nothing where that is not to be said."""
    scores = [t.value for t in study.get_trials(states=(TrialState.COMPLETE,))]
    if len(scores) < ENOUGH or len(set(scores)) < 2:
        return {}
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
