"""The data of the page: tiles, rows, groups of errors, series. Pure and bounded.

A page has to open quickly whatever happened: there are limits for rows, for errors and for
points, and each says what it left out.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubferry.history import RepoStory, RunStory
from hubferry.i18n import tr
from hubferry.outcome import ErrorRecord
from hubferry.report import words
from hubferry.report.errors import where_of
from hubferry.report.item_words import STATES, counted, state_word
from hubferry.report.run_tables import state_of, why
from hubferry.text import T, Text

MAX_ROWS = 5000
MAX_POINTS = 600
MAX_LARGEST = 12
MAX_GROUPS = 20
"""Kinds of errors of one repository."""
MAX_PATHS = 20
"""Paths that failed alike."""
DETAIL_CHARACTERS = 1_200_000
"""Of all details together."""
MAX_NOTICES = 200
_PROBLEM_CHARACTERS = 220
_BIN_EDGES = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
# Done for what plots count: nothing more will come of them in this run.
_DONE = ("copied", "equal", "unchanged", "left_out")


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure. ``tone``: ``good``, ``bad`` or ""."""

    label: str
    value: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One repository; the raw figures are for sorting. ``state`` is one of ours, or ``other``."""

    number: int
    state: str
    state_name: str
    source: str
    target: str
    files: int
    size_bytes: int
    size: str
    sent_bytes: int
    sent: str
    tries: int
    seconds: float
    duration: str
    problem: str
    has_details: bool


@dataclass(frozen=True)
class Table:
    """The rows, and sentences on those that were left out."""

    rows: Sequence[TableRow]
    left_out: Sequence[str]


@dataclass
class Group:
    """Errors of one repository that are alike; ``more`` paths are not listed."""

    headline: str
    message: str
    hint: str
    where: str
    request_id: str
    paths: list[str] = field(default_factory=list)
    more: str = ""

    @property
    def characters(self) -> int:
        texts = (self.headline, self.message, self.hint, self.where, self.request_id, self.more)
        return sum(map(len, texts)) + sum(map(len, self.paths)) + 30 * len(self.paths) + 300


@dataclass(frozen=True)
class Detail:
    """One repository that is not done."""

    number: int
    state: str
    state_name: str
    source: str
    target: str
    groups: Sequence[Group]
    left_out: str

    @property
    def characters(self) -> int:
        return sum(group.characters for group in self.groups) + 2 * len(self.source) + 300


@dataclass(frozen=True)
class Details:
    """Details, and a sentence on those that were left out."""

    items: Sequence[Detail]
    left_out: str
    run: Sequence[Group]
    notices: Sequence[tuple[str, str, str]]
    notices_left_out: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A repository among the largest; ``share`` of the largest, 0 to 100."""

    name: str
    size: str
    share: float


def tiles_of(story: RunStory) -> list[Tile]:
    """The figures at the top."""
    total = sum(story.counts.values())
    bad = sum(story.counts.get(state, 0) for state in ("failed", "gone", "stopped", "waiting"))
    code = "-" if story.exit_code is None else str(story.exit_code)
    tone = "" if story.exit_code is None else ("good" if story.exit_code == 0 else "bad")
    tiles = [
        Tile(tr(T("exit code")), code, tone),
        Tile(tr(T("state")), tr(state_of(story.state))),
    ]
    if story.is_batch:
        tiles.append(Tile(tr(T("repositories")), f"{total:,}"))
        tiles.append(Tile(tr(T("not done")), f"{bad:,}", "bad" if bad else "good"))
    else:
        files = story.repos[0].files
        tiles.append(Tile(tr(T("files")), f"{files.total:,}"))
        tiles.append(
            Tile(tr(T("files failed")), f"{files.failed:,}", "bad" if files.failed else "")
        )
    tiles.append(Tile(tr(T("sent")), words.size(story.sent_bytes)))
    if story.seconds:
        tiles.append(Tile(tr(T("time")), words.duration(story.seconds)))
        rate = story.sent_bytes / story.seconds
        tiles.append(Tile(tr(T("speed")), words.speed(rate)))
    tiles.append(Tile(tr(T("commits")), f"{story.commits:,}"))
    return tiles


def facts_of(story: RunStory) -> list[tuple[str, str]]:
    """Label and value, for the list below the tiles."""
    ended = words.moment(story.ended_at) if story.ended_at else "-"
    rows: list[tuple[Text, str]] = [
        (T("run"), story.run_id),
        (T("command"), story.command),
        (T("manifest") if story.is_batch else T("source"), words.clean(story.source)),
    ]
    if story.target:
        rows.append((T("target"), words.clean(story.target)))
    rows += [(T("started"), words.moment(story.started_at)), (T("ended"), ended)]
    if story.is_batch:
        rows.append((T("repositories"), counted(story.counts) or "0"))
    if story.left_out:
        rows.append((T("left out by conditions"), str(story.left_out)))
    return [(tr(label), value) for label, value in rows]


def rows_of(story: RunStory) -> Table:
    """The table's rows; where not all fit, those that are not done come first."""
    repos: Iterable[RepoStory] = story.repos
    sentences = []
    if len(story.repos) > MAX_ROWS:
        chosen = sorted(story.repos, key=lambda repo: (not repo.is_bad, repo.number))[:MAX_ROWS]
        repos = sorted(chosen, key=lambda repo: repo.number)
        text = T(
            "{count} more repositories are not listed here: hubferry runs show {run} "
            "--format csv has all of them",
            count=f"{len(story.repos) - MAX_ROWS:,}",
            run=story.run_id,
        )
        sentences.append(tr(text))
    quiet = sum(story.counts.values()) - len(story.repos)
    if quiet > 0:
        # The ledger keeps no row for what lists alone settled.
        text = T("{count} repositories needed no look and are only counted", count=f"{quiet:,}")
        sentences.append(tr(text))
    return Table([_row(repo) for repo in repos], sentences)


def _row(repo: RepoStory) -> TableRow:
    problem = why(repo)
    if len(problem) > _PROBLEM_CHARACTERS:
        problem = problem[:_PROBLEM_CHARACTERS] + "…"
    return TableRow(
        repo.number,
        _plain_state(repo.state),
        tr(state_word(repo.state)),
        words.clean(repo.source),
        words.clean(repo.target),
        repo.files.total,
        repo.size_bytes,
        words.size(repo.size_bytes),
        repo.sent_bytes,
        words.size(repo.sent_bytes),
        repo.tries,
        round(repo.seconds, 3),
        words.duration(repo.seconds),
        problem,
        bool(repo.errors),
    )


# --- what failed -----------------------------------------------------------------


def details_of(story: RunStory) -> Details:
    """What failed, alike errors in one go, within the limits."""
    failed = [repo for repo in story.repos if repo.errors]
    items: list[Detail] = []
    room = DETAIL_CHARACTERS
    for repo in failed:
        detail = _detail(repo)
        room -= detail.characters
        if room < 0 and items:
            break
        items.append(detail)
    left = failed[len(items) :]
    sentence = ""
    if left:
        sentence = tr(
            T(
                "the errors of {repos} more repositories ({count} in all) are not listed here: "
                "hubferry runs show {run} --failed --files --format csv has all of them",
                repos=f"{len(left):,}",
                count=f"{sum(len(repo.errors) for repo in left):,}",
                run=story.run_id,
            )
        )
    notices = [
        (words.clean(kind), words.clean(repo), words.clean(text))
        for kind, repo, text in story.notices[:MAX_NOTICES]
    ]
    more = len(story.notices) - len(notices)
    more_notices = tr(T("… and {count} more", count=more)) if more > 0 else ""
    run_groups, _ = _groups(story.errors)
    return Details(items, sentence, run_groups, notices, more_notices)


def _detail(repo: RepoStory) -> Detail:
    groups, left = _groups(repo.errors)
    sentence = tr(T("… and {count} more errors", count=left)) if left else ""
    ends = words.clean(repo.source), words.clean(repo.target)
    state = _plain_state(repo.state), tr(state_word(repo.state))
    return Detail(repo.number, *state, *ends, groups, sentence)


def _groups(errors: Sequence[ErrorRecord]) -> tuple[list[Group], int]:
    """Groups of errors that are alike, and how many errors are in none of them."""
    alike: dict[tuple[object, ...], list[ErrorRecord]] = {}
    for error in errors:
        alike.setdefault(_kind(error), []).append(error)
    groups = [_group(found) for found in list(alike.values())[:MAX_GROUPS]]
    left = sum(len(found) for found in list(alike.values())[MAX_GROUPS:])
    return groups, left


def _kind(error: ErrorRecord) -> tuple[object, ...]:
    """What is equal in errors that can be told in one go: all but the path."""
    if not error.path:
        return (id(error),)
    own = {name: str(v) for name, v in error.message.values.items() if str(v) != error.path}
    hint = str(error.hint) if error.hint else ""
    said = error.message.template, *sorted(own.items()), hint.replace(error.path, "")
    return (error.error, *said, error.side, error.step)


def _group(errors: Sequence[ErrorRecord]) -> Group:
    first = errors[0]
    paths = [words.clean(error.path) for error in errors if error.path]
    more = len(paths) - MAX_PATHS
    return Group(
        words.clean(first.headline),
        words.clean(tr(first.message)),
        words.clean(tr(first.hint)) if first.hint else "",
        where_of(first, with_path=False),
        words.clean(first.request_id or ""),
        paths[:MAX_PATHS],
        tr(T("… and {count} more files that failed alike", count=f"{more:,}")) if more > 0 else "",
    )


# --- plots -----------------------------------------------------------------------


def has_plots(story: RunStory) -> bool:
    """True if there is more than a point to draw."""
    return len(_ends(story)) > 1


def plots_of(story: RunStory) -> dict[str, Any]:
    """The series: ``over_time`` (Unix seconds, bytes sent so far, repositories done so far)
    and ``seconds`` (names of the bins, repositories in each).
    """
    return {"over_time": _over_time(story), "seconds": _histogram(story)}


def _ends(story: RunStory) -> list[tuple[float, RepoStory]]:
    timed = [(_unix(repo.ended_at), repo) for repo in story.repos if repo.ended_at]
    return sorted(timed, key=lambda pair: (pair[0], pair[1].number))


def _over_time(story: RunStory) -> list[list[float]]:
    tried = {repo.state for repo in story.repos}
    # What came to no try was settled by the lists, at the beginning.
    done = sum(
        story.counts.get(state, 0) for state in _DONE if state == "unchanged" or state not in tried
    )
    times, sent_so_far, done_so_far = [_unix(story.started_at)], [0], [done]
    sent = 0
    for at, repo in _ends(story):
        sent += repo.sent_bytes
        done += repo.state in _DONE
        times.append(at)
        sent_so_far.append(sent)
        done_so_far.append(done)
    chosen = list(_spread(len(times)))
    series = (times, sent_so_far, done_so_far)
    return [[values[number] for number in chosen] for values in series]


def _spread(count: int) -> Iterator[int]:
    """At most ``MAX_POINTS`` of ``count`` places, the first and the last among them."""
    if count <= MAX_POINTS:
        yield from range(count)
        return
    for step in range(MAX_POINTS):
        yield round(step * (count - 1) / (MAX_POINTS - 1))


def _histogram(story: RunStory) -> list[list[Any]]:
    names = [f"<{_short(edge)}" for edge in _BIN_EDGES] + [f"≥{_short(_BIN_EDGES[-1])}"]
    counts = [0] * len(names)
    for repo in story.repos:
        if repo.tries and repo.ended_at:
            counts[bisect_right(_BIN_EDGES, repo.seconds)] += 1
    return [names, counts]


def _short(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h"


def largest_of(story: RunStory) -> list[Bar]:
    """The largest repositories, largest first."""
    chosen = sorted(story.repos, key=lambda repo: -repo.size_bytes)[:MAX_LARGEST]
    chosen = [repo for repo in chosen if repo.size_bytes]
    if len(chosen) < 2:
        return []
    most = chosen[0].size_bytes
    return [
        Bar(
            words.clean(repo.source),
            words.size(repo.size_bytes),
            round(100 * repo.size_bytes / most, 1),
        )
        for repo in chosen
    ]


def _unix(iso: str | None) -> float:
    return dt.datetime.fromisoformat(str(iso)).timestamp()


def _plain_state(state: str) -> str:
    """What may stand in a class name."""
    return state if state in STATES else "other"
