"""Work spread over processes, its results in order: what comes out does not depend on how many there are."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from litgpt_zh.stage import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    work: Callable[[Job], Result],
    jobs: Iterable[Job],
    workers: int,
    *,
    stage: str,
    setup: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Generator[Result, None, None]:
    """``map(work, jobs)`` in processes, with at most two jobs a worker under way. Close it when you stop early: what is
    under way is dropped then.

    Args:
        work: a function of a module, as the processes are spawned.
        jobs: drawn as workers come free, never all at once.
        workers: processes; 0 is one a core. A single job, and ``workers`` 1, run in this process.
        stage: the command that a broken pool names.
        setup: called with ``arguments`` once in each process before its first job.
        arguments: of ``setup``.

    Raises:
        UserError: a worker process was killed.
    """
    workers, jobs = workers or cores(), iter(jobs)
    first = list(itertools.islice(jobs, 2))
    jobs = itertools.chain(first, jobs)
    if workers == 1 or len(first) < 2:
        if setup:
            setup(*arguments)
        yield from map(work, jobs)
        return
    waiting: deque[Future[Result]] = deque()
    context = multiprocessing.get_context("spawn")  # fork is unsafe once a library has started threads
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(setup, arguments)) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                f"{stage}: a worker process died (out of memory?); run the same command with --workers 1, it will go on"
            ) from None
        except BaseException:  # a job may take minutes; the pool would wait for it
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise
        finally:
            for future in waiting:
                future.cancel()


def _start(setup: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """Leave Ctrl-C to the parent, and go when the parent is gone (killed, it cannot tell us)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    if setup:
        setup(*arguments)
