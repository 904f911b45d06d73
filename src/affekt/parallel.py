"""Trainings side by side, each in a process of its own and on one core."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np

from affekt import screen, threads
from affekt.errors import RunError
from affekt.parts import options
from affekt.recipe import Recipe

Result = TypeVar("Result")
Clips = Mapping[str, Any]
WATCHED = 0.5  # seconds between two looks whether the process that began this one is there
SMALL = 50_000_000  # bytes of an encoder's weights
MOST = 8  # processes that are begun unasked: each holds torch, and a model


def wanted(recipe: Recipe) -> int:
    """How many folds of a recipe are best trained side by side here.

    A small network on frames that are made gains little from a second core, a fold of its own
    gains all of it, and so it is with a small encoder that is trained or meets random crops. A
    large one uses every core, and much memory, and a GPU takes one at a time.
    """
    if recipe.classifier is None:
        from affekt.encoders.speech import processor

        live = recipe.encoder.options.get("trainable", "none") != "none"
        live |= any(step.options.get("where") == "random" for step in recipe.audio)
        if processor().type != "cpu" or (live and _size(recipe) > SMALL):
            return 1
    return min(threads.cores(), MOST)


def _size(recipe: Recipe) -> int:
    """Bytes of the weights of a speech encoder."""
    if recipe.encoder.name != "speech":
        return 0
    from affekt.encoders import ENCODERS, checkpoint

    chosen = options(ENCODERS, recipe.encoder, "encoder")
    folder = checkpoint.locate(chosen["model"], chosen["revision"])
    return sum(file.stat().st_size for file in folder.glob(checkpoint.WEIGHTS))


def each(
    act: Callable[..., Result],
    work: Sequence[tuple[Any, ...]],
    clips: Clips,
    jobs: int,
    *,
    in_order: bool = False,
) -> Iterator[tuple[int, Result]]:
    """The place of every tuple of arguments and act(clips, *arguments), as they are done.

    With one job it happens here and by all cores, else in processes of one thread, also if there
    is one thing to do: a run that goes on ends with the same bytes. Processes stay for the next
    call, and end with this one.

    Args:
        clips: what all of them are given; what lies in memory is shared.
        jobs: processes at most.
        in_order: of their places.

    Raises:
        RunError: a process was ended from outside.
    """
    if jobs < 2 or not work:
        yield from ((n, act(clips, *arguments)) for n, arguments in enumerate(work))
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    packed = _Packed(clips) if isinstance(clips, dict) else clips
    worker = delayed(_worked)
    todo = [worker(act, packed, n, arguments, os.getpid()) for n, arguments in enumerate(work)]
    how = "generator" if in_order else "generator_unordered"
    with parallel_config("loky", inner_max_num_threads=1):
        side_by_side: Any = Parallel(jobs, return_as=how, mmap_mode="c")
        try:
            yield from side_by_side(todo)
        except TerminatedWorkerError:
            raise RunError(
                "a process that trained a fold was ended from outside, probably for want of "
                "memory; the same command goes on with what is done, train fewer at once: --jobs 1"
            ) from None


class _Packed:
    """Arrays as one, which processes map from one file instead of each taking a copy."""

    def __init__(self, clips: Clips) -> None:
        self.tensors = not isinstance(next(iter(clips.values())), np.ndarray)
        self.shapes = {key: tuple(clip.shape) for key, clip in clips.items()}
        self.numbers = np.concatenate([np.asarray(clip).ravel() for clip in clips.values()])

    def clips(self) -> Clips:
        """What was packed."""
        import torch

        ends = np.cumsum([np.prod(shape, dtype=int) for shape in self.shapes.values()])
        parts = np.split(self.numbers, ends[:-1])
        whole = dict(zip(self.shapes, parts, strict=True))
        made = {key: part.reshape(self.shapes[key]) for key, part in whole.items()}
        return {k: torch.from_numpy(v) for k, v in made.items()} if self.tensors else made


def _worked(
    act: Callable[..., Result], packed: Any, n: int, arguments: tuple[Any, ...], parent: int
) -> tuple[int, Result]:
    _settle(parent)
    return n, act(packed.clips() if isinstance(packed, _Packed) else packed, *arguments)


@cache
def _settle(parent: int) -> None:
    """This process logs as the one that began it does, leaves Ctrl-C to it, and ends with it."""
    screen.log()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCHED)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
