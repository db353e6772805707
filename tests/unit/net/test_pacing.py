"""Keeping below limits: a hub with quotas that counts what it would have to refuse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.errors import CancelledError, RateLimitedError
from hubferry.net.pacing import Pacer, Spacing
from hubferry.text import T, Text

API, RESOLVE, CDN = "api", "resolve", None
KINDS = {"https://hub/api": "api", "https://hub/resolve": "resolve"}


class Clock:
    """A clock that only pauses move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        monkeypatch.setattr(CancelToken, "sleep", lambda token, s: self._sleep(token, s))
        monkeypatch.setattr("hubferry.control.time.monotonic", self)

    def __call__(self) -> float:
        return self.now

    def _sleep(self, token: CancelToken, seconds: float) -> None:
        token.check()
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Hub:
    """A fixed window of one bucket, as the hub counts it."""

    def __init__(
        self, clock: Clock, quota: int, seconds: float = 300.0, bucket: str = "api"
    ) -> None:
        self.clock, self.quota, self.seconds, self.bucket = clock, quota, seconds, bucket
        self.opened, self.used, self.refused = clock.now, 0, 0

    def answer(self) -> dict[str, str]:
        """Count one request; the headers of its answer."""
        if self.clock.now >= self.opened + self.seconds:
            self.opened, self.used = self.clock.now, 0
        if self.used >= self.quota:
            self.refused += 1
        else:
            self.used += 1
        left = int(self.opened + self.seconds - self.clock.now)
        return {
            "ratelimit": f'"{self.bucket}";r={self.quota - self.used};t={left}',
            "ratelimit-policy": f'"fixed window";"{self.bucket}";q={self.quota};w=300',
        }


class Run:
    """A pacer with a wait budget, and what was told of its waits."""

    def __init__(self, clock: Clock, limit_seconds: float = 10_000.0) -> None:
        self.cancel = CancelToken()
        self.told: list[tuple[str, float]] = []
        waits = WaitBudget(limit_seconds)

        def hear(reason: Text, until: float) -> None:
            self.told.append((str(reason), until))

        self.pacer = Pacer(
            KINDS.get, lambda: Patience(self.cancel, waits, on_wait=hear), clock=clock
        )

    def ask(self, hub: Hub, kind: str = "api") -> None:
        """One request, start to end."""
        with self.pacer.turn(f"https://hub/{kind}") as heard:
            heard(hub.answer())


def test_plenty_left_means_no_pause_at_all(clock: Clock) -> None:
    run, hub = Run(clock), Hub(clock, 5000)
    hub.used = 2000
    for _ in range(2990):
        run.ask(hub)
    assert clock.pauses == []


def test_a_quota_is_used_up_and_then_the_next_window_is_waited_for(clock: Clock) -> None:
    run, hub = Run(clock), Hub(clock, 20)
    for _ in range(70):
        run.ask(hub)
    assert hub.refused == 0
    # Three pauses, each to the end of the window and a moment more: the figure is rounded.
    assert [300 <= pause <= 302 for pause in clock.pauses] == [True] * 3
    assert [reason for reason, until in run.told if until] == ["rate limit"] * 3
    assert [until for _, until in run.told][1::2] == [0.0] * 3


def test_requests_on_their_way_count_as_if_not_yet_counted(clock: Clock) -> None:
    run, hub = Run(clock), Hub(clock, 8)
    run.ask(hub)
    with ExitStack() as flying:
        # The answer told of seven: as many may be on their way at once.
        turns = [flying.enter_context(run.pacer.turn("https://hub/api")) for _ in range(7)]
        for heard in turns:
            heard(hub.answer())
    run.ask(hub)
    assert hub.refused == 0
    assert len(clock.pauses) == 1


def test_what_is_left_for_one_goes_to_one(clock: Clock) -> None:
    run, hub = Run(clock), Hub(clock, 2)
    run.ask(hub)
    waiting = threading.Event()
    ended: list[float] = []

    def second() -> None:
        waiting.set()
        run.ask(hub)
        ended.append(clock.now)

    other = threading.Thread(target=second)
    with run.pacer.turn("https://hub/api") as heard:
        other.start()
        waiting.wait(10)
        assert ended == []
        heard(hub.answer())
    other.join(10)
    assert hub.refused == 0
    assert ended[0] >= 1300


def test_buckets_are_apart_and_the_hub_says_which_is_which(clock: Clock) -> None:
    run = Run(clock)
    api, resolvers = Hub(clock, 2), Hub(clock, 1000, bucket="resolvers")
    for _ in range(2):
        run.ask(api)
    for _ in range(100):
        run.ask(resolvers, "resolve")
    assert clock.pauses == []
    run.ask(api)
    assert len(clock.pauses) == 1


def test_two_kinds_that_count_against_one_bucket_wait_together(clock: Clock) -> None:
    run, hub = Run(clock), Hub(clock, 4)
    for _ in range(6):
        run.ask(hub, "api")
        run.ask(hub, "resolve")
    assert hub.refused == 0


def test_what_is_not_the_hubs_own_is_never_paced(clock: Clock) -> None:
    run, hub = Run(clock), Hub(clock, 1)
    run.ask(hub)
    with run.pacer.turn("https://cdn/blob") as heard:
        heard({"ratelimit": '"api";r=0;t=300'})
    assert clock.pauses == []


def test_answers_without_a_word_on_limits_change_nothing(clock: Clock) -> None:
    run = Run(clock)
    for headers in ({}, {"ratelimit": "nonsense"}, {"ratelimit": '"api";r=x;t=1'}):
        with run.pacer.turn("https://hub/api") as heard:
            heard(headers)
    assert clock.pauses == []


def test_an_old_answer_that_comes_late_does_not_raise_what_is_left(clock: Clock) -> None:
    run, hub = Run(clock), Hub(clock, 10)
    with run.pacer.turn("https://hub/api") as late:
        old = hub.answer()
        for _ in range(8):
            run.ask(hub)
        late(old)
    run.ask(hub)
    assert hub.refused == 0
    run.ask(hub)
    assert len(clock.pauses) == 1


def test_a_window_that_others_empty_too_is_shared_out_near_its_end(clock: Clock) -> None:
    run, hub = Run(clock), Hub(clock, 200)
    run.ask(hub)
    hub.used = 186
    for _ in range(6):
        run.ask(hub)
        hub.used += 1  # somebody else's
    assert hub.refused == 0
    assert len(clock.pauses) >= 2
    assert all(pause < 150 for pause in clock.pauses)


def test_alone_with_its_quota_a_run_uses_all_of_it_at_once(clock: Clock) -> None:
    run, hub = Run(clock), Hub(clock, 200)
    for _ in range(200):
        run.ask(hub)
    assert clock.pauses == []


def test_a_wait_that_the_run_may_not_wait_is_an_error_that_says_so(clock: Clock) -> None:
    run, hub = Run(clock, limit_seconds=10), Hub(clock, 1)
    run.ask(hub)
    with pytest.raises(RateLimitedError) as caught:
        run.ask(hub)
    assert caught.value.is_final
    assert "--wait-on-limit" in str(caught.value.hint)
    assert hub.used == 1


def test_a_stopped_run_waits_for_no_window(clock: Clock) -> None:
    run, hub = Run(clock), Hub(clock, 1)
    run.ask(hub)
    run.cancel.cancel()
    with pytest.raises(CancelledError):
        run.ask(hub)


def test_a_request_that_fails_is_no_longer_on_its_way(clock: Clock) -> None:
    run, hub = Run(clock), Hub(clock, 3)
    run.ask(hub)
    for _ in range(5):
        with pytest.raises(OSError, match="cut"), run.pacer.turn("https://hub/api"):
            raise OSError("cut")
    run.ask(hub)
    assert clock.pauses == []


# --- limits that only a refusal tells ----------------------------------------------


class Commits:
    """A limit per fixed window that a refusal alone tells."""

    def __init__(self, clock: Clock, quota: int, seconds: float = 60.0) -> None:
        self.clock, self.quota, self.seconds = clock, quota, seconds
        self.opened, self.used, self.refused = clock.now, 0, 0

    def commit(self) -> None:
        """Make one, or refuse."""
        self.clock.now += 0.2
        if self.clock.now >= self.opened + self.seconds:
            self.opened, self.used = self.clock.now, 0
        if self.used >= self.quota:
            self.refused += 1
            wait = self.opened + self.seconds - self.clock.now
            raise RateLimitedError(T("slow"), retry_after_seconds=wait)
        self.used += 1


@contextmanager
def spacing(clock: Clock, longest_seconds: float = 60.0) -> Iterator[Callable[[Commits], None]]:
    cancel, waits = CancelToken(), WaitBudget(100_000)
    made = Spacing(lambda: Patience(cancel, waits), clock=clock, longest_seconds=longest_seconds)

    def commit(hub: Commits) -> None:
        patience = Patience(cancel, waits)
        while True:
            try:
                with made.turn(T("commit")):
                    return hub.commit()
            except RateLimitedError as error:
                patience.wait_after(error)

    yield commit


def test_commits_that_were_never_refused_are_not_kept_apart(clock: Clock) -> None:
    with spacing(clock) as commit:
        for _ in range(50):
            commit(Commits(clock, 60))
    assert clock.pauses == []


@pytest.mark.parametrize(("quota", "seconds"), [(60, 60.0), (10, 60.0), (1, 3.0)])
def test_after_one_refusal_commits_keep_the_distance_that_the_hub_allows(
    clock: Clock, quota: int, seconds: float
) -> None:
    hub = Commits(clock, quota, seconds)
    with spacing(clock) as commit:
        for _ in range(quota * 4):
            commit(hub)
    assert hub.refused == 1
    assert clock.now - 1000 < seconds * 4.5


def test_the_distance_has_an_end(clock: Clock) -> None:
    hub = Commits(clock, 1, 3600.0)
    with spacing(clock, longest_seconds=60.0) as commit:
        for _ in range(3):
            commit(hub)
    assert max(clock.pauses[1:2]) <= 60


def test_a_refusal_before_anything_passed_tells_no_distance(clock: Clock) -> None:
    hub = Commits(clock, 100)
    hub.used = 100
    with spacing(clock) as commit:
        for _ in range(20):
            commit(hub)
    assert len(clock.pauses) == 1
