"""Work over processes: the order, how far ahead it reads, what a dead worker and an early stop do."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from litgpt_zh.pool import cores, in_order
from litgpt_zh.stage import UserError

_known: dict[str, int] = {}


def learn(factor: int) -> None:
    _known["factor"] = factor


def times(number: int) -> tuple[int, int]:
    return number * _known["factor"], os.getpid()


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def linger(job: tuple[int, Path]) -> int:
    number, folder = job
    if number:
        time.sleep(4)
        (folder / str(number)).touch()
    return number


def counted(most: int, drawn: list[int]) -> Iterator[int]:
    for number in range(most):
        drawn.append(number)
        yield number


def run(jobs: Iterator[int], workers: int) -> list[tuple[int, int]]:
    return list(in_order(times, jobs, workers, stage="corpus", setup=learn, arguments=(7,)))


def test_any_number_of_workers_gives_the_same_in_the_same_order() -> None:
    for workers, elsewhere in ((1, False), (2, True)):
        found = run(iter(range(9)), workers)
        assert [value for value, _ in found] == [7 * n for n in range(9)]
        assert (os.getpid() not in {pid for _, pid in found}) == elsewhere


def test_a_single_job_is_not_worth_a_process() -> None:
    assert run(iter([5]), 4) == [(35, os.getpid())] and run(iter([]), 4) == []


def test_jobs_are_drawn_as_workers_come_free_and_an_early_stop_ends_them() -> None:
    drawn: list[int] = []
    results = in_order(times, counted(50, drawn), 2, stage="corpus", setup=learn, arguments=(1,))
    assert next(results)[0] == 0 and len(drawn) == 4  # two a worker
    assert next(results)[0] == 1 and len(drawn) == 5
    results.close()
    assert len(drawn) == 5


def test_an_early_stop_waits_for_no_job(tmp_path: Path) -> None:
    results = in_order(linger, ((n, tmp_path) for n in range(6)), 2, stage="corpus")
    assert next(results) == 0
    results.close()
    assert not list(tmp_path.iterdir())


def test_a_killed_worker_is_one_line_that_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"^corpus: a worker process died .*--workers 1"):
        list(in_order(die, iter(range(8)), 2, stage="corpus"))


def test_cores() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
