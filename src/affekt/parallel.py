"""Trainings side by side, each in a process of its own and on one core."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from affekt import threads
from affekt.recipe import Recipe

Result = TypeVar("Result")
Clips = Mapping[str, Any]
MOST = 8  # processes that are begun unasked: each holds torch, and a model


def wanted(recipe: Recipe) -> int:
    """How many folds of a recipe are best trained side by side here.

    A small network on frames that are made gains little from a second core, a fold of its own
    gains all of it. An encoder that is trained uses every core, and a GPU takes one at a time.
    """
    if recipe.classifier is None:
        from affekt.encoders.speech import processor

        if recipe.encoder.options.get("trainable", "none") != "none" or processor().type != "cpu":
            return 1
    return min(threads.cores(), MOST)


def each(
    act: Callable[..., Result], work: Sequence[tuple[Any, ...]], clips: Clips, jobs: int
) -> Iterator[Result]:
    """act(clips, *arguments) of every tuple of arguments, in their order.

    With one job it happens here and by all cores. Processes stay for the next call.

    Args:
        clips: what all of them are given; what lies in memory is shared.
        jobs: processes at most.
    """
    if min(jobs, len(work)) < 2:
        yield from (act(clips, *arguments) for arguments in work)
        return
    from joblib import Parallel, delayed, parallel_config

    packed = _Packed(clips) if isinstance(clips, dict) else clips
    todo = [delayed(_unpacked)(act, packed, *arguments) for arguments in work]
    with parallel_config("loky", inner_max_num_threads=1):
        side_by_side: Any = Parallel(min(jobs, len(work)), return_as="generator", mmap_mode="c")
        yield from side_by_side(todo)


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


def _unpacked(act: Callable[..., Result], packed: Any, *arguments: Any) -> Result:
    return act(packed.clips() if isinstance(packed, _Packed) else packed, *arguments)
