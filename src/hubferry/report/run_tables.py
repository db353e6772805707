"""The ledger's history for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from hubferry.history import ASKED, FileStory, RepoStory, RunStory, kept_report
from hubferry.i18n import tr
from hubferry.outcome import ErrorRecord
from hubferry.report import words
from hubferry.report.item_words import counted, state_word
from hubferry.report.tables import facts, print_grid, say
from hubferry.text import T, Text

_STATES = {
    "running": T("running"),
    "paused": T("paused"),
    "stopping": T("stopping"),
    "finished": T("finished"),
    "dead": T("dead"),
}
_ENDED = T("run {run_id} has ended")
_ANSWERS = {
    "running": T("run {run_id} goes on"),
    "paused": T("run {run_id} is paused; 'hubferry runs resume {run_id}' lets it go on"),
    "stopping": T("run {run_id} stops; the same command again goes on where it stopped"),
}
_EVENTS = {"committed": T("committed"), "failed": T("failed")}
# What the program keeps for itself, and would only be in a reader's way.
_UNTOLD = ("before", ASKED)

Row = Mapping[str, Any]


def print_runs(console: Console, rows: Sequence[Row]) -> None:
    """The ledger's latest runs."""
    if not rows:
        say(console, tr(T("no runs yet")))
        return
    headers = (T("run"), T("started"), T("command"), T("source"), T("target"), T("state"))
    cells = [
        (
            row["run_id"],
            words.moment(row["started_at"]),
            row["command"],
            words.clean(row["source"]),
            _target_or_counts(row),
            _state_and_code(row),
        )
        for row in rows
    ]
    print_grid(console, headers, cells, whole=(0, 5))


def _target_or_counts(row: Row) -> str:
    """A batch has many targets: what became of them is told instead."""
    counts = kept_report(row).get("counts")
    return words.clean(row["target"]) or counted(counts or {})


def state_of(state: str) -> Text:
    """What a run is at, in words."""
    return _STATES.get(state) or Text(state)


def _state_and_code(row: Row) -> str:
    code, state = row["exit_code"], tr(state_of(row["state"]))
    return state if code is None else f"{state}: {code}"


# --- one run ---------------------------------------------------------------------


def print_story(
    console: Console,
    story: RunStory,
    repos: Sequence[RepoStory],
    events: Iterable[Row] = (),
    files: Iterable[FileStory] | None = None,
) -> None:
    """One run: its figures, its repositories (``repos``: those asked for), why and what to do."""
    shown = facts((label, words.clean(value)) for label, value in _story_facts(story))
    console.print(shown)
    _print_events(console, events)
    for error in story.errors:
        say(console, f"  {explained(error)}")
    for kind, repo, text in story.notices:
        say(console, f"  {words.clean(repo)}: {words.clean(text)} ({words.clean(kind)})")
    if files is not None:
        _print_files(console, files, is_batch=story.is_batch)
    elif story.is_batch:
        print_repos(console, repos)
    else:
        _print_errors(console, [error for repo in repos for error in repo.errors])
    if story.bad and story.state in ("finished", "dead"):
        run = story.run_id
        say(console, tr(T("'hubferry runs retry {run}' takes up again what failed", run=run)))


def print_repos(console: Console, repos: Sequence[RepoStory]) -> None:
    """Repositories, those that are not done first: state, sent, why it failed, what to do."""
    if not repos:
        say(console, tr(T("no repositories")))
        return
    rows = [
        (
            str(repo.number),
            tr(state_word(repo.state)),
            words.clean(repo.source),
            words.clean(repo.target),
            words.size(repo.sent_bytes),
            why(repo),
        )
        for repo in sorted(repos, key=lambda repo: (not repo.is_bad, repo.number))
    ]
    headers = (T("no."), T("state"), T("source"), T("target"), T("sent"), T("why, and what to do"))
    print_grid(console, headers, rows, right=(0, 4))


def print_attempt(
    console: Console,
    story: RunStory,
    repo: RepoStory,
    events: Iterable[Row],
    files: Iterable[FileStory],
) -> None:
    """One try at one repository: its figures, events, files and errors."""
    rows = (
        (T("run"), repo.attempt_id or story.run_id),
        (T("source"), repo.source),
        (T("target"), repo.target),
        (T("started"), words.moment(repo.started_at) if repo.started_at else "-"),
        (T("ended"), words.moment(repo.ended_at) if repo.ended_at else "-"),
        (T("state"), tr(state_word(repo.state))),
        (T("exit code"), "-" if repo.exit_code is None else str(repo.exit_code)),
        *_repo_facts(repo),
    )
    console.print(facts((label, words.clean(value)) for label, value in rows))
    _print_events(console, events)
    _print_files(console, files, is_batch=False)


def why(repo: RepoStory) -> str:
    """Why a repository is not done and what to do, on one line; "" if it is."""
    if not repo.errors:
        is_late = repo.is_bad and not repo.tries
        return tr(T("its turn did not come")) if is_late else ""
    more = len(repo.errors) - 1
    said = explained(repo.errors[0])
    return tr(T("{first} (and {count} more)", first=said, count=more)) if more else said


def explained(error: ErrorRecord) -> str:
    """An error and its hint on one line."""
    said = words.clean(tr(error.message))
    if error.hint is None:
        return said
    return f"{said} → {words.clean(tr(error.hint))}"


def print_control(console: Console, row: Row) -> None:
    """What a run that was asked for something does now."""
    answer = _ANSWERS.get(row["state"], _ENDED)
    say(console, tr(Text(answer.template, {"run_id": row["run_id"]})))


def _story_facts(story: RunStory) -> Iterator[tuple[Text, str]]:
    yield T("run"), story.run_id
    yield T("command"), story.command
    yield (T("manifest") if story.is_batch else T("source")), story.source
    if story.target:
        yield T("target"), story.target
    yield T("started"), words.moment(story.started_at)
    yield T("ended"), words.moment(story.ended_at) if story.ended_at else "-"
    yield T("state"), tr(state_of(story.state))
    yield T("exit code"), "-" if story.exit_code is None else str(story.exit_code)
    if not story.is_batch:
        yield from _repo_facts(story.repos[0])
        return
    yield T("repositories"), counted(story.counts) or "0"
    if story.left_out:
        yield T("left out by conditions"), str(story.left_out)
    yield T("sent"), words.size(story.sent_bytes)
    yield T("commits"), str(story.commits)
    if story.seconds:
        yield T("time"), words.duration(story.seconds)


def _repo_facts(repo: RepoStory) -> Iterator[tuple[Text, str]]:
    """The figures that the ledger keeps of a copy that got as far as having some."""
    files = repo.files
    if not files.total:
        return
    counts = (
        T("{count} in all", count=files.total),
        T("{count} sent", count=files.sent),
        T("{count} already stored there", count=files.reused),
        T("{count} failed", count=files.failed),
    )
    yield T("files"), tr(T(", ")).join(tr(text) for text in counts)
    yield T("sent"), words.size(repo.sent_bytes)
    yield T("commits"), str(repo.commits)


def _print_events(console: Console, events: Iterable[Row]) -> None:
    rows = [
        (words.moment(event["at"])[11:], event["kind"], words.clean(event["path"] or ""))
        for event in events
        if event["kind"] not in _UNTOLD
    ]
    if rows:
        print_grid(console, (T("at"), T("event"), T("path")), rows)


def _print_files(console: Console, files: Iterable[FileStory], *, is_batch: bool) -> None:
    rows = [
        (
            *((words.clean(file.source),) if is_batch else ()),
            words.clean(file.path),
            tr(_EVENTS.get(file.event) or Text(file.event)),
            explained(file.error) if file.error else words.short_commit(file.commit),
        )
        for file in files
    ]
    headers = (T("path"), T("event"), T("commit, or why not"))
    if rows:
        print_grid(console, ((T("source"), *headers) if is_batch else headers), rows)


def _print_errors(console: Console, errors: Sequence[ErrorRecord]) -> None:
    if errors:
        cells = [(words.clean(error.path or "-"), explained(error)) for error in errors]
        print_grid(console, (T("path"), T("why, and what to do")), cells)
