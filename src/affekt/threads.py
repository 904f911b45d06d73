"""Work on many recordings by all cores, in order, none of it held longer than it is needed."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 4  # jobs begun per core


def cores() -> int:
    """How many processors this process may use; OMP_NUM_THREADS says fewer."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return min(int(asked), _there())
    return _there()


def _there() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_turn(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int | None = None,
    ahead: int | None = None,
) -> Generator[Result]:
    """The results in order, each worked out by one thread.

    Args:
        work: what is done.
        items: with what, one after the other; there may be no end of them.
        workers: threads; the number of cores if not given.
        ahead: jobs begun beyond the one that is waited for.
    """
    workers = workers or cores()
    begun: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > (ahead or workers * AHEAD):
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:  # also where the reader stops early
        pool.shutdown(cancel_futures=True)


_counting = Lock()
_inside = 0  # threads of callers that want it so
_before = 1  # threads of torch, before


@contextmanager
def one_thread_each() -> Iterator[None]:
    """torch and NumPy compute within the thread that asks; more would wait at full speed."""
    import torch  # which openSMILE's threads do without
    from threadpoolctl import threadpool_limits

    global _inside, _before
    with _counting:
        if not _inside:
            _before = torch.get_num_threads()
            torch.set_num_threads(1)
        _inside += 1
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        with _counting:
            _inside -= 1
            if not _inside:  # the last of those that overlap
                torch.set_num_threads(_before)
