"""What every engine promises to the core, asked of every engine.

The serial engine is the reference. A new engine adds a line to ``ENGINES``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from hubferry.control import CancelToken
from hubferry.engines import Engine, make_engine
from hubferry.engines.serial import SerialEngine
from hubferry.engines.threads import ThreadEngine

ENGINES: dict[str, Callable[[], Engine]] = {
    "serial": SerialEngine,
    "one thread": lambda: ThreadEngine(1),
    "two threads": lambda: ThreadEngine(2),
    "four threads": lambda: ThreadEngine(4),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    return ENGINES[request.param]()


class Killed(BaseException):
    """Stands for KeyboardInterrupt and SystemExit."""


def test_every_task_is_reported_once(engine: Engine) -> None:
    outcomes = list(engine.run(range(500), lambda task: task * 2, CancelToken()))
    assert sorted(outcome.task for outcome in outcomes) == list(range(500))
    assert all(outcome.result == outcome.task * 2 for outcome in outcomes)
    assert all(outcome.error is None for outcome in outcomes)


def test_no_tasks_is_no_outcome(engine: Engine) -> None:
    assert list(engine.run([], lambda task: task, CancelToken())) == []


def test_one_failure_does_not_lose_the_others(engine: Engine) -> None:
    def work(task: int) -> int:
        if task % 3 == 0:
            raise ValueError(task)
        return task

    outcomes = list(engine.run(range(30), work, CancelToken()))
    failed = {outcome.task for outcome in outcomes if outcome.error is not None}
    assert failed == set(range(0, 30, 3))
    assert all(outcome.result is None for outcome in outcomes if outcome.error is not None)
    assert len(outcomes) == 30


def test_a_handler_may_raise_stop_iteration(engine: Engine) -> None:
    def work(task: int) -> int:
        raise StopIteration

    outcomes = list(engine.run(range(5), work, CancelToken()))
    assert [type(outcome.error) for outcome in outcomes] == [StopIteration] * 5


def test_no_more_than_width_tasks_run_at_once(engine: Engine) -> None:
    lock, running, peak = threading.Lock(), [0], [0]

    def work(task: int) -> None:
        with lock:
            running[0] += 1
            peak[0] = max(peak[0], running[0])
        time.sleep(0.001)
        with lock:
            running[0] -= 1

    list(engine.run(range(40), work, CancelToken()))
    assert peak[0] <= engine.width
    if engine.width > 1:
        assert peak[0] > 1, "nothing ran side by side"


def test_tasks_are_pulled_lazily_and_only_by_the_consumer(engine: Engine) -> None:
    done, pulled = [0], list[tuple[int, int]]()

    def tasks() -> Iterator[int]:
        for number in range(50):
            assert threading.current_thread() is threading.main_thread()
            pulled.append((number, done[0]))
            yield number

    for outcome in engine.run(tasks(), lambda task: task, CancelToken()):
        assert outcome.error is None
        done[0] += 1
    assert all(number - reported <= engine.width for number, reported in pulled)


def test_none_means_wait_for_an_outcome(engine: Engine) -> None:
    """A producer may pause while work is in flight; it is asked again after an outcome."""
    in_flight, most = [0], [0]

    def tasks() -> Iterator[int | None]:
        for number in range(20):
            while in_flight[0] >= 1:
                yield None
            in_flight[0] += 1
            most[0] = max(most[0], in_flight[0])
            yield number

    seen = []
    for outcome in engine.run(tasks(), lambda task: task, CancelToken()):
        in_flight[0] -= 1
        seen.append(outcome.task)
    assert sorted(seen) == list(range(20))
    assert most[0] == 1


def test_nothing_new_starts_after_cancel(engine: Engine) -> None:
    cancel, started = CancelToken(), list[int]()

    def work(task: int) -> int:
        started.append(task)
        if task == 5:
            cancel.cancel()
        return task

    outcomes = list(engine.run(range(1000), work, cancel))
    assert len(started) <= 5 + 1 + engine.width
    assert len(outcomes) <= len(started)


def test_a_cancelled_run_starts_nothing(engine: Engine) -> None:
    cancel = CancelToken()
    cancel.cancel()
    assert list(engine.run(range(3), lambda task: task, cancel)) == []


def test_cancel_does_not_wait_for_a_task_that_hangs() -> None:
    cancel, release = CancelToken(), threading.Event()
    threading.Timer(0.02, cancel.cancel).start()
    started = time.monotonic()
    assert list(ThreadEngine(2).run(range(5), lambda task: release.wait(20), cancel)) == []
    assert time.monotonic() - started < 2
    release.set()


def test_a_kill_in_a_task_ends_the_run(engine: Engine) -> None:
    def work(task: int) -> int:
        if task == 3:
            raise Killed
        return task

    with pytest.raises(Killed):
        list(engine.run(range(10), work, CancelToken()))


def test_a_broken_task_iterator_is_told(engine: Engine) -> None:
    def tasks() -> Iterator[int]:
        yield 1
        raise LookupError("no more tasks to be had")

    with pytest.raises(LookupError):
        list(engine.run(tasks(), lambda task: task, CancelToken()))


def test_leaving_early_ends_the_workers(engine: Engine) -> None:
    before = threading.active_count()
    outcomes = engine.run(range(100), lambda task: task, CancelToken())
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.005)
    assert threading.active_count() <= before


def test_two_runs_of_one_engine_do_not_mix(engine: Engine) -> None:
    first = engine.run(range(10), lambda task: "first", CancelToken())
    second = engine.run(range(10), lambda task: "second", CancelToken())
    pairs = list(zip(first, second, strict=True))
    assert {one.result for one, _ in pairs} == {"first"}
    assert {two.result for _, two in pairs} == {"second"}


def test_few_tasks_start_few_threads() -> None:
    names: set[str] = set()
    list(
        ThreadEngine(16).run(
            [1], lambda t: names.add(threading.current_thread().name), CancelToken()
        )
    )
    assert len(names) == 1


def test_a_producer_that_pauses_with_nothing_in_flight_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="paused"):
        list(ThreadEngine(2).run([None], lambda task: task, CancelToken()))


def test_an_engine_needs_a_worker() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ThreadEngine(0)


def test_one_worker_is_the_serial_engine() -> None:
    assert isinstance(make_engine(1), SerialEngine)
    assert make_engine(4).width == 4
