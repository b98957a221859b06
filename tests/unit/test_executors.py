"""Executors: every task gives exactly one answer, also when a worker dies on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest
from steps import build_echo, build_nothing

from unsprawl.executors import Executor, Lost, Processes, Task, Threads
from unsprawl.records import Unit


@contextmanager
def running(make: Callable[[SimpleQueue[Any]], Executor]) -> Iterator[tuple[Executor, SimpleQueue[Any]]]:
    inbox: SimpleQueue[Any] = SimpleQueue()
    executor = make(inbox)
    try:
        yield executor, inbox
    finally:
        executor.close()


def tasks(*ids: str) -> list[Task]:
    return [Task("files", Unit(name), None) for name in ids]


@pytest.mark.parametrize(
    "make",
    [lambda inbox: Threads(2, build_echo, inbox), lambda inbox: Processes(2, build_echo, inbox)],
    ids=["threads", "processes"],
)
def test_every_task_is_answered_once(make: Callable[[SimpleQueue[Any]], Executor]) -> None:
    wanted = [str(n) for n in range(50)]
    with running(make) as (executor, inbox):
        for task in tasks(*wanted):
            executor.submit(task)
        answers = [inbox.get(timeout=60) for _ in wanted]
    assert sorted(batch.unit.id for _, batch in answers) == sorted(wanted)
    assert all(task.unit == batch.unit for task, batch in answers)


def test_processes_share_the_work() -> None:
    with running(lambda inbox: Processes(2, build_echo, inbox)) as (executor, inbox):
        for task in tasks(*(str(n) for n in range(40))):
            executor.submit(task)
        pids = {inbox.get(timeout=60)[1].counts.documents for _ in range(40)}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_a_worker_that_dies_loses_one_task_and_is_replaced() -> None:
    ids = ["a", "b", "poison", "c", "d", "e", "poison", "f"]
    with running(lambda inbox: Processes(2, build_echo, inbox)) as (executor, inbox):
        for task in tasks(*ids):
            executor.submit(task)
        answers = [inbox.get(timeout=60) for _ in ids]
    lost = [answer for answer in answers if isinstance(answer, Lost)]
    assert [answer.task.unit.id for answer in lost] == ["poison", "poison"]
    assert all("SIGKILL" in answer.reason for answer in lost)
    done = sorted(answer[1].unit.id for answer in answers if not isinstance(answer, Lost))
    assert done == ["a", "b", "c", "d", "e", "f"]


def test_a_document_that_kills_its_reader_is_left_out_and_the_rest_read() -> None:
    ids = ["a", "files 3", "b", "files 4", "c"]
    with running(lambda inbox: Processes(2, build_echo, inbox)) as (executor, inbox):
        for task in tasks(*ids):
            executor.submit(task)
        answers = [inbox.get(timeout=60) for _ in ids]
    done = {answer[0].unit.id: answer[0] for answer in answers if not isinstance(answer, Lost)}
    assert sorted(done) == ["a", "b", "c", "files 3"]
    assert ["SIGKILL" in reason for reason in done["files 3"].avoid.values()] == [True] * 3
    assert [answer.task.unit.id for answer in answers if isinstance(answer, Lost)] == ["files 4"]


def test_closing_ends_the_workers() -> None:
    executor = Processes(2, build_echo, SimpleQueue())
    processes = [worker.process for worker in executor._workers]
    executor.close()
    assert not any(process.is_alive() for process in processes)


def test_workers_that_cannot_start_do_not_loop() -> None:
    with running(lambda inbox: Processes(2, build_nothing, inbox)) as (executor, inbox):
        for task in tasks("a", "b", "c", "d", "e", "f", "g", "h"):
            executor.submit(task)
        answers = [inbox.get(timeout=60) for _ in range(8)]
    assert all(isinstance(answer, Lost) for answer in answers)


def test_the_lower_rank_is_taken_first_and_what_a_dead_worker_held_before_its_equals() -> None:
    from unsprawl.executors import _Waiting

    def task(name: str, rank: float) -> Task:
        return Task("s", Unit(name), None, rank=rank)

    waiting = _Waiting()
    for name, rank in [("b1", 2.0), ("a1", 1.0), ("b2", 2.0), ("a2", 1.0)]:
        waiting.add(task(name, rank))
    waiting.give_back(task("b0", 2.0))
    assert [waiting.take().unit.id for _ in range(len(waiting))] == ["a1", "a2", "b0", "b1", "b2"]
